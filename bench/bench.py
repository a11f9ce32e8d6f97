"""The patched QEMU against the unpatched one, in one run and interleaved.

usage: python3 -m bench.bench [--quick] [--only PART]... FOLDER

FOLDER gets bench.md, a page whose ratios scripts/pictures.py draws.  Every
value is measured here and now.  Instructions do not depend on what else the
machine does, times do.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import os
from pathlib import Path
import re
import shutil
import socket
import statistics
import struct
import subprocess
import time

from bench.linux_log import LinuxLog
from bench.page import BINARIES, Results, write
from guest import BUILD, PATCHED, ROOT, UNPATCHED
from guest.tiny import FOREVER, TinyGuest, assemble, share
from guest.vm import QMPClient, QtestVM
from qemu.machine.qtest import QEMUQtestProtocol

QEMU = {'unpatched': UNPATCHED, 'patched': PATCHED}
KVM_PROBE = BUILD / 'patched' / 'tests' / 'qtest' / 'pvpanic-guest-test'
START = time.monotonic()

COUNT_RUNS = 4       # per binary
COUNT_TURNS = 100, 400  # the first ones are not counted
COUNT_PAUSE = .004   # seconds
PANIC = 'outb 0x505 1'  # for qtest
CYCLE_PAIRS = 100    # of VMs, per accelerator
CYCLE_TURNS = 150    # per VM
VCPUS = 1, 2, 4, 8   # in a VM, of which one panics
VCPU_PAIRS = 15      # of VMs, per accelerator and number of vCPUs
VCPU_TURNS = 60      # per VM
LATENCY_BLOCKS = 21  # per binary and accelerator
LATENCY_PANICS = 300  # per block
QUIET_PAIRS = 9      # of VMs, per accelerator
QUIET_TURNS = 20     # per VM
QUIET_TIME = .05     # seconds
FLOOD_RUNS = 7       # per binary and accelerator
FLOOD_VCPUS = 4      # of the guest that has more than one
FLOOD_TIME = 2       # seconds
FLOOD_WARM_UP = 1    # second
IDLE_TIME = .3       # seconds
LOGS = {'128 KiB': (17, 4 << 20), '16 MiB': (24, 80 << 20)}  # and the memory
LOG_ROUNDS = 11      # of VMs, per accelerator and size
LOG_TURNS = 60       # per VM
LOG_QUERIES = 9      # per round
LOG_GOALS = {64: 5, 1024: 50}  # KiB, milliseconds
MESSAGE_GOAL = 100   # microseconds
CLOSE_RUNS = 5       # per binary
CLOSE_TIME = 2       # seconds
DUMP_SIZE = 1 << 20  # bytes
STORM_SIZES = 16, 64, 128
STORM_ROUNDS = 2     # with other VMs
STORM_PANICS = 1920  # per binary, accelerator, size and round
# To see that each part runs: the fewest that have quartiles
QUICK = {'COUNT_RUNS': 2, 'COUNT_TURNS': (5, 10), 'CYCLE_PAIRS': 2,
         'CYCLE_TURNS': 20, 'VCPU_PAIRS': 2, 'VCPU_TURNS': 10,
         'LATENCY_BLOCKS': 2, 'LATENCY_PANICS': 30, 'QUIET_PAIRS': 2,
         'QUIET_TURNS': 4, 'FLOOD_RUNS': 2, 'FLOOD_TIME': .5, 'LOG_ROUNDS': 2,
         'LOG_TURNS': 5, 'LOG_QUERIES': 2, 'CLOSE_RUNS': 2,
         'CLOSE_TIME': 1, 'STORM_SIZES': (2, 4, 8), 'STORM_PANICS': 32}


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
    :param log: what LinuxLog takes besides the file, for a VM with a
                vmcoreinfo device; or None
    :param args: more arguments for QEMU
    :param options: more for TinyGuest
    """

    def __init__(self, binary, rom, panic, *args, stalled=False, log=None,
                 **options):
        self.vm = TinyGuest(rom, '-action', f'panic={panic}', '-S', *args,
                            binary=binary, **options)
        self._stalled = stalled
        self._log_options = log
        self.log = None
        self._exit = contextlib.AsyncExitStack()
        self.client = QMPClient()

    async def start(self):
        """Launch it, stopped."""
        folder = self.vm.temp_dir
        self.vm.add_args('-qmp', f'unix:{folder}/qmp')
        self.vm.set_qmp_monitor(False)
        if self._log_options:
            self.vm.add_args('-qtest', f'unix:{folder}/qtest,server=on,'
                             'wait=off', '-qtest-log', 'none')
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
        if self._log_options:
            self.log = LinuxLog(self.vm.ram, **self._log_options)
            qtest = QEMUQtestProtocol(f'{folder}/qtest')
            qtest.connect()
            self.log.hand_over(qtest.cmd)
            qtest.close()

    async def stop(self):
        """End it, and leave nothing behind."""
        await self._exit.aclose()

    def memory(self):
        """How much of the host's memory the process has, in KiB."""
        status = Path(f'/proc/{self.vm.get_pid()}/status').read_text()
        line, = (line for line in status.splitlines() if 'VmRSS' in line)
        return int(line.split()[1])

    async def query_status(self, seconds):
        """Ask for the status, again and again, once at least.

        :return: how long each answer takes, in milliseconds
        """
        now, answers = time.monotonic(), []
        end = now + seconds
        while not answers or now < end:
            await self.client.execute('query-status')
            last, now = now, time.monotonic()
            answers.append(1e3 * (now - last))
        return answers


