"""Many VMs panic at once, and one manager is killed again and again.

From the environment: STORM_SEED, to repeat a storm; STORM_VMS and STORM_WAVES,
for a larger one.  What is random are the number of panics in a wave and the
moments at which the manager is killed, both counted in what has happened so
far, and not in time.
"""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time

from guest import PATCHED, ROOT, TIMEOUT, UNPATCHED
from guest.linux import Lines
from guest.tiny import TinyGuest

import pytest


def setting(name, default):
    """A number from the environment."""
    value = os.environ.get(name, str(default))
    if not value.isdecimal() or value == '0':
        raise pytest.UsageError(f'{name}={value} is no number from 1 on; '
                                f'leave it out for {default}')
    return int(value)


SEED = setting('STORM_SEED', 1)
VMS = setting('STORM_VMS', 8)
WAVES = setting('STORM_WAVES', 3)


class Manager:
    """A panic_manager in a process of its own: use it as a context manager.

    :param state: its file
    :param vms: their sockets
    """

    def __init__(self, state, vms):
        self._process = subprocess.Popen(
            [sys.executable, '-m', 'tests.record.panic_manager', state, *vms],
            cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._lines = Lines('the manager', self._process.stdout)

    def look(self, vms):
        """Let it look at so many VMs."""
        for _ in range(vms):
            self._lines.next('that it has looked at a VM')

    def kill(self):
        """Kill it, with SIGKILL, whatever it is doing."""
        self._process.kill()
        assert self._process.wait() == -signal.SIGKILL

    def end(self):
        """Let it look at all VMs once more, and end."""
        self._process.stdin.close()
        assert self._process.wait(TIMEOUT) == 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()


def launch(guest):
    """Launch a guest.

    :return: its QMP socket
    """
    path = f'{guest.temp_dir}/qmp'
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        listener.set_inheritable(True)
        guest.set_qmp_monitor(False)
        guest.add_args('-chardev', 'socket,id=qmp,server=on,wait=off,'
                       f'fd={listener.fileno()}', '-mon',
                       'chardev=qmp,mode=control')
        guest.launch()
    return path


def wait_until(reached, made):
    """Wait for what the guests do.

    :param reached: the function that tells whether they have done it
    :param made: the function that tells how often each has panicked
    :raise TimeoutError: if nobody panics for TIMEOUT seconds
    """
    seen, last = None, time.monotonic()
    while not reached():
        if seen != made():
            seen, last = made(), time.monotonic()
        if time.monotonic() > last + TIMEOUT:
            raise TimeoutError(f'after these panics nothing happens: {seen}')
        time.sleep(.001)


def storm(rom, folder, action, most, binary=PATCHED):
    """Let waves of panics come, and kill the manager in each, and after it.

    The first one comes while there is no manager.

    :param rom: the guest, assembled
    :param folder: for files
    :param action: what a panic does
    :param most: how many panics of each VM a wave can have
    :param binary: the QEMU to run
    :return: two lists, with a number for each VM: the panics that its guest
             counted, and those that the manager knows of
    """
    chance = random.Random(SEED)
    state = folder / 'state'
    state.write_text('{}')
    guests = [TinyGuest(rom, '-action', f'panic={action}', binary=binary,
                        limit=0) for _ in range(VMS)]
    vms = []

    def made():
        return [guest.shared.begun for guest in guests]

    def all_idle():
        return all(guest.shared.idle == guest.shared.limit
                   for guest in guests)

    def panic():
        """Begin a wave, and return how many panics it will have."""
        wave = chance.randint(1, most)
        for guest in guests:
            guest.shared.limit += wave
        return wave * len(guests)

    with contextlib.ExitStack() as stack:
        def manage():
            return stack.enter_context(Manager(state, vms))
        for guest in guests:
            stack.callback(guest.kill)
            vms.append(launch(guest))
        wait_until(all_idle, made)
        start = time.monotonic()
        wave = panic()
        wait_until(lambda: all(made()), made)
        print(f'STORM_SEED={SEED}: all {VMS} VMs had panicked after '
              f'{time.monotonic() - start:.2f} s; {wave} panics without a '
              'manager')
        for _ in range(WAVES):
            manager = manage()
            looks = chance.randrange(VMS)
            manager.look(looks)
            manager.kill()
            manager = manage()
            manager.look(VMS)
            wait_until(all_idle, made)
            before = sum(made())
            wave = panic()
            moment = chance.randint(1, wave)
            wait_until(lambda: sum(made()) >= before + moment, made)
            manager.kill()
            print(f'killed after {looks} looks, and after {moment} of {wave} '
                  'panics')
        manager = manage()
        wait_until(all_idle, made)
        manager.look(VMS)
        manager.end()
        known = json.loads(state.read_text())
        return made(), [known.get(vm, 0) for vm in vms]


@pytest.mark.parametrize('action, most', [
    ('pause', 10), ('none', 50000), ('reset', 10)])
def test_no_panic_is_lost(rom, tmp_path, action, most):
    made, known = storm(rom, tmp_path, action, most)
    assert known == made


def test_without_the_series_panics_are_lost(rom, tmp_path):
    """A manager has nothing but events, and those that it did not hear."""
    made, known = storm(rom, tmp_path, 'none', 200, UNPATCHED)
    assert all(few < many for few, many in zip(known, made))
