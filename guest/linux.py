"""A Linux guest with a pvpanic device, for the demo and the tests."""

import contextlib
import queue
import re
import threading

from . import GUEST, TIMEOUT
from .vm import VM

# The time with which the kernel begins a line on the console
KERNEL = re.compile(r'\[ *\d+\.\d{6}\] ')


class Lines:
    """What somebody says, line by line.

    It is read all the time: who is not listened to is held up.

    :param who: the name that errors give them
    :param stream: the text file to read, which is closed at its end
    """

    def __init__(self, who, stream):
        self._who = who
        self._queue = queue.Queue()
        threading.Thread(target=self._read, args=(stream,),
                         daemon=True).start()

    def _read(self, stream):
        with contextlib.suppress(OSError), stream:  # they may just vanish
            for line in stream:
                self._queue.put(line.strip())
        self._queue.put(None)

    def next(self, wanted):
        """Wait for the next line.

        :param wanted: what the caller is waiting for, for the errors
        :return: the line, without space around it
        :raise TimeoutError: if they are silent for TIMEOUT seconds
        :raise EOFError: if they are gone
        """
        try:
            line = self._queue.get(timeout=TIMEOUT)
        except queue.Empty:
            raise TimeoutError(f'{self._who} did not say: {wanted}') from None
        if line is None:
            self._queue.put(None)
            raise EOFError(f'{self._who} ended before it said: {wanted}')
        return line


class Console:
    """What a guest says on its serial line, and what it is told there.

    :param channel: the socket at the host's end of the line
    """

    def __init__(self, channel):
        self._channel = channel
        self._lines = Lines('the guest', channel.makefile(errors='replace',
                                                          newline='\n'))

    def wait_for_line(self, text):
        """Read the console up to the first line with text in it.

        :param text: what to look for
        :return: the line, from text on, without what the kernel writes in
                 the middle of a line of the guest's shell
        :raise TimeoutError: if the guest is silent for TIMEOUT seconds
        :raise EOFError: if the VM is gone
        """
        while True:
            line = self._lines.next(text)
            if text in line:
                start = line.index(text)
                other = KERNEL.search(line, start + len(text) or 1)
                return line[start:other.start() if other else None]

    def wait_until_ready(self):
        """Wait until a guest that boots takes commands.

        :return: what it said of its pvpanic, or None
        """
        said = self.wait_for_line('guest: ')
        if said != 'guest: ready':
            self.wait_for_line('guest: ready')
            return said
        return None

    def type(self, command):
        """Let the guest's shell run a command."""
        self._channel.sendall(command.encode() + b'\n')

    def crash(self):
        """Let the guest panic."""
        self.type('echo c > /proc/sysrq-trigger')

    def hand_over_note(self):
        """Let the guest load the driver that tells QEMU of its VMCOREINFO.

        :raise ValueError: if it does not load
        """
        self.type('insmod /modules/qemu_fw_cfg.ko; echo "insmod: $?"')
        said = self.wait_for_line('insmod: ')
        if said != 'insmod: 0':
            raise ValueError(f'the driver of fw_cfg does not load: {said}')


def load_crash_kernel(console):
    """Let a guest that has initramfs-kdump be ready for kdump.

    :param console: its Console
    :raise ValueError: if kexec refuses to
    """
    console.type('kexec -p /crash/vmlinuz --initrd=/crash/initramfs'
                 ' --append="console=ttyS0 reset_devices"; echo "kexec: $?"')
    said = console.wait_for_line('kexec: ')
    if said != 'kexec: 0':
        raise ValueError(f'no crash kernel is loaded: {said}')


class LinuxGuest(VM, Console):
    """A VM that boots Linux: see guest/init for what runs in it.

    :param args: QEMU's arguments besides the kernel
    :param append: more for the kernel command line
    :param machine: the machine type
    :param memory: the size of its memory, in MiB
    :param kernel: the folder that scripts/setup/guest has made of it
    :param initramfs: one of those there
    :param options: more for VM
    """

    def __init__(self, *args, append='', machine='pc', memory=256,
                 kernel=GUEST, initramfs='initramfs', **options):
        super().__init__(*args, machine=machine, **options)
        self.set_console()
        self.add_args('-m', str(memory), '-nodefaults',
                      '-kernel', str(kernel / 'vmlinuz'),
                      '-initrd', str(kernel / initramfs),
                      '-append', f'console=ttyS0 {append}')

    def _post_launch(self):
        super()._post_launch()
        Console.__init__(self, self.console_socket)

    def boot(self):
        """Launch the VM, and wait until the guest's shell takes commands.

        :return: what the guest said of its pvpanic, or None
        """
        self.launch()
        return self.wait_until_ready()