def dumped(counts, part):
    """How many instructions a dump of callgrind's has."""
    text = Path(f'{counts}.{part}').read_text()
    return int(re.search('^totals: (.*)', text, re.M)[1])


async def instructions(binary, counts, cpu, log_device=None):
    """How many instructions all threads of a QEMU without a guest take.

    How often its loops turn depends on which thread comes first, and on when
    a command comes.  So there is one CPU, no thread takes it from another, and
    commands come to a QEMU that has nothing to do.

    :param counts: a file, in a folder that has no dumps of it yet
    :param cpu: which one
    :param log_device: None, or the pvpanic of a guest with a log, of which
                       only panics are counted then
    :return: those of a turn of what clients do all the time
    """
    policy = ['chrt', '-f', '1']
    if subprocess.run([*policy, 'true'], stderr=subprocess.DEVNULL).returncode:
        policy = ['chrt', '-b', '0']  # next best, where that is not permitted
    vm = QtestVM(
        '-nodefaults', '-m', '16', '-S', '-rtc', 'clock=vm', '-qtest-log',
        'none', '-action', 'panic=pause', '-device', log_device or 'pvpanic',
        binary=binary,
        wrapper=['taskset', '-c', str(cpu), *policy,
                 'setarch', '-R', 'valgrind', '-q', '--tool=callgrind',
                 '--fair-sched=yes', f'--callgrind-out-file={counts}'])
    vm.add_args('-qmp', f'unix:{vm.temp_dir}/qmp')
    vm.set_qmp_monitor(False)
    ram, log = Path(vm.temp_dir) / 'ram', None
    if log_device:
        size_bits, size = LOGS['128 KiB']
        vm.add_args('-device', 'vmcoreinfo', '-m', str(size >> 20),
                    '-object', f'memory-backend-file,id=ram,size={size},'
                    f'share=on,mem-path={ram}', '-machine',
                    'memory-backend=ram')
    client = QMPClient()
    await client.start_server(f'{vm.temp_dir}/qmp')
    result, part = {}, 0
    with vm, client.listener('STOP') as stops:
        vm.launch()
        await client.accept()
        if log_device:
            log = LinuxLog(ram, size, size_bits)
            log.hand_over(vm.qtest)
        # Panics last: of these, query-status has a record
        for turn, steps in {'query': ['query-status'],
                            'stop': ['cont', 'stop'],
                            'panic': ['cont', PANIC]}.items():
            if log and turn != 'panic':
                continue
            for turns in COUNT_TURNS:
                for number, step in enumerate(turns * steps, part << 20):
                    await asyncio.sleep(COUNT_PAUSE)
                    if step == PANIC:
                        if log:
                            log.renew(number)
                        vm.qtest(step)
                    else:
                        await client.execute(step)
                    if step in (PANIC, 'stop'):
                        await stops.get()
                await asyncio.sleep(COUNT_PAUSE)
                subprocess.run(['vgdb', f'--pid={vm.get_pid()}', 'dump'],
                               check=True, capture_output=True)
                part += 1
            result[turn] = dumped(counts, part) / turns
        await client.execute('quit')
        await disconnect(client)
        vm.wait()
    return result


