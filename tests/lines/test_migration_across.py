"""Migration between release lines, in both directions, patched or not.

The unpatched QEMU at both ends shows what the releases do by themselves.  With
the series at one end it is no worse, and what the series adds is where it is.
"""

from contextlib import ExitStack, contextmanager
from itertools import combinations, cycle, pairwise, permutations, product
import re
import time

from guest import ROOT, TIMEOUT, qemu, release, topics
from guest.linux import LinuxGuest
from guest.tiny import TinyGuest
from guest.vm import QtestVM
from tests.moments.migration import (
    S3, STATES, bring_to, migrate, panic, run_again, sleep)

import pytest

LINES = sorted((line.name for line in (ROOT / 'patches').iterdir()),
               key=release)
BUILDS = 'unpatched', 'patched'
BOARDS = 'i440fx', 'q35'

# Before QEMU 9.0, a guest is woken up to migrate, and without the series, a
# stream does not say that a stopped guest sleeps.  Such a QEMU sends the bytes
# that newer ones have for it, or for more, on.
OLD = [line for line in LINES if release(line) < (9, 0)]

# The versions of machine types, and the first one that is left in each line.
# Older ones, which only 7.2 has, cannot migrate to another line.
VERSIONS = [*(f'2.{minor}' for minor in range(4, 13)), '3.0', '3.1', '4.0',
            '4.0.1', '4.1', '4.2', '5.0', '5.1', '5.2', '6.0', '6.1', '6.2',
            '7.0', '7.1', '7.2', '8.0', '8.1', '8.2', '9.0', '9.1', '9.2',
            '10.0', '10.1', '10.2']
FIRST = {'7.2': '2.4', '10.0': '2.4', '10.2': '5.0'}


def machines(*lines, boards=BOARDS):
    """The versioned machine types that all of some lines have."""
    first = max(VERSIONS.index(FIRST[line]) for line in lines)
    last = min(VERSIONS.index(line) for line in lines)
    return [f'pc-{board}-{version}' for board in boards
            for version in VERSIONS[first:last + 1]
            if (board, version) != ('i440fx', '4.0.1')]


def newest(board, hosts):
    """The newest machine type that some hosts have."""
    return machines(*(line for line, _ in hosts), boards=[board])[-1]


def has_record(host):
    """Whether the QEMU of a line and a build keeps a record of panics."""
    line, build = host
    return build == 'patched' and 'record' in topics(line)


def forgets_sleep(host):
    """Whether the QEMU of a line and a build runs a guest that slept."""
    line, build = host
    return build == 'unpatched' and line in OLD


def name(value):
    """How pytest is to show a parameter."""
    if isinstance(value, list):
        return '-to-'.join('-'.join(host) for host in value)
    return None


HOPS = [[source, destination]
        for source, destination in product(product(LINES, BUILDS), repeat=2)
        if source[0] != destination[0]]
BETWEEN_RECORDS = [hosts for hosts in HOPS if all(map(has_record, hosts))]


def there_and_back(*hosts):
    return [*hosts, *hosts[-2::-1]]


@contextmanager
def launched(hosts, make, tmp_path):
    """VMs that a guest is to migrate to, one after the other.

    :param hosts: the line and the build of each
    :param make: makes a VM of a build, with more arguments
    :return: the VMs, each with the uri for a migration to it
    """
    with ExitStack() as stack:
        vms = []
        for line, build in hosts:
            binary = qemu(line, build)
            if not binary.exists():
                pytest.skip(f'QEMU {line}, {build}, is not built here')
            uri = f'unix:{tmp_path}/{len(vms)}'
            incoming = ['-incoming', uri] if vms else []
            vm = stack.enter_context(make(
                build, '-action', 'panic=pause',
                '-global', 'migration.x-events=on', *incoming, binary=binary))
            vm.launch()
            vm.uri = uri
            vms.append(vm)
        yield vms


def pc(machine, *devices):
    """What makes a VM that no guest runs in, with a pvpanic if not another."""
    def make(_, *args, **options):
        return QtestVM('-nodefaults', '-m', '32',
                       *(devices or ('-device', 'pvpanic')), *args,
                       machine=machine, **options)
    return make


def leave_panic(vm, build):
    """A stop takes a VM out of guest-panicked, if its QEMU has the series."""
    assert vm.status() == 'guest-panicked'
    vm.cmd('stop')
    assert vm.status() == ('paused' if build == 'patched' else
                           'guest-panicked')
    vm.cmd('cont')
    assert vm.status() == 'running'


