"""What the pages tell people to do, done: see tests/repository/pages.py."""

import json
import re
import shlex
import subprocess
import time
import zlib

from docutils import nodes
from docutils.core import publish_doctree
from guest import BUILD, PATCHED, ROOT, TIMEOUT, UNPATCHED
from guest.linux import LinuxGuest
from guest.tiny import TinyGuest
from guest.vm import counted
from tests.repository.pages import (
    CHAPTER, PAGES, block, blocks, of_all_topics)

import pytest


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
    vm.wait_for_event('GUEST_PANICKED', action=action, **counted(1))


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


@of_all_topics
@pytest.mark.parametrize('args', commands(), ids=' '.join)
def test_command_line_starts(rom, args):
    with TinyGuest(rom, *args, limit=0, device=False) as vm:
        vm.launch()
        assert vm.status() == 'running'


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


@pytest.mark.parametrize('page', [
    pytest.param(PAGES[0], marks=of_all_topics, id=PAGES[0].name),
    pytest.param(CHAPTER, id=CHAPTER.name)])
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


@pytest.mark.topic('record')
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


@pytest.mark.topic('tests')
def test_path_of_the_model_is_one():
    """What the page does from there, for as long as its list takes."""
    walk = block(ROOT / 'docs' / 'developing.md', 'cd build/10.0/patched')
    walk = walk.replace('build/10.0', str(BUILD.relative_to(ROOT)))
    command, path = re.search(r'(tests/qtest/\S+) .* -p (\S+)\n',
                              walk).groups()
    listed = subprocess.run(['sh', '-ec', walk.replace(
        walk[walk.index(command):], f'{command} -l')], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, check=True).stdout
    # Newer releases of GLib write the list as comments of TAP
    assert path in listed.replace('# ', '').splitlines()


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