async def count(folder, **devices):
    """The instructions of both binaries, at the same time.

    :param folder: gets what callgrind writes
    :param devices: by binary, instructions()'s log_device, if any
    :return: by binary, what instructions() returns
    """
    cpus = sorted(os.sched_getaffinity(0))
    jobs = []
    for number, (name, binary) in enumerate(QEMU.items()):
        for old in folder.glob(f'callgrind.{name}*'):
            old.unlink()
        jobs.append(asyncio.to_thread(asyncio.run, instructions(
            binary, folder / f'callgrind.{name}', cpus[number % len(cpus)],
            devices.get(name))))
    return dict(zip(QEMU, await asyncio.gather(*jobs)))


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


def turned(names, turn):
    """The names, in this order or the other: none is always the first one."""
    return sorted(names, reverse=turn % 2)


@contextlib.asynccontextmanager
async def pair(*args, **options):
    """A Guest of each binary, by its name."""
    async with contextlib.AsyncExitStack() as stack:
        yield {name: (await stack.enter_async_context(
            guests(1, binary, *args, **options)))[0]
            for name, binary in QEMU.items()}


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


async def cycles(rom, turns, *args, **options):
    """Two guests panic, are paused and continued, again and again, in turn.

    :param turns: how often
    :param args: more arguments for QEMU
    :param options: more for Guest
    :return: by binary, the median of cycle()
    """
    times = {name: [] for name in BINARIES}
    async with pair(rom, 'pause', *args, **options) as running:
        for turn in range(turns):
            for name in turned(BINARIES, turn):
                times[name].append(await cycle(running[name]))
    return {name: statistics.median(times[name]) for name in BINARIES}


async def messages(rom, accel, size_bits, memory):
    """Guests with a full log panic, are paused and continued, in turn.

    :param accel: what runs them
    :param size_bits: log_buf_len is two to the power of that
    :param memory: of a guest, in bytes
    :return: medians of cycle(), by binary, 'off' for a patched one that looks
             for no message, and 'vain' for one that finds none; and by KiB,
             the median of milliseconds that query-guest-log takes for these
    """
    devices = {'unpatched': 'pvpanic', 'patched': 'pvpanic',
               'off': 'pvpanic,message=off', 'vain': 'pvpanic'}
    async with contextlib.AsyncExitStack() as stack:
        running = {name: (await stack.enter_async_context(guests(
            1, QEMU.get(name, PATCHED), rom, 'pause', '-device', device,
            '-device', 'vmcoreinfo', device=False, accel=accel, memory=memory,
            log={'size': memory, 'size_bits': size_bits,
                 'panic': name != 'vain'})))[0]
            for name, device in devices.items()}
        times = {name: [] for name in running}
        for turn in range(LOG_TURNS):
            for name in turned(running, turn):
                running[name].log.renew(turn)
                times[name].append(await cycle(running[name]))
        for name, guest in running.items():
            status = await guest.client.execute('query-status')
            last = status.get('guest-panic', {}).get('last', {})
            if ('message' in last) != (name == 'patched'):
                raise ValueError(f'{name}: the last panic is {last}')
        result = {name: statistics.median(times[name]) for name in running}
        for size in LOG_GOALS:
            times = []
            for _ in range(LOG_QUERIES):
                start = time.monotonic()
                await running['patched'].client.execute(
                    'query-guest-log', {'max-size': size << 10})
                times.append(1e3 * (time.monotonic() - start))
            result[size] = statistics.median(times)
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


async def quiet(rom, accel):
    """Guests write zeroes to pvpanic, as fast as they can.

    It takes a few dozen nanoseconds, so two VMs run in turn, for a short time
    each: what else the machine does hits both.

    :param accel: what runs them
    :return: by binary, nanoseconds per write
    """
    times = {name: [] for name in BINARIES}
    async with pair(rom, 'none', value=0, accel=accel) as running:
        for turn in range(QUIET_TURNS):
            for name in turned(BINARIES, turn):
                client = running[name].client
                shared = running[name].vm.shared
                await client.execute('cont')
                before, start = shared.done, time.monotonic()
                writes = 0
                while not writes:
                    time.sleep(QUIET_TIME)
                    writes = shared.done - before
                times[name].append(1e9 * (time.monotonic() - start) / writes)
                await client.execute('stop')
    return {name: statistics.median(times[name]) for name in BINARIES}


def slope(points):
    """How much the second number grows with the first, by least squares."""
    return statistics.linear_regression(*zip(*points)).slope


