"""Migration between the patched QEMU and the base, in both directions."""

import subprocess
import sys

from guest import PATCHED, SRC, UNPATCHED
from tests.moments.migration import (
    MACHINES, NEWEST, S3, STATES, bring_to, machine, migrate, panic, run_again,
    sleep, wait_for_migration)

import pytest


@pytest.mark.parametrize('machine_type', MACHINES)
@pytest.mark.parametrize('state', STATES)
@pytest.mark.parametrize('source, destination',
                         [(PATCHED, UNPATCHED), (UNPATCHED, PATCHED)],
                         ids=['to-the-base', 'from-the-base'])
def test_vm_migrates(source, destination, state, machine_type, tmp_path):
    uri = f'unix:{tmp_path}/migration'
    with machine(source, machine_type) as vm, \
            machine(destination, machine_type, '-incoming', uri) as to:
        vm.launch()
        to.launch()
        bring_to(vm, state)
        state = state.removesuffix('-again')
        migrate(vm, to, uri)
        assert to.status() == state
        # The base sends no record, and does not mind one that it receives
        assert to.record() is None
        run_again(to, state)
        panic(to)
        assert to.status() == 'guest-panicked'
        if destination is PATCHED:
            assert to.record()['panicked'] == 1


@pytest.mark.parametrize('machine_type', MACHINES)
@pytest.mark.parametrize('state', STATES)
def test_vm_migrates_there_and_back(state, machine_type, tmp_path):
    """Through the base the VM keeps its state, and the record gets lost."""
    uris = [f'unix:{tmp_path}/{way}' for way in ('there', 'back')]
    with machine(PATCHED, machine_type) as vm, \
            machine(UNPATCHED, machine_type, '-incoming', uris[0]) as base, \
            machine(PATCHED, machine_type, '-incoming', uris[1]) as back:
        for side in vm, base, back:
            side.launch()
        bring_to(vm, state)
        migrate(vm, base, uris[0])
        migrate(base, back, uris[1])
        assert back.status() == state.removesuffix('-again')
        assert back.record() is None
        if state == 'guest-panicked':
            back.cmd('stop')
            assert back.status() == 'paused'
        run_again(back, state)
        panic(back)
        assert back.record()['panicked'] == 1


@pytest.mark.parametrize('machine_type', MACHINES)
def test_vmstate_static_checker_agrees(machine_type, tmp_path):
    """On the devices; what globalstate carries, only a migration shows."""
    dumps = tmp_path / 'unpatched', tmp_path / 'patched'
    for binary, dump in zip((UNPATCHED, PATCHED), dumps):
        subprocess.run([binary, '-M', machine_type, '-accel', 'tcg',
                        '-dump-vmstate', dump], check=True)
    checker = SRC / 'scripts' / 'vmstate-static-checker.py'

    def said(source, destination):
        return subprocess.run([sys.executable, checker, '-s', source,
                               '-d', destination], text=True,
                              capture_output=True)

    # Of 10.2, it complains where nothing is different
    complaints = said(dumps[0], dumps[0])
    for source, destination in dumps, dumps[::-1]:
        ended = said(source, destination)
        assert ended.stdout == complaints.stdout
        assert ended.returncode == complaints.returncode


def test_suspended_vm_that_panicked_migrates_to_the_base(tmp_path):
    uri = f'unix:{tmp_path}/migration'
    with machine(PATCHED, 'pc') as vm, \
            machine(UNPATCHED, 'pc', '-incoming', uri) as to:
        vm.launch()
        to.launch()
        bring_to(vm, 'guest-panicked')
        sleep(vm, S3)
        vm.wait_for_event('SUSPEND')
        assert vm.status() == 'guest-panicked'
        migrate(vm, to, uri)
        assert to.status() == 'paused'
        to.cmd('cont')
        assert to.status() == 'suspended'


@pytest.mark.parametrize('machine_type', NEWEST)
@pytest.mark.parametrize('state', ['running', 'suspended'])
@pytest.mark.parametrize('stopped', [False, True], ids=['live', 'stopped'])
def test_state_is_sent_as_the_base_sends_it(stopped, state, machine_type,
                                            tmp_path):
    """QEMU 7.2 sends on what it does not know, true or not by then."""
    sections = []
    for binary in UNPATCHED, PATCHED:
        stream = tmp_path / 'stream'
        with machine(binary, machine_type) as vm:
            vm.launch()
            bring_to(vm, state)
            if stopped:
                vm.cmd('stop')
            vm.cmd('migrate', uri=f'file:{stream}')
            wait_for_migration(vm, 'completed')
        section = stream.read_bytes().partition(b'\x0bglobalstate')[2]
        # Instance, version, size of the name, name, two flags, the record
        sections.append(section[:4 + 4 + 4 + 32 + 2 + 66])
    assert sections[0] == sections[1]
