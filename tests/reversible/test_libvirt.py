"""Debian's libvirt with the patched QEMU as its emulator.

docs/libvirt.md says what follows from this for libvirt.  Where libvirt does
something that one would not expect, that is what the test expects.
"""

import re
import subprocess

from guest import BASE, PATCHED, TOPICS, UNPATCHED
from guest.linux import load_crash_kernel
from tests.reversible.private_libvirt import Events, LibvirtError

import pytest

# virDomainEventType and its detail, as in Events.wait_for()
STOPPED_CRASHED = '5 2'
RESUMED_UNPAUSED = '4 0'
CRASHED_PANICKED = '8 0'
CRASHED_CRASHLOADED = '8 1'

variant = pytest.mark.variant
topic = pytest.mark.topic


def expect_panics(domain, number, kind='panicked'):
    """QEMU knows how many there were, if it remembers any."""
    status = domain.qmp('query-status')
    if 'record' in TOPICS:
        assert status['guest-panic'][kind] == number
    else:
        assert 'guest-panic' not in status


def crash(domain, events):
    domain.console.crash()
    domain.console.wait_for_line('Kernel panic')
    events.wait_for(f'{domain.name} {CRASHED_PANICKED}')


def expect_kernel_log(dump):
    """The dump is one that makedumpfile reads the guest's panic from."""
    if 'dumps' in TOPICS:
        log = dump.with_suffix('.log')
        subprocess.run(['makedumpfile', '--dump-dmesg', dump, log], check=True)
        assert 'Kernel panic' in log.read_text(errors='replace')
    dump.unlink()


def load_vmcoreinfo(domain):
    domain.console.type('insmod /modules/qemu_fw_cfg.ko; echo "insmod: $?"')
    assert domain.console.wait_for_line('insmod: ') == 'insmod: 0'


@pytest.mark.parametrize('on_crash', [
    'preserve', pytest.param('destroy', marks=variant),
    pytest.param('restart', marks=variant), 'coredump-destroy',
    'coredump-restart'])
def test_on_crash(libvirt, events, start, on_crash):
    # The guest has no policy of its own: what brings it back is libvirt
    domain = start(on_crash=on_crash, append='')
    load_vmcoreinfo(domain)
    assert domain.states() == ('running (booted)', 'running')
    crash(domain, events)
    if on_crash == 'preserve':
        assert domain.states() == ('crashed (panicked)', 'guest-panicked')
        expect_panics(domain, 1)
    elif on_crash.endswith('destroy'):
        events.wait_for(f'{domain.name} {STOPPED_CRASHED}')
        assert domain.state() == 'shut off (crashed)'
    else:
        events.wait_for(f'{domain.name} {RESUMED_UNPAUSED}')
        domain.console.wait_until_ready()
        assert domain.states() == ('running (crashed)', 'running')
        # The same QEMU remembers
        expect_panics(domain, 1)
    dumps = list((libvirt.folder / 'dumps').glob(f'*{domain.name}*'))
    assert len(dumps) == on_crash.startswith('coredump')
    for dump in dumps:
        expect_kernel_log(dump)


def test_crashed_domain_comes_back(libvirt, events, start):
    domain = start()
    load_vmcoreinfo(domain)

    crash(domain, events)
    assert domain.states() == ('crashed (panicked)', 'guest-panicked')
    dump = libvirt.folder / 'dump'
    domain.virsh('dump', '--memory-only', str(dump))
    assert domain.states() == ('crashed (panicked)', 'guest-panicked')
    expect_kernel_log(dump)

    # libvirt goes on to show why the domain was stopped first
    domain.virsh('suspend')
    assert domain.states() == ('crashed (panicked)', 'paused')
    domain.virsh('resume')
    assert domain.states() == ('running (unpaused)', 'running')
    # The guest's own policy, panic=1
    domain.console.wait_until_ready()
    assert domain.states() == ('running (unpaused)', 'running')
    expect_panics(domain, 1)

    crash(domain, events)
    domain.virsh('reset')
    assert domain.states() == ('paused (crashed)', 'prelaunch')
    domain.virsh('resume')
    domain.console.wait_until_ready()
    assert domain.states() == ('running (unpaused)', 'running')
    expect_panics(domain, 2)

    domain.virsh('destroy')
    assert domain.state() == 'shut off (destroyed)'


@pytest.mark.parametrize('source, destination',
                         [(PATCHED, UNPATCHED), (UNPATCHED, PATCHED)],
                         ids=['to-the-base', 'from-the-base'])
@pytest.mark.parametrize('state', ['running', 'guest-panicked'])
def test_domain_is_saved_and_restored(source, destination, state, events,
                                      start):
    domain = start(emulator=source)
    if state == 'running':
        domain.move_to(destination)
        assert domain.states() == ('running (restored)', 'running')
    else:
        crash(domain, events)
        domain.move_to(destination)
        # That it was a panic, only QEMU still knows
        assert domain.states() == ('paused (migrating)', 'guest-panicked')
        domain.virsh('resume')
        domain.console.wait_until_ready()
        assert domain.states() == ('running (unpaused)', 'running')
    crash(domain, events)
    assert domain.states() == ('crashed (panicked)', 'guest-panicked')


