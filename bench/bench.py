#!/usr/bin/python3
"""The patched QEMU against the unpatched one, in one run and interleaved.

usage: bench.py [--only PART]... FOLDER

FOLDER gets bench.md, a page with a table that scripts/pictures.py draws.
Every value is measured here and now.  Instructions do not depend on what else
the machine does, times do.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import os
from pathlib import Path
import platform
import re
import socket
import statistics
import struct
import subprocess
import sys
import time

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / 'guest'))
from linux import BUILD, PATCHED, UNPATCHED, QEMUQtestMachine  # noqa: E402
from qemu.qmp import QMPClient  # noqa: E402
from tiny import FOREVER, TinyGuest, assemble, share  # noqa: E402

BINARIES = {'unpatched': UNPATCHED, 'patched': PATCHED}
# Whether it runs tiny guests, and if not, why
KVM = subprocess.run(
    [BUILD / 'patched' / 'tests' / 'qtest' / 'pvpanic-guest-test', '--kvm'],
    env={**os.environ, 'QTEST_QEMU_BINARY': str(PATCHED)},
    stdout=subprocess.PIPE, text=True, check=False)
ACCELS = ['tcg'] if KVM.returncode else ['tcg', 'kvm']

COUNT_RUNS = 3       # per binary
COUNT_TURNS = 100, 500  # what both have in common is not counted
COUNT_PAUSE = .004   # seconds
PANIC = 'outb 0x505 1'  # for qtest
CYCLE_PAIRS = 100    # of VMs
CYCLE_TURNS = 200    # per VM
LATENCY_BLOCKS = 31  # per binary
LATENCY_PANICS = 300  # per block
QUIET_PAIRS = 9      # of VMs
QUIET_TURNS = 30     # per VM
QUIET_TIME = .05     # seconds
FLOOD_RUNS = 7       # per binary
FLOOD_TIME = 2       # seconds
FLOOD_WARM_UP = 1    # second
IDLE_TIME = .5       # seconds
CLOSE_RUNS = 5       # per binary
CLOSE_TIME = 2       # seconds
DUMP_SIZE = 1 << 20  # bytes
STORM_SIZES = 16, 64, 128
STORM_PANICS = 7680  # per binary and size, over all rounds


async def disconnect(client):
    """Disconnect from a QEMU that may have gone."""
    with contextlib.suppress(EOFError, OSError):
        await client.disconnect()


class Guest:
    """A TinyGuest with an asynchronous client.

    :param binary: the QEMU
    :param rom: the guest, assembled
    :param panic: what a panic does: see -action
    :param stalled: have a second monitor, which nobody reads
    :param args: more arguments for QEMU
    :param options: more for TinyGuest
    """

    def __init__(self, binary, rom, panic, *args, stalled=False, **options):
        self.vm = TinyGuest(rom, '-action', f'panic={panic}', '-S', *args,
                            binary=binary, **options)
        self._stalled = stalled
        self._exit = contextlib.AsyncExitStack()
        self.client = QMPClient()

    async def start(self):
        """Launch it, stopped."""
        folder = self.vm.temp_dir
        self.vm.add_args('-qmp', f'unix:{folder}/qmp')
        self.vm.set_qmp_monitor(False)
        if self._stalled:
            self.vm.add_args('-qmp', f'unix:{folder}/stalled')
            listener = self._exit.enter_context(
                socket.socket(socket.AF_UNIX))
            listener.bind(f'{folder}/stalled')
            listener.listen()
        await self.client.start_server(f'{folder}/qmp')
        self._exit.callback(self.vm.kill)
        self.vm.launch()
        if self._stalled:
            stalled, _ = listener.accept()
            self._exit.enter_context(stalled)
            stalled.sendall(b'{"execute": "qmp_capabilities"}')
        await self.client.accept()
        self._exit.push_async_callback(disconnect, self.client)

    async def stop(self):
        """End it, and leave nothing behind."""
        await self._exit.aclose()

    def memory(self):
        """How much of the host's memory the process has, in KiB."""
        status = Path(f'/proc/{self.vm.get_pid()}/status').read_text()
        line, = (line for line in status.splitlines() if 'VmRSS' in line)
        return int(line.split()[1])

    async def query_status(self, seconds):
        """Ask for the status, again and again.

        :return: how long each answer takes, in milliseconds
        """
        now, answers = time.monotonic(), []
        end = now + seconds
        while now < end:
            await self.client.execute('query-status')
            last, now = now, time.monotonic()
            answers.append(1e3 * (now - last))
        return answers


