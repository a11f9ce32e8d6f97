"""Guests that panic, and where things are that they take.

The top folder is the root of all Python here: it is where `python3 -m` and
pytest.ini take modules from.  QEMU's own packages come from its tree.
"""

import os
from pathlib import Path
import subprocess
import sys

ROOT = Path(__file__).resolve().parent.parent
BASE = os.environ.get('BASE', '10.0')
BUILD = ROOT / 'build' / BASE
SRC = BUILD / 'src'
# Another build of the same sources can take its place, or, with the path of a
# folder, a QEMU that was installed
PATCHED = (BUILD / os.environ.get('QEMU_BUILD', 'patched') /
           'qemu-system-x86_64')
UNPATCHED = (BUILD / os.environ.get('QEMU_BASE', 'unpatched') /
             'qemu-system-x86_64')
GUEST = ROOT / 'build' / 'guest'

# A guest that does nothing for this long is stuck, and so is the test.  No
# step waits for this time to pass: each waits for an event or for a line.
TIMEOUT = 120.0  # seconds; qemu.qmp takes an int for "for ever"

sys.path.append(str(SRC / 'python'))


def topics(line):
    """The topics of a line, without their numbers."""
    series = (ROOT / 'patches' / line / 'series').read_text()
    return {patch.partition('/')[0].partition('-')[2]
            for patch in series.split()}


TOPICS = topics(BASE)


def release(name):
    """The release in a name, such as that of a machine type, to compare."""
    return tuple(map(int, name.rpartition('-')[2].split('.')))


# What a pvpanic offers on the line's own machine types
EVENTS = 7 if release(BASE) >= (9, 1) else 3


def qemu(line, build):
    """The path of the QEMU of any release line, patched or unpatched."""
    return ROOT / 'build' / line / build / 'qemu-system-x86_64'


def list_of(name):
    """A list in tests/, for this line: what list_of in scripts/lib.sh says."""
    return subprocess.run(
        ['sh', '-c', f'. "$0"; list_of {name}', ROOT / 'scripts' / 'lib.sh'],
        env={**os.environ, 'BASE': BASE}, text=True, stdout=subprocess.PIPE,
        check=True).stdout
