"""What tests share, and what they say at the end."""

from guest import ROOT, TOPICS, topics
from guest.tiny import assemble

import pytest

# What is about these is not for this line: a folder has the name of its topic,
# and a test that takes more than the core is marked with the topic
OTHER_TOPICS = set().union(*(topics(line.name) for line in
                             (ROOT / 'patches').iterdir())) - TOPICS
collect_ignore = [topic.replace('-', '_') for topic in OTHER_TOPICS]


@pytest.fixture(scope='session')
def rom(tmp_path_factory):
    """The firmware that a TinyGuest runs."""
    return assemble(tmp_path_factory.mktemp('rom'))


def pytest_collection_modifyitems(config, items):
    """Leave out the tests that are about topics that this line has not."""
    there = []
    for item in items:
        about = {mark.args[0] for mark in item.iter_markers('topic')}
        assert about <= TOPICS | OTHER_TOPICS, item
        if about <= TOPICS:
            there.append(item)
    config.hook.pytest_deselected(
        items=[item for item in items if item not in there])
    items[:] = there


def pytest_terminal_summary(terminalreporter):
    """Say for each skipped test why; pytest has one line for many."""
    for report in terminalreporter.stats.get('skipped', []):
        reason = report.longrepr[2].removeprefix('Skipped: ')
        print('skipped', f'{report.nodeid}: {" ".join(reason.split())}')
