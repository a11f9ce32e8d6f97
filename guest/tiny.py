"""A guest of a few instructions, where many VMs or many panics are wanted."""

import ctypes
import mmap
from pathlib import Path
import subprocess

from .vm import VM

SOURCE = Path(__file__).parent / 'tiny.S'
ADDRESS = 0x6000
MEMORY = 2 << 20  # bytes
FOREVER = 2**32 - 1


class Shared(ctypes.LittleEndianStructure):
    """What a guest has in its memory, for as long as its VM lives.

    A reset does not change it.
    """

    _fields_ = [('value', ctypes.c_uint32),   # what it writes to pvpanic
                ('begun', ctypes.c_uint32),   # writes
                ('done', ctypes.c_uint32),    # writes after which it ran on
                ('limit', ctypes.c_uint32),   # it writes until begun is this
                ('idle', ctypes.c_uint32)]    # begun, when it last waited


def share(path):
    """Map the memory of a guest.

    :param path: TinyGuest.ram
    :return: its Shared
    """
    with open(path, 'rb+') as ram:
        return Shared.from_buffer(mmap.mmap(ram.fileno(), MEMORY), ADDRESS)


def assemble(folder):
    """Make the firmware that a TinyGuest runs.

    :param folder: where to
    :return: its path
    """
    code, rom = folder / 'tiny.o', folder / 'tiny.bin'
    subprocess.run(['as', '--32', '-o', code, SOURCE], check=True)
    subprocess.run(['objcopy', '-O', 'binary', code, rom], check=True)
    return rom


class TinyGuest(VM):
    """A VM with a pvpanic and the guest.

    :param rom: what assemble() made
    :param args: more arguments for QEMU
    :param value: what the guest writes to pvpanic
    :param limit: how often; it may be raised while the guest runs
    :param device: whether to add the pvpanic
    :param memory: the size of its memory, in bytes
    :param cpu: the CPU model; without an APIC, the interrupts of the guest's
                timer need no more set-up
    :param options: more for VM
    """

    def __init__(self, rom, *args, value=1, limit=FOREVER, device=True,
                 memory=MEMORY, cpu='qemu64,-apic', **options):
        super().__init__(*args, base_temp_dir='/dev/shm', **options)
        self.add_args('-cpu', cpu, '-nodefaults', '-bios', str(rom),
                      '-m', f'{memory >> 20}')
        if device:
            self.add_args('-device', 'pvpanic')
        self._memory = memory
        self._value = value
        self._limit = limit
        self.ram = None
        self.shared = None

    def _pre_launch(self):
        self.ram = f'{self.temp_dir}/ram'
        with open(self.ram, 'wb') as ram:
            ram.truncate(self._memory)  # sparse, as there can be many
        self.shared = share(self.ram)
        self.shared.value = self._value
        self.shared.limit = self._limit
        self.shared.idle = FOREVER
        self.add_args('-object', 'memory-backend-file,id=ram,'
                      f'size={self._memory},'
                      f'share=on,mem-path={self.ram}',
                      '-machine', 'memory-backend=ram')
        super()._pre_launch()
