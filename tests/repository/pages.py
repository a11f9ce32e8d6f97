"""The pages, and what they show.

They are README.md, those in docs/, and the chapter on guest panics that the
series adds to QEMU's manual.
"""

import re

from docutils import nodes
from docutils.core import publish_doctree
from guest import ROOT, SRC

import pytest

PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]
CHAPTER = SRC / 'docs' / 'system' / 'guest-panics.rst'

# README.md and docs/ are about a line with all topics
of_all_topics = pytest.mark.topic('guest-log')


def blocks(page):
    """What a page shows as typed or printed."""
    text = page.read_text()
    if page.suffix == '.md':
        return [re.sub('^    ', '', block, flags=re.M) for block in
                re.findall(r'\n\n((?:    .*\n)+)', text)]
    chapter = publish_doctree(text, settings_overrides={'report_level': 5})
    return [f'{block.astext()}\n'
            for block in chapter.findall(nodes.literal_block)]


def block(page, start):
    """The block of a page that begins so."""
    found, = (text for text in blocks(page) if text.startswith(start))
    return found
