"""The demo's scenario, as a test."""

import re

from guest import ROOT, TOPICS
from scripts.demo import main

# What never is the same: times, and what the kernel's version brings
VARIES = re.compile(r'^ *[\d.]+ s|(?<=Linux version ).*|(?<=capability )\d+'
                    r'|(?<=the last )\d+|(?<=  log    ).*', re.M)


def test_a_linux_guest_panics_and_lives_as_readme_shows(capsys):
    shown, = (text for text in (ROOT / 'README.md').read_text().split('\n\n')
              if 'host   started' in text)
    assert main() == 0
    printed = capsys.readouterr().out.split('\n\n')[0]
    if 'guest-log' in TOPICS:
        assert VARIES.sub('...', printed) == VARIES.sub('...', shown)
