"""The log of a Linux after a migration, a loadvm, or a sleep."""

import contextlib
import subprocess
import time

from guest import PATCHED, TIMEOUT, UNPATCHED
from guest.vm import ExecuteError
from tests.guest_log.log_guest import PANIC, LogGuest
from tests.moments.migration import (
    migrate, set_capability, wait_for_migration)

import pytest

QEMU_IMG = PATCHED.parent / 'qemu-img'
EVENTS = '-global', 'migration.x-events=on'


@contextlib.contextmanager
def panicked_pair(source=PATCHED, destination=PATCHED):
    """A VM whose guest has panicked, and one that waits for it."""
    args = *EVENTS, '-action', 'panic=pause'
    with LogGuest(*args, binary=source) as vm, \
            LogGuest(*args, '-incoming', 'defer', binary=destination) as to:
        vm.boot_with_log()
        vm.panic()
        to.launch()
        yield vm, to


@pytest.mark.parametrize('source', [PATCHED, UNPATCHED],
                         ids=['patched', 'from-the-base'])
def test_log_of_a_vm_that_has_migrated(source, tmp_path):
    uri = f'unix:{tmp_path}/migration'
    with panicked_pair(source=source) as (vm, to):
        with pytest.raises(ExecuteError, match='inmigrate'):
            to.guest_log()
        to.cmd('migrate-incoming', uri=uri)
        migrate(vm, to, uri)
        assert to.status() == 'guest-panicked'
        log = to.log()
        assert log == vm.serial()
        assert any(PANIC in line for line in log)
        if source == PATCHED:
            assert log == vm.log()
            # It does not travel in the record
            assert 'message' not in to.record()['last']


def test_vm_migrates_to_the_base(tmp_path):
    """With a message in its record, which does not travel."""
    uri = f'unix:{tmp_path}/migration'
    with panicked_pair(destination=UNPATCHED) as (vm, to):
        assert vm.record()['last']['message'] == vm.last_panic()
        to.cmd('migrate-incoming', uri=uri)
        migrate(vm, to, uri)
        assert to.status() == 'guest-panicked'


def test_log_is_not_read_before_its_pages_are_there(tmp_path):
    """A read would wait for them."""
    uri = f'unix:{tmp_path}/migration'
    with panicked_pair() as (vm, to):
        try:
            set_capability('postcopy-ram', to, vm)
        except ExecuteError as error:
            pytest.skip(f'no post-copy here: {error}')
        to.cmd('migrate-incoming', uri=uri)
        vm.cmd('migrate-set-parameters', max_bandwidth=1000,
               max_postcopy_bandwidth=1000)
        vm.cmd('migrate', uri=uri)
        wait_for_migration(vm, 'active')
        vm.cmd('migrate-start-postcopy')
        wait_for_migration(to, 'postcopy-active')
        with pytest.raises(ExecuteError, match='post-copy'):
            to.guest_log()
        vm.cmd('migrate-set-parameters', max_postcopy_bandwidth=0)
        for side in vm, to:
            wait_for_migration(side, 'completed')
        # The destination says so first, and then ends post-copy
        end, log = time.monotonic() + TIMEOUT, None
        while log is None:
            try:
                log = to.log()
            except ExecuteError as error:
                assert 'post-copy' in str(error)
                assert time.monotonic() < end
        assert log == vm.serial()


def test_log_of_a_snapshot(tmp_path):
    """The log is the snapshot's, and the message is that of its own panic."""
    disk = tmp_path / 'disk'
    subprocess.run([QEMU_IMG, 'create', '-q', '-f', 'qcow2', disk, '1M'],
                   check=True)
    with LogGuest('-drive', f'if=none,format=qcow2,file={disk}') as vm:
        vm.boot_with_log()
        vm.cmd('stop')
        before = vm.log()
        hmp = 'human-monitor-command'
        assert not vm.cmd(hmp, command_line='savevm healthy')
        vm.cmd('cont')
        message = vm.panic()
        assert message == vm.last_panic()
        assert vm.log()[:len(before)] == before
        for _ in range(2):
            assert not vm.cmd(hmp, command_line='loadvm healthy')
            assert vm.log() == before
            vm.cmd('cont')
            # With the same number as the one that QEMU knew of
            assert vm.panic() == message
        assert vm.log()[:len(before)] == before


def test_log_of_a_guest_that_wakes_up(tmp_path):
    """It does not hand over its note again."""
    with LogGuest() as vm:
        vm.boot_with_log()
        vm.type('echo mem > /sys/power/state; echo "guest: awake"')
        vm.wait_for_event('SUSPEND')
        asleep = vm.log()
        vm.cmd('system_wakeup')
        vm.wait_for_line('guest: awake')
        assert vm.panic() == vm.last_panic()
        assert vm.expect_log(tmp_path)[:len(asleep)] == asleep
