"""The demo: a Linux guest panics, and lives.

Boots Debian's kernel under TCG with a pvpanic and a vmcoreinfo device and
panic=2, and prints what happens as it happens.  A line is printed after the
fact that it tells of was seen: if one does not come, this says which, and
exits with 1.
"""

import argparse
import os
from pathlib import Path
import sys
import tempfile
import time

from guest import PATCHED, TOPICS
from guest.linux import LinuxGuest
from guest.vm import VM

ARGS = ('-device', 'pvpanic,iobase=0x505', '-device', 'vmcoreinfo')
PANIC = 'Kernel panic - not syncing: sysrq triggered crash'
AFTER = 4  # lines of the log after the panic
COUNTS = (1, 2)
NO_COUNTS = (None, None)


def expect(what, value, expected):
    """Raise ValueError unless value is as expected; else return it."""
    if value != expected:
        raise ValueError(f'{what} is {value!r} and not {expected!r}')
    return value


def until_ready(vm):
    """Follow the guest from its boot to the shell."""
    yield 'guest', vm.wait_for_line('Linux version')[:60] + '...'
    driver = vm.wait_until_ready()
    expect('a driver for pvpanic', bool(driver), True)
    yield 'guest', driver
    vm.hand_over_note()
    yield 'guest', 'insmod qemu_fw_cfg.ko: QEMU knows where its log is'
    # SeaBIOS turned the guest's reboot into a second, harder RESET: drop it
    expect('status', vm.status(), 'running')
    vm.get_qmp_events()


def panic(vm, count, has_log):
    """Crash the guest, and wait until QEMU has stopped it.

    :param count: how many panics that makes, if QEMU counts them, or None
    :param has_log: whether QEMU reads the guest's log
    """
    vm.crash()
    yield 'guest', 'echo c > /proc/sysrq-trigger'
    yield 'guest', vm.wait_for_line('Kernel panic')
    event = vm.wait_for_event('GUEST_PANICKED')
    yield 'QMP', f'GUEST_PANICKED {event["data"]}'
    expect('action', event['data']['action'], 'pause')
    expect('count', event['data'].get('count'), count)
    expect('message', event['data'].get('message'),
           PANIC if has_log else None)
    vm.wait_for_event('STOP')
    expect('status', vm.status(), 'guest-panicked')
    yield 'QMP', 'query-status: guest-panicked'


def command(vm, name, state):
    """Run a command, after which the VM is in that run state."""
    vm.cmd(name)
    expect('status', vm.status(), state)
    yield 'QMP', f'{name}; query-status: {state}'


def reboot(vm, count):
    """See the guest's own policy run: panic=2 on its command line.

    Nothing of the panic is left then but what QEMU remembers.
    """
    yield 'guest', vm.wait_for_line('Rebooting in 2 seconds')
    event = vm.wait_for_event('RESET')
    expect('reason', event['data']['reason'], 'guest-reset')
    yield 'QMP', f'RESET {event["data"]}'
    now = vm.cmd('query-status')
    expect('status', now['status'], 'running')
    if count is None:
        yield 'QMP', 'query-status: running'
        return
    record = now['guest-panic']
    expect('panics', record['panicked'], count)
    seconds = (event['timestamp']['seconds'] -
               record['last']['timestamp']['seconds'])
    yield 'QMP', (f'query-status: running; panicked {record["panicked"]}, '
                  f'the last {seconds} s before the RESET')


def dump(vm, folder):
    """Write the guest's memory to a file while the VM is panicked."""
    path = Path(folder) / 'guest.elf'
    vm.cmd('dump-guest-memory', paging=False, protocol=f'file:{path}')
    expect('the magic number', path.read_bytes()[:4], b'\x7fELF')
    size = path.stat().st_size >> 20
    expect('status', vm.status(), 'guest-panicked')
    yield 'QMP', f'dump-guest-memory: {size} MiB; still guest-panicked'


def last_words(vm):
    """Ask for the log of the guest, and show the panic in it."""
    lines = vm.guest_log()['log'].decode().splitlines()
    first = max((i for i, line in enumerate(lines) if PANIC in line),
                default=None)
    expect('the panic in the log', first is not None, True)
    yield 'QMP', f'query-guest-log; the panic and {AFTER} lines after it:'
    for line in lines[first:first + 1 + AFTER]:
        yield 'log', line


def ask(binary=PATCHED):
    """Ask a QEMU without a machine whether its pvpanic can be trusted."""
    with VM(binary=binary, machine='none') as vm:
        vm.launch()
        schema = vm.cmd('query-qmp-schema')
        event, = (e for e in schema if e['name'] == 'GUEST_PANICKED')
        features = event.get('features', [])
        expect('"reversible" in the features', 'reversible' in features, True)
        yield 'QMP', f'query-qmp-schema: GUEST_PANICKED has {features}'
        builtin = [m.get('alias', m['name']) for m in vm.cmd('query-machines')
                   if m.get('builtin-pvpanic')]
        yield 'QMP', f'query-machines: built-in pvpanic by default: {builtin}'


def scenario(binary=PATCHED, counts=COUNTS, has_log=True):
    """Yield (who, what) for everything that happens, after it happened.

    :param binary: the QEMU to run
    :param counts: what that counts at each panic, or None
    :param has_log: whether it reads the guest's log
    :raise ValueError: if something else happens
    :raise TimeoutError: if nothing happens
    """
    yield 'host', 'the question that management asks a binary up front'
    yield from ask(binary)
    with LinuxGuest(*ARGS, append='panic=2', binary=binary) as vm, \
            tempfile.TemporaryDirectory(prefix='pvpanic-demo-') as folder:
        vm.launch()
        yield 'host', f'started {Path(binary).name} {" ".join(ARGS)}'
        yield from until_ready(vm)
        yield from panic(vm, counts[0], has_log)
        yield from command(vm, 'stop', 'paused')
        yield from command(vm, 'cont', 'running')
        yield from reboot(vm, counts[0])
        yield 'host', 'once more, and this time with a dump'
        yield from until_ready(vm)
        yield from panic(vm, counts[1], has_log)
        yield from dump(vm, folder)
        if has_log:
            yield from last_words(vm)


def timeline(**options):
    """Yield (seconds since the start, who, what) for what happens.

    :param options: scenario()'s
    """
    start = time.monotonic()
    for who, what in scenario(**options):
        yield time.monotonic() - start, who, what


def main(*arguments):
    """Print the timeline."""
    parser = argparse.ArgumentParser(description='A Linux guest that panics '
                                     'and lives.')
    parser.add_argument('--core', action='store_const', const=NO_COUNTS,
                        default=COUNTS if 'record' in TOPICS else NO_COUNTS,
                        dest='counts', help='a QEMU with the core alone, '
                        'which does not count panics')
    parser.add_argument('--no-log', action='store_false', dest='has_log',
                        default='guest-log' in TOPICS,
                        help="a QEMU that does not read the guest's log")
    options = vars(parser.parse_args(arguments))
    last = 'nothing'
    try:
        for seconds, who, what in timeline(**options):
            print(f'{seconds:6.1f} s  {who:5}  {what}', flush=True)
            last = what
    except Exception as error:  # whatever it is, it ends the demo
        print(f'The demo failed after "{last}": '
              f'{type(error).__name__}: {error}', file=sys.stderr)
        return 1
    print(f'\nThe patched QEMU is {os.path.relpath(PATCHED)}; try it with\n'
          f'    {os.path.relpath(PATCHED)} -device pvpanic -device vmcoreinfo '
          '-monitor stdio ...')
    return 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
