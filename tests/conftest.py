"""Where the tests find the guest and the demo; what they say at the end."""

from pathlib import Path
import sys

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / 'guest'), str(ROOT / 'scripts'),
                str(ROOT / 'scripts' / 'check')]


def pytest_configure(config):
    config.addinivalue_line('markers', 'variant: of what another test does; '
                            'left to make soak and make coverage')


def pytest_terminal_summary(terminalreporter):
    """Say for each skipped test why; pytest has one line for many."""
    for report in terminalreporter.stats.get('skipped', []):
        reason = report.longrepr[2].removeprefix('Skipped: ')
        print('skipped', f'{report.nodeid}: {" ".join(reason.split())}')