async def flood(binary, rom, panic, *args, **options):
    """The guest reports as fast as it can, and is not stopped.

    One client asks for the status all the time, and another one does not read
    what it is sent.

    :param panic: what a panic does: see -action
    :param args: more arguments for QEMU
    :param options: more for Guest
    :return: nanoseconds per report; events per second; of the times that
             query-status takes, in milliseconds, the median, the 99th
             percentile and the longest; how often that median is what it is
             while the guest does nothing; what a second of flood adds: to
             QEMU's memory, in KiB, and to query-status, in milliseconds
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
            start, reports = time.monotonic(), shared.begun
            answers, took = [], []
            memory = [(0, guest.memory())]
            while memory[-1][0] < FLOOD_TIME:
                answer = await guest.query_status(0)
                seconds = time.monotonic() - start
                answers += answer
                took.append((seconds, answer[0]))
                memory.append((seconds, guest.memory()))
            reports = (shared.begun - reports) % (1 << 32)
    return {'report': 1e9 * seconds / reports,
            'events': events / seconds,
            'median': statistics.median(answers),
            'p99': sorted(answers)[-1 - len(answers) // 100],
            'longest': max(answers),
            'slower': statistics.median(answers) / statistics.median(idle),
            'memory': slope(memory),
            'longer': slope(took) if len(took) > 1 else took[0][1]}


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
        for name, binary in QEMU.items():
            running[name] = await stack.enter_async_context(
                guests(max(STORM_SIZES), binary, rom, 'pause', accel=accel))
            for guest in running[name]:
                with guest.client.listener('GUEST_PANICKED') as listener:
                    await guest.client.execute('cont')
                    await listener.get()
                panics[guest] = 1
        for size in STORM_SIZES:
            for turn in range(STORM_PANICS // size):
                for name in turned(BINARIES, turn):
                    times[size][name].append(
                        await storm(running[name][:size], panics))
        for guest, seen in panics.items():
            made = guest.vm.shared.begun
            if seen != made:
                raise ValueError(f'{made} panics, and {seen} events')
    return times


@contextlib.contextmanager
def progress(what):
    """Say what is measured, and how long it took."""
    start = time.monotonic()
    minutes, seconds = divmod(round(start - START), 60)
    print(f'{minutes:2}:{seconds:02} {what} ...', end='', flush=True)
    yield
    print(f' {time.monotonic() - start:.0f} s', flush=True)


async def in_turn(what, runs, accels, function):
    """Run a function, again and again, for each binary and accelerator.

    :param function: takes a binary and an accelerator
    :return: by accelerator and binary, what it returned
    """
    values = {accel: {name: [] for name in BINARIES} for accel in accels}
    with progress(what):
        for run in range(runs):
            for accel in turned(accels, run // 2):
                for name in turned(BINARIES, run):
                    values[accel][name].append(
                        await function(QEMU[name], accel))
    return values


async def pairs(what, runs, accels, function):
    """Run a function, again and again, for each accelerator.

    :param function: takes an accelerator, and returns values by binary
    :return: by accelerator and binary, those values
    """
    values = {accel: {name: [] for name in BINARIES} for accel in accels}
    with progress(what):
        for run in range(runs):
            for accel in turned(accels, run):
                for name, value in (await function(accel)).items():
                    values[accel][name].append(value)
    return values


def pick(values, key):
    """Of results by accelerator and binary, those with that key."""
    return {accel: {name: [run[key] for run in of[name]] for name in of}
            for accel, of in values.items()}


async def measure_count(results, folder):
    """Instructions."""
    values = await pairs('instructions, under callgrind', COUNT_RUNS, [None],
                         lambda _: count(folder))
    for key, what, goal in (('panic', 'cont, panic, STOP', 1.005),
                            ('stop', 'cont, stop', 1.001),
                            ('query', 'query-status', 1.001)):
        results.add(what, 'instructions', pick(values, key), goal)
    without = statistics.median(pick(values, 'panic')[None]['patched'])
    for what, device in (('message=off', 'pvpanic,message=off'),
                         ('with a message', 'pvpanic')):
        values = pick(await pairs(
            f'instructions, {what}', COUNT_RUNS, [None],
            lambda _, device=device: count(folder, unpatched='pvpanic',
                                           patched=device)), 'panic')
        results.add(f'cont, panic, STOP, {what}', 'instructions', values)
        if what == 'message=off':
            results.add_goal(
                None, 'cont, panic, STOP: instructions, a log and message=off '
                '/ no log', statistics.median(values[None]['patched']) /
                without, 1.001)


async def measure_log(results, folder):
    """What the guest's log costs."""
    rom = assemble(folder)
    for size, (size_bits, memory) in LOGS.items():
        values = {accel: [] for accel in results.accels}
        with progress(f'cont to the next event, a log of {size}'):
            for turn in range(LOG_ROUNDS):
                for accel in turned(results.accels, turn):
                    values[accel].append(await messages(rom, accel, size_bits,
                                                        memory))
        for what, name in (('with a message', 'patched'),
                           ('message=off', 'off')):
            results.add(
                f'cont to the next event, a log of {size}, {what}', 'µs',
                {accel: {'unpatched': [run['unpatched'] for run in of],
                         'patched': [run[name] for run in of]}
                 for accel, of in values.items()},
                1 if name == 'off' else None)
        for accel, of in values.items():
            for what, name in (
                    ('a message', 'patched'),
                    ('to look for one in vain', 'vain')):
                results.add_goal(
                    accel, f'a log of {size}: {what}, in µs',
                    statistics.median(run[name] - run['off'] for run in of),
                    MESSAGE_GOAL)
            for kib, goal in LOG_GOALS.items():
                if kib << 10 < 1 << size_bits:
                    results.add_goal(
                        accel, f'a log of {size}: query-guest-log of {kib} '
                        'KiB, in ms',
                        statistics.median(run[kib] for run in of), goal)


