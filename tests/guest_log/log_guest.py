"""A Linux whose log QEMU and others read, in one form."""

from pathlib import Path
import re

from guest.linux import LinuxGuest
from tests.dumps.test_dump import kernel_log

EVERYTHING = 1 << 20  # bytes: the largest max-size
TIME = re.compile(r'\[ *\d+\.\d{6}\] ')
# Who has written a line: newer releases of makedumpfile add this to a record
CALLER = re.compile(r'\[ *[TC]\d+\] ')
PANIC = 'Kernel panic - not syncing'
# What the kernel writes to an early console without putting it into its log,
# besides all that comes from the code that unpacks it
NOT_LOGGED = re.compile(r'(Memory|Poking) KASLR using ')


def lines(log):
    """The lines of a log, each with one character for each byte."""
    *complete, rest = log.decode('latin-1').split('\n')
    assert not rest
    return complete


def without_time(line):
    """What the kernel itself wrote; the time is in front of each line."""
    return TIME.sub('', line, count=1)


def as_makedumpfile(line):
    """Most control characters are escaped, and other bytes as if signed."""
    return ''.join(c if ' ' <= c <= '~' or c in '\t\v\f\r' else
                   f'\\x{ord(c):02x}' if c < '\x80' else
                   f'\\xffffff{ord(c):02x}' for c in line)


class LogGuest(LinuxGuest):
    """A VM whose guest tells QEMU of its VMCOREINFO.

    Its kernel writes its log to the second serial line, too, as an early
    console, which gets all of it.  That line is a file: where a guest has to
    wait for a reader, it drops characters after 10 ms.

    :param args: QEMU's arguments besides LinuxGuest's and the devices
    :param device: what reports a panic
    :param append: more for the kernel command line
    :param options: more for LinuxGuest
    """

    def __init__(self, *args, device='pvpanic', append='', **options):
        super().__init__(
            '-device', device, '-device', 'vmcoreinfo', *args,
            append=f'ignore_loglevel earlyprintk=ttyS1,keep {append}',
            **options)
        self._serial = Path(self.temp_dir) / 'serial'
        self.add_args('-serial', f'file:{self._serial}')
        self._has_times = 'printk.time=0' not in append

    def boot_with_log(self):
        """Boot, until the log can be read."""
        self.boot()
        self.hand_over_note()

    def log(self):
        """All lines that query-guest-log gives."""
        return lines(self.guest_log(max_size=EVERYTHING)['log'])

    def serial(self):
        """The lines that the kernel wrote to its serial line."""
        text = self._serial.read_bytes().decode('latin-1')
        said = text[text.index('Linux version '):].split('\n')
        said[0] = f'[    0.000000] {said[0]}'
        return [line.removesuffix('\r') for line in said[:-1]
                if not NOT_LOGGED.match(line)]

    def dumped(self, folder):
        """The lines that makedumpfile finds in a dump of the memory now."""
        path = folder / 'dump'
        self.cmd('dump-guest-memory', paging=False, protocol=f'file:{path}',
                 format='kdump-raw-zlib')
        found, time, indent = [], '', 0
        for line in kernel_log(path, 'kdump-raw-zlib').split('\n')[:-1]:
            match = TIME.match(line)
            if match:
                time = match.group()
                caller = CALLER.match(line, match.end())
                indent = (caller or match).end()
            else:
                # Another line of the same record, which is indented
                assert line.startswith(' ' * indent) or not line
            found.append(time + line[indent:])
        path.unlink()
        return found

    def expect_dumped(self, folder):
        """Compare the log of a VM that does not run with a dump's.

        :param folder: for the dump
        :return: its lines
        """
        log = self.log()
        assert [as_makedumpfile(line) for line in log] == self.dumped(folder)
        return log

    def expect_log(self, folder):
        """Compare it with what the kernel has written to the line, too."""
        log = self.expect_dumped(folder)
        serial = self.serial()[-len(log):]
        if self._has_times:
            assert log == serial
        else:
            # Without times, once the kernel has read its command line
            assert [*map(without_time, log)] == [*map(without_time, serial)]
        return log

    def panic(self):
        """Let the guest panic.

        :return: the message in the event, if there is one
        """
        self.crash()
        return self.wait_for_panic()

    def wait_for_panic(self):
        """Wait until a panic has stopped the VM.

        :return: the message in the event, if there is one
        """
        event = self.wait_for_event('GUEST_PANICKED')
        self.wait_for_event('STOP')
        return event['data'].get('message')

    def last_panic(self):
        """What a message should be: the last panic's line in the log."""
        return [without_time(line) for line in self.log()
                if without_time(line).startswith(PANIC)][-1]
