"""What make bench found out, as a page."""

import os
import platform
import statistics

BINARIES = 'unpatched', 'patched'


def quartiles(values):
    """The quartiles, which are among the values or between two of them."""
    return statistics.quantiles(values, method='inclusive')


def ratio(values):
    """The quartiles of the ratios of patched values to unpatched ones.

    Each to the one that was taken next to it.  What is too small to be
    measured counts as a hundredth of the unit.
    """
    return quartiles([
        max(new, .01) / max(old, .01)
        for new, old in zip(values['patched'], values['unpatched'])])


def under(accel, what):
    """A goal's name: TCG is what is not said."""
    return what if accel in (None, 'tcg') else f'{accel.upper()}: {what}'


class Results:
    """What was measured.

    Values are by accelerator and binary, in the order in which they were
    taken; the accelerator is None where it makes no difference.

    :param kvm: one line about KVM
    :param kvm_works: whether it runs tiny guests
    """

    def __init__(self, kvm, kvm_works):
        self.kvm = kvm
        self.kvm_works = kvm_works
        self.accels = ['tcg', 'kvm'] if kvm_works else ['tcg']
        self.rows = []
        self.growth = []
        self.goals = []

    def add(self, what, unit, values, goal=None):
        """Add a row.

        :param goal: what the ratio should be, at most
        """
        self.rows.append((what, unit, values))
        if goal:
            for accel in values:
                self.add_goal(accel, f'{what}: patched / unpatched',
                              ratio(values[accel])[1], goal)

    def add_growth(self, what, unit, values):
        """Add a row of slopes."""
        self.growth.append((what, unit, values))

    def add_goal(self, accel, what, value, goal):
        """Add what should be a goal, at most."""
        self.goals.append((under(accel, what), value, goal))

    def cells(self, values, form, width=1):
        """The cells of a row, TCG's and KVM's.

        :param form: makes a list of as many cells as width of the values of
                     an accelerator
        """
        for accel in 'tcg', 'kvm':
            if accel == 'tcg' and None in values:
                yield from form(values[None])
            elif accel in values:
                yield from form(values[accel])
            elif accel == 'kvm' and not self.kvm_works and None not in values:
                yield from [self.kvm] * width
            else:
                yield from ['–'] * width


PAGE = '''# Patched against unpatched

`make bench` wrote this page. It runs the patched and the unpatched QEMU in
turn, and TCG and KVM in turn, and measures every number anew.

Measured on: {machine}.

## Ratios

Patched divided by unpatched: below 1, the patched QEMU is faster or takes
less. A cell has the median, and in brackets the quartiles: half of the ratios
are between them. Each ratio is that of two measurements next to each other.

![The ratios of the table below, on a scale from 0.000001 to 1](bench.svg)

{ratios}

Instructions are counted without a guest, so KVM has none. What a dump closes
does not depend on the accelerator.

## How cost grows

Slopes: what one more second of flood, one more vCPU or one more VM adds. The
number is the median, with the quartiles in brackets. A slope around 0 means
that the cost does not grow.

{growth}

## Goals

Medians of this run. For floods and the reset loop, the value is the patched
QEMU's. "flooded / idle" compares `query-status` in a flood with `query-status`
while the same guest does nothing.

{goals}

## Measured values

Medians.

{values}

## What was measured

- **Instructions** are those of all threads of QEMU, counted by valgrind's
  callgrind. QEMU takes {turns[0]} turns that are not counted, and {turns[1]}
  that are. The count does not depend on what else the machine does; times do.
- **The guest** is a loop of five instructions ([tiny.S](../guest/tiny.S)).
- **The client** is QEMU's own Python package. Its time is part of each time.
- **A VM with more than one vCPU** panics in the first; the others wait.
- **A flood** is a guest that reports in a loop under `-action panic=none`. One
  client asks for `query-status` all the time. A second client does not read
  what it is sent. In a flood of several vCPUs, each one reports
  ([smp.S](../bench/smp.S)). In a DMA flood, an IDE disk reads into the BAR of
  a pvpanic-pci ([dma.S](../bench/dma.S)).
- **A reset loop** is a guest that panics again after each reset, under
  `-action panic=reset`. The unpatched QEMU has no such action; its guest
  resets itself ([reset.S](../bench/reset.S)).
- **A log** is a full ring buffer that the host writes into the guest's memory
  ([linux_log.py](../bench/linux_log.py)): lines of 56 bytes, in pages of
  4 KiB. The panic is 40 lines before the end, and a new one each time. With
  `message=off`, QEMU looks for none; "in vain" is a log without one. The
  time of a message is what it adds to the same panic with `message=off`;
  below 0, it is lost in the noise. The unpatched QEMU has the same guest,
  and reads nothing.
- **The dump** runs in the background. Its socket takes 2 s to close.
- **A storm**: all VMs are continued and panic at once, and one client
  continues each VM as its event comes. The run fails if an event is missing.
- In a ratio, 0.01 stands for what is smaller than a hundredth of its unit.
'''


def machine(results):
    """This machine, in general terms."""
    return (f'{os.cpu_count()} cores, {platform.machine()}, '
            f'{platform.system()} {platform.release().split("-")[0]}, '
            f'Python {platform.python_version()}, TCG. {results.kvm}')


def digits(value):
    """A ratio, with as many digits as tell something."""
    return f'{value:.4f}' if .9 < value < 1.1 else f'{value:.3g}'


def number(value):
    """A value, with as many digits as tell something."""
    if abs(value) < .01:
        return '0'
    return f'{value:,.0f}' if abs(value) >= 100 else f'{value:.3g}'


def spread(values, form):
    """The quartiles, in one cell."""
    low, middle, high = map(form, values)
    return f'{middle} ({low} to {high})'


def table(header, rows):
    """Make a table, with all columns but the first one to the right."""
    return '\n'.join(f'| {" | ".join(row)} |' for row in [
        header, ['---', *['--:'] * (len(header) - 1)], *rows]
    ).replace('|  |', '| |')


BOTH = ['', 'TCG: unpatched', 'patched', 'KVM: unpatched', 'patched']


def ratios(results):
    """The table of ratios."""
    return table(['', 'TCG', 'KVM'], (
        [what, *results.cells(
            values, lambda of: [spread(ratio(of), digits)])]
        for what, _, values in results.rows))


def growth(results):
    """The table of slopes."""
    return table(BOTH, (
        [f'{what}, {unit}', *results.cells(
            values, lambda of: [spread(quartiles(of[name]), number)
                                for name in BINARIES], 2)]
        for what, unit, values in results.growth))


def medians(results):
    """The table of values."""
    return table(BOTH, (
        [f'{what}, {unit}', *results.cells(
            values, lambda of: [number(statistics.median(of[name]))
                                for name in BINARIES], 2)]
        for what, unit, values in results.rows))


def goals(results):
    """The list of goals."""
    return '\n'.join(
        f'- {what}: {digits(value)}; the goal is {goal} at most: '
        f'{"reached" if value <= goal else "missed"}'
        for what, value, goal in results.goals)


def write(results, folder, turns):
    """Write the page, and print its tables.

    :param turns: of what instructions are counted for
    """
    parts = {'ratios': ratios(results), 'growth': growth(results),
             'goals': goals(results), 'values': medians(results)}
    (folder / 'bench.md').write_text(
        PAGE.format(machine=machine(results), turns=turns, **parts))
    print('', *parts.values(), sep='\n\n')
