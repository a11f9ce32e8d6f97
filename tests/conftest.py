"""Where the tests find the guest and the demo."""

from pathlib import Path
import sys

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / 'guest'), str(ROOT / 'scripts')]


def pytest_configure(config):
    config.addinivalue_line('markers', 'variant: of what another test does; '
                            'left to make soak and make coverage')
