"""A libvirtd, what it reports, and domains in it."""

import itertools
from pathlib import Path

from guest import SRC
from tests.reversible.private_libvirt import (
    LIBVIRT, Domain, Events, InstalledLibvirt, NoNamespace, PrivateLibvirt)

import pytest

# QEMU 7.2 has no such framework
collect_ignore = ([] if (SRC / 'tests' / 'functional').is_dir() else
                  ['test_functional.py'])

NAMES = (f'guest{number}' for number in itertools.count(1))


@pytest.fixture(name='libvirt', scope='session')
def private_libvirt():
    try:
        libvirt = (InstalledLibvirt if LIBVIRT == Path('/') else
                   PrivateLibvirt)()
    except NoNamespace as reason:
        pytest.skip(f'a libvirtd of its own cannot be had here: {reason}')
    with libvirt:
        yield libvirt
    assert not libvirt.folder.exists()


@pytest.fixture(name='events')
def lifecycle_events(libvirt):
    with Events(libvirt) as events:
        yield events


@pytest.fixture(name='start')
def start_domains(libvirt):
    """A function that starts a Domain, which does not outlive the test."""
    domains = []

    def start(**options):
        domains.append(Domain(libvirt, next(NAMES), **options))
        domains[-1].boot()
        return domains[-1]
    yield start
    for domain in domains:
        if not domain.state().startswith('shut off'):
            domain.virsh('destroy')