def test_linux_runs_on_and_panics(tmp_path):
    """All the way there and back, and its driver has the device as before."""
    hosts = there_and_back(*((line, 'patched') for line in LINES))

    def make(_, *args, **options):
        return LinuxGuest('-device', 'pvpanic', *args, memory=128,
                          machine=newest('q35', hosts), **options)
    with launched(hosts, make, tmp_path) as vms:
        vms[0].wait_until_ready()
        for vm, to in pairwise(vms):
            migrate(vm, to, to.uri)
            to.type('echo "guest: $((6 * 7))"')
            to.wait_for_line('guest: 42')
        vms[-1].crash()
        vms[-1].wait_for_event('GUEST_PANICKED')
        vms[-1].wait_for_event('STOP')
        leave_panic(vms[-1], 'patched')


@pytest.mark.parametrize('hosts', HOPS, ids=name)
@pytest.mark.parametrize('state, board', [
    *zip(STATES, cycle(BOARDS)), ('suspended', 'q35')])
def test_vm_arrives(hosts, state, board, tmp_path):
    with launched(hosts, pc(newest(board, hosts)), tmp_path) as (vm, to):
        bring_to(vm, state)
        record = vm.record() if has_record(hosts[1]) else None
        migrate(vm, to, to.uri)
        state = state.removesuffix('-again')
        if state == 'suspended' and hosts[0][0] in OLD:
            # It is woken up to migrate
            state = 'running'
        assert to.status() == state
        assert to.record() == record
        if state == 'guest-panicked':
            leave_panic(to, hosts[1][1])
        else:
            run_again(to, state)
        panic(to)
        assert to.status() == 'guest-panicked'
        if has_record(hosts[1]):
            panicked = record['panicked'] if record else 0
            assert to.record()['panicked'] == panicked + 1


@pytest.mark.parametrize('hosts', [
    hosts for hosts in HOPS if hosts[0][1] == 'patched'], ids=name)
def test_panicked_vm_that_sleeps_arrives(hosts, tmp_path):
    """That it panicked is lost, because others abort if they know both."""
    with launched(hosts, pc(newest('i440fx', hosts)), tmp_path) as (vm, to):
        bring_to(vm, 'guest-panicked')
        sleep(vm, S3)
        vm.wait_for_event('SUSPEND')
        migrate(vm, to, to.uri)
        assert to.status() == 'paused'
        to.cmd('cont')
        assert to.status() == ('running' if forgets_sleep(hosts[1]) else
                               'suspended')


@pytest.mark.parametrize('hosts', [
    hosts for hosts in HOPS if hosts[0][0] not in OLD], ids=name)
def test_stopped_vm_that_sleeps_arrives(hosts, tmp_path):
    """An old QEMU cannot stop such a VM."""
    with launched(hosts, pc(newest('q35', hosts)), tmp_path) as (vm, to):
        bring_to(vm, 'suspended')
        vm.cmd('stop')
        migrate(vm, to, to.uri)
        assert to.status() == 'paused'
        to.cmd('cont')
        assert to.status() == ('running' if forgets_sleep(hosts[1]) else
                               'suspended')


# Where the guest maps its pvpanic-pci
BAR = 0xfebf0000


def panic_with_pci(vm):
    vm.qtest(f'writeb {BAR} 1')
    vm.wait_for_event('GUEST_PANICKED')


@pytest.mark.parametrize('hosts', HOPS, ids=name)
def test_pvpanic_pci_arrives(hosts, tmp_path):
    make = pc(newest('q35', hosts), '-device', 'pvpanic-pci,addr=4')
    with launched(hosts, make, tmp_path) as (vm, to):
        for command in ('outl 0xcf8 0x80002010', f'outl 0xcfc {BAR}',
                        'outl 0xcf8 0x80002004', 'outw 0xcfc 2'):
            vm.qtest(command)
        panic_with_pci(vm)
        migrate(vm, to, to.uri)
        leave_panic(to, hosts[1][1])
        panic_with_pci(to)
        assert to.status() == 'guest-panicked'


@pytest.mark.parametrize('hosts', HOPS, ids=name)
def test_builtin_pvpanic_arrives(hosts, tmp_path):
    """Where the QEMU knows nothing of it, -device pvpanic is the same."""
    machine = newest('i440fx', hosts)

    def make(build, *args, **options):
        if build == 'unpatched':
            return pc(machine)(build, *args, **options)
        return pc(machine, '-machine', 'builtin-pvpanic=on')(
            build, *args, **options)
    with launched(hosts, make, tmp_path) as (vm, to):
        panic(vm)
        migrate(vm, to, to.uri)
        leave_panic(to, hosts[1][1])
        panic(to)
        assert to.status() == 'guest-panicked'


@pytest.mark.parametrize('hosts', BETWEEN_RECORDS, ids=name)
@pytest.mark.parametrize('action', ['none', 'pause', 'shutdown', 'reset'])
@pytest.mark.parametrize('writes', ['112', '21'])
def test_all_of_the_record_arrives(hosts, action, writes, tmp_path):
    with launched(hosts, pc(newest('q35', hosts)), tmp_path) as (vm, to):
        vm.cmd('set-action', panic=action, shutdown='pause')
        for value in writes:
            vm.qtest(f'outb 0x505 {value}')
        if action == 'reset':
            vm.wait_for_event('RESET')
        record = vm.record()
        assert record['panicked'] == writes.count('1')
        assert record['crashloaded'] == writes.count('2')
        assert record['last']['type'] == (
            'panicked' if writes[-1] == '1' else 'crashloaded')
        migrate(vm, to, to.uri)
        assert to.record() == record


