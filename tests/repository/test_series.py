"""The series as files and as commits, in a tree of a few lines."""

from functools import partial
import os
import re
import shutil
import subprocess

from guest import ROOT

import pytest

CORE = '1-pvpanic', '2-reversible', '3-machines'
# What check-topics does with a commit here: there is nothing to build
BUILD_AND_TEST = '''
build_and_test() { ! git_src grep -q BROKEN "$1"; }
'''


class Clone:
    """A clone of this repository, whose QEMU has a few files.

    :param folder: where to
    :param patches: another one's, or None
    """

    def __init__(self, folder, patches=None):
        self.folder = folder
        self.tree = folder / 'build' / '10.0' / 'src'
        self.patches = folder / 'patches' / '10.0'
        qemu = folder / 'qemu'
        qemu.mkdir(parents=True)
        for name, text in {'VERSION': '10.0.0\n', 'configure': '',
                           'a': '1\n2\n3\n4\n5\n6\n7\n8\n'}.items():
            (qemu / name).write_text(text)
        shutil.copytree(ROOT / 'scripts', folder / 'scripts')
        with open(folder / 'scripts' / 'check' / 'one-commit.sh', 'a',
                  encoding='utf-8') as script:
            script.write(BUILD_AND_TEST)
        if patches:
            shutil.copytree(patches, self.patches)
        else:
            self.patches.mkdir(parents=True)
            (self.patches / 'series').touch()
            (self.patches / 'tested').write_text('from qemu\n')
        self.run('series/tree')

    def run(self, script, *arguments, fails=False, **environment):
        """Run one of scripts/.

        :param fails: whether it has to fail
        :return: what it said
        """
        done = subprocess.run(
            [self.folder / 'scripts' / script, *arguments], text=True,
            env={**os.environ, 'BASE': '10.0', 'TOPICS': 'all', 'NO_SKIPS': '',
                 'QEMU_SRC': str(self.folder / 'qemu'),
                 'XDG_CACHE_HOME': str(self.folder / 'cache'), **environment},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        assert (done.returncode != 0) == fails, done.stdout
        return done.stdout

    def git(self, *arguments):
        """Run git in the tree, and return what it says."""
        return subprocess.run(['git', '-C', self.tree, *arguments], text=True,
                              stdout=subprocess.PIPE, check=True).stdout

    def commit(self, message, **files):
        """Commit these files, by name, or nothing."""
        for name, text in files.items():
            (self.tree / name).write_text(text)
        self.git('add', '-A')
        self.git('commit', '-q', '--allow-empty', '-m', message)

    def exported(self):
        """What is exported: content by path."""
        return {str(path.relative_to(self.patches)): path.read_bytes()
                for path in self.patches.rglob('*') if path.is_file()}


@pytest.fixture(name='clone')
def clone_with_two_topics(tmp_path):
    clone = Clone(tmp_path / 'clone')
    clone.commit('1-pvpanic: a device\n\nWhat it is.\n# Not a comment')
    clone.commit('a: change a line', a='1\n2\n3\nfour\n5\n6\n7\n8\n')
    clone.commit('b: add a file', b='b\n')
    clone.commit('2-reversible: a run state\n\nWhat it is.')
    clone.commit('b: change it', b='B\n')
    clone.run('series/export')
    return clone


def test_export_has_a_folder_for_each_topic(clone):
    exported = clone.exported()
    series = ['1-pvpanic/0001-a-change-a-line.patch',
              '1-pvpanic/0002-b-add-a-file.patch',
              '2-reversible/0001-b-change-it.patch']
    assert exported.pop('series').decode().splitlines() == series
    assert exported.pop('1-pvpanic/0000-cover-letter.txt') == \
        (b'1-pvpanic: a device\n\nWhat it is.\n# Not a comment\n\n'
         b'Patches:\n\n1. a: change a line\n2. b: add a file\n')
    assert exported.pop('2-reversible/0000-cover-letter.txt')
    assert exported.pop('tested')
    assert list(exported) and set(exported) == set(series)
    for patch in exported.values():
        assert b'\nindex ' not in patch
        assert b' | ' not in patch


def test_everybody_gets_the_same_tree_and_the_same_export(clone, tmp_path):
    others = [Clone(tmp_path / name, clone.patches) for name in 'xy']
    hashes = {other.git('rev-parse', 'series') for other in others}
    assert len(hashes) == 1
    assert not others[0].git('diff', 'series',
                             clone.git('rev-parse', 'series^{tree}').strip())
    others[0].run('series/export')
    assert others[0].exported() == clone.exported()
    others[0].run('check/lint', 'canonical')


def test_a_patch_in_front_changes_names_in_its_topic_only(clone, tmp_path):
    before = clone.exported()
    other = Clone(tmp_path / 'other')
    other.git('fetch', '-q', clone.tree, 'series')
    cover = clone.git('rev-list', '--reverse', 'base..series').split()[0]
    other.git('reset', '-q', '--hard', cover)
    other.commit('c: come first', c='c\n')
    other.git('cherry-pick', '--allow-empty', f'{cover}..FETCH_HEAD')
    other.run('series/export')
    after = other.exported()
    assert '1-pvpanic/0003-b-add-a-file.patch' in after
    for path in before:
        if path.startswith('2-'):
            assert after[path] == before[path]


def test_git_am_and_quilt_take_the_series(clone):
    series = [clone.patches / path for path in
              (clone.patches / 'series').read_text().split()]
    clone.git('checkout', '-q', '--detach', 'base')
    clone.git('am', '-q', *series)
    assert not clone.git('diff', 'series', 'HEAD')
    clone.git('checkout', '-q', 'series')
    clone.run('check/lint', 'applies_to_debian')
    series[0].write_text(series[0].read_text().replace('\n 2\n', '\n two\n'))
    assert 'does not apply' in clone.run('check/lint', 'applies_to_debian',
                                         fails=True)


@pytest.mark.parametrize('message, files, said', [
    ('fixup! b: change it', {'b': 'x\n'}, 'is to become part of another'),
    ('nothing', {}, 'changes nothing, and is no cover letter'),
    ('3-machines: a title', {}, "the topic '3-machines' has no patch"),
    ('b: ' + 74 * 'x', {'b': 'x\n'}, 'has 77 columns, and 76 is the limit'),
    ('b: stop it.', {'b': 'x\n'}, 'ends with a full stop'),
    ('change it', {'b': 'x\n'}, 'names no subsystem'),
    ('1-pvpanic: again', {}, 'begins a topic that was there before'),
    ('3-machines: a title', {'b': 'x\n'}, 'and changes files'),
    ('b: a binary file', {'b': 'x\0y\n'}, 'a patch with a binary file'),
])
def test_what_cannot_be_exported_is_one_error(clone, message, files, said):
    before = clone.exported()
    clone.commit(message, **files)
    assert said in clone.run('series/export', fails=True)
    assert clone.exported() == before


def test_a_patch_without_a_topic_is_an_error(tmp_path):
    clone = Clone(tmp_path / 'clone')
    clone.commit('b: add a file', b='b\n')
    assert "'b: add a file' is in no topic" in clone.run('series/export',
                                                         fails=True)


def test_cover_letter_that_changed_is_taken(clone):
    cover = clone.patches / '1-pvpanic' / '0000-cover-letter.txt'
    cover.write_text('1-pvpanic: another title\n')
    assert 'changed after the tree' in clone.run('series/export', fails=True)
    clone.run('series/tree')
    assert '1-pvpanic: another title' in clone.git('log', '--format=%s')
    cover.write_text('a title\n')
    assert "does not begin with '1-pvpanic: '" in clone.run('series/tree',
                                                            fails=True)


@pytest.mark.parametrize('topics, said', [
    ('all', ''), ('2-reversible 1-pvpanic', ''),
    ('', 'TOPICS= names no topic'), ('core', "no topic '3-machines'"),
    ('1-pvpanic 4-x', "no topic '4-x'; there are: all core 1-pvpanic"),
    ('.*', "no topic '.*'")])
def test_topics_that_are_not_there_are_one_error(clone, topics, said):
    (clone.tree / '.git' / 'origin').write_text('Debian 10.0.0')
    printed = clone.run('package/deb', 'check', fails=bool(said),
                        TOPICS=topics)
    assert said in printed
    assert printed.count('\n') == bool(said)


def test_packages_for_no_release_of_debian_are_one_error(clone):
    shutil.copytree(clone.patches, clone.patches.with_name('10.2'))
    said = clone.run('package/deb', 'check', fails=True, BASE='10.2')
    assert said.startswith('deb: BASE=10.2: no release of Debian has QEMU')
    assert said.count('\n') == 1


@pytest.fixture(name='topics')
def clone_with_a_core_and_more(tmp_path):
    """4-record needs nothing of others, 5-moments needs that."""
    clone = Clone(tmp_path / 'clone')
    for topic in CORE:
        clone.commit(f'{topic}: a title')
        clone.commit(f'{topic[0]}: a file', **{topic[0]: 'x\n'})
    clone.commit('4-record: a title')
    clone.commit('r: a file', r='r\n')
    clone.commit('5-moments: a title')
    clone.commit('r: another line', r='r\nm\n')
    clone.run('series/export')
    return clone


def test_topics_stand_on_the_core_or_say_why_not(topics):
    said = topics.run('check/topics', fails=True).splitlines()
    assert any('5-moments/0001-r-another-line.patch does not apply' in line
               for line in said)
    assert said[-2:] == ['FAILED: topics: 5-moments on the core alone',
                         '2 passed, 1 failed, 0 skipped']
    needs = topics.patches / 'needs'
    needs.write_text('5-moments|4-record|it changes its file\n')
    said = topics.run('check/topics').splitlines()
    assert 'topics: the core alone ... passed before' in said
    assert said[-2:] == [
        'SKIPPED: topics: 5-moments on the core alone: it needs 4-record: '
        'it changes its file', '3 passed, 0 failed, 1 skipped']
    needs.write_text(needs.read_text() + '4-record|5-moments|no reason\n')
    said = topics.run('check/topics', fails=True)
    assert 'FAILED: topics: 4-record does not stand' in said


def test_each_patch_is_checked_once(topics):
    topics.commit('r: does not work', r='BROKEN\n')
    said = topics.run('check/each', fails=True).splitlines()
    assert said[-2:] == ['FAILED: each: 5-moments/2 r: does not work',
                         '5 passed, 1 failed, 0 skipped']
    topics.git('reset', '-q', '--hard', 'HEAD^')
    said = topics.run('check/each').splitlines()
    assert said[-1] == '5 passed, 0 failed, 0 skipped'
    assert all(line.endswith('passed before') for line in said[:-1])


def test_what_a_line_has_no_topic_for_is_refused(clone):
    assert "needs the topic 'record', and the line 10.0 does not have it" in \
        clone.run('needs', 'pvpanic', 'record', fails=True)
    clone.run('needs', 'pvpanic', 'reversible')


@pytest.fixture(name='lines')
def clone_with_two_lines(clone):
    """The same series for a QEMU 10.2, whose file `a` ends differently."""
    qemu = clone.folder / 'qemu-10.2'
    shutil.copytree(clone.folder / 'qemu', qemu)
    (qemu / 'VERSION').write_text('10.2.0\n')
    (qemu / 'a').write_text('1\n2\n3\n4\n5\n6\n7\n8th\n')
    other = clone.folder / 'patches' / '10.2'
    shutil.copytree(clone.patches, other)
    (other / 'tested').write_text('from qemu-10.2\n')
    (other / 'differs').touch()
    clone.run('series/tree', BASE='10.2', QEMU_SRC=str(qemu))
    clone.run('series/export', BASE='10.2')
    return clone


def port(lines, commit, **arguments):
    """Carry a commit from 10.0 to 10.2; return what was said."""
    return lines.run('series/port', '10.0', '10.2', QEMU_SRC='', PATCH=commit,
                     **arguments)


def test_fix_becomes_part_of_its_patch_in_another_line(lines):
    lines.commit('fixup! a: change a line', a='1\n2\n3\nFOUR\n5\n6\n7\n8\n')
    port(lines, 'HEAD')
    other = lines.folder / 'patches' / '10.2'
    assert (other / 'series').read_text() == \
        (lines.patches / 'series').read_text()
    patch = (other / '1-pvpanic' / '0001-a-change-a-line.patch').read_text()
    assert '\n+FOUR\n' in patch and '\n-4\n' in patch


@pytest.mark.parametrize('behind, where', [
    ('1-pvpanic: a device', '1-pvpanic/0001'),
    ('b: add a file', '1-pvpanic/0003'),
    ('b: change it', '2-reversible/0002')])
def test_new_patch_comes_to_its_place_in_another_line(lines, behind, where):
    rest = lines.git('log', '--format=%H', f'--grep={behind}',
                     'base..series').strip()
    lines.git('branch', 'before')
    lines.git('reset', '-q', '--hard', rest)
    lines.commit('c: add another file', c='c\n')
    if behind != 'b: change it':
        lines.git('cherry-pick', '--allow-empty', f'{rest}..before')
    port(lines, ':/c: add another file')
    assert f'{where}-c-add-another-file.patch' in \
        (lines.folder / 'patches' / '10.2' / 'series').read_text().split()


def test_conflict_between_lines_is_left_to_git(lines):
    before = (lines.folder / 'patches' / '10.2' / 'series').read_text()
    lines.commit('a: change its end', a='1\n2\n3\nfour\n5\n6\n7\n8TH\n')
    assert 'git has stopped at a conflict; resolve it in build/10.2/src' in \
        port(lines, 'HEAD', fails=True)
    assert 'finish or abort that first' in port(lines, 'HEAD', fails=True)
    assert (lines.folder / 'patches' / '10.2' / 'series').read_text() == before


@pytest.mark.parametrize('arguments, said', [
    (('10.0', '', 'HEAD'), 'TO= names no release line'),
    (('10.0', '10.0', 'HEAD'), 'are the same line'),
    (('10.0', '10.1', 'HEAD'), 'BASE=10.1: there are no patches for it'),
    (('10.0', '10.2', ''), 'PATCH= names no commit'),
    (('10.0', '10.2', 'x'), 'PATCH=x is no commit of the series'),
    (('10.0', '10.2', "it's"), "PATCH=it's is no commit of the series"),
    (('10.0', '10.2', 'base'), 'PATCH=base is no commit of the series'),
    (('10.0', '10.2', 'series'), "10.2 has 'b: change it', too"),
    (('10.2', '10.0', 'series~2'), "10.0 has 'b: add a file', too")])
def test_what_cannot_be_ported_is_one_error(lines, arguments, said):
    *lines_named, commit = arguments
    assert said in lines.run('series/port', *lines_named, QEMU_SRC='',
                             PATCH=commit, fails=True).splitlines()[-1]


@pytest.mark.parametrize('subject, said', [
    ('fixup! b: nowhere', "10.2 has no patch 'b: nowhere'"),
    ('squash! b: change it', "is no plain fixup"),
    ('c: in a new topic', "10.2 has no topic '3-machines'")])
def test_what_has_no_place_in_another_line_is_one_error(lines, subject, said):
    lines.commit('3-machines: a title')
    lines.commit(subject, c='c\n')
    assert said in port(lines, 'HEAD', fails=True).splitlines()[-1]


def other_lines(lines, fails=False):
    """What `make check` says of 10.2, when it is run for 10.0."""
    script = lines.folder / 'scripts' / 'check' / 'other-lines'
    script.write_text('#!/bin/sh\n. "$(dirname "$0")/../lib.sh"\n'
                      '. "$(dirname "$0")/results.sh"\n'
                      '. "$(dirname "$0")/lines.sh"\n'
                      'LINT=$ROOT/scripts/check/lint\n'
                      'say "pass something else" >> "$RESULTS"\n'
                      'check_other_lines\ntally\n')
    script.chmod(0o755)
    return lines.run('check/other-lines', fails=fails).splitlines()


def test_other_lines_add_the_same_or_say_where_not(lines):
    assert other_lines(lines)[-1] == '5 passed, 0 failed, 0 skipped'
    lines.commit('fixup! a: change a line', a='1\n2\n3\nFOUR\n5\n6\n7\n8\n')
    port(lines, 'HEAD')
    lines.git('reset', '-q', '--hard', 'HEAD^')
    assert other_lines(lines, fails=True)[-2:] == [
        'FAILED: lines: the series for 10.2 adds what that for 10.0 adds',
        '4 passed, 1 failed, 0 skipped']
    note = partial(lines.run, 'check/lint', 'note_differs', BASE='10.2',
                   MAIN='10.0', QEMU_SRC='')
    assert 'say why in a paragraph of its message that begins with 10.2:' in \
        note(fails=True)
    why = '{ print } /^a: / { print "\\n10.2: why" }'
    lines.git('-C', lines.folder / 'build' / '10.2' / 'src', 'filter-branch',
              '--msg-filter', f"awk '{why}'", 'base..series')
    lines.run('series/export', BASE='10.2')
    note()
    noted = (lines.folder / 'patches' / '10.2' / 'differs').read_text()
    assert re.fullmatch(r'! [0-9a-f]{8} a: change a line\n', noted)
    assert other_lines(lines)[-1] == '5 passed, 0 failed, 0 skipped'
    # A change that does not come to a patch that is another one there
    lines.commit('fixup! a: change a line', a='1\n2\n3\n44\n5\n6\n7\n8\n')
    lines.git('-c', 'sequence.editor=:', 'rebase', '-q', '-i', '--autosquash',
              '--keep-empty', '--empty=keep', 'base')
    lines.run('series/export')
    assert 'FAILED: lines: the series for 10.2 adds what that for 10.0 adds' \
        in other_lines(lines, fails=True)
    lines.git('reset', '-q', '--hard', 'ORIG_HEAD~1')
    lines.run('series/export')
    patch = lines.folder / 'patches/10.2/1-pvpanic/0002-b-add-a-file.patch'
    patch.write_text(patch.read_text().replace('+b', '+x'))
    assert any(line.startswith('FAILED: lines: ')
               for line in other_lines(lines, fails=True))


def test_line_that_cannot_be_fetched_is_skipped(lines, tmp_path, monkeypatch):
    """But one that does not apply is not."""
    shutil.rmtree(lines.folder / 'build' / '10.2')
    apt = tmp_path / 'bin' / 'apt-get'
    apt.parent.mkdir()
    apt.write_text('#!/bin/sh\nexit 1\n')
    apt.chmod(0o755)
    monkeypatch.setenv('PATH', f'{apt.parent}:{os.environ["PATH"]}')
    assert other_lines(lines)[-2:] == [
        'SKIPPED: lines: the tree of 10.2: cannot fetch QEMU 10.2',
        '1 passed, 0 failed, 1 skipped']
