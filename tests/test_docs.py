"""What the pages tell people to do, done.

The pages are README.md, those in docs/, and the chapter on guest panics that
the series adds to QEMU's manual.
"""

import json
import re
import shlex
import time
import zlib

from docutils import nodes
from docutils.core import publish_doctree
from linux import BUILD, ROOT, TIMEOUT, LinuxGuest
from tiny import TinyGuest, assemble

import pytest

SRC = BUILD / 'src'
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]
CHAPTER = SRC / 'docs' / 'system' / 'guest-panics.rst'


@pytest.fixture(name='rom', scope='module')
def firmware(tmp_path_factory):
    return assemble(tmp_path_factory.mktemp('rom'))


def policies():
    """The chapter's table, as (arguments, members of set-action, result)."""
    # Roles are those of Sphinx, which docutils complains of
    chapter = publish_doctree(CHAPTER.read_text(),
                              settings_overrides={'report_level': 5})
    table = next(chapter.findall(nodes.table))
    for row in list(table.findall(nodes.row))[1:]:
        goal, command, actions, then = (cell.astext() for cell in row)
        yield pytest.param(shlex.split(command), {}, then, id=goal)
        if actions:
            yield pytest.param(['-device', 'pvpanic'],
                               json.loads(f'{{{actions}}}'), then,
                               id=f'{goal}: set-action')


def expect_event(vm, action):
    vm.wait_for_event('GUEST_PANICKED', action=action, count=1)


def expect_stop(vm):
    expect_event(vm, 'pause')
    vm.wait_for_event('STOP')
    assert vm.status() == 'guest-panicked'


def expect_no_stop(vm):
    expect_event(vm, 'run')
    assert vm.status() == 'running'


def expect_reset(vm):
    expect_event(vm, 'reset')
    vm.wait_for_event('RESET', reason='guest-panic')
    assert vm.status() == 'running'


def expect_exit(vm, status):
    vm.wait_for_event('SHUTDOWN', reason='guest-panic')
    vm.wait(timeout=TIMEOUT)
    assert vm.exitcode() == status


def expect_nothing(vm):
    end = time.monotonic() + TIMEOUT
    while not vm.shared.done:
        assert time.monotonic() < end, 'the guest does not write'
        time.sleep(.01)
    assert vm.status() == 'running'
    assert vm.record() is None
    assert not vm.get_qmp_events()


THEN = {
    'guest-panicked': expect_stop,
    'running': expect_no_stop,
    'running, after a reset': expect_reset,
    'running, without a report': expect_nothing,
    'QEMU exits with 0': lambda vm: expect_exit(vm, 0),
    'QEMU exits with 1': lambda vm: expect_exit(vm, 1),
}


@pytest.mark.parametrize('args, actions, then', policies())
def test_policy_does_what_the_chapter_says(rom, args, actions, then):
    with TinyGuest(rom, *args, limit=0, device=False) as vm:
        vm.launch()
        if actions:
            vm.cmd('set-action', **actions)
        vm.shared.limit = 1
        THEN[then](vm)


def commands():
    """Each qemu-system-x86_64 command line of README, as its arguments."""
    lines = re.findall(r'^    qemu-system-x86_64 (.*)$', PAGES[0].read_text(),
                       re.M)
    assert lines
    for line in lines:
        options, dots, _ = line.partition(' ...')
        assert dots, line
        yield shlex.split(options)


@pytest.mark.parametrize('args', commands(), ids=' '.join)
def test_command_line_starts(rom, args):
    with TinyGuest(rom, *args, limit=0, device=False) as vm:
        vm.launch()
        assert vm.status() == 'running'


def dialogues(page):
    """The QMP commands of a page and what they return, as it shows them."""
    command = None
    for said in re.findall(r'^ +(-> .*|<- .*(?:\n +[^-<\s].*)*)',
                           re.sub(r'\n +(?="arguments")', ' ',
                                  page.read_text()), re.M):
        message = json.loads(said[3:])
        if 'execute' in message:
            assert command is None
            command = message
        elif 'return' in message:
            yield command, message['return']
            command = None
    assert command is None


def shape(value):
    """What two answers have in common that differ in their values."""
    if isinstance(value, dict):
        return {key: shape(member) for key, member in value.items()}
    return type(value)


@pytest.mark.parametrize('page', [PAGES[0], CHAPTER],
                         ids=lambda page: page.name)
def test_qmp_answers_as_the_page_shows(rom, tmp_path, page):
    exchanges = list(dialogues(page))
    assert exchanges
    with TinyGuest(rom, limit=0) as vm:
        vm.launch()
        vm.shared.limit = 1
        vm.wait_for_event('STOP')
        for command, returned in exchanges:
            arguments = command.get('arguments', {})
            if 'protocol' in arguments:
                arguments['protocol'] = f'file:{tmp_path}/dump'
            answer = vm.cmd(command['execute'], arguments)
            assert shape(answer) == shape(returned)


def test_host_keeps_the_guests_log(tmp_path):
    """And where the log is in the file, and since when."""
    options = re.search(r'\n\n((  -.*\n)*  -device acpi-erst.*\n)',
                        CHAPTER.read_text()).group(1)
    assert 'mem-path=guest.erst' in options
    path = tmp_path / 'erst'
    with LinuxGuest(*shlex.split(options.replace('guest.erst', str(path)))
                    ) as vm:
        vm.boot()
        vm.crash()
        vm.wait_for_event('STOP')
        assert b'CPER' not in path.read_bytes()
        vm.cmd('cont')
        vm.wait_for_line('end Kernel panic')
    log = path.read_bytes()
    log = zlib.decompressobj(-15).decompress(log[log.index(b'CPER') + 200:])
    assert b'sysrq triggered crash' in log


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


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_files_and_targets_are_there(page):
    text = page.read_text()
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


def test_all_patches_are_listed():
    """In the order of the series, with the subsystem and the title of each."""
    page = (ROOT / 'docs' / 'how-it-works.md').read_text()
    listed = [' '.join(line.split()) for line in re.findall(
        r'^\d+\. (`.*?`: \*\*.*?\*\*)', page[page.index('## The patches'):],
        re.M | re.S)]
    patches = ROOT / 'patches' / BUILD.name
    subjects = []
    for name in (patches / 'series').read_text().split():
        text = (patches / name).read_text()
        subject = re.search(r'^Subject: \[PATCH\] (.*?)\n\n', text,
                            re.M | re.S).group(1)
        subsystem, title = ' '.join(subject.split()).split(': ', 1)
        subjects.append(f'`{subsystem}`: **{title}**')
    assert listed == subjects
