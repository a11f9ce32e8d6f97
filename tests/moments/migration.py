"""VMs that migrate between the patched QEMU and the base."""

import time

from guest import PATCHED, TIMEOUT, TOPICS
from guest.vm import QtestVM

# The newest, and those that have other events
NEWEST = ['pc', 'q35']
MACHINES = NEWEST + [f'pc-{board}-{version}' for board in ('i440fx', 'q35')
                     for version in ('9.0', '5.1')]
STATES = ['running', 'guest-panicked', 'paused', 'running-again', 'suspended']
# What a write to PM1a_CNT asks for: the type of the sleep, and SLP_EN
S3, S5 = 0x2400, 0x2000


def machine(binary, machine_type, *args):
    """A VM that no guest runs in, and that a panic pauses in either QEMU."""
    return QtestVM('-nodefaults', '-m', '32', '-action', 'panic=pause',
                   '-device', 'pvpanic', '-global', 'migration.x-events=on',
                   *args, binary=binary, machine=machine_type)


def panic(vm):
    vm.qtest('outb 0x505 1')
    vm.wait_for_event('GUEST_PANICKED')


def sleep(vm, kind):
    """Switch the PM registers of the chipset on, and let the guest sleep."""
    if 'q35' in vm.cmd('qom-get', path='/machine', property='type'):
        base = 0x600
        commands = ('outl 0xcf8 0x8000f840', f'outl 0xcfc {base + 1}',
                    'outl 0xcf8 0x8000f844', 'outb 0xcfc 0x80')
    else:
        base = 0xb000
        commands = ('outl 0xcf8 0x80000b40', f'outl 0xcfc {base + 1}',
                    'outl 0xcf8 0x80000b80', 'outb 0xcfc 1')
    for command in (*commands, f'outw {base + 4} {kind}'):
        vm.qtest(command)


def bring_to(vm, state):
    """Take a running VM to one of STATES: most of them, after a panic."""
    if state == 'suspended':
        sleep(vm, S3)
        vm.wait_for_event('SUSPEND')
    elif state != 'running':
        panic(vm)
    if state == 'paused':
        vm.cmd('stop')
    if state == 'paused' and vm.status() != 'paused':
        # The base cannot do this in one step
        vm.cmd('cont')
        vm.cmd('stop')
    if state == 'running-again':
        vm.cmd('cont')
    assert vm.status() == state.removesuffix('-again')
    # What is sent to the base are not just zeroes
    if vm.binary == str(PATCHED) and 'record' in TOPICS:
        has_record = vm.record() is not None
        assert has_record == (state not in ('running', 'suspended'))


def run_again(vm, state):
    """Let a VM that is in one of STATES run."""
    if not state.startswith('running'):
        vm.cmd('cont')
    if state == 'suspended':
        assert vm.status() == 'suspended'
        vm.cmd('system_wakeup')
        vm.wait_for_event('WAKEUP')
    assert vm.status() == 'running'


def set_capability(name, *sides):
    for side in sides:
        side.cmd('migrate-set-capabilities',
                 capabilities=[{'capability': name, 'state': True}])


def wait_for_migration(vm, wanted):
    state = None
    while state != wanted:
        state = vm.wait_for_event('MIGRATION')['data']['status']
        assert state != 'failed'


def wait_for_postmigrate(vm):
    """The migration is completed a moment before the run state says so."""
    end = time.monotonic() + TIMEOUT
    while vm.status() == 'finish-migrate':
        assert time.monotonic() < end
        time.sleep(.01)
    assert vm.status() == 'postmigrate'


def migrate(vm, to, uri):
    """Migrate, and wait until both sides say that it is over."""
    vm.cmd('migrate', uri=uri)
    for side in vm, to:
        wait_for_migration(side, 'completed')
