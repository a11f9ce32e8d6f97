"""What the pages tell people to do, done.

The pages are README.md, those in docs/, and the chapter on guest panics that
the series adds to QEMU's manual.
"""

import json
import re
import shlex
import subprocess
import time
import zlib

from docutils import nodes
from docutils.core import publish_doctree
from linux import BUILD, PATCHED, ROOT, TIMEOUT, UNPATCHED, LinuxGuest
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


def dialogues(page):
    """The QMP commands of a page, with what they return, and its events."""
    command = None
    for text in blocks(page):
        for said in re.findall(r'^(?:->|<-) .*\n(?: .*\n)*', text, re.M):
            message = json.loads(said[3:])
            if said.startswith('->'):
                assert command is None
                command = message
            elif 'event' in message:
                yield message, None
            else:
                yield command, message.pop('return')
                assert not message
                command = None
    assert command is None


def without_times(message):
    """As text, in the order of its members."""
    return re.sub(r'("(?:micro)?seconds": )\d+', r'\1TIME',
                  json.dumps(message))


@pytest.mark.parametrize('page', [PAGES[0], CHAPTER],
                         ids=lambda page: page.name)
def test_qmp_answers_as_the_page_shows(rom, tmp_path, page):
    exchanges = list(dialogues(page))
    assert exchanges
    with TinyGuest(rom, limit=0) as vm:
        vm.launch()
        vm.shared.limit = 1
        vm.wait_for_event('STOP')
        for message, returned in exchanges:
            if 'event' in message:
                assert vm.wait_for_event(message['event'])['data'] == \
                    message['data']
                continue
            arguments = message.get('arguments', {})
            if 'protocol' in arguments:
                arguments['protocol'] = f'file:{tmp_path}/dump'
            answer = vm.cmd(message['execute'], arguments)
            assert without_times(answer) == without_times(returned)


def test_info_status_prints_what_the_chapter_shows(rom):
    def report(value, event, count):
        vm.shared.value = value
        vm.shared.limit += 1
        vm.wait_for_event(event, count=count)

    def lines(text):
        return re.sub(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ', 'TIME',
                      text).splitlines()

    shown = block(CHAPTER, 'VM status:')
    with TinyGuest(rom, '-device', 'pvpanic,id=panic0', limit=0,
                   device=False) as vm:
        vm.launch()
        report(2, 'GUEST_CRASHLOADED', 1)
        for count in 1, 2, 3:
            report(1, 'GUEST_PANICKED', count)
            vm.wait_for_event('STOP')
            vm.cmd('cont')
        printed = vm.cmd('human-monitor-command',
                         {'command-line': 'info status'})
    assert lines(printed) == lines(shown)


@pytest.mark.parametrize('message, binary, devices', [
    ("already decoded by 'rtc'", PATCHED, ['pvpanic,iobase=0x70']),
    ('duplicate fw_cfg file name', UNPATCHED, ['pvpanic', 'pvpanic']),
])
def test_qemu_refuses_in_the_words_of_readme(message, binary, devices):
    assert re.search(f'`{message}`', PAGES[0].read_text())
    args = [word for device in devices for word in ('-device', device)]
    run = subprocess.run([binary, '-display', 'none', *args], text=True,
                         capture_output=True, timeout=TIMEOUT, check=False)
    assert run.returncode == 1
    assert message in run.stderr


def test_path_of_the_model_is_one():
    """What the page does from there, for as long as its list takes."""
    walk = block(ROOT / 'docs' / 'developing.md', 'cd build/10.0/patched')
    command, path = re.search(r'(tests/qtest/\S+) .* -p (\S+)\n',
                              walk).groups()
    listed = subprocess.run(['sh', '-ec', walk.replace(
        walk[walk.index(command):], f'{command} -l')], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, check=True).stdout
    assert path in listed.splitlines()


# The blocks that another test takes from the page and does, by their beginning
DONE = ('-> ', '<- ', 'VM status:', 'qemu-system-x86_64 ', '-device pvpanic\n',
        'cd build/10.0/patched\n')

# The others, and why not
NOT_DONE = {
    'make demo ': 'whoever runs this has just typed one of them',
    'git commit --fixup': 'it changes the tree',
    'make rebase ': 'it takes another base',
    'cd build/10.2/src\n': 'it takes another base',
    'git range-diff base-10.0': 'it takes another base',
    'make export BASE=10.2': 'it takes another base',
    'cp build/10.2': 'it takes another base',
    'python3 -m pytest tests/test_gdb.py\n': 'it is one of these tests',
    'scripts/no-kvm make check\n': 'it is another make check',
    'python3 bench/bench.py ': 'it measures, and decides no test',
    'make install ': 'it takes 20 minutes; test_install has the rest of it',
    'apt-get install ./build/': 'it takes `make deb`, which does it',
    'QEMU_BUILD=/opt/qemu/bin ': 'test_demo does it, with another QEMU',
    "scripts/check-mutants 'answers": 'it takes a build',
    'makedumpfile --dump-dmesg ': 'test_dump does it',
}


def test_blocks_are_done_or_it_is_known_why_not():
    shown = [text for page in [*PAGES, CHAPTER] for text in blocks(page)]
    known = [*DONE, *NOT_DONE]
    for text in shown:
        assert any(text.startswith(start) for start in known), text
    for start in known:
        assert any(text.startswith(start) for text in shown), start


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


def test_libvirt_shows_what_the_page_says():
    """Each pair of states in the table is one that test_libvirt expects."""
    page = (ROOT / 'docs' / 'libvirt.md').read_text()
    table = page[page.index('| | libvirt shows | QEMU is |'):].split('\n\n')[0]
    seen = (ROOT / 'tests' / 'test_libvirt.py').read_text()
    for row in table.splitlines()[2:]:
        shown, state = (cell.partition(',')[0]
                        for cell in row.strip('| ').split(' | ')[1:])
        pair = f"'{shown}'" if state == 'gone' else f"'{shown}', '{state}'"
        assert pair in seen, row


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
