"""Debian's Linux on a patched QEMU: drivers, policies, kdump."""

import re

from guest import BASE, EVENTS, TIMEOUT, TOPICS, release
from guest.linux import KERNEL, LinuxGuest, load_crash_kernel
from guest.vm import counted

import pytest

variant = pytest.mark.variant

# The series adds the machine type where the base does not have it
PC_1_5 = ('pc-1.5' if release(BASE) >= (10, 0) else
          'pc-i440fx-1.5,builtin-pvpanic=on')


def expect_record(vm, action, panicked=1):
    """What query-status says of the guest's last panic, if it remembers."""
    record = vm.record()
    if 'record' not in TOPICS:
        assert record is None
        return
    assert record['panicked'] == panicked
    assert record['crashloaded'] == 0
    assert record['last']['type'] == 'panicked'
    assert record['last']['action'] == action


def guest_output(vm, command):
    """What the guest's shell prints, line by line."""
    vm.type(f'{command}; echo "guest: done"')
    lines = []
    while 'guest: done' not in lines:
        line = vm.wait_for_line('')
        if not KERNEL.match(line):
            lines.append(line)
    return lines[:-1]


def events_known_to_linux(release):
    """What its driver knows; from 6.10 on, a shutdown is an event."""
    version = tuple(map(int, re.match(r'(\d+)\.(\d+)', release).groups()))
    return 7 if version >= (6, 10) else 3


@pytest.mark.parametrize('machine, device, events', [
    row for row in (
        (f'pc-i440fx-{BASE}', 'pvpanic', EVENTS),
        pytest.param('pc-i440fx-9.0', 'pvpanic', 3, marks=variant),
        ('pc-i440fx-5.1', 'pvpanic', 1),
        pytest.param(f'pc-q35-{BASE}', 'pvpanic', EVENTS, marks=variant),
        (f'pc-q35-{BASE}', 'pvpanic-pci', EVENTS),
        pytest.param(f'pc-q35-{BASE}', 'pvpanic-pci,events=1', 1,
                     marks=variant),
        ('pc-q35-9.0', 'pvpanic-pci', 3),
    ) if release(getattr(row, 'values', row)[0]) <= release(BASE)])
def test_driver_binds_and_sees_the_events(machine, device, events):
    with LinuxGuest('-device', f'{device},id=panic', machine=machine) as vm:
        said = vm.boot()
        assert vm.cmd('qom-get', path='panic', property='events') == events
        driver = 'pvpanic-pci' if 'pci' in device else 'pvpanic-mmio'
        known = events_known_to_linux(guest_output(vm, 'uname -r')[0])
        assert said == (f'guest: driver {driver} bound, '
                        f'capability {events & known:x}')
        vm.crash()
        vm.wait_for_event('GUEST_PANICKED', action='pause', **counted(1))
        vm.wait_for_event('STOP')
        assert vm.status() == 'guest-panicked'
        expect_record(vm, 'pause')
        if 'record' in TOPICS:
            device = vm.record()['last']['device']
            assert device == '/machine/peripheral/panic'


@pytest.mark.parametrize('commands', [
    pytest.param(['cont'], marks=variant),
    pytest.param(['stop', 'cont'], marks=variant),
    ['stop', 'stop', 'cont']], ids=str)
def test_panic_that_management_takes_note_of(commands):
    """A guest without a policy of its own hangs then, as on real hardware."""
    with LinuxGuest('-device', 'pvpanic') as vm:
        vm.boot()
        vm.crash()
        vm.wait_for_event('STOP')
        assert vm.status() == 'guest-panicked'
        for command in commands:
            vm.cmd(command)
            assert vm.status() == {'cont': 'running',
                                   'stop': 'paused'}[command]
            expect_record(vm, 'pause')
        vm.wait_for_line('end Kernel panic')
        assert vm.status() == 'running'
        expect_record(vm, 'pause')


def expect_reboot(vm, action, panicked):
    """The guest's own policy, panic=1, and what is known when it is up."""
    vm.wait_for_event('RESET', reason='guest-reset')
    vm.wait_until_ready()
    assert vm.status() == 'running'
    expect_record(vm, action, panicked)
    # SeaBIOS turned the guest's reboot into a second, harder RESET: drop it
    assert {e['event'] for e in vm.get_qmp_events()} <= {'RESET', 'RESUME'}


def test_guests_own_policy_runs():
    """After a cont, or when panics are no longer to stop the VM."""
    with LinuxGuest('-device', 'pvpanic', append='panic=1') as vm:
        vm.boot()
        vm.crash()
        vm.wait_for_event('GUEST_PANICKED', action='pause', **counted(1))
        vm.wait_for_event('STOP')
        vm.cmd('cont')
        expect_reboot(vm, 'pause', 1)
        vm.cmd('set-action', panic='none')
        vm.crash()
        vm.wait_for_event('GUEST_PANICKED', action='run', **counted(2))
        expect_reboot(vm, 'run', 2)


