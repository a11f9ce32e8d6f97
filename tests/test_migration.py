"""Migration between the patched QEMU and the base, in both directions."""

import subprocess
import sys

from linux import BUILD, PATCHED, TIMEOUT, UNPATCHED, QEMUQtestMachine

import pytest

MACHINES = [f'pc-{board}-{version}' for board in ('i440fx', 'q35')
            for version in ('10.0', '9.0', '5.1')]
STATES = ['running', 'guest-panicked', 'paused', 'running-again']


def machine(binary, machine_type, *args):
    """A VM that no guest runs in, and that a panic pauses in either QEMU."""
    vm = QEMUQtestMachine(str(binary), qmp_timer=TIMEOUT, args=(
        '-nodefaults', '-m', '32', '-action', 'panic=pause',
        '-device', 'pvpanic', '-global', 'migration.x-events=on', *args))
    vm.set_machine(machine_type)
    return vm


def status(vm):
    return vm.cmd('query-status')['status']


def panic(vm):
    vm.qtest('outb 0x505 1')
    assert vm.event_wait('GUEST_PANICKED', timeout=TIMEOUT)


def bring_to(vm, state):
    """Take a running VM to one of STATES: all but the first, after a panic."""
    if state != 'running':
        panic(vm)
    if state == 'paused':
        vm.cmd('stop')
    if state == 'paused' and status(vm) != 'paused':
        # The base cannot do this in one step
        vm.cmd('cont')
        vm.cmd('stop')
    if state == 'running-again':
        vm.cmd('cont')
    assert status(vm) == state.removesuffix('-again')
    # What is sent to the base are not just zeroes
    if vm.binary == str(PATCHED):
        has_record = 'guest-panic' in vm.cmd('query-status')
        assert has_record == (state != 'running')


def migrate(vm, to, uri):
    """Migrate, and wait until both sides say that it is over."""
    vm.cmd('migrate', uri=uri)
    for side in vm, to:
        state = None
        while state != 'completed':
            event = side.event_wait('MIGRATION', timeout=TIMEOUT)
            assert event, 'the migration does not end'
            state = event['data']['status']
            assert state != 'failed'


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
        assert status(to) == state
        # The base sends no record, and does not mind one that it receives
        assert 'guest-panic' not in to.cmd('query-status')
        if state != 'running':
            to.cmd('cont')
        assert status(to) == 'running'
        panic(to)
        assert status(to) == 'guest-panicked'
        if destination is PATCHED:
            assert to.cmd('query-status')['guest-panic']['panicked'] == 1


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
        assert status(back) == state.removesuffix('-again')
        assert 'guest-panic' not in back.cmd('query-status')
        if state == 'guest-panicked':
            back.cmd('stop')
            assert status(back) == 'paused'
        if not state.startswith('running'):
            back.cmd('cont')
        panic(back)
        assert back.cmd('query-status')['guest-panic']['panicked'] == 1


@pytest.mark.parametrize('when', ['in-between', 'afterwards'])
@pytest.mark.parametrize('source, destination',
                         [(PATCHED, UNPATCHED), (UNPATCHED, PATCHED),
                          (PATCHED, PATCHED)],
                         ids=['to-the-base', 'from-the-base', 'patched'])
def test_source_of_a_panicked_vm_dies(source, destination, when, tmp_path):
    uri = f'unix:{tmp_path}/migration'
    with machine(source, 'pc-q35-10.0') as vm, \
            machine(destination, 'pc-q35-10.0', '-incoming', uri) as to:
        vm.launch()
        to.launch()
        bring_to(vm, 'guest-panicked')
        if when == 'in-between':
            vm.cmd('migrate-set-parameters', max_bandwidth=1)
            vm.cmd('migrate', uri=uri)
            assert vm.event_wait('MIGRATION', timeout=TIMEOUT,
                                 match={'data': {'status': 'active'}})
        else:
            migrate(vm, to, uri)
        vm.kill()
        if when == 'in-between':
            # No half of a VM is left
            to.wait(TIMEOUT)
            assert to.exitcode() == 1
            return
        assert status(to) == 'guest-panicked'
        record = to.cmd('query-status').get('guest-panic')
        if source == destination:
            assert record['panicked'] == 1
        else:
            assert record is None
        to.cmd('cont')
        assert status(to) == 'running'


@pytest.mark.parametrize('machine_type', MACHINES)
def test_vmstate_static_checker_agrees(machine_type, tmp_path):
    """On the devices; what globalstate carries, only a migration shows."""
    dumps = tmp_path / 'unpatched', tmp_path / 'patched'
    for binary, dump in zip((UNPATCHED, PATCHED), dumps):
        subprocess.run([binary, '-M', machine_type, '-dump-vmstate', dump],
                       check=True)
    checker = BUILD / 'src' / 'scripts' / 'vmstate-static-checker.py'
    for source, destination in dumps, dumps[::-1]:
        subprocess.run([sys.executable, checker, '-s', source,
                        '-d', destination], check=True)


def test_suspended_vm_that_panicked_migrates_to_the_base(tmp_path):
    uri = f'unix:{tmp_path}/migration'
    with machine(PATCHED, 'pc-i440fx-10.0') as vm, \
            machine(UNPATCHED, 'pc-i440fx-10.0', '-incoming', uri) as to:
        vm.launch()
        to.launch()
        bring_to(vm, 'guest-panicked')
        # ACPI S3: PMBASE and PMREGMISC of the PIIX4, and then SLP_EN
        for command in ('outl 0xcf8 0x80000b40', 'outl 0xcfc 0xb001',
                        'outl 0xcf8 0x80000b80', 'outb 0xcfc 1',
                        'outw 0xb004 0x2400'):
            vm.qtest(command)
        assert vm.event_wait('SUSPEND', timeout=TIMEOUT)
        assert status(vm) == 'guest-panicked'
        migrate(vm, to, uri)
        assert status(to) == 'paused'
        to.cmd('cont')
        assert status(to) == 'suspended'
