"""The log of Debian's Linux: QEMU, makedumpfile and the console agree."""

import re
import time

from guest import TIMEOUT
from guest.linux import load_crash_kernel
from guest.vm import ExecuteError
from tests.guest_log.log_guest import PANIC, LogGuest, lines, without_time

import pytest

SYSRQ = f'{PANIC}: sysrq triggered crash'
# Text that a terminal shall not get, as octal numbers for the guest's printf,
# and what info guest-log makes of it: é, a tab, ESC, DEL, C1, invalid UTF-8
ODD = r'odd \303\251\t\033[31m\001\177\302\205\377\303 end'
ODD_SHOWN = 'odd é\t' r'\x1b[31m\x01\x7f\xc2\x85\xff\xc3 end'
# What the driver writes when the kernel panics
REPORT = ('rmmod pvpanic-pci; read bar rest'
          ' < /sys/bus/pci/devices/0000:00:05.0/resource; devmem $bar 8 1')


def info(vm, what):
    """What HMP shows, with plain line breaks."""
    return vm.cmd('human-monitor-command',
                  command_line=f'info {what}').replace('\r\n', '\n')


@pytest.mark.parametrize('append', ['', 'printk.time=0'],
                         ids=['times', 'no-times'])
def test_log_of_a_panicked_linux_is_what_others_read(append, tmp_path):
    with LogGuest(append=append) as vm:
        vm.boot_with_log()
        vm.type(f"printf '{ODD}' > /dev/kmsg;"
                r"printf 'one\n\nthree\n' > /dev/kmsg")
        message = vm.panic()
        log = vm.expect_log(tmp_path)
        assert message == SYSRQ
        assert message in [line[-len(SYSRQ):] for line in vm.serial()]
        assert vm.record()['last']['message'] == message
        assert message in info(vm, 'status')

        texts = [without_time(line) for line in log]
        assert texts[0].startswith('Linux version ')
        first = texts.index('one')
        assert texts[first:first + 3] == ['one', '', 'three']
        release = vm.guest_log()['release']
        assert texts[0].startswith(f'Linux version {release} ')

        shown = info(vm, 'guest-log 1048576').split('\n')[:-1]
        odd = [without_time(line) for line in shown
               if 'odd' in line and 'end' in line]
        assert odd == [ODD_SHOWN]
        assert [line for line in shown if line.isascii()] == [
            line for line in log if re.fullmatch(r'[\t -~]*', line)]
        vm.cmd('cont')
    said = re.findall('guest panicked.*', vm.get_log())
    assert said == [f'guest panicked: {SYSRQ}']


def test_log_is_cut_at_a_line(tmp_path):
    with LogGuest() as vm:
        vm.boot_with_log()
        vm.panic()
        log = vm.expect_log(tmp_path)
        whole = '\n'.join([*log, '']).encode('latin-1')
        for size in 1, 40, 200, 1000, len(whole) - 1, len(whole):
            reply = vm.guest_log(max_size=size)
            cut = lines(reply['log'])
            assert cut == (log[-len(cut):] if cut else [])
            assert len(reply['log']) <= size
            # The next line would not fit, or there is none
            left = log[:len(log) - len(cut)]
            assert not left or len(reply['log']) + len(left[-1]) + 1 > size
            assert reply['truncated'] == bool(left)
        assert info(vm, 'guest-log 200').startswith('[...]\n')
        assert not info(vm, 'guest-log 1048576').startswith('[...]\n')


def test_ring_that_has_wrapped(tmp_path):
    """What the kernel has overwritten is not truncated by QEMU."""
    with LogGuest(append='printk.devkmsg=on') as vm:
        vm.boot_with_log()
        vm.type('i=0; while [ $i -lt 6000 ]; do'
                ' echo "line $i of many" > /dev/kmsg; i=$((i + 1)); done;'
                ' echo "guest: done"')
        vm.wait_for_line('guest: done')
        assert vm.panic() == SYSRQ
        log = vm.expect_log(tmp_path)
        texts = [without_time(line) for line in log]
        assert 'line 5999 of many' in texts
        assert 'line 0 of many' not in texts
        assert not vm.guest_log(max_size=1 << 20)['truncated']


