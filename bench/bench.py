#!/usr/bin/python3
"""The patched QEMU against the unpatched one, in one run and interleaved.

usage: bench.py FOLDER

FOLDER gets bench.md, a page with a table that scripts/pictures.py draws.
Every value is measured here and now.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import os
from pathlib import Path
import platform
import socket
import statistics
import sys
import time

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / 'guest'))
from linux import PATCHED, UNPATCHED  # noqa: E402
from qemu.qmp import QMPClient  # noqa: E402
from tiny import TinyGuest, assemble, share  # noqa: E402

BINARIES = {'unpatched': UNPATCHED, 'patched': PATCHED}

LATENCY_BLOCKS = 31  # per binary
LATENCY_PANICS = 300  # per block
QUIET_PAIRS = 9      # of VMs
QUIET_TURNS = 30     # per VM
QUIET_TIME = .05     # seconds
FLOOD_RUNS = 7       # per binary
FLOOD_TIME = 2       # seconds
STORM_SIZES = 16, 64, 128
STORM_PANICS = 7680  # per binary and size, over all rounds


class Guest:
    """A TinyGuest with an asynchronous client.

    :param binary: the QEMU
    :param rom: the guest, assembled
    :param value: what the guest writes to pvpanic
    :param panic: what a panic does: see -action
    :param stalled: have a second monitor, which nobody reads
    """

    def __init__(self, binary, rom, value, panic, stalled=False):
        self.vm = TinyGuest(rom, '-action', f'panic={panic}', '-S',
                            binary=binary, value=value)
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
        self._exit.push_async_callback(self._disconnect)

    async def _disconnect(self):
        with contextlib.suppress(EOFError, OSError):
            await self.client.disconnect()

    async def stop(self):
        """End it, and leave nothing behind."""
        await self._exit.aclose()

    def memory(self):
        """How much of the host's memory the process has, in KiB."""
        status = Path(f'/proc/{self.vm.get_pid()}/status').read_text()
        line, = (line for line in status.splitlines() if 'VmRSS' in line)
        return int(line.split()[1])


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


async def latency(binary, rom):
    """The guest panics, is paused and continued, again and again.

    :return: two medians in microseconds: from the guest's write to the event,
             and from the event by cont to the guest's next instruction
    """
    events = []
    pipe, other = multiprocessing.Pipe()
    async with guests(1, binary, rom, 1, 'pause') as (guest,):
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
        async with contextlib.AsyncExitStack() as stack:
            pair = {name: (await stack.enter_async_context(
                guests(1, binary, rom, 0, 'none')))[0]
                    for name, binary in BINARIES.items()}
            for turn in range(QUIET_TURNS):
                for name in sorted(BINARIES, reverse=turn % 2):
                    client, shared = pair[name].client, pair[name].vm.shared
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


async def flood(binary, rom, value):
    """The guest reports as fast as it can, and is not stopped.

    One client asks for the status all the time, and another one does not read
    what it is sent.

    :return: nanoseconds per write; the median and the longest time that
             query-status takes, in milliseconds; by how much QEMU's memory
             grows, in KiB per second
    """
    async with guests(1, binary, rom, value, 'none',
                      stalled=True) as (guest,):
        await guest.client.execute('cont')
        shared = guest.vm.shared
        memory, writes, start = guest.memory(), shared.done, time.monotonic()
        now, answers = start, []
        while now < start + FLOOD_TIME:
            await guest.client.execute('query-status')
            last, now = now, time.monotonic()
            answers.append(now - last)
        writes = shared.done - writes
        memory = guest.memory() - memory
        return {'write': 1e9 * (now - start) / writes,
                'answer': 1e3 * statistics.median(answers),
                'longest': 1e3 * max(answers),
                'memory': memory / (now - start)}


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


async def storms(rom):
    """Storms of all sizes.

    :return: by size and binary, milliseconds of each
    :raise ValueError: if a panic was lost
    """
    times = {size: {name: [] for name in BINARIES} for size in STORM_SIZES}
    async with contextlib.AsyncExitStack() as stack:
        running, panics = {}, {}
        for name, binary in BINARIES.items():
            running[name] = await stack.enter_async_context(
                guests(max(STORM_SIZES), binary, rom, 1, 'pause'))
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

    def add(self, what, unit, values):
        """Add a row; values are in the order in which they were taken."""
        self.rows.append((what, unit, values))

    def ratios(self):
        """Yield (what, unit, medians, quartiles of the ratios).

        A ratio is one of a patched value to the unpatched value that was
        taken next to it.  What is too small to be measured counts as a
        hundredth of the unit.
        """
        for what, unit, values in self.rows:
            pairs = zip(values['patched'], values['unpatched'])
            yield (what, unit,
                   {name: statistics.median(values[name])
                    for name in BINARIES},
                   statistics.quantiles(max(new, .01) / max(old, .01)
                                        for new, old in pairs))