@pytest.mark.parametrize('args', [
    ['-device', 'pvpanic,action=none'],
    pytest.param(['-device', 'pvpanic', '-action', 'panic=none'],
                 marks=variant)], ids=['device', 'global'])
def test_guests_own_policy_runs_at_once(args):
    with LinuxGuest(*args, append='panic=1') as vm:
        vm.boot()
        vm.crash()
        vm.wait_for_event('GUEST_PANICKED', action='run', **counted(1))
        expect_reboot(vm, 'run', 1)


def test_panic_resets_the_vm():
    """A guest that would hang for ever is brought back."""
    with LinuxGuest('-device', 'pvpanic', '-action', 'panic=reset') as vm:
        vm.boot()
        vm.crash()
        vm.wait_for_event('GUEST_PANICKED', action='reset', **counted(1))
        vm.wait_for_event('RESET', reason='guest-panic')
        vm.wait_until_ready()
        expect_record(vm, 'reset')
        assert vm.status() == 'running'


@pytest.mark.parametrize('action, exit_code', [('shutdown', 0),
                                               ('exit-failure', 1)])
def test_panic_ends_qemu(action, exit_code):
    with LinuxGuest('-device', f'pvpanic,action={action}') as vm:
        vm.boot()
        vm.crash()
        vm.wait_for_event('GUEST_PANICKED', action='poweroff', **counted(1))
        vm.wait_for_event('SHUTDOWN', reason='guest-panic')
        vm.wait(timeout=TIMEOUT)
        assert vm.exitcode() == exit_code


def test_management_destroys_the_vm():
    with LinuxGuest('-device', 'pvpanic') as vm:
        vm.boot()
        vm.crash()
        vm.wait_for_event('STOP')
        expect_record(vm, 'pause')
        vm.cmd('quit')
        vm.wait(timeout=TIMEOUT)
        assert vm.exitcode() == 0


@pytest.mark.parametrize('machine, args', [
    pytest.param('pc', ['-device', 'pvpanic,iobase=0'], marks=variant),
    (PC_1_5, ['-global', 'pvpanic.iobase=0']),
    (PC_1_5, []),
], ids=['neutralised', 'pc-1.5-neutralised', 'pc-1.5'])
def test_linux_sees_the_device_or_nothing_of_it(machine, args):
    with LinuxGuest(*args, machine=machine, append='panic=1') as vm:
        said = vm.boot()
        nodes = guest_output(vm, 'ls /sys/bus/acpi/devices')
        ports = guest_output(vm, 'cat /proc/ioports')
        there = not args
        assert any('PNP' in line for line in nodes)
        # SeaBIOS has a node for a device that is not there, too
        status = guest_output(vm, 'cat /sys/bus/acpi/devices/QEMU0001*/status')
        assert ('15' in status) == there
        assert any('keyboard' in line for line in ports)
        assert any('0505' in line for line in ports) == there
        assert (said is not None) == there
        vm.crash()
        vm.wait_for_event('RESET', reason='guest-reset')
        panics = [e['data'] for e in vm.get_qmp_events()
                  if e['event'] == 'GUEST_PANICKED']
        if there:
            assert panics == [{'action': 'run', **counted(1)}]
            expect_record(vm, 'run')
        else:
            assert not panics
            assert vm.record() is None


@pytest.mark.parametrize('append, reports', [
    ('crash_kexec_post_notifiers', 1), pytest.param('', 0, marks=variant)],
    ids=['reported', 'silent'])
def test_kdump_handles_the_panic(append, reports):
    """The guest takes its own crash dump: QEMU reports, and keeps away."""
    with LinuxGuest('-device', 'pvpanic', memory=512,
                    initramfs='initramfs-kdump',
                    append=f'crashkernel=128M {append}') as vm:
        vm.boot()
        load_crash_kernel(vm)
        vm.crash()
        if reports:
            vm.wait_for_event('GUEST_CRASHLOADED', action='run', **counted(1))
        vm.wait_for_line('Linux version')
        vm.wait_until_ready()
        assert 'crashkernel' not in guest_output(vm, 'cat /proc/cmdline')[0]
        assert guest_output(vm, 'ls /proc/vmcore') == ['/proc/vmcore']
        assert not vm.get_qmp_events()
        record = vm.record()
        if reports and 'record' in TOPICS:
            assert record['panicked'] == 0
            assert record['crashloaded'] == 1
            assert record['last']['type'] == 'crashloaded'
            assert record['last']['action'] == 'run'
        else:
            assert record is None
