"""The log of a Linux that is not there: what QEMU reads, in a guest's memory.

The guest is any other one.  Its host writes a VMCOREINFO note, page tables and
a full ring buffer into its memory, and hands over the note as a guest does.
"""

import mmap
import struct

KERNEL = 0xffffffff80000000  # what is at 0 in the guest's memory, is there
PAGE = 4096
TABLES = 2 << 20   # where this begins, beyond the guest's own
BLOCK = 64         # bytes in the ring of text: an ID, and a line
LINE = BLOCK - 8
DESC, INFO = 24, 88
FIRST = 5000       # sequence number of the oldest record
PANIC = b'Kernel panic - not syncing: '
LINES_AFTER = 40   # the panic
# Linux 6.1's
NOTE = '''OSRELEASE=6.1.0-bench
SYMBOL(init_top_pgt)={tables:x}
NUMBER(phys_base)=0
NUMBER(pgtable_l5_enabled)=0
NUMBER(sme_mask)=0
SYMBOL(prb)={prb:x}
OFFSET(printk_ringbuffer.desc_ring)=0
OFFSET(printk_ringbuffer.text_data_ring)=48
SIZE(prb_desc_ring)=48
OFFSET(prb_desc_ring.count_bits)=0
OFFSET(prb_desc_ring.descs)=8
OFFSET(prb_desc_ring.infos)=16
OFFSET(prb_desc_ring.head_id)=24
OFFSET(prb_desc_ring.tail_id)=32
SIZE(prb_desc)=24
OFFSET(prb_desc.state_var)=0
OFFSET(prb_desc.text_blk_lpos)=8
SIZE(prb_data_blk_lpos)=16
OFFSET(prb_data_blk_lpos.begin)=0
OFFSET(prb_data_blk_lpos.next)=8
SIZE(printk_info)=88
OFFSET(printk_info.seq)=0
OFFSET(printk_info.ts_nsec)=8
OFFSET(printk_info.text_len)=16
SIZE(prb_data_ring)=32
OFFSET(prb_data_ring.size_bits)=0
OFFSET(prb_data_ring.data)=8
OFFSET(prb_data_ring.head_lpos)=16
OFFSET(prb_data_ring.tail_lpos)=24
'''
# fw_cfg's ports and commands
SELECT, DATA, DMA = 0x510, 0x511, 0x514
DIRECTORY = 0x19
WRITE_FILE = 1 << 4 | 1 << 3  # with a selected item
FORMAT_ELF = 1


class LinuxLog:
    """A log in a guest's memory.

    :param path: the file that is the memory
    :param size: of that memory, in bytes
    :param size_bits: log_buf_len is two to the power of that
    :param panic: whether there is a panic, LINES_AFTER lines before the end
    """

    def __init__(self, path, size, size_bits, panic=True):
        with open(path, 'rb+') as ram:
            self._ram = mmap.mmap(ram.fileno(), size)
        self._count = 1 << size_bits - 6
        count_bits = size_bits - 5  # a descriptor for each 32 bytes
        tables = 3 + (size + (2 << 20) - 1) // (2 << 20)
        self._prb = TABLES + tables * PAGE
        self._text = self._prb + PAGE
        self._descs = self._text + (1 << size_bits)
        self._infos = self._descs + (DESC << count_bits)
        self._note = self._infos + (INFO << count_bits)
        self._map(size)
        self._put('<QIxxxxQQQQQIxxxxQQQ', self._prb,
                  # The pointer to the ring buffer, and that itself
                  KERNEL + self._prb + 8, count_bits, KERNEL + self._descs,
                  KERNEL + self._infos, self._count - 1, 0, 0, size_bits,
                  KERNEL + self._text, 0, 0)
        self._write(self._text, '<Q56s', lambda record: (
            record, PANIC.ljust(LINE, b'x') if panic and record ==
            self._count - 1 - LINES_AFTER else b'x' * LINE))
        self._write(self._descs, '<QQQ', lambda record: (
            2 << 62 | record, record * BLOCK, (record + 1) * BLOCK))
        self._write(self._infos, f'<QQH{INFO - 18}x', lambda record: (
            FIRST + record, record * 1000000, LINE))
        note = NOTE.format(tables=KERNEL + TABLES,
                           prb=KERNEL + self._prb).encode()
        note = struct.pack('<III12s', 11, len(note), 0, b'VMCOREINFO') + note
        self._note_size = len(note)
        self._ram[self._note:self._note + len(note)] = note

    def _put(self, form, address, *values):
        struct.pack_into(form, self._ram, address, *values)

    def _map(self, size):
        """Map all of the memory at KERNEL, in pages of 4 KiB.

        They are as small as pages can be, so that most of them are looked up.
        """
        low, middle, first = (TABLES + level * PAGE for level in (1, 2, 3))
        self._put('<Q', TABLES + 511 * 8, low | 3)
        self._put('<Q', low + 510 * 8, middle | 3)
        for page in range(size // PAGE):
            self._put('<Q', first + 8 * page, page * PAGE | 3)
        for table in range((size // PAGE + 511) // 512):
            self._put('<Q', middle + 8 * table, first + table * PAGE | 3)

    def _write(self, address, form, values):
        """Write an array.

        :param values: gives those of a record, by its number
        """
        pack = struct.Struct(form).pack
        array = b''.join(pack(*values(record))
                         for record in range(self._count))
        self._ram[address:address + len(array)] = array

    def renew(self, turn):
        """Make the panic, and all after it, one that QEMU has not seen.

        :param turn: a number that grows
        """
        for record in range(self._count - 1 - LINES_AFTER, self._count):
            self._put('<Q', self._infos + record * INFO,
                      FIRST + record + turn * (LINES_AFTER + 1))

    def hand_over(self, command):
        """Tell the VM's vmcoreinfo device where the note is.

        :param command: runs a command of qtest
        """
        command(f'outw {SELECT:#x} {DIRECTORY:#x}')

        def read(size):
            return bytes(int(command(f'inb {DATA:#x}').split()[1], 16)
                         for _ in range(size))

        for _ in range(int.from_bytes(read(4), 'big')):
            _, key, _, name = struct.unpack('>IHH56s', read(64))
            if name.startswith(b'etc/vmcoreinfo\0'):
                break
        else:
            raise ValueError('this VM has no vmcoreinfo device')
        file = self._note + PAGE
        self._put('<HHIQ', file, FORMAT_ELF, FORMAT_ELF, self._note_size,
                  self._note)
        self._put('>IIQ', file + 16, key << 16 | WRITE_FILE, 16, file)
        # Big-endian; the second half starts it
        for port, half in (DMA, 0), (DMA + 4, file + 16):
            swapped = int.from_bytes(half.to_bytes(4, 'big'), 'little')
            command(f'outl {port:#x} {swapped:#x}')
