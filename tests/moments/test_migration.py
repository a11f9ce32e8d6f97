"""Migration between the patched QEMU and the base, in both directions."""

import subprocess
import sys
import time

from guest import PATCHED, SRC, TIMEOUT, UNPATCHED
from guest.vm import ExecuteError, QtestVM

import pytest

MACHINES = [f'pc-{board}-{version}' for board in ('i440fx', 'q35')
            for version in ('10.0', '9.0', '5.1')]
STATES = ['running', 'guest-panicked', 'paused', 'running-again', 'suspended']
# What a write to PM1a_CNT asks for: the type of the sleep, and SLP_EN
S3, S5 = 0x2400, 0x2000


def machine(binary, machine_type, *args):
    """A VM that no guest runs in, and that a panic pauses in either QEMU."""
    return QtestVM('-nodefaults', '-m', '32', '-action', 'panic=pause',
                   '-device', 'pvpanic', '-global', 'migration.x-events=on',
                   *args, binary=binary, machine=machine_type)


def status(vm):
    return vm.cmd('query-status')['status']


def panic(vm):
    vm.qtest('outb 0x505 1')
    assert vm.event_wait('GUEST_PANICKED', timeout=TIMEOUT)


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
        assert vm.event_wait('SUSPEND', timeout=TIMEOUT)
    elif state != 'running':
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
        assert has_record == (state not in ('running', 'suspended'))


def run_again(vm, state):
    """Let a VM that is in one of STATES run."""
    if not state.startswith('running'):
        vm.cmd('cont')
    if state == 'suspended':
        assert status(vm) == 'suspended'
        vm.cmd('system_wakeup')
        assert vm.event_wait('WAKEUP', timeout=TIMEOUT)
    assert status(vm) == 'running'


def set_capability(name, *sides):
    for side in sides:
        side.cmd('migrate-set-capabilities',
                 capabilities=[{'capability': name, 'state': True}])


def wait_for_migration(vm, wanted):
    state = None
    while state != wanted:
        event = vm.event_wait('MIGRATION', timeout=TIMEOUT)
        assert event, f'the migration does not become {wanted}'
        state = event['data']['status']
        assert state != 'failed'


def wait_for_postmigrate(vm):
    """The migration is completed a moment before the run state says so."""
    end = time.monotonic() + TIMEOUT
    while status(vm) == 'finish-migrate':
        assert time.monotonic() < end
        time.sleep(.01)
    assert status(vm) == 'postmigrate'


def migrate(vm, to, uri):
    """Migrate, and wait until both sides say that it is over."""
    vm.cmd('migrate', uri=uri)
    for side in vm, to:
        wait_for_migration(side, 'completed')


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
        run_again(to, state)
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
        run_again(back, state)
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
            wait_for_migration(vm, 'active')
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
        subprocess.run([binary, '-M', machine_type, '-accel', 'tcg',
                        '-dump-vmstate', dump], check=True)
    checker = SRC / 'scripts' / 'vmstate-static-checker.py'
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
        sleep(vm, S3)
        assert vm.event_wait('SUSPEND', timeout=TIMEOUT)
        assert status(vm) == 'guest-panicked'
        migrate(vm, to, uri)
        assert status(to) == 'paused'
        to.cmd('cont')
        assert status(to) == 'suspended'


@pytest.mark.parametrize('machine_type', ['pc-i440fx-10.0', 'pc-q35-10.0'])
@pytest.mark.parametrize('asked, state', [('outb 0x505 1', 'guest-panicked'),
                                          (S3, 'suspended'),
                                          (S5, 'shutdown')])
def test_request_at_the_switch_over_goes_along(asked, state, machine_type,
                                               tmp_path):
    uri = f'unix:{tmp_path}/migration'
    with machine(PATCHED, machine_type, '-no-shutdown') as vm, \
            machine(UNPATCHED, machine_type, '-incoming', uri) as to:
        vm.launch()
        to.launch()
        set_capability('pause-before-switchover', vm)
        vm.cmd('migrate', uri=uri)
        wait_for_migration(vm, 'pre-switchover')
        if asked in (S3, S5):
            sleep(vm, asked)
        else:
            vm.qtest(asked)
        assert status(vm) == 'finish-migrate'
        vm.cmd('migrate-continue', state='pre-switchover')
        for side in vm, to:
            wait_for_migration(side, 'completed')
        assert status(to) == state
        # Nothing is left to be asked for here
        wait_for_postmigrate(vm)
        vm.cmd('cont')
        assert status(vm) == ('suspended' if asked == S3 else 'running')


@pytest.mark.parametrize('machine_type', ['pc-i440fx-10.0', 'pc-q35-10.0'])
@pytest.mark.parametrize('state', STATES)
@pytest.mark.parametrize('source, destination',
                         [(PATCHED, UNPATCHED), (UNPATCHED, PATCHED)],
                         ids=['to-the-base', 'from-the-base'])
def test_vm_migrates_with_postcopy(source, destination, state, machine_type,
                                   tmp_path):
    uri = f'unix:{tmp_path}/migration'
    with machine(source, machine_type) as vm, \
            machine(destination, machine_type, '-incoming', 'defer') as to:
        vm.launch()
        to.launch()
        try:
            set_capability('postcopy-ram', to, vm)
        except ExecuteError as error:
            pytest.skip(f'no post-copy here: {error}')
        to.cmd('migrate-incoming', uri=uri)
        bring_to(vm, state)
        # Too little for the first pass over the RAM
        vm.cmd('migrate-set-parameters', max_bandwidth=1000)
        vm.cmd('migrate', uri=uri)
        wait_for_migration(vm, 'active')
        vm.cmd('migrate-start-postcopy')
        for side in vm, to:
            wait_for_migration(side, 'completed')
        # The base lets everything run, which is what the series repairs
        if destination is UNPATCHED and state in ('guest-panicked', 'paused'):
            state = 'running'
        assert status(to) == state.removesuffix('-again')
        run_again(to, state)


@pytest.mark.parametrize('machine_type', ['pc-i440fx-10.0', 'pc-q35-10.0'])
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