async def repeat(results, runs, function, args, rows):
    """Run a function for each binary in turn, and add rows of its results.

    :param rows: (key of the function's result, what, unit)
    """
    values = {key: {name: [] for name in BINARIES} for key, _, _ in rows}
    start = time.monotonic()
    print(f'{rows[0][1]} ...', end='', flush=True)
    for run in range(runs):
        # Neither is always the first one
        for name in sorted(BINARIES, reverse=run % 2):
            result = await function(BINARIES[name], *args)
            for key in values:
                values[key][name].append(result[key])
    for key, what, unit in rows:
        results.add(what, unit, values[key])
    print(f' {time.monotonic() - start:.0f} s')


async def measure(rom):
    """Run everything.

    :return: Results
    """
    results = Results()
    await repeat(results, LATENCY_BLOCKS, latency, (rom,), [
        ('write_to_event', "guest's write to event", 'µs'),
        ('event_to_guest', "event, cont, guest's next instruction", 'µs')])
    start = time.monotonic()
    print('write that reports nothing ...', end='', flush=True)
    results.add('write that reports nothing', 'ns', await quiet(rom))
    print(f' {time.monotonic() - start:.0f} s')
    for value, event in (1, 'panic'), (2, 'crash-loaded'):
        await repeat(results, FLOOD_RUNS, flood, (rom, value), [
            ('write', f'{event}, guest runs on: write', 'ns'),
            ('answer', f'{event} flood: query-status, median', 'ms'),
            ('longest', f'{event} flood: query-status, longest', 'ms'),
            ('memory', f'{event} flood: growth of memory', 'KiB/s')])
    start = time.monotonic()
    print('storms ...', end='', flush=True)
    for size, times in (await storms(rom)).items():
        results.add(f'{size} VMs panic: until the last one runs again', 'ms',
                    times)
    print(f' {time.monotonic() - start:.0f} s')
    return results


def machine():
    """This machine, in general terms."""
    return (f'{os.cpu_count()} cores, {platform.machine()}, '
            f'{platform.system()} {platform.release().split("-")[0]}, '
            f'Python {platform.python_version()}, TCG')


PAGE = '''# Patched against unpatched

`make bench` wrote this page: every number was measured in one run, patched
and unpatched in turn. A ratio is that of two runs next to each other, and
below 1 where the patched QEMU is faster or takes less. The table has the
median ratio and the quartiles, between which half of the ratios are. Where
memory does not grow at all, 0.01 KiB/s stands for it in the ratio.

Measured on: {machine}.

![The ratios of the table below, on a scale from 0.000001 to 1](bench.svg)

{table}

The guest is a loop of five instructions ([tiny.S](../guest/tiny.S)). The
client is QEMU's own Python package, so what it takes is part of the times.
"Guest runs on" is `-action panic=none`. In a flood, a second client does not
read what it is sent. In the last rows, all VMs are continued and panic at
once, and one client sees each event and continues that VM; no panic may be
missed.
'''


def write(results, folder):
    """Write the page with the table."""
    table = ['| | unpatched | patched | ratio | quartiles |',
             '|---|--:|--:|--:|--:|']
    for what, unit, medians, (low, ratio, high) in results.ratios():
        old, new = (f'{value:,.0f}' if value >= 100 else f'{value:.3g}'
                    for value in medians.values())
        table.append(f'| {what} | {old} {unit} | {new} {unit} |'
                     f' {ratio:.3g} | {low:.3g} to {high:.3g} |')
    (folder / 'bench.md').write_text(
        PAGE.format(machine=machine(), table='\n'.join(table)))
    print('', *table, sep='\n')


def main():
    """Measure, and say so."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
    parser.add_argument('folder', type=Path)
    args = parser.parse_args()
    write(asyncio.run(measure(assemble(args.folder))), args.folder)


if __name__ == '__main__':
    main()
