"""Guests that panic, and where things are that they take.

The top folder is the root of all Python here: it is where `python3 -m` and
pytest.ini take modules from.  QEMU's own packages come from its tree.
"""

import os
from pathlib import Path
import sys

ROOT = Path(__file__).resolve().parent.parent
BASE = os.environ.get('BASE', '10.0')
BUILD = ROOT / 'build' / BASE
SRC = BUILD / 'src'
# Another build of the same sources can take its place, or, with the path of a
# folder, a QEMU that was installed
PATCHED = (BUILD / os.environ.get('QEMU_BUILD', 'patched') /
           'qemu-system-x86_64')
UNPATCHED = BUILD / 'unpatched' / 'qemu-system-x86_64'
GUEST = ROOT / 'build' / 'guest'

# A guest that does nothing for this long is stuck, and so is the test.  No
# step waits for this time to pass: each waits for an event or for a line.
TIMEOUT = 120  # seconds

sys.path.append(str(SRC / 'python'))


def list_of(name):
    """A list in tests/, and what is only on that of this line."""
    return ''.join(path.read_text() for path in (
        ROOT / 'tests' / name, ROOT / 'tests' / f'{name}-{BASE}')
        if path.exists())