async def measure_latency(results, folder):
    """Times of a panic."""
    rom = assemble(folder)
    what = 'cont to the next event'
    results.add(what, 'µs', await pairs(
        what, CYCLE_PAIRS, results.accels,
        lambda accel: cycles(rom, CYCLE_TURNS, accel=accel)), 1)
    values = await in_turn(
        "guest's write to event to guest's next instruction", LATENCY_BLOCKS,
        results.accels, lambda binary, accel: latency(binary, rom, accel))
    for key, what in (
            ('write_to_event', "guest's write to event"),
            ('event_to_guest', "event, cont, guest's next instruction")):
        results.add(what, 'µs', pick(values, key))


async def measure_vcpus(results, folder):
    """Times of a panic, by the number of vCPUs."""
    rom = assemble(folder)

    async def by_number(accel):
        times = {number: await cycles(rom, VCPU_TURNS, '-smp', str(number),
                                      accel=accel, cpu='qemu64')
                 for number in VCPUS}
        return {name: [(number, times[number][name]) for number in VCPUS]
                for name in BINARIES}

    values = await pairs(
        f'cont to the next event, with {", ".join(map(str, VCPUS))} vCPUs',
        VCPU_PAIRS, results.accels, by_number)
    results.add_growth('cont to the next event', 'µs per vCPU', {
        accel: {name: list(map(slope, of[name])) for name in of}
        for accel, of in values.items()})
    for index, number in enumerate(VCPUS):
        results.add(
            f'cont to the next event, {number} vCPU{"s"[:number > 1]}', 'µs', {
                accel: {name: [run[index][1] for run in of[name]]
                        for name in of} for accel, of in values.items()})


async def measure_quiet(results, folder):
    """Times of no panic."""
    rom = assemble(folder)
    what = 'write that reports nothing'
    results.add(what, 'ns', await pairs(what, QUIET_PAIRS, results.accels,
                                        lambda accel: quiet(rom, accel)))


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