async def instructions(binary, folder, turns, steps, *args):
    """How many instructions all threads of a QEMU without a guest take.

    How often its loops turn depends on which thread comes first, and on when
    a command comes.  So there is one CPU, no thread takes it from another, and
    commands come to a QEMU that has nothing to do.

    :param turns: how often the steps are taken
    :param steps: commands, or PANIC
    :param args: more arguments for QEMU
    """
    counts = folder / 'callgrind.out'
    counts.unlink(missing_ok=True)
    policy = ['chrt', '-f', '1']
    if subprocess.run([*policy, 'true'], stderr=subprocess.DEVNULL).returncode:
        policy = ['chrt', '-b', '0']  # next best, where that is not permitted
    vm = QEMUQtestMachine(
        str(binary),
        ['-nodefaults', '-m', '16', '-S', '-rtc', 'clock=vm', '-qtest-log',
         'none', '-action', 'panic=pause', *args],
        wrapper=['taskset', '-c', str(max(os.sched_getaffinity(0))), *policy,
                 'setarch', '-R', 'valgrind', '-q', '--tool=callgrind',
                 '--fair-sched=yes', f'--callgrind-out-file={counts}'])
    vm.add_args('-qmp', f'unix:{vm.temp_dir}/qmp')
    vm.set_qmp_monitor(False)
    client = QMPClient()
    await client.start_server(f'{vm.temp_dir}/qmp')
    with vm, client.listener('STOP') as stops:
        vm.launch()
        await client.accept()
        for step in turns * steps:
            await asyncio.sleep(COUNT_PAUSE)
            if step == PANIC:
                vm.qtest(step)
                await stops.get()
            else:
                await client.execute(step)
        await client.execute('quit')
        await disconnect(client)
        vm.wait()
    return int(re.search('^totals: (.*)', counts.read_text(), re.M)[1])


async def count(binary, folder):
    """How many instructions a turn takes of what clients do all the time."""
    fewer, more = COUNT_TURNS
    return {turn: (await instructions(binary, folder, more, *args) -
                   await instructions(binary, folder, fewer, *args)) /
            (more - fewer)
            for turn, *args in (
                ('panic', ['cont', PANIC], '-device', 'pvpanic'),
                ('stop', ['cont', 'stop']),
                ('query', ['query-status']))}


def watch(path, panics, pipe):
    """Take the time of each write, in a process of its own.

    :param path: the guest's memory
    :param panics: how many there are
    :param pipe: gets the times at which a write began, and was done
    """
    guest = share(path)
    begun, done = [], []
    pipe.send('watching')
    while len(done) < panics:
        if guest.begun > len(begun):
            begun.append(time.monotonic())
        if guest.done > len(done):
            done.append(time.monotonic())
    pipe.send((begun, done))


@contextlib.asynccontextmanager
async def guests(number, *args, **options):
    """A list of Guests, started."""
    running = [Guest(*args, **options) for _ in range(number)]
    try:
        for guest in running:
            await guest.start()
        yield running
    finally:
        for guest in running:
            await guest.stop()


@contextlib.asynccontextmanager
async def pair(*args, **options):
    """A Guest of each binary, by its name."""
    async with contextlib.AsyncExitStack() as stack:
        yield {name: (await stack.enter_async_context(
            guests(1, binary, *args, **options)))[0]
            for name, binary in BINARIES.items()}


async def cycle(guest):
    """Continue a guest that panics at once.

    :return: microseconds from cont to the event
    """
    with guest.client.listener('GUEST_PANICKED') as listener:
        start = time.monotonic()
        reply = asyncio.ensure_future(guest.client.execute('cont'))
        await listener.get()
        end = time.monotonic()
        await reply
    return 1e6 * (end - start)


