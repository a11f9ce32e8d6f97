"""The series' test in QEMU's functional framework.

The framework prints its results with pycotap, which Debian 12 lacks.  Python's
own unittest runs the same test, and an empty module stands for pycotap.
"""

import os
import re
import subprocess
import sys

from guest import PATCHED, SRC, TIMEOUT, UNPATCHED


def run_functional(binary, folder):
    """Run the test.

    :param binary: the QEMU that it is for
    :param folder: for files
    :return: what unittest says
    """
    (folder / 'pycotap.py').touch()
    tests = SRC / 'tests' / 'functional'
    # Since 10.2, the tests of a target have a folder of their own
    path = [folder, SRC / 'python', tests, tests / 'x86_64']
    return subprocess.run(
        [sys.executable, '-m', 'unittest', 'test_pvpanic'], cwd=folder,
        env={**os.environ, 'PYTHONPATH': ':'.join(map(str, path)),
             'PYTHONDONTWRITEBYTECODE': '1', 'QEMU_BUILD_ROOT': str(folder),
             'QEMU_TEST_QEMU_BINARY': str(binary)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=2 * TIMEOUT, check=False).stdout


def test_passes_patched(tmp_path):
    """Every case passes, and none is skipped."""
    said = run_functional(PATCHED, tmp_path)
    assert re.search('^Ran 2 tests .*\n\nOK$', said, re.M), said


def test_fails_unpatched(tmp_path):
    """Each case shows a defect of the base."""
    said = run_functional(UNPATCHED, tmp_path)
    assert re.findall('^AssertionError: (.*)$', said, re.M) == [
        "'poweroff' != 'pause'", "'guest-panicked' != 'paused'"], said
