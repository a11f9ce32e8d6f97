"""Failures and moments that no qtest comes to: each leaves a VM as it was."""

from guest import TIMEOUT
from guest.vm import ExecuteError, QtestVM

import pytest


def machine(*args, **options):
    """A VM with a pvpanic, and without a guest."""
    return QtestVM('-nodefaults', '-m', '32', '-device', 'pvpanic', *args,
                   **options)


def panic(vm):
    vm.qtest('outb 0x505 1')


@pytest.mark.parametrize('panics, state', [
    (False, 'running'), (True, 'guest-panicked')])
def test_dump_of_no_memory(tmp_path, panics, state):
    """It has stopped the VM when it finds out that there is nothing."""
    with machine() as vm:
        vm.launch()
        if panics:
            panic(vm)
            vm.wait_for_event('STOP')
        with pytest.raises(ExecuteError, match='no guest memory to dump'):
            vm.cmd('dump-guest-memory', paging=False,
                   protocol=f'file:{tmp_path}/dump', begin=1 << 40,
                   length=4096)
        assert vm.status() == state
        names = [event['event'] for event in vm.get_qmp_events()]
        assert names == (['GUEST_PANICKED'] if panics else ['STOP', 'RESUME'])
        # Nothing is left of it that would be in the way of another one
        vm.cmd('dump-guest-memory', paging=False,
               protocol=f'file:{tmp_path}/dump', begin=0, length=4096)
        assert vm.status() == state


def test_device_with_a_bus_is_unplugged():
    """QEMU unrealizes the bus, which no property does now."""
    with machine('-device', 'piix3-usb-uhci') as vm:
        vm.launch()
        for _ in range(2):
            vm.cmd('device_add', driver='usb-bot', id='disk')
            bus = '/machine/peripheral/disk/disk.0'
            assert vm.cmd('qom-get', path=bus, property='realized')
            vm.cmd('device_del', id='disk')
            vm.wait_for_event('DEVICE_DELETED', device='disk')
            with pytest.raises(ExecuteError, match='not found'):
                vm.cmd('qom-get', path=bus, property='realized')


def test_stop_while_a_migration_comes_in(tmp_path):
    """There is nothing to be stopped; the VM does not start afterwards."""
    uri = f'unix:{tmp_path}/migration'
    with machine('-incoming', 'defer', '-global',
                 'migration.x-events=on') as to, machine() as vm:
        to.launch()
        to.cmd('stop')
        assert to.status() == 'inmigrate'
        to.cmd('migrate-incoming', uri=uri)
        vm.launch()
        panic(vm)
        vm.wait_for_event('STOP')
        vm.cmd('cont')
        vm.cmd('migrate', uri=uri)
        to.wait_for_event('MIGRATION', status='completed')
        assert to.status() == 'paused'
        assert not [event for event in to.get_qmp_events()
                    if event['event'] == 'RESUME']


@pytest.mark.parametrize('stops, state', [
    (False, 'running'), (True, 'guest-panicked')])
def test_background_snapshot_that_cannot_flush_a_disk(tmp_path, stops, state):
    """It has stopped the VM when it fails."""
    disk = tmp_path / 'disk'
    disk.write_bytes(bytes(1 << 16))
    with machine('-blockdev', 'driver=blkdebug,node-name=disk,'
                 f'image.driver=file,image.filename={disk},'
                 'inject-error.0.event=none,inject-error.0.iotype=flush,'
                 'inject-error.0.once=on',
                 '-device', 'ide-hd,drive=disk,id=ide',
                 '-global', 'migration.x-events=on') as vm:
        vm.launch()
        if stops:
            panic(vm)
            vm.wait_for_event('STOP')
        try:
            vm.cmd('migrate-set-capabilities', capabilities=[
                {'capability': 'background-snapshot', 'state': True}])
        except ExecuteError as error:
            pytest.skip(f'background snapshots: {error}')
        # Without something to be flushed, the disk is not asked to
        assert not vm.cmd('human-monitor-command',
                          command_line='qemu-io -d ide "write 0 512"')
        vm.cmd('migrate', uri=f'file:{tmp_path}/snapshot')
        vm.wait_for_event('MIGRATION', status='failed')
        assert vm.status() == state
        vm.cmd('stop')
        vm.cmd('cont')
        assert vm.status() == 'running'


# A client could set it now: the main loop has not come to the request yet
SET_ACTION_SHUTDOWN_PAUSE = [
    'handle SIGUSR1 nostop noprint', 'set breakpoint pending on',
    'break qemu_system_shutdown_request_with_code', 'run', 'delete',
    'set var *(int *)&shutdown_action = 1', 'continue', 'quit $_exitcode']


def test_shutdown_that_pauses_forgets_the_exit_code_of_a_panic():
    """It was for a QEMU that ends by the panic."""
    gdb = ['gdb', '-q', '-batch', '-nx']
    for line in SET_ACTION_SHUTDOWN_PAUSE:
        gdb += ['-ex', line]
    with machine('-action', 'panic=exit-failure,shutdown=poweroff',
                 wrapper=[*gdb, '--args']) as vm:
        vm.launch()
        panic(vm)
        vm.wait_for_event('SHUTDOWN', reason='guest-panic')
        vm.wait_for_event('STOP')
        assert vm.status() == 'shutdown'
        assert vm.cmd('query-action')['shutdown'] == 'pause'
        vm.cmd('quit')
        vm.wait(timeout=TIMEOUT)
        assert vm.exitcode() == 0