async def cycles(rom, accel):
    """Guests panic, are paused and continued, again and again, in turn.

    :param accel: what runs them
    :return: by binary, the median of cycle() for each pair of VMs
    """
    result = {name: [] for name in BINARIES}
    for _ in range(CYCLE_PAIRS):
        times = {name: [] for name in BINARIES}
        async with pair(rom, 'pause', accel=accel) as running:
            for turn in range(CYCLE_TURNS):
                for name in sorted(BINARIES, reverse=turn % 2):
                    times[name].append(await cycle(running[name]))
        for name in BINARIES:
            result[name].append(statistics.median(times[name]))
    return result


async def latency(binary, rom, accel):
    """A guest does so, and is watched.

    :param accel: what runs it
    :return: two medians in microseconds: from the guest's write to the event,
             and from the event by cont to the guest's next instruction
    """
    events = []
    pipe, other = multiprocessing.Pipe()
    async with guests(1, binary, rom, 'pause', accel=accel) as (guest,):
        watcher = multiprocessing.Process(
            target=watch, args=(guest.vm.ram, LATENCY_PANICS, other),
            daemon=True)
        watcher.start()
        pipe.recv()
        with guest.client.listener('GUEST_PANICKED') as listener:
            for _ in range(LATENCY_PANICS + 1):
                reply = asyncio.ensure_future(guest.client.execute('cont'))
                await listener.get()
                events.append(time.monotonic())
                await reply
        begun, done = pipe.recv()
        watcher.join()
    return {
        'write_to_event': 1e6 * statistics.median(
            event - write for event, write in zip(events, begun)),
        'event_to_guest': 1e6 * statistics.median(
            after - event for event, after in zip(events, done))}


async def quiet(rom):
    """Guests write zeroes to pvpanic, as fast as they can.

    It takes a few dozen nanoseconds, so two VMs run in turn, for a short time
    each: what else the machine does hits both.

    :return: by binary, nanoseconds per write, for each pair of VMs
    """
    result = {name: [] for name in BINARIES}
    for _ in range(QUIET_PAIRS):
        times = {name: [] for name in BINARIES}
        async with pair(rom, 'none', value=0) as running:
            for turn in range(QUIET_TURNS):
                for name in sorted(BINARIES, reverse=turn % 2):
                    client = running[name].client
                    shared = running[name].vm.shared
                    await client.execute('cont')
                    writes, start = shared.done, time.monotonic()
                    time.sleep(QUIET_TIME)
                    writes = shared.done - writes
                    times[name].append(1e9 * (time.monotonic() - start) /
                                       writes)
                    await client.execute('stop')
        for name in BINARIES:
            result[name].append(statistics.median(times[name]))
    return result


async def flood(binary, rom, panic, *args, **options):
    """The guest reports as fast as it can, and is not stopped.

    One client asks for the status all the time, and another one does not read
    what it is sent.

    :param panic: what a panic does: see -action
    :param args: more arguments for QEMU
    :param options: more for Guest
    :return: nanoseconds per report; events per second; the median and the
             longest time that query-status takes, in milliseconds; how often
             that median is what it is while the guest does nothing; by how
             much QEMU's memory grows, in KiB per second
    """
    events = 0

    def notice(_):
        nonlocal events
        events += 1
        return False

    async with guests(1, binary, rom, panic, *args, limit=0,
                      **options) as (guest,):
        shared = guest.vm.shared
        await guest.client.execute('cont')
        idle = await guest.query_status(IDLE_TIME)
        shared.limit = FOREVER
        await guest.query_status(FLOOD_WARM_UP)
        with guest.client.listener(('GUEST_PANICKED', 'GUEST_CRASHLOADED'),
                                   notice):
            memory, start = guest.memory(), time.monotonic()
            reports = shared.begun
            answers = await guest.query_status(FLOOD_TIME)
            reports = shared.begun - reports
            seconds = time.monotonic() - start
            memory = guest.memory() - memory
    return {'report': 1e9 * seconds / reports,
            'events': events / seconds,
            'answer': statistics.median(answers),
            'slower': statistics.median(answers) / statistics.median(idle),
            'longest': max(answers),
            'memory': memory / seconds}


async def read(connection, size):
    """Read this much, and then no more."""
    while size > 0:
        size -= len(await asyncio.get_running_loop().sock_recv(connection,
                                                               1 << 16))