async def measure_flood(results, folder):
    """Guests that report as fast as they can."""
    tiny, resets = assemble(folder), assemble_more(folder, 'reset')
    disk = folder / 'dma.img'
    disk.write_bytes(bytes([1, 0]) * (1 << 19))

    def run_on(rom, *args, **options):
        return lambda binary, accel: flood(binary, rom, 'none', *args,
                                           stalled=True, accel=accel,
                                           **options)

    def reset_loop(binary, accel):
        """A panic does it, but unpatched, where there is no such action.

        RESET is an event that a guest can always cause: every client reads.
        """
        if binary == UNPATCHED:
            return flood(binary, resets, 'none', accel=accel, device=False)
        return flood(binary, tiny, 'reset', accel=accel)

    for what, report, function in (
            ('panic flood', 'report', run_on(tiny)),
            (f'panic flood of {FLOOD_VCPUS} vCPUs', 'report',
             run_on(assemble_more(folder, 'smp'), '-smp', str(FLOOD_VCPUS),
                    cpu='qemu64,+x2apic')),
            ('crash-loaded flood', 'report', run_on(tiny, value=2)),
            ('DMA flood', 'report', run_on(
                assemble_more(folder, 'dma'),
                '-device', 'pvpanic-pci,addr=5',
                '-drive', f'if=ide,format=raw,file={disk}', device=False)),
            ('reset loop', 'reset', reset_loop)):
        values = await in_turn(what, FLOOD_RUNS, results.accels, function)
        results.add(f'{what}: {report}', 'ns', pick(values, 'report'))
        if report == 'report':
            results.add(f'{what}: events', '/s', pick(values, 'events'))
        for key, name in (('median', 'median'), ('p99', '99th percentile'),
                          ('longest', 'longest')):
            results.add(f'{what}: query-status, {name}', 'ms',
                        pick(values, key))
        results.add_growth(f'{what}: memory', 'KiB per second',
                           pick(values, 'memory'))
        results.add_growth(f'{what}: query-status', 'ms per second',
                           pick(values, 'longer'))
        for accel in values:
            for key, name, goal in (
                    ('events', 'events a second', 2),
                    ('memory', 'growth of memory, in KiB/s', 0),
                    ('slower', 'query-status, flooded / idle', 2)):
                if key == 'slower' and 'vCPUs' in what:
                    continue  # more threads than cores make it slow
                results.add_goal(accel, f'{what}: {name}', statistics.median(
                    run[key] for run in values[accel]['patched']), goal)


async def measure_dump(results, folder):
    """Dumps whose file takes long to close."""
    rom = assemble(folder)
    what = 'dump closes its file: query-status, longest'
    values = await in_turn(what, CLOSE_RUNS, [None],
                           lambda binary, _: slow_close(binary, rom))
    results.add(what, 'ms', pick(values, 'longest'))


async def measure_storm(results, folder):
    """Many VMs."""
    rom = assemble(folder)
    rounds = {accel: [] for accel in results.accels}
    for number in range(STORM_ROUNDS):
        for accel in turned(results.accels, number):
            with progress(f'storms, {accel.upper()}, {number + 1} of '
                          f'{STORM_ROUNDS}'):
                rounds[accel].append(await storms(rom, accel))
    for size in STORM_SIZES:
        results.add(
            f'{size} VMs panic: until the last one runs again', 'ms',
            {accel: {name: sum((times[size][name] for times in of), [])
                     for name in BINARIES} for accel, of in rounds.items()})
    # A storm of each size, next to each other in their round, is a line
    fewest = STORM_PANICS // max(STORM_SIZES)
    results.add_growth(
        'storm: until the last one runs again', 'ms per VM',
        {accel: {name: [
            slope([(size, statistics.median(
                times[size][name][number * len(times[size][name]) // fewest:
                                  (number + 1) * len(times[size][name]) //
                                  fewest])) for size in STORM_SIZES])
            for times in of for number in range(fewest)] for name in BINARIES}
         for accel, of in rounds.items()})


PARTS = {'count': measure_count, 'latency': measure_latency,
         'vcpus': measure_vcpus, 'quiet': measure_quiet,
         'flood': measure_flood, 'log': measure_log, 'dump': measure_dump,
         'storm': measure_storm}


async def measure(folder, parts):
    """Run these parts.

    :return: Results
    """
    probe = subprocess.run(
        [KVM_PROBE, '--kvm'], stdout=subprocess.PIPE, text=True, check=False,
        env={**os.environ, 'QTEST_QEMU_BINARY': str(PATCHED)})
    results = Results(probe.stdout.strip(), probe.returncode == 0)
    print(results.kvm)
    for part in parts:
        await PARTS[part](results, folder)
    return results


def main():
    """Measure, and say so."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
    parser.add_argument('--only', action='append', choices=PARTS,
                        help='a part, and no other')
    parser.add_argument('--quick', action='store_true',
                        help='see that it runs; the numbers mean little')
    parser.add_argument('folder', type=Path)
    args = parser.parse_args()
    if not args.folder.is_dir():
        parser.error(f'FOLDER: there is no folder {args.folder}; make it, or '
                     'run: make bench')
    for file in *QEMU.values(), KVM_PROBE:
        if not file.exists():
            parser.error(f'{file} is missing; to build it, run: make bench')
    for tool in 'as', 'objcopy', 'valgrind', 'vgdb':
        if not shutil.which(tool):
            parser.error(f'{tool} is not installed; to install it, run: '
                         'make bench')
    if args.quick:
        globals().update(QUICK)
    write(asyncio.run(measure(args.folder, args.only or PARTS)), args.folder,
          COUNT_TURNS)


if __name__ == '__main__':
    main()
