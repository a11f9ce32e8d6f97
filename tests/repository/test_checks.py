"""The checks fail where they should: they are fed what nobody wants to see."""

import fcntl
import json
import os
import struct
import subprocess

from guest import ROOT, SRC, list_of, topics
from scripts.check import hyperv_msrs
from scripts.check.coverage_report import complaints, reasons

import pytest


def results(commands, *arguments, **environment):
    """Run shell commands that use scripts/check/results.sh.

    :return: the last line, and whether the exit status is 0
    """
    run = subprocess.run(
        ['env', '-u', 'NO_SKIPS', *(f'{name}={value}' for name, value
                                    in environment.items()),
         'sh', '-c', '. "$(dirname "$0")/../lib.sh"\n'
         f'. "$(dirname "$0")/results.sh"\nLOGS=$SCRATCH\n'
         f'{commands}\ntally', ROOT / 'scripts' / 'check' / 'made-up',
         *arguments],
        text=True, capture_output=True, check=False)
    return run.stdout.splitlines()[-1], run.returncode == 0


@pytest.mark.parametrize('tap, counts, fine', [
    ('1..2\nok 1 /a\nok 2 /b', '2 passed, 0 failed, 0 skipped', True),
    ('1..2\nqemu:ok 1 /a\n said\nqemu: ok 2 /b',
     '2 passed, 0 failed, 0 skipped', True),
    ('1..2\nok 1 /a\nqemu: not ok 2 /b',
     '1 passed, 1 failed, 0 skipped', False),
    ('1..2\nok 1 /a\nok 2 /b # SKIP no KVM',
     '1 passed, 0 failed, 1 skipped', True),
    ('1..2\nok 1 /a\nok 2 /b # SKIP', '1 passed, 1 failed, 0 skipped', False),
    ('1..2\nok 1 /a\nok 2 /b # TODO', '1 passed, 1 failed, 0 skipped', False),
    ('1..2\nok 1 /a', '1 passed, 1 failed, 0 skipped', False),
    ('ok 1 /a', '1 passed, 1 failed, 0 skipped', False),
    ('1..0', '0 passed, 2 failed, 0 skipped', False),
    ('', '0 passed, 2 failed, 0 skipped', False),
    ('1..1\nok 1 /a # SKIP no KVM', '0 passed, 1 failed, 1 skipped', False),
])
def test_tap_counts_what_ran(tap, counts, fine):
    assert results('run_qtest() { printf "%s\\n" "$tap"; }\n'
                   'tap=$1; tap patched made-up', tap) == (counts, fine)


def test_suite_that_is_skipped_is_not_passed(tmp_path):
    """Each test is counted, where pytest has one line for all."""
    suite = tmp_path / 'test_made_up.py'
    suite.write_text(
        'import pytest\n'
        '@pytest.mark.parametrize("n", range(3))\n'
        'def test_n(n):\n    pytest.skip("a reason:\\nof two lines")\n')
    assert results('systems made-up -p tests.conftest "$1"', suite,
                   PYTHONPATH=ROOT) == \
        ('0 passed, 1 failed, 3 skipped', False)


@pytest.mark.parametrize('reason, probe, fine', [
    ('KVM: no /dev/kvm', 'say "KVM: no /dev/kvm"; false', True),
    ('KVM: no /dev/kvm', 'say "KVM: works for tiny guests"', False),
    ('KVM: no /dev/kvm', 'false', False),
    ('KVM: a tiny guest hangs', 'say "KVM: a tiny guest hangs"; false', True),
    ('KVM: a tiny guest hangs', 'say "KVM: no /dev/kvm"; false', False),
    ('whatever nobody has thought of', 'true', False),
])
def test_no_skips_but_of_what_cannot_be_done(reason, probe, fine):
    skip = (f'run_qtest() {{ {probe}; }}\n'
            'say "pass a" >> "$RESULTS"; skip b "$1"')
    assert results(skip, reason) == ('1 passed, 0 failed, 1 skipped', True)
    assert results(skip, reason, NO_SKIPS=1)[1] == fine


NO_MSRS = 'KVM: no crash MSRs of Hyper-V'


@pytest.mark.parametrize('said, fine', [
    (NO_MSRS, True), ('KVM: the crash MSRs of Hyper-V', False), ('', False)])
def test_crash_msrs_of_the_host_are_no_reason_to_skip(said, fine, tmp_path):
    """Whether the host has them is what scripts/check/hyperv_msrs.py says."""
    script = tmp_path / 'scripts' / 'check' / 'hyperv_msrs.py'
    script.parent.mkdir(parents=True)
    script.write_text(f'#!/bin/sh\necho "{said}"\n')
    script.chmod(0o755)
    skip = ('run_qtest() { say "KVM: works for tiny guests"; }; ROOT=$2\n'
            'say "pass a" >> "$RESULTS"; skip b "$1"')
    assert results(skip, NO_MSRS, tmp_path, NO_SKIPS=1)[1] == fine


