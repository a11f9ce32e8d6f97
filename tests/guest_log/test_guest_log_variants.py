"""The same with other kernels, other machines, and other ways to panic."""

import subprocess
import time

from guest import GUEST, ROOT, TIMEOUT
from tests.guest_log.log_guest import PANIC, LogGuest

import pytest

pytestmark = pytest.mark.variant

KERNELS = {'cloud': GUEST,
           **{name: ROOT / 'build' / 'kernels' / name
              for name in ('generic', 'backports-cloud', 'backports-generic')}}
FOUR = '-smp', '4'
FIVE_LEVELS = '-cpu', 'max'
ALL = (*FOUR, *FIVE_LEVELS)


@pytest.fixture(params=KERNELS)
def kernel(request):
    """The folder of a kernel, if this Debian has it."""
    folder = KERNELS[request.param]
    if not folder.exists():
        pytest.skip(f'no kernel {request.param}: scripts/setup/guest kernels '
                    'makes it on Debian 12')
    return folder


@pytest.mark.parametrize('args, options', [
    ((), {}),
    ((), {'append': 'nokaslr'}),
    (FOUR, {}),
    (FIVE_LEVELS, {}),
    ((), {'memory': 6144}),
    ((), {'append': 'log_buf_len=4M'}),
    ((), {'append': 'printk.time=0'}),
    ((), {'append': 'pti=on'}),
    ((), {'machine': 'q35'}),
    ((), {'device': 'pvpanic-pci'}),
    (ALL, {'memory': 6144, 'machine': 'q35', 'device': 'pvpanic-pci',
           'append': 'log_buf_len=4M pti=on'}),
    (ALL, {'memory': 6144, 'append': 'nokaslr printk.time=0'}),
], ids=['default', 'nokaslr', '4-vcpus', '5-levels', '6-gib', 'log-buf-len',
        'no-times', 'pti', 'q35', 'pci', 'all', 'all-nokaslr'])
def test_log_is_what_others_read(kernel, args, options, tmp_path):
    with LogGuest(*args, kernel=kernel, **options) as vm:
        vm.boot_with_log()
        message = vm.panic()
        vm.expect_log(tmp_path)
        assert message == f'{PANIC}: sysrq triggered crash'


def panic_on_oops(vm):
    """Let the kernel jump to address 0 out of its idle loop."""
    vm.type('echo 1 > /proc/sys/kernel/panic_on_oops; echo "guest: idle"')
    vm.wait_for_line('guest: idle')
    end = time.monotonic() + TIMEOUT
    while True:
        vm.cmd('stop')
        if 'HLT=1' in vm.cmd('human-monitor-command',
                             command_line='info registers'):
            break
        assert time.monotonic() < end
        vm.cmd('cont')
    path = f'{vm.temp_dir}/gdb'
    vm.cmd('human-monitor-command',
           command_line=f'gdbserver unix:{path},server=on,wait=off')
    subprocess.run(['gdb', '-q', '-batch', '-nx',
                    '-ex', f'target remote {path}', '-ex', 'set $rip=0',
                    '-ex', 'detach'], check=True)
    vm.cmd('cont')


def watchdog(vm):
    """A timer's interrupt calls a function of a module, which panics."""
    vm.type('insmod /modules/watchdog.ko;'
            'insmod /modules/softdog.ko soft_margin=1 soft_panic=1;'
            'exec 3> /dev/watchdog')


def nmi(vm):
    vm.type('echo 1 > /proc/sys/kernel/unknown_nmi_panic; echo "guest: waits"')
    vm.wait_for_line('guest: waits')
    vm.cmd('inject-nmi')


@pytest.mark.parametrize('panics, message', [
    (LogGuest.crash, 'sysrq triggered crash'),
    (lambda vm: vm.type('exit 3'),
     'Attempted to kill init! exitcode=0x00000300'),
    (panic_on_oops, 'Fatal exception'),
    (watchdog, 'Software Watchdog Timer expired'),
    (nmi, 'NMI: Not continuing'),
    (lambda vm: vm.type('echo 2 > /proc/sys/vm/panic_on_oom; tail /dev/zero'),
     'Out of memory: compulsory panic_on_oom is enabled'),
], ids=['sysrq', 'init', 'oops', 'interrupt-in-a-module', 'nmi', 'oom'])
def test_message_is_the_line_on_the_console(kernel, panics, message, tmp_path):
    with LogGuest(*FOUR, kernel=kernel) as vm:
        vm.boot_with_log()
        panics(vm)
        said = vm.wait_for_panic()
        assert said == f'{PANIC}: {message}'
        log = vm.expect_dumped(tmp_path)
        # In an NMI, the kernel writes to a console when it has told of all
        vm.cmd('cont')
        vm.wait_for_line('end Kernel panic')
        assert vm.serial()[:len(log)] == log
        assert any(line.endswith(said) for line in log)
