"""What tests share, and what they say at the end."""

from guest.tiny import assemble

import pytest


@pytest.fixture(scope='session')
def rom(tmp_path_factory):
    """The firmware that a TinyGuest runs."""
    return assemble(tmp_path_factory.mktemp('rom'))


def pytest_terminal_summary(terminalreporter):
    """Say for each skipped test why; pytest has one line for many."""
    for report in terminalreporter.stats.get('skipped', []):
        reason = report.longrepr[2].removeprefix('Skipped: ')
        print('skipped', f'{report.nodeid}: {" ".join(reason.split())}')
