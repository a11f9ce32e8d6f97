"""Migrations that end early, are stopped half-way, or run on in post-copy."""

from guest import PATCHED, TIMEOUT, UNPATCHED
from guest.vm import ExecuteError
from tests.moments.migration import (
    NEWEST, S3, S5, STATES, bring_to, machine, migrate, run_again,
    set_capability, sleep, wait_for_migration,
    wait_for_postmigrate)

import pytest


@pytest.mark.parametrize('when', ['in-between', 'afterwards'])
@pytest.mark.parametrize('source, destination',
                         [(PATCHED, UNPATCHED), (UNPATCHED, PATCHED),
                          (PATCHED, PATCHED)],
                         ids=['to-the-base', 'from-the-base', 'patched'])
def test_source_of_a_panicked_vm_dies(source, destination, when, tmp_path):
    uri = f'unix:{tmp_path}/migration'
    with machine(source, 'q35') as vm, \
            machine(destination, 'q35', '-incoming', uri) as to:
        vm.launch()
        to.launch()
        bring_to(vm, 'guest-panicked')
        if when == 'in-between':
            # Too little to end; less than 10 would be no limit
            vm.cmd('migrate-set-parameters', max_bandwidth=1000)
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
        assert to.status() == 'guest-panicked'
        record = to.record()
        if source == destination:
            assert record['panicked'] == 1
        else:
            assert record is None
        to.cmd('cont')
        assert to.status() == 'running'


@pytest.mark.parametrize('machine_type', NEWEST)
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
        assert vm.status() == 'finish-migrate'
        vm.cmd('migrate-continue', state='pre-switchover')
        for side in vm, to:
            wait_for_migration(side, 'completed')
        assert to.status() == state
        # Nothing is left to be asked for here
        wait_for_postmigrate(vm)
        vm.cmd('cont')
        assert vm.status() == ('suspended' if asked == S3 else 'running')


@pytest.mark.parametrize('machine_type', NEWEST)
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
        assert to.status() == state.removesuffix('-again')
        run_again(to, state)