async def slow_close(binary, rom):
    """Dump a guest in the background, to what takes long to close.

    A socket that lingers does: it has data that nobody reads.

    :return: the longest time that query-status takes meanwhile, in
             milliseconds
    """
    async with guests(1, binary, rom, 'pause', limit=0) as (guest,):
        with socket.create_server(('localhost', 0)) as server:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sender = socket.create_connection(server.getsockname())
            reader, _ = server.accept()
        with reader:
            reader.setblocking(False)
            with sender:
                sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 17)
                sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                  struct.pack('ii', True, CLOSE_TIME))
                guest.client.send_fd_scm(sender.fileno())
                await guest.client.execute('getfd', {'fdname': 'dump'})
            await guest.client.execute('dump-guest-memory', {
                'paging': False, 'protocol': 'fd:dump', 'detach': True,
                'begin': 0, 'length': DUMP_SIZE})
            # What is left has room in the sender's buffer
            await read(reader, DUMP_SIZE - (1 << 16))
            answers = await guest.query_status(CLOSE_TIME + .5)
            status = await guest.client.execute('query-dump')
            if status['status'] != 'completed':
                raise ValueError(f'the dump is {status}')
    return {'longest': max(answers)}


async def storm(running, panics):
    """Let all of them panic at once, and continue each as its event comes.

    :param running: Guests, each paused by a panic
    :param panics: by Guest, how many events it has had; brought up to date
    :return: milliseconds until the last one runs again
    """
    async def manage(guest):
        with guest.client.listener('GUEST_PANICKED') as listener:
            await guest.client.execute('cont')
            await listener.get()
            panics[guest] += 1
            await guest.client.execute('cont')
            end = time.monotonic()
            # It panics again: the next storm begins like this one
            await listener.get()
            panics[guest] += 1
        return end

    start = time.monotonic()
    ends = await asyncio.gather(*map(manage, running))
    return 1e3 * (max(ends) - start)


