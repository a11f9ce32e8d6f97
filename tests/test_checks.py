"""The checks fail where they should: they are fed what nobody wants to see."""

import json
import subprocess

from coverage_report import complaints, reasons
from linux import ROOT

import pytest


def results(commands, *arguments, **environment):
    """Run shell commands that use scripts/results.sh.

    :return: the last line, and whether the exit status is 0
    """
    run = subprocess.run(
        ['env', '-u', 'NO_SKIPS', *(f'{name}={value}' for name, value
                                    in environment.items()),
         'sh', '-c', '. "$(dirname "$0")/lib.sh"\n'
         f'. "$(dirname "$0")/results.sh"\nLOGS=$SCRATCH\n'
         f'{commands}\ntally', ROOT / 'scripts' / 'made-up', *arguments],
        text=True, capture_output=True, check=False)
    return run.stdout.splitlines()[-1], run.returncode == 0


@pytest.mark.parametrize('tap, counts, fine', [
    ('1..2\nok 1 /a\nok 2 /b', '2 passed, 0 failed, 0 skipped', True),
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
    assert results('systems made-up -p conftest "$1"', suite,
                   PYTHONPATH=ROOT / 'tests') == \
        ('0 passed, 1 failed, 3 skipped', False)


@pytest.mark.parametrize('reason, probe, fine', [
    ('KVM: no /dev/kvm', 'false', True),
    ('KVM: no /dev/kvm', 'true', False),
    ('KVM: a tiny guest hangs', 'false', True),
    ('KVM: no crash MSRs of Hyper-V', 'true', True),
    ('whatever nobody has thought of', 'true', False),
])
def test_no_skips_but_of_what_cannot_be_done(reason, probe, fine):
    skip = (f'run_qtest() {{ {probe}; }}\n'
            'say "pass a" >> "$RESULTS"; skip b "$1"')
    assert results(skip, reason) == ('1 passed, 0 failed, 1 skipped', True)
    assert results(skip, reason, NO_SKIPS=1)[1] == fine


def test_kvm_is_probed_once_for_all_skips(tmp_path):
    probes = tmp_path / 'probes'
    results('run_qtest() { say probed >> "$PROBES"; false; }\n'
            'skip a "$1"; skip b "$1"', 'KVM: a tiny guest hangs',
            NO_SKIPS=1, PROBES=probes)
    assert probes.read_text() == 'probed\n'


def suite(folder, tests, paths=''):
    """Write what scripts/suites.py reads.

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
    """The lines that scripts/suites.py has for two folders."""
    return subprocess.run(
        [ROOT / 'scripts' / 'suites.py', 'compare', base, series], text=True,
        stdout=subprocess.PIPE, check=True).stdout.splitlines()


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
    assert reasons((ROOT / 'tests' / 'uncovered').read_text())
    with pytest.raises(AssertionError):
        reasons('a.c|f|1|}|')
