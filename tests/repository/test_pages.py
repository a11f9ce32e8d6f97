"""What the pages name is there, and nothing that they show is left untried."""

import os
import re
import subprocess

from guest import BUILD, ROOT, SRC
from tests.repository.pages import (
    CHAPTER, PAGES, block, blocks, of_all_topics)

import pytest

# The pages are about this line, and name what is different on the others
DEFAULT = '10.0'
LINES = sorted(path.name for path in (ROOT / 'patches').iterdir()
               if path.name != DEFAULT)

# The blocks that another test takes from the page and does, by their beginning
DONE = ('-> ', '<- ', 'VM status:', 'qemu-system-x86_64 ', '-device pvpanic\n',
        'cd build/10.0/patched\n', '   0.0 s  host   ')

# The others, and why not
NOT_DONE = {
    'make demo ': 'whoever runs this has just typed one of them',
    'git commit -a --fixup': 'it changes the tree',
    'make port ': 'test_series does it, with small trees',
    'make rebase ': 'it takes another base',
    'cd build/11.0/src\n': 'it takes another base',
    'git range-diff base-10.0': 'it takes another base',
    'make export BASE=11.0': 'it takes another base',
    'BASE=11.0 MAIN=10.0 ': 'it takes another base',
    '/usr/bin/python3 -m pytest tests/gdb/test_gdb.py\n':
        'it is one of these tests',
    'scripts/no-kvm make ': 'it runs all of them again',
    'python3 -m bench.bench ': 'it takes minutes',
    'make install ': 'it takes 20 minutes; test_install has the rest of it',
    'make deb TOPICS=core\n': 'it takes longer still',
    'make deb BASE=7.2\n': 'it takes half an hour, and tries this itself',
    'apt-get install --allow-downgrades ': 'it is for the whole machine',
    'QEMU_BUILD=/opt/qemu/bin ': 'test_demo does it, with another QEMU',
    'BASE=7.2 QEMU_BUILD=/usr/bin ': 'make deb does it',
    "scripts/check/mutants 'answers": 'it takes a build',
    'makedumpfile --dump-dmesg ': 'test_dump does it',
    'virsh qemu-monitor-command NAME': 'test_libvirt does it',
    'QMP    GUEST_PANICKED ': 'it is the end of the demo',
}


@of_all_topics
def test_blocks_are_done_or_it_is_known_why_not():
    shown = [text for page in [*PAGES, CHAPTER] for text in blocks(page)]
    known = [*DONE, *NOT_DONE]
    for text in shown:
        assert any(text.startswith(start) for start in known), text
    for start in known:
        assert any(text.startswith(start) for text in shown), start


def test_first_picture_is_the_end_of_the_demo():
    def lines(start):
        return re.sub(r'^ *[\d.]+ s  |(?<=log    \[) *[\d.]+', '',
                      block(PAGES[0], start), flags=re.M).splitlines()

    picture = lines('QMP    GUEST_PANICKED ')
    demo = lines('   0.0 s  host   ')
    assert picture[-1] == demo[-1]
    left = iter(demo)
    assert all(line in left for line in picture)


def anchors(page):
    """The names that the page's headings can be linked to by."""
    headings = re.findall(r'^#+ (.*)$', page.read_text(), re.M)
    return {re.sub(r'[^\w -]', '', heading).lower().replace(' ', '-')
            for heading in headings}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r'\]\(([^)\s]+)\)', page.read_text()):
        path, _, anchor = link.partition('#')
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@of_all_topics
@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_files_and_targets_are_there(page):
    # What other lines have can be missing here
    text = page.read_text().partition('\n## Other lines\n')[0]
    code = re.findall(r'`([^`\n]+)`', text)
    for path in code:
        if re.fullmatch(r'(docs|scripts|tests|guest|bench|patches|system|hw|'
                        r'include|migration|monitor|gdbstub|dump|qapi)/\S+',
                        path):
            assert any(next(folder.glob(name), None)
                       for folder in (ROOT, SRC)
                       for name in (path, f'{path}.c', f'{path}.rst')), path
    targets = set(re.findall(r'^([a-z-]+):', (ROOT / 'Makefile').read_text(),
                             re.M))
    said = code + re.findall(r'^    (make .*)$', text, re.M)
    for target in re.findall(r'^make ([a-z-]+)', '\n'.join(said), re.M):
        assert target in targets, target


@of_all_topics
def test_functions_are_where_the_page_says():
    page = (ROOT / 'docs' / 'how-it-works.md').read_text()
    named = re.findall(r'`(\w+)\(\)`\s+in\s+`([^`]+)`', page)
    assert named
    for function, path in named:
        assert re.search(rf'^\w.*\b{function}\(|^{function}\(',
                         (SRC / path).read_text(), re.M), (function, path)


