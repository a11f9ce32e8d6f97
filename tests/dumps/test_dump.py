"""Core dumps of a panicked Linux guest, read with makedumpfile."""

import contextlib
import os
from pathlib import Path
import re
import shutil
import subprocess

from guest import UNPATCHED
from guest.linux import LinuxGuest
from guest.vm import ExecuteError

import pytest

FORMATS = ['elf', 'kdump-zlib', 'kdump-raw-zlib']


# Where a kernel for x86-64 is, unless it moves itself
NOT_MOVED = 0xffffffff81000000
# Not to move is one of hundreds of places that KASLR picks from, so there is a
# seed with which it moves
SEEDS = '1', '2', '3'
# With it, a seed gives the same place each time
REPEATABLE = '-icount', 'shift=2,sleep=off', '-cpu', 'qemu64,+rdrand'


def kernel_is_at(vm):
    """By how much the guest's kernel says that it moved itself."""
    vm.type("grep -m 1 ' _text$' /proc/kallsyms | sed 's/^/guest: at /'")
    return int(vm.wait_for_line('guest: at ').split()[2], 16) - NOT_MOVED


@contextlib.contextmanager
def panicked_linux(append, **options):
    """A panicked Linux that has told QEMU where to find its VMCOREINFO.

    It has moved, unless it was told not to: where is in its offset.
    """
    may_move = append != 'nokaslr'
    for seed in SEEDS:
        with LinuxGuest('-device', 'pvpanic', '-device', 'vmcoreinfo',
                        '-action', 'panic=pause', *REPEATABLE, '-seed', seed,
                        append=f'{append} panic=1', **options) as vm:
            vm.boot()
            vm.offset = kernel_is_at(vm)
            if may_move and not vm.offset:
                continue
            vm.hand_over_note()
            vm.crash()
            vm.wait_for_event('STOP')
            yield vm
            return
    raise ValueError(f'the kernel has moved with none of these: {SEEDS}')


@pytest.fixture(scope='module', params=['', 'nokaslr'],
                ids=['kaslr', 'nokaslr'])
def panicked(request):
    """A panicked Linux, for several tests."""
    with panicked_linux(request.param) as vm:
        yield vm
        # Whatever was done to it, the guest goes on: cont is not refused now
        assert vm.status() == 'guest-panicked'
        assert vm.record()['panicked'] == 1
        vm.cmd('cont')
        vm.wait_for_event('RESET', reason='guest-reset')


@pytest.fixture(name='folder')
def folder_without_the_dumps(tmp_path):
    """A folder that does not outlive the test: dumps are large."""
    yield tmp_path
    shutil.rmtree(tmp_path)


def kernel_log(path, dump_format):
    """What makedumpfile finds in a dump."""
    if dump_format == 'kdump-zlib':
        # It was written without seeking, as for a pipe: put it in order
        flattened, path = path, path.with_suffix('.ordered')
        with flattened.open('rb') as dump:
            subprocess.run(['makedumpfile', '-R', path], stdin=dump,
                           check=True)
    log = Path(f'{path}.log')
    subprocess.run(['makedumpfile', '--dump-dmesg', path, log], check=True)
    return log.read_text(errors='replace')


def kernel_offset(dump):
    """By how much the kernel of an ELF dump moved itself, from VMCOREINFO."""
    with dump.open('rb') as elf:
        offset = re.search(rb'\nKERNELOFFSET=([0-9a-f]+)\n',
                           elf.read(64 << 10))
    return int(offset.group(1), 16)


@pytest.mark.parametrize('dump_format', FORMATS)
def test_panic_is_in_the_dump(panicked, dump_format, folder):
    path = folder / 'dump'
    panicked.cmd('dump-guest-memory', paging=False, protocol=f'file:{path}',
                 format=dump_format)
    assert panicked.status() == 'guest-panicked'
    log = kernel_log(path, dump_format)
    assert 'Linux version' in log
    assert 'Kernel panic - not syncing: sysrq triggered crash' in log
    if dump_format == 'elf':
        offset = kernel_offset(path)
        print(f'the kernel has moved by {offset:#x}:', *panicked.args)
        assert offset == panicked.offset
        assert bool(offset) == ('nokaslr' not in ' '.join(panicked.args))


@pytest.mark.parametrize('dump_format', ['elf', 'kdump-zlib'])
def test_panic_is_in_a_detached_dump(panicked, dump_format, folder):
    """Through a pipe, so that the dump cannot end before it is read."""
    reader, writer = os.pipe()
    panicked.send_fd_scm(fd=writer)
    panicked.cmd('getfd', fdname='pipe')
    os.close(writer)
    path = folder / 'dump'
    with open(reader, 'rb') as source, path.open('wb') as to:
        panicked.cmd('dump-guest-memory', paging=False, protocol='fd:pipe',
                     format=dump_format, detach=True)
        for command in 'cont', 'stop':
            with pytest.raises(ExecuteError, match='dump in process'):
                panicked.cmd(command)
            assert panicked.status() == 'guest-panicked'
        shutil.copyfileobj(source, to)
    event = panicked.wait_for_event('DUMP_COMPLETED')
    assert event['data']['result']['status'] == 'completed'
    assert panicked.status() == 'guest-panicked'
    assert 'Kernel panic' in kernel_log(path, dump_format)


def test_dumps_of_the_base_cannot_be_read(folder):
    with panicked_linux('', binary=UNPATCHED) as vm:
        for dump_format in FORMATS:
            path = folder / dump_format
            vm.cmd('dump-guest-memory', paging=False, protocol=f'file:{path}',
                   format=dump_format)
            with pytest.raises(subprocess.CalledProcessError):
                kernel_log(path, dump_format)