async def storms(rom, accel):
    """Storms of all sizes.

    :param accel: what runs the guests
    :return: by size and binary, milliseconds of each
    :raise ValueError: if a panic was lost
    """
    times = {size: {name: [] for name in BINARIES} for size in STORM_SIZES}
    async with contextlib.AsyncExitStack() as stack:
        running, panics = {}, {}
        for name, binary in BINARIES.items():
            running[name] = await stack.enter_async_context(
                guests(max(STORM_SIZES), binary, rom, 'pause', accel=accel))
            for guest in running[name]:
                with guest.client.listener('GUEST_PANICKED') as listener:
                    await guest.client.execute('cont')
                    await listener.get()
                panics[guest] = 1
        for size in STORM_SIZES:
            for turn in range(STORM_PANICS // size):
                for name in sorted(BINARIES, reverse=turn % 2):
                    times[size][name].append(
                        await storm(running[name][:size], panics))
        for guest, seen in panics.items():
            made = guest.vm.shared.begun
            if seen != made:
                raise ValueError(f'{made} panics, and {seen} events')
    return times


class Results:
    """What was measured: a row is (what, unit, {binary: values})."""

    def __init__(self):
        self.rows = []
        self.goals = []

    def add(self, what, unit, values, goal=None):
        """Add a row; values are in the order in which they were taken.

        :param goal: what the ratio should be, at most
        """
        self.rows.append((what, unit, values))
        if goal:
            self.add_goal(f'{what}: patched / unpatched',
                          ratio(values)[1], goal)

    def add_goal(self, what, value, goal):
        """Add what should be a goal, at most."""
        self.goals.append((what, value, goal))


def under(accel, what):
    """A row's name: TCG is what is not said."""
    return what if accel == 'tcg' else f'{accel.upper()}: {what}'


def ratio(values):
    """The quartiles of the ratios of patched values to unpatched ones.

    Each to the one that was taken next to it.  What is too small to be
    measured counts as a hundredth of the unit.
    """
    return statistics.quantiles(
        max(new, .01) / max(old, .01)
        for new, old in zip(values['patched'], values['unpatched']))


@contextlib.contextmanager
def progress(what):
    """Say what is measured, and how long it took."""
    start = time.monotonic()
    print(f'{what} ...', end='', flush=True)
    yield
    print(f' {time.monotonic() - start:.0f} s')


async def repeat(results, runs, function, args, rows, **options):
    """Run a function for each binary in turn, and add rows of its results.

    :param rows: (key of the function's result, what, unit, goal of the ratio)
    :param options: more for the function
    :return: the results of the patched binary
    """
    rows = [(key, under(options.get('accel', 'tcg'), what), *row)
            for key, what, *row in rows]
    values = {name: [] for name in BINARIES}
    with progress(rows[0][1]):
        for run in range(runs):
            # Neither is always the first one
            for name in sorted(BINARIES, reverse=run % 2):
                values[name].append(
                    await function(BINARIES[name], *args, **options))
    for key, *row in rows:
        what, unit, *goal = row
        results.add(what, unit, {name: [run[key] for run in values[name]]
                                 for name in BINARIES}, *goal)
    return values['patched']


def add_flood_goals(results, what, runs):
    """What a guest that floods its host may cost it.

    :param runs: what flood() returned for the patched binary
    """
    for key, name, goal in (('events', 'events a second', 2),
                            ('memory', 'growth of memory, in KiB/s', 0),
                            ('slower', 'query-status, flooded / idle', 2)):
        results.add_goal(f'{what}: {name}',
                         statistics.median(run[key] for run in runs), goal)


async def measure_count(results, folder):
    """Instructions."""
    await repeat(results, COUNT_RUNS, count, (folder,), [
        ('panic', 'cont, panic, STOP', 'instructions', 1.005),
        ('stop', 'cont, stop', 'instructions', 1.001),
        ('query', 'query-status', 'instructions', 1.001)])


async def measure_latency(results, folder):
    """Times of a panic."""
    rom = assemble(folder)
    for accel in ACCELS:
        what = under(accel, 'cont to the next event')
        with progress(what):
            results.add(what, 'µs', await cycles(rom, accel), 1)
        await repeat(results, LATENCY_BLOCKS, latency, (rom,), [
            ('write_to_event', "guest's write to event", 'µs'),
            ('event_to_guest', "event, cont, guest's next instruction", 'µs')],
            accel=accel)


async def measure_quiet(results, folder):
    """Times of no panic."""
    with progress('write that reports nothing'):
        results.add('write that reports nothing', 'ns',
                    await quiet(assemble(folder)))


def assemble_more(folder, name):
    """Make another guest than the tiny one.

    :param name: of its source
    :return: its path
    """
    code, rom = folder / f'{name}.o', folder / f'{name}.bin'
    subprocess.run(['as', '--32', '-o', code, ROOT / 'bench' / f'{name}.S'],
                   check=True)
    subprocess.run(['objcopy', '-O', 'binary', code, rom], check=True)
    return rom


async def reset_loop(binary, panics, resets):
    """A guest that is reset as often as can be.

    A panic does it, but for the unpatched one, which has no such action.
    """
    if binary == UNPATCHED:
        return await flood(binary, resets, 'none', device=False)
    return await flood(binary, panics, 'reset')


async def measure_flood(results, folder):
    """Guests that report as fast as they can."""
    tiny = assemble(folder)
    disk = folder / 'dma.img'
    disk.write_bytes(bytes([1, 0]) * (1 << 19))
    for what, rom, args, options in (
            *(('panic', tiny, [], {'accel': accel}) for accel in ACCELS),
            ('crash-loaded', tiny, [], {'value': 2}),
            ('DMA', assemble_more(folder, 'dma'),
             ['-device', 'pvpanic-pci,addr=5',
              '-drive', f'if=ide,format=raw,file={disk}'],
             {'device': False})):
        runs = await repeat(
            results, FLOOD_RUNS, flood, (rom, 'none', *args), [
                ('report', f'{what}, guest runs on: report', 'ns'),
                ('events', f'{what} flood: events', '/s'),
                ('answer', f'{what} flood: query-status, median', 'ms'),
                ('longest', f'{what} flood: query-status, longest', 'ms'),
                ('memory', f'{what} flood: growth of memory', 'KiB/s')],
            stalled=True, **options)
        add_flood_goals(results, under(options.get('accel', 'tcg'),
                                       f'{what} flood'), runs)
    # RESET is an event that a guest can always cause: every client reads
    runs = await repeat(
        results, FLOOD_RUNS, reset_loop,
        (tiny, assemble_more(folder, 'reset')), [
            ('report', 'reset loop: reset', 'ns'),
            ('answer', 'reset loop: query-status, median', 'ms'),
            ('longest', 'reset loop: query-status, longest', 'ms')])
    add_flood_goals(results, 'reset loop', runs)


async def measure_dump(results, folder):
    """Dumps whose file takes long to close."""
    await repeat(results, CLOSE_RUNS, slow_close, (assemble(folder),), [
        ('longest', 'dump closes its file: query-status, longest', 'ms')])


async def measure_storm(results, folder):
    """Many VMs."""
    for accel in ACCELS:
        with progress(under(accel, 'storms')):
            times = await storms(assemble(folder), accel)
        for size, values in times.items():
            results.add(under(accel, f'{size} VMs panic: until the last one'
                              ' runs again'), 'ms', values)


PARTS = {'count': measure_count, 'latency': measure_latency,
         'quiet': measure_quiet, 'flood': measure_flood,
         'dump': measure_dump, 'storm': measure_storm}


async def measure(folder, parts):
    """Run these parts.

    :return: Results
    """
    results = Results()
    for part in parts:
        await PARTS[part](results, folder)
    return results


def machine():
    """This machine, in general terms."""
    return (f'{os.cpu_count()} cores, {platform.machine()}, '
            f'{platform.system()} {platform.release().split("-")[0]}, '
            f'Python {platform.python_version()}, TCG. {KVM.stdout.strip()}')


PAGE = '''# Patched against unpatched

`make bench` wrote this page: every number was measured in one run, patched
and unpatched in turn. A ratio is that of two runs next to each other, and
below 1 where the patched QEMU is faster or takes less. The table has the
median ratio and the quartiles, between which half of the ratios are. Where
memory does not grow at all, 0.01 KiB/s stands for it in the ratio.

Measured on: {machine}.

![The ratios of the table below, on a scale from 0.000001 to 1](bench.svg)

{table}

Instructions are those of all of QEMU's threads, without a guest, as valgrind's
callgrind counts them: the difference of 500 and 100 turns, divided by 400.
They do not depend on what else the machine does; times do.

The guest is a loop of five instructions ([tiny.S](../guest/tiny.S)), under TCG
where a row does not say KVM. The client is QEMU's own Python package, so what
it takes is part of the times.
"Guest runs on" is `-action panic=none`. In a flood, a second client does not
read what it is sent. In a DMA flood, an IDE disk reads into the BAR of a
pvpanic-pci ([dma.S](../bench/dma.S)). In a reset loop, the guest panics, is
reset by `-action panic=reset`, and panics at once; the unpatched QEMU has no
such action, and a guest that resets itself
([reset.S](../bench/reset.S)). The dump runs in the background, and its
socket takes 2 s to close. In the last rows, all VMs are continued and panic at
once, and one client sees each event and continues that VM; no panic may be
missed.

## Goals

Medians of the same run. For floods and the reset loop, they are the patched
QEMU's, and `query-status` is compared with what it takes while the same guest
does nothing.

{goals}
'''


def digits(value):
    """A ratio, with as many digits as tell something."""
    return f'{value:.4f}' if .9 < value < 1.1 else f'{value:.3g}'


def write(results, folder):
    """Write the page with the table."""
    table = ['| | unpatched | patched | ratio | quartiles |',
             '|---|--:|--:|--:|--:|']
    for what, unit, values in results.rows:
        old, new = (f'{value:,.0f}' if value >= 100 else f'{value:.3g}'
                    for value in map(statistics.median, values.values()))
        low, middle, high = map(digits, ratio(values))
        table.append(f'| {what} | {old} {unit} | {new} {unit} |'
                     f' {middle} | {low} to {high} |')
    goals = [f'- {what}: {digits(value)}; the goal is {goal} at most:'
             f' {"reached" if value <= goal else "missed"}'
             for what, value, goal in results.goals]
    (folder / 'bench.md').write_text(
        PAGE.format(machine=machine(), table='\n'.join(table),
                    goals='\n'.join(goals)))
    print('', *table, '', *goals, sep='\n')


def main():
    """Measure, and say so."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
    parser.add_argument('--only', action='append', choices=PARTS,
                        help='a part, and no other')
    parser.add_argument('folder', type=Path)
    args = parser.parse_args()
    write(asyncio.run(measure(args.folder, args.only or PARTS)), args.folder)


if __name__ == '__main__':
    main()
