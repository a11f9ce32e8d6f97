"""Linux moves between the patched QEMU and the base, and panics."""

from guest import BASE, PATCHED, UNPATCHED
from guest.linux import LinuxGuest

import pytest


def expect_panic(vm):
    vm.crash()
    vm.wait_for_event('GUEST_PANICKED', action='pause')
    vm.wait_for_event('STOP')
    assert vm.status() == 'guest-panicked'


@pytest.mark.parametrize('source, destination',
                         [(PATCHED, UNPATCHED), (UNPATCHED, PATCHED)],
                         ids=['to-the-base', 'from-the-base'])
@pytest.mark.parametrize('state', ['running', 'guest-panicked'])
def test_linux_migrates(source, destination, state, tmp_path):
    uri = f'unix:{tmp_path}/migration'
    # The base would end
    args = '-device', 'pvpanic', '-action', 'panic=pause'
    options = {'machine': f'pc-i440fx-{BASE}', 'append': 'panic=1'}
    with LinuxGuest(*args, binary=source, **options) as vm, \
            LinuxGuest(*args, '-incoming', 'defer', binary=destination,
                       **options) as to:
        vm.boot()
        to.launch()
        for side in vm, to:
            side.cmd('migrate-set-capabilities', capabilities=[
                {'capability': 'events', 'state': True}])
        if state == 'guest-panicked':
            expect_panic(vm)
        to.cmd('migrate-incoming', uri=uri)
        vm.cmd('migrate', uri=uri)
        for side in vm, to:
            side.wait_for_event('MIGRATION', status='completed')
        assert to.status() == state
        if state == 'guest-panicked':
            to.cmd('cont')
            to.wait_until_ready()
        expect_panic(to)