def test_log_of_a_guest_that_hangs_in_user_mode(tmp_path):
    """It never reports, and nothing in it has to run."""
    with LogGuest() as vm:
        vm.boot_with_log()
        vm.type('echo last words > /dev/kmsg; echo "guest: hangs";'
                'while :; do :; done')
        vm.wait_for_line('guest: hangs')
        running = vm.log()
        assert vm.status() == 'running'
        assert vm.record() is None
        assert 'last words' in [without_time(line) for line in running]
        vm.cmd('stop')
        log = vm.expect_log(tmp_path)
        assert log[:len(running)] == running


def test_log_that_grows_meanwhile():
    """Two vCPUs write to a ring in which each new line overwrites another."""
    with LogGuest('-smp', '2', append='printk.devkmsg=on') as vm:
        vm.boot_with_log()
        vm.type('for cpu in 0 1; do (i=0; while :; do'
                ' echo "line $i of $cpu" > /dev/kmsg; i=$((i + 1));'
                ' done) & done')
        end = time.monotonic() + TIMEOUT
        while 'Linux version' in vm.log()[0]:
            assert time.monotonic() < end
        logs = [vm.log() for _ in range(100)]
        vm.cmd('stop')
        # No oracle: the console drops lines where the ring overtakes it
        last = vm.log()
        for log in logs:
            texts = [without_time(line) for line in log]
            written = [re.fullmatch(r'line (\d+) of ([01])', text)
                       for text in texts if text.startswith('line')]
            assert all(written)
            for cpu in '01':
                numbers = [int(line[1]) for line in written if line[2] == cpu]
                assert numbers == sorted(set(numbers))
        assert logs[0][0] not in last
        assert last[-1] not in logs[0]


def test_report_without_a_panic_has_no_message():
    """Until there is a panic."""
    with LogGuest(device='pvpanic-pci,addr=5') as vm:
        vm.boot_with_log()
        vm.type(f'echo "not yet: {PANIC}" > /dev/kmsg; {REPORT}')
        assert vm.wait_for_panic() is None
        assert 'message' not in vm.record()['last']
        vm.cmd('cont')
        vm.type('insmod /modules/pvpanic-pci.ko')
        assert vm.panic() == SYSRQ
    said = re.findall('guest panicked.*', vm.get_log())
    assert said == ['guest panicked', f'guest panicked: {SYSRQ}']


def test_log_before_the_driver_and_after_a_reset():
    with LogGuest() as vm:
        vm.boot()
        with pytest.raises(ExecuteError, match='qemu_fw_cfg'):
            vm.guest_log()
        assert 'qemu_fw_cfg' in info(vm, 'guest-log')
        vm.hand_over_note()
        assert vm.log()
        vm.cmd('system_reset')
        vm.wait_until_ready()
        with pytest.raises(ExecuteError, match='qemu_fw_cfg'):
            vm.guest_log()
        # Its message would be in the log of a kernel that is gone
        assert vm.panic() is None
        assert vm.status() == 'guest-panicked'


def test_kdump_leaves_the_log_of_the_kernel_that_panicked():
    """The second one runs beside its memory, and does not tell of its own."""
    with LogGuest(memory=512, initramfs='initramfs-kdump',
                  append='crashkernel=128M crash_kexec_post_notifiers') as vm:
        vm.boot_with_log()
        load_crash_kernel(vm)
        vm.crash()
        event = vm.wait_for_event('GUEST_CRASHLOADED', action='run', count=1)
        assert event['data']['message'] == SYSRQ
        assert vm.record()['last']['message'] == SYSRQ
        vm.wait_for_line('Linux version')
        vm.wait_until_ready()
        log = vm.log()
        assert [without_time(line) for line in log].count(SYSRQ) == 1
        assert len([line for line in log if 'Linux version' in line]) == 1
        vm.hand_over_note()
        assert vm.log() == log
        vm.type('echo of the second kernel > /dev/kmsg; echo "guest: done"')
        vm.wait_for_line('guest: done')
        # That it panics, too, is not in this log, and the other was told of
        assert vm.panic() is None
        assert vm.log() == log