@topic('guest-log')
def test_libvirt_passes_on_why_the_guest_panicked(libvirt, events, start):
    domain = start()
    load_vmcoreinfo(domain)
    crash(domain, events)
    message = 'Kernel panic - not syncing: sysrq triggered crash'
    last = domain.qmp('query-status')['guest-panic']['last']
    assert last['message'] == message
    log = domain.virsh('qemu-monitor-command', '--hmp', 'info guest-log')
    assert message in log
    # A session's counterpart of /var/log/libvirt/qemu
    assert (f'guest panicked: {message}\n' in
            (libvirt.logs / f'{domain.name}.log').read_text())


@pytest.mark.parametrize('when, on_crash', [
    pytest.param('before', 'preserve', marks=variant),
    ('before', 'destroy'), ('during', 'destroy'),
    pytest.param('after', 'preserve', marks=variant)])
def test_libvirtd_dies_around_a_panic(libvirt, start, when, on_crash):
    """It finds out when it is back, and leaves on_crash undone."""
    domain = start(on_crash=on_crash)
    if when == 'after':
        with Events(libvirt) as events:
            crash(domain, events)
        # Killed before it is done with the panic, it would be back to continue
        # the guest: 'running (save canceled)'
        domain.wait_for_states('crashed (panicked)', 'guest-panicked')
    if when == 'during':
        # What QEMU sends now, nobody ever reads
        libvirt.freeze()
        domain.console.crash()
        domain.console.wait_for_line('Kernel panic')
    with libvirt.killed():
        if when == 'before':
            domain.console.crash()
            domain.console.wait_for_line('Kernel panic')
    # libvirt may be back before QEMU has stopped the guest
    domain.wait_for_states('crashed (panicked)', 'guest-panicked')
    expect_panics(domain, 1)
    domain.virsh('resume')
    assert domain.states() == ('running (unpaused)', 'running')


@topic('record')
def test_libvirtd_learns_how_many_panics_it_missed(libvirt, start):
    """The guest reboots each time, and nothing else is left of them."""
    domain = start()
    domain.qmp('set-action', panic='none')
    with libvirt.killed():
        for _ in range(2):
            domain.console.crash()
            domain.console.wait_until_ready()
    # It was told of none of them
    assert domain.states() == ('running (booted)', 'running')
    record = domain.qmp('query-status')['guest-panic']
    assert record['panicked'] == 2
    assert record['last']['action'] == 'run'


def test_libvirt_takes_every_panic_for_a_stop(events, start):
    """With panic=none the guest runs on, and libvirt does not see that."""
    domain = start()
    domain.qmp('set-action', panic='none')
    crash(domain, events)
    assert domain.states() == ('crashed (panicked)', 'running')
    domain.virsh('resume')
    assert domain.states() == ('crashed (panicked)', 'running')
    domain.virsh('suspend')
    assert domain.states() == ('crashed (panicked)', 'paused')
    domain.virsh('resume')
    events.wait_for(f'{domain.name} {RESUMED_UNPAUSED}')
    assert domain.states() == ('running (unpaused)', 'running')
    expect_panics(domain, 1)


def test_on_crash_rules_over_panic_none(events, start):
    """So far, a guest cannot run on in a domain that is to be destroyed."""
    domain = start(on_crash='destroy')
    domain.qmp('set-action', panic='none')
    crash(domain, events)
    events.wait_for(f'{domain.name} {STOPPED_CRASHED}')
    assert domain.state() == 'shut off (crashed)'


def test_libvirt_lets_kdump_do_its_work(events, start):
    """Even if a panic were the end: on_crash is not for this one."""
    domain = start(on_crash='destroy', initramfs='initramfs-kdump',
                   append='crashkernel=128M crash_kexec_post_notifiers')
    load_crash_kernel(domain.console)
    domain.console.crash()
    events.wait_for(f'{domain.name} {CRASHED_CRASHLOADED}')
    domain.console.wait_until_ready()
    assert domain.states() == ('running (booted)', 'running')
    expect_panics(domain, 1, 'crashloaded')


def test_address_of_the_isa_device(libvirt, events, start):
    """libvirt passes it as ioport, the property's older name."""
    domain = start(machine=f'pc-q35-{BASE}', panic="""
        <panic model='isa'><address type='isa' iobase='0x506'/></panic>""")
    command = libvirt.virsh('domxml-to-native', 'qemu-argv', '--domain',
                            domain.name)
    assert '"driver":"pvpanic","ioport":1286' in command
    crash(domain, events)
    assert domain.states() == ('crashed (panicked)', 'guest-panicked')
    nameless = '/machine/peripheral-anon'
    device, = (child['name'] for child in domain.qmp('qom-list', path=nameless)
               if child['type'] == 'child<pvpanic>')
    assert domain.qmp('qom-get', path=f'{nameless}/{device}',
                      property='iobase') == 0x506


def test_pci_device(libvirt, events, start):
    options = {'machine': f'pc-q35-{BASE}',
               'panic': "<panic model='pvpanic'/>"}
    version = re.match(r'\d+\.\d+', libvirt.virsh('--version')).group()
    if tuple(map(int, version.split('.'))) < (9, 1):
        with pytest.raises(LibvirtError, match="panic model 'pvpanic'"):
            start(**options)
        return
    domain = start(**options)
    crash(domain, events)
    assert domain.states() == ('crashed (panicked)', 'guest-panicked')
