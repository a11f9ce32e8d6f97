"""Nothing is left behind by a panic, however small.

glibc's libmemusage writes down each call of malloc() and free(), with the size
of all blocks after it.  The last entry is what QEMU has not freed when it
exits: what is lost, and what only grows.
"""

import struct
import time

from guest import PATCHED, TIMEOUT
from guest.tiny import TinyGuest

import pytest

ENTRY = struct.Struct('<QQQ')  # heap, stack, time


def blocks_at_exit(rom, folder, monkeypatch, writes, value, action):
    """Let a guest write to pvpanic, and continue it whenever it is stopped.

    :param rom: the guest, assembled
    :param folder: for files
    :param monkeypatch: pytest's
    :param writes: how often it writes
    :param value: what it writes
    :param action: what a panic does
    :return: the bytes that QEMU has not freed in the end
    """
    log = folder / 'memusage'
    guest = TinyGuest(rom, '-action', f'panic={action}', value=value, limit=0)
    with monkeypatch.context() as patch:
        patch.setenv('LD_PRELOAD', 'libmemusage.so')
        patch.setenv('MEMUSAGE_PROG_NAME', PATCHED.name)
        patch.setenv('MEMUSAGE_OUTPUT', str(log))
        guest.launch()
    try:
        guest.shared.limit = writes
        for _ in range(writes if action == 'pause' else 0):
            assert guest.event_wait('STOP', TIMEOUT)
            guest.cmd('cont')
        end = time.monotonic() + TIMEOUT
        while guest.shared.idle != writes:
            assert time.monotonic() < end
            time.sleep(.001)
        guest.shutdown()
    finally:
        guest.kill()
    return ENTRY.unpack(log.read_bytes()[-ENTRY.size:])[0]


@pytest.mark.parametrize('few, many, value, action', [
    (20, 320, 1, 'pause'), (20, 320, 1, 'reset'), (1000, 11000, 1, 'none'),
    (1000, 11000, 2, 'none')])
def test_panics_leave_nothing(rom, tmp_path, monkeypatch, few, many, value,
                              action):
    """There is less than a byte for each more panic.

    What threads have not got to when QEMU exits comes on top, now and then: a
    megabyte, so the least of some runs has none of it.
    """
    least = [min(blocks_at_exit(rom, tmp_path, monkeypatch, writes, value,
                                action)
                 for _ in range(5)) for writes in (few, many)]
    assert least[1] - least[0] < many - few
