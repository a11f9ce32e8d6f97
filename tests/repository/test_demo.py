"""The demo's scenario, as a test."""

from scripts.demo import timeline
from scripts.pictures import is_in_picture


def test_a_linux_guest_panics_and_lives_as_in_the_picture():
    happened = list(timeline())
    panics = [what for _, _, what in happened if 'GUEST_PANICKED {' in what]
    reboots = [what for _, _, what in happened if what.startswith('RESET')]
    assert len(panics) == 2
    assert len(reboots) == 2
    assert is_in_picture(happened), \
        'docs/demo.svg shows another demo; run `make pictures`'