@pytest.mark.parametrize('lines', combinations(LINES, 2), ids='-and-'.join)
def test_machine_types_are_those_that_two_lines_share(lines, tmp_path):
    """For the other tests here: when a line changes, they have to."""
    hosts = [(line, 'patched') for line in lines]
    with launched(hosts, pc('q35'), tmp_path) as vms:
        names = [{machine['name'] for machine in vm.cmd('query-machines')}
                 for vm in vms]
    shared = {name for name in set.intersection(*names)
              if re.match(r'pc-(i440fx|q35)-\d', name)}
    assert shared == {*machines(*lines), 'pc-i440fx-1.5'}


@pytest.mark.parametrize('lines', [
    lines for lines in permutations(LINES, 2)
    if (lines[0] in OLD) != (lines[1] in OLD)], ids='-to-'.join)
def test_pc_1_5_does_not_migrate(lines, tmp_path):
    """It is the real one in 7.2.  Between other lines, only the user knows."""
    hosts = [(line, 'patched') for line in lines]
    make = pc('pc-i440fx-1.5', '-machine', 'builtin-pvpanic=on')
    with launched(hosts, make, tmp_path) as (vm, to):
        panic(vm)
        vm.cmd('migrate', uri=to.uri)
        vm.wait_for_event('MIGRATION', status='failed')
        to.wait(TIMEOUT)
        assert to.exitcode() == 1
        assert vm.status() == 'guest-panicked'
        leave_panic(vm, 'patched')


# What a guest reads at the port: the events of the machine type's release
EVENTS = {'2.6': 1, '5.1': 1, '5.2': 3, '7.2': 3, '9.0': 3, '9.1': 7,
          '10.0': 7}


@pytest.mark.parametrize('board', BOARDS)
@pytest.mark.parametrize('version', EVENTS)
def test_guest_reads_the_same_on_each_line(version, board, tmp_path):
    machine = f'pc-{board}-{version}'
    for line, build in product(LINES, BUILDS):
        if machine not in machines(line):
            continue
        with launched([(line, build)], pc(machine), tmp_path) as (vm,):
            events = int(vm.qtest('inb 0x505').split()[1], 16)
        # What QEMU 9.1 added was there in older machine types, too
        too_many = (build == 'unpatched' and release(line) > (9, 0) and
                    EVENTS[version] == 3)
        assert events == (7 if too_many else EVENTS[version]), (line, build)


@pytest.mark.parametrize('machine', sorted(
    {machine for lines in combinations(LINES, 2)
     for machine in machines(*lines)}))
def test_every_machine_type_goes_there_and_back(machine, tmp_path):
    lines = [line for line in LINES if machine in machines(line)]
    hosts = there_and_back(*((line, 'patched') for line in lines))
    with launched(hosts, pc(machine), tmp_path) as vms:
        panic(vms[0])
        for vm, to in pairwise(vms):
            migrate(vm, to, to.uri)
            leave_panic(to, 'patched')
            panic(to)


def wait_until_idle(vm):
    """Wait until a guest has made all its writes, and goes on."""
    end = time.monotonic() + TIMEOUT
    while vm.shared.idle != vm.shared.limit:
        assert time.monotonic() < end
        time.sleep(.001)


@pytest.mark.parametrize('board, lines', [('i440fx', LINES),
                                          ('q35', LINES[::-1])])
@pytest.mark.parametrize('builds', product(BUILDS, repeat=len(LINES)),
                         ids='-'.join)
def test_guest_runs_on_and_panics_again(rom, board, lines, builds, tmp_path):
    """The same guest, all the way there and back."""
    hosts = there_and_back(*zip(lines, builds))
    machine = newest(board, hosts)

    def make(_, *args, **options):
        return TinyGuest(rom, *args, limit=0, machine=machine, **options)
    with launched(hosts, make, tmp_path) as vms:
        recorded = 0
        for place, (vm, host) in enumerate(zip(vms, hosts)):
            if place:
                migrate(vms[place - 1], vm, vm.uri)
                leave_panic(vm, host[1])
            wait_until_idle(vm)
            assert vm.shared.done == place
            vm.shared.limit += 1
            vm.wait_for_event('GUEST_PANICKED')
            vm.wait_for_event('STOP')
            if has_record(host):
                recorded += 1
                assert vm.record()['panicked'] == recorded
            else:
                assert vm.record() is None
                if host[0] not in OLD:
                    recorded = 0