@pytest.mark.parametrize('extension, msrs, there', [
    (1, [0x10, 0x40000105, 0xc0000080], True),
    (1, [0x10, 0x40000104], False),
    (1, [], False),
    (0, [0x40000105], False),
])
def test_host_is_asked_for_its_crash_msrs(monkeypatch, capsys, extension, msrs,
                                          there):
    """And only the numbers that the kernel has filled in are looked at."""
    def ioctl(kvm, request, arg):
        assert kvm.name == '/dev/null'
        if request == 0xae03:
            assert arg == 44
            return extension
        assert request == 0xc004ae02
        assert struct.unpack_from('I', arg)[0] == len(arg) // 4 - 1
        struct.pack_into(f'{len(msrs) + 2}I', arg, 0, len(msrs), *msrs,
                         0x40000105)
        return 0

    monkeypatch.setattr(fcntl, 'ioctl', ioctl)
    hyperv_msrs.main('/dev/null')
    assert capsys.readouterr().out == \
        f'KVM: {"the" if there else "no"} crash MSRs of Hyper-V\n'


def test_without_kvm_there_is_all_else():
    """What scripts/no-kvm runs sees the machine's /dev, but for kvm."""
    look = subprocess.run(
        [ROOT / 'scripts' / 'no-kvm', 'sh', '-c',
         'ls -A /dev && echo > /dev/null && exit 7'],
        text=True, capture_output=True, check=False)
    if look.stderr.startswith('unshare: unshare failed'):
        pytest.skip('no mount namespace')
    assert (look.returncode, look.stderr) == (7, '')
    assert set(look.stdout.split()) == set(os.listdir('/dev')) - {'kvm'}


def test_kvm_is_probed_once_for_all_skips(tmp_path):
    probes = tmp_path / 'probes'
    results('run_qtest() { say probed >> "$PROBES"; false; }\n'
            'skip a "$1"; skip b "$1"', 'KVM: a tiny guest hangs',
            NO_SKIPS=1, PROBES=probes)
    assert probes.read_text() == 'probed\n'


def suite(folder, tests, paths=''):
    """Write what scripts/check/suites.py reads.

    :param folder: where to
    :param tests: for each name, the result that Meson has, and what it said
    :return: the folder
    """
    folder.mkdir()
    (folder / 'paths').write_text(paths)
    (folder / 'suite.json').write_text(''.join(
        json.dumps({'name': f'qemu:unit / {name}', 'result': result,
                    'stdout': said}) + '\n'
        for name, (result, said) in tests.items()))
    return folder


def compare(base, series):
    """The lines that scripts/check/suites.py has for two folders."""
    return subprocess.run(
        [ROOT / 'scripts' / 'check' / 'suites.py', 'compare', base, series],
        text=True, stdout=subprocess.PIPE, check=True).stdout.splitlines()


@pytest.mark.parametrize('before, after, said', [
    ('OK', 'OK', 'pass t'),
    ('OK', 'SKIP', 'fail t: SKIP patched, OK unpatched'),
    ('OK', 'ERROR', 'fail t: ERROR patched, OK unpatched'),
    ('OK', 'EXPECTEDFAIL', 'fail t: EXPECTEDFAIL patched, OK unpatched'),
    ('OK', None, 'fail t: not run patched, OK unpatched'),
    (None, 'FAIL', 'fail t: FAIL patched, not run unpatched'),
    (None, 'SKIP', 'skip t: SKIP patched, not run unpatched'),
    (None, 'OK', 'pass t'),
    ('FAIL', 'OK', 'pass t'),
    ('FAIL', 'FAIL', 'skip t: FAIL patched, FAIL unpatched'),
    ('FAIL', 'TIMEOUT', 'fail t: TIMEOUT patched, FAIL unpatched'),
    ('UNEXPECTEDPASS', 'UNEXPECTEDPASS',
     'skip t: UNEXPECTEDPASS patched, UNEXPECTEDPASS unpatched'),
])
@pytest.mark.parametrize('of', ['test', 'path'])
def test_what_passes_unpatched_has_to_pass_patched(of, before, after, said,
                                                   tmp_path):
    folders = []
    for name, result in ('base', before), ('series', after):
        tests = {'t': (result, '')} if of == 'test' and result else {}
        paths = f'{result} t\n' if of == 'path' and result else ''
        folders.append(suite(tmp_path / name, tests, paths))
    assert compare(*folders) == [said]


