"""The demo's scenario, as a test."""

from demo import scenario


def test_a_linux_guest_panics_and_lives():
    happened = list(scenario())
    panics = [what for who, what in happened if 'GUEST_PANICKED {' in what]
    reboots = [what for who, what in happened if what.startswith('RESET')]
    assert len(panics) == 2
    assert len(reboots) == 2