def test_libvirt_shows_what_the_page_says():
    """Each pair of states in the table is one that test_libvirt expects."""
    page = (ROOT / 'docs' / 'libvirt.md').read_text()
    table = page[page.index('| | libvirt shows | QEMU is |'):].split('\n\n')[0]
    seen = (ROOT / 'tests' / 'reversible' / 'test_libvirt.py').read_text()
    for row in table.splitlines()[2:]:
        shown, state = (cell.partition(',')[0]
                        for cell in row.strip('| ').split(' | ')[1:])
        pair = f"'{shown}'" if state == 'gone' else f"'{shown}', '{state}'"
        assert pair in seen, row


def topics(line=BUILD.name):
    """For each topic, its patches: the title, the subsystem and the file."""
    found = {}
    patches = ROOT / 'patches' / line
    for name in (patches / 'series').read_text().split():
        subject = re.search(r'^Subject: \[PATCH\] (.*?)\n\n',
                            (patches / name).read_text(), re.M | re.S).group(1)
        subsystem, title = ' '.join(subject.split()).split(': ', 1)
        topic = found.setdefault(name.partition('/')[0], {})
        topic[title] = subsystem, patches / name
    return found


def test_all_patches_are_listed():
    """Topic by topic, in the order of the series."""
    page = (ROOT / 'docs' / 'how-it-works.md').read_text()
    listed = {topic: [' '.join(line.split()) for line in re.findall(
        r'^\d+\. (`.*?`: \*\*.*?\*\*)', section, re.M | re.S)]
        for topic, section in re.findall(
            r'^## (\d+-[a-z-]+): (.*?)(?=^## |\Z)', page, re.M | re.S)}
    assert list(listed.items()) == list(titles(DEFAULT).items())


def titles(line):
    """For each topic, its patches, as the page has them."""
    return {topic: [f'`{subsystem}`: **{title}**' for title, (subsystem, _)
                    in patches.items()]
            for topic, patches in topics(line).items()}


def missing(line, other):
    """The patches of a line, in topics that both have, that another lacks.

    Where the name of a folder differs, the title is the same.
    """
    theirs = topics(other)
    return {f'`{subsystem}`: **{title}**'
            for topic, patches in topics(line).items() if topic in theirs
            for title, (subsystem, _) in patches.items()
            if title not in theirs[topic]}


@pytest.mark.parametrize('line', LINES)
def test_patches_of_other_lines_are_listed(line):
    """Those that are only there, and those of the default that are not."""
    page = (ROOT / 'docs' / 'how-it-works.md').read_text()
    section = re.search(rf'^### {re.escape(line)}$(.*?)(?=^##|\Z)', page,
                        re.M | re.S)[1]
    there, _, gone = section.partition('Not there:')
    for text, expected in (
            (there, missing(line, DEFAULT)), (gone, missing(DEFAULT, line))):
        assert {' '.join(entry.split()) for entry in re.findall(
            r'^- (`.*?`: \*\*.*?\*\*)', text, re.M | re.S)} == expected


def defects():
    """The rows of packaging.md's tables of single defects, for this line.

    The second table is about 7.2: what is different there, or only there.
    """
    page = (ROOT / 'docs' / 'packaging.md').read_text()
    tables = re.split(r'\| defect.* \| topic \|', page)[1:]
    of_all, of_7_2 = ([row.strip('| ').split(' | ')
                       for row in table.split('\n\n')[0].splitlines()[2:]]
                      for table in tables)
    rows = {defect: (topic.strip('`'), titles) for defect, topic, titles in
            of_all + (of_7_2 if BUILD.name == '7.2' else [])}
    run_state = re.findall(r'\*\*(.*?)\*\*', of_7_2[0][2])[:6]
    for defect, (topic, titles) in rows.items():
        shared = run_state if titles.startswith('the run state, ') else []
        titles = shared + re.findall(r'\*\*(.*?)\*\*', titles)
        # Old machine types of 7.2 have no event to hide
        if titles[-1] in topics().get(topic, ()):
            yield pytest.param(topic, titles, id=defect)


@pytest.mark.parametrize('topic, titles', defects())
def test_patches_that_end_a_defect_apply(topic, titles, tmp_path):
    """Their code, to the base alone; the topic is that of the last one."""
    files = {title: path for patches in topics().values()
             for title, (_, path) in patches.items()}
    # What another line has upstream, its series does not have
    titles = [title for title in titles if title in files or
              BUILD.name == DEFAULT]
    assert files[titles[-1]].parent.name == topic

    def git(*command):
        subprocess.run(['git', '-C', SRC, *command], check=True, env={
            **os.environ, 'GIT_INDEX_FILE': str(tmp_path / 'index')})

    git('read-tree', 'base')
    for title in titles:
        git('apply', '--cached', '--exclude=MAINTAINERS', '--exclude=tests/*',
            '--exclude=docs/*', files[title])