def test_each_case_that_passes_unpatched_has_to_pass_patched(tmp_path):
    base = 'ok 1 /a\nok 2 /b\nok 3 /c # SKIP no root\nnot ok 4 /d\n'
    series = 'ok 1 /a # SKIP no root\nok 3 /c # SKIP no root\nnot ok 4 /d\n'
    assert compare(suite(tmp_path / 'base', {'t': ('OK', base)}),
                   suite(tmp_path / 'series', {'t': ('OK', series)})) == [
        'pass t', 'fail t /a: SKIP patched, OK unpatched',
        'skip t /c: SKIP patched, SKIP unpatched no root',
        'skip t /d: FAIL patched, FAIL unpatched',
        'fail t /b: not run patched, OK unpatched']


A_LINE, ITS_END = ('a.c', 'f', 'return a || b;'), ('a.c', 'f', '}')


@pytest.mark.parametrize('entries, missed, said', [
    ('a.c|f|1|return a || b;|chance\na.c|f|2|}|chance', 'l}}', []),
    ('a.c|f|0-1|return a || b;|chance', '', []),
    ('', 'l', ['a.c|f|return a || b;: 1 not reached, and no reason']),
    ('a.c|f|1|return a || b;|s390', '',
     ['a.c|f|return a || b;: 0 not reached, and not 1']),
    ('a.c|f|1|}|s390', '}}', ['a.c|f|}: 2 not reached, and not 1']),
    ('a.c|g|1|}|s390', '}', ['a.c|f|}: 1 not reached, and no reason',
                             'a.c|g|}: there is no such line']),
    ('a.c|f|0-1|return a|chance', '',
     ['a.c|f|return a: there is no such line']),
])
def test_reasons_for_what_is_not_reached_fit(entries, missed, said):
    missed = [{'l': A_LINE, '}': ITS_END}[letter] for letter in missed]
    assert list(complaints(reasons(entries), [A_LINE, ITS_END, ITS_END],
                           missed)) == said


def test_reasons_are_entries():
    """And there is no line without one."""
    assert reasons(list_of('uncovered'))
    with pytest.raises(AssertionError):
        reasons('a.c|f|1|}|')


@pytest.mark.parametrize('name', ['base-fails', 'base-leaks'])
def test_what_is_not_for_a_line_is_in_the_list(name):
    """As in the other two, which tests above and below read."""
    assert list_of(name)


def test_line_with_all_topics_leaves_no_qtest_out():
    """A topic that has no other name is no reason to leave one out."""
    rows = [line.split() for line in (
        ROOT / 'scripts' / 'check' / 'qtests').read_text().splitlines()
        if line[0] != '#']
    assert {row[0] for row in rows} == {
        'series', 'long', 'base', 'paths', 'unit', 'targets', 'aarch64'}
    assert {len(row) for row in rows} == {2, 3}
    assert {row[2] for row in rows if len(row) == 3} <= topics('10.0')


@pytest.mark.parametrize('said, status, counts', [
    ('41 passed, 0 failed, 0 skipped', 0, '41 passed, 0 failed, 0 skipped'),
    ('SKIPPED: a: b\n41 passed, 0 failed, 1 skipped', 0,
     '41 passed, 0 failed, 1 skipped'),
    ('FAILED: a test\n41 passed, 1 failed, 0 skipped\n'
     'make[1]: *** [Makefile:3: check] Error 1', 2,
     '41 passed, 1 failed, 0 skipped'),
    ('41 passed, 0 failed, 0 skipped', 2, '41 passed, 1 failed, 0 skipped'),
    ('tree: cannot fetch QEMU 9.9; is the network up?\n'
     'make: *** [Makefile:3: tree] Error 1', 2,
     '1 passed, 0 failed, 1 skipped'),
    ('    cannot fetch QEMU 9.9; is\nFAILED: a test\n'
     '1 passed, 1 failed, 0 skipped\nmake: *** [check] Error 1', 2,
     '1 passed, 1 failed, 0 skipped'),
    ('patched: build ...', 2, '1 passed, 1 failed, 0 skipped'),
])
def test_lines_count_what_make_check_says(said, status, counts, tmp_path):
    log = tmp_path / 'log'
    log.write_text(said + '\n')
    assert results('. "$(dirname "$0")/lines.sh"\n'
                   'counted 9.9 "$1" "$2" > "$RESULTS"\n'
                   'grep -q ^pass "$RESULTS" || say pass >> "$RESULTS"\n'
                   'sed -i "s/^pass$/pass a/" "$RESULTS"', log,
                   str(status))[0] == counts


def mutants():
    """The rules of tests/mutants, each with the file and line it breaks."""
    for entry in list_of('mutants').split('\n\n'):
        lines = entry.splitlines()
        rules = [line[6:] for line in lines if line.startswith('rule: ')]
        if rules:
            file, = (line[6:] for line in lines if line.startswith('file: '))
            old, = (line[1:] for line in lines if line.startswith('-'))
            yield rules[0], file, old


def test_each_mutant_has_one_place():
    """Found here, and not after an hour of check-mutants."""
    found = list(mutants())
    assert found
    assert not [rule for rule, file, old in found
                if (SRC / file).read_text().splitlines().count(old) != 1]
