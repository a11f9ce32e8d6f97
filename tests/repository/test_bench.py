"""What make bench writes, from made-up measurements; its errors."""

import subprocess
import sys

from bench import page
from guest import ROOT
from scripts import pictures

import pytest

NO_KVM = 'KVM: no /dev/kvm'
FASTER = {'unpatched': [2, 2, 2, 2], 'patched': [1, 1, 1, 2]}
SLOWER = {'unpatched': [1000, 1000], 'patched': [3000, 3000]}


def written(folder, kvm_works):
    """A page, line by line."""
    results = page.Results('KVM: works' if kvm_works else NO_KVM, kvm_works)
    results.add('a turn', 'instructions', {None: FASTER}, 1)
    results.add('a time', 'ms', {accel: {'tcg': FASTER, 'kvm': SLOWER}[accel]
                                 for accel in results.accels}, 1)
    results.add('a dump', 'ms', {None: FASTER})
    results.add_growth('a time', 'ms per VM',
                       {accel: SLOWER for accel in results.accels})
    page.write(results, folder, (1, 2))
    return (folder / 'bench.md').read_text().splitlines()


def test_page_with_kvm(tmp_path):
    lines = written(tmp_path, True)
    for line in (
            '| a turn | 0.5 (0.5 to 0.625) | – |',
            '| a time | 0.5 (0.5 to 0.625) | 3 (3 to 3) |',
            '| a dump | 0.5 (0.5 to 0.625) | – |',
            '| a time, ms per VM | 1,000 (1,000 to 1,000) | 3,000 (3,000 to '
            '3,000) | 1,000 (1,000 to 1,000) | 3,000 (3,000 to 3,000) |',
            '| a time, ms | 2 | 1 | 1,000 | 3,000 |',
            '- a time: patched / unpatched: 0.5; the goal is 1 at most: '
            'reached',
            '- KVM: a time: patched / unpatched: 3; the goal is 1 at most: '
            'missed'):
        assert line in lines
    assert NO_KVM not in '\n'.join(lines)


def test_page_says_why_there_is_no_kvm(tmp_path):
    """In each row that KVM would be in, and in no other."""
    lines = written(tmp_path, False)
    for line in (
            '| a turn | 0.5 (0.5 to 0.625) | – |',
            f'| a time | 0.5 (0.5 to 0.625) | {NO_KVM} |',
            '| a dump | 0.5 (0.5 to 0.625) | – |',
            '| a time, ms per VM | 1,000 (1,000 to 1,000) | 3,000 (3,000 to '
            f'3,000) | {NO_KVM} | {NO_KVM} |',
            f'| a time, ms | 2 | 1 | {NO_KVM} | {NO_KVM} |'):
        assert line in lines
    assert [line for line in lines if line.startswith('Measured on: ')][0] \
        .endswith(f' {NO_KVM}.')


@pytest.mark.parametrize('kvm_works, kvm', [
    (True, ['1 3 3 3']), (False, [])])
def test_picture_has_the_ratios(tmp_path, monkeypatch, kvm_works, kvm):
    written(tmp_path, kvm_works)
    script = pictures.DOCS.parent / 'bench' / 'plot.gp'
    (tmp_path / 'bench').mkdir()
    (tmp_path / 'bench' / 'plot.gp').write_text(script.read_text())
    (tmp_path / 'docs').mkdir()
    (tmp_path / 'bench.md').rename(tmp_path / 'docs' / 'bench.md')
    monkeypatch.setattr(pictures, 'DOCS', tmp_path / 'docs')
    assert pictures.bench() == '\n'.join([
        '$rows << END', '"a turn"', '"a time"', '"a dump"', 'END',
        '$tcg << END', *(f'{row} 0.5 0.5 0.625' for row in range(3)), 'END',
        '$kvm << END', *kvm, 'END', script.read_text()])


@pytest.mark.parametrize('args, said', [
    (['/nowhere'], 'FOLDER: there is no folder /nowhere; '),
    ([], 'the following arguments are required: folder')])
def test_folder_that_is_missing_is_an_error(args, said):
    run = subprocess.run([sys.executable, '-m', 'bench.bench', *args],
                         cwd=ROOT, text=True, capture_output=True, check=False)
    *usage, error = run.stderr.splitlines()
    assert error.startswith(f'bench.py: error: {said}')
    assert all(line.startswith(('usage: ', ' ')) for line in usage)
    assert run.returncode == 2
