"""Hostile input from the host's side: command lines and QMP commands.

Each works, or is answered with one clear error: one line and exit status 1, or
one QMP error from a QEMU that lives on.  What devices, properties, actions and
machine types there are to try, QEMU is asked.
"""

import json
import re
import subprocess
import tempfile

from guest import PATCHED, TIMEOUT

# An argument on a Linux command line has less than 128 KiB
LONG = 'x' * 0x10000
# QEMU's monitor reads byte by byte: a string of 1 MiB takes it 4 s
VERY_LONG = 'x' * 0x40000
DEEP = '[' * 500 + ']' * 500
TOO_DEEP = '[' * 5000 + ']' * 5000


class Run:
    """One QEMU without a guest, which runs QMP commands and quits.

    :param args: its command line, in pairs
    :param commands: JSON texts, one for each command
    :raise AssertionError: if it ends otherwise than with exit status 0, or 1
        and one line; says more than a line; or does not answer each command
    """

    def __init__(self, *args, commands=()):
        self._args = args
        commands = ['{"execute": "qmp_capabilities"}', *commands,
                    '{"execute": "quit"}']
        # A file takes all replies at once; QEMU quits with a pipe still full
        with tempfile.TemporaryFile('w+', encoding='utf-8') as stdout:
            qemu = subprocess.run(
                [PATCHED, '-display', 'none', '-nodefaults', '-m', '32',
                 '-accel', 'qtest', '-qmp', 'stdio', *args],
                input='\n'.join(commands), text=True, stdout=stdout,
                stderr=subprocess.PIPE, timeout=TIMEOUT, check=False)
            stdout.seek(0)
            answers = stdout.read()
        self._lines = qemu.stderr.splitlines()
        self._started = qemu.returncode == 0
        said = f'{self}: {qemu.returncode}: {qemu.stderr[-1000:]}'
        if self._started:
            replies = [json.loads(line) for line in answers.splitlines()]
            replies = [reply for reply in replies
                       if 'return' in reply or 'error' in reply]
            assert len(replies) == len(commands), said
            self._replies = replies[1:-1]
        else:
            assert qemu.returncode == 1, said
            assert len(self._lines) == 1, said

    def __str__(self):
        return ' '.join(self._args)[:200]

    def assert_refused(self, reason):
        """QEMU does not start, and what it says matches the reason.

        The option that it repeats in front of that does not count.
        """
        assert not self._started, f'{self}: starts'
        line = self._lines[0].removeprefix(f'{PATCHED.name}: ')
        for option in zip(self._args[::2], self._args[1::2]):
            line = line.removeprefix(f'{option[0]} {option[1]}: ')
        assert re.search(reason, line), f'{self}: {line[-1000:]}'

    def assert_started(self, *warnings):
        """QEMU starts, and says no more than these."""
        assert self._started, f'{self}: {self._lines}'
        assert self._lines == [f'{PATCHED.name}: warning: {warning}'
                               for warning in warnings]

    def replies(self):
        """What the commands were answered, by a QEMU that started."""
        self.assert_started()
        return self._replies


def execute(*commands, args=('-machine', 'none')):
    """What commands return that all succeed."""
    return [reply['return'] for reply in Run(*args, commands=commands
                                             ).replies()]


def command(name, **arguments):
    return json.dumps({'execute': name, 'arguments': arguments})


def members(pairs):
    """A JSON text of members that are JSON texts."""
    return '{%s}' % ', '.join(f'"{name}": {text}' for name, text in pairs)


def assert_errors(replies, reasons):
    """Each command failed, and each error matches its reason."""
    for reply, reason in zip(replies, reasons, strict=True):
        assert 'error' in reply, f'{reason}: {reply}'
        line = reply['error']['desc']
        assert re.search(reason, line), f'{reason}: {line[-1000:]}'
