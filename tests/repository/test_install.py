"""make install and make uninstall, with a few files in QEMU's place."""

import os
import subprocess

from guest import ROOT

import pytest

QEMU = 'bin/qemu-system-x86_64'


def install(*arguments, prefix):
    """Run scripts/package/install.

    :param prefix: the folder to install to
    :return: the exit status, and what it said
    """
    done = subprocess.run([ROOT / 'scripts' / 'package' / 'install',
                           *arguments],
                          env={**os.environ, 'PREFIX': str(prefix)},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    return done.returncode, done.stdout


def write(*paths):
    """Write files, each with its own path in it."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(path))


def tree(folder):
    """All that is in a folder: for each path, what is in it, or None."""
    return {str(path.relative_to(folder)):
            path.read_text() if path.is_file() else None
            for path in folder.rglob('*')}


@pytest.fixture(name='prefix')
def fixture_prefix(tmp_path):
    """A folder to install to, with files of somebody else's."""
    prefix = tmp_path / 'prefix'
    write(prefix / 'bin' / 'other', prefix / 'share' / 'qemu' / 'other')
    (prefix / 'lib').mkdir()
    (prefix / 'bin').chmod(0o700)
    return prefix


def configure(built, prefix, module=True):
    """Make meson ready to install what is in QEMU's place.

    :param built: the folder of the build
    :param prefix: the folder to install to
    :param module: whether there is one
    """
    source = built.with_name('source')
    write(source / 'qemu-system-x86_64', source / 'trace-events-all',
          source / 'ui-gtk.so')
    files = {'qemu-system-x86_64': 'bin', 'trace-events-all': 'share/qemu'}
    if module:
        files['ui-gtk.so'] = 'lib/qemu'
    (source / 'meson.build').write_text('project(\'qemu\')\n' + ''.join(
        f'install_data({name!r}, install_dir: {folder!r})\n'
        for name, folder in files.items()) +
        "install_symlink('link', pointing_to: 'qemu-system-x86_64',"
        " install_dir: 'bin')\n")
    subprocess.run(['/usr/bin/meson', 'setup', '--reconfigure', '--prefix',
                    prefix, built, source], check=True,
                   stdout=subprocess.DEVNULL)


@pytest.fixture(name='built')
def fixture_built(tmp_path, prefix):
    """What a build gives, to be installed to prefix."""
    built = tmp_path / 'built'
    configure(built, prefix)
    return built


def copy(built, prefix):
    """Install, successfully."""
    assert install('copy', built, prefix=prefix) == (0, '')


def test_uninstall_leaves_what_was_there_before(prefix, built):
    before = tree(prefix)
    copy(built, prefix)
    assert QEMU in tree(prefix)
    assert os.readlink(prefix / 'bin' / 'link') == 'qemu-system-x86_64'
    assert (prefix / 'bin').stat().st_mode & 0o777 == 0o700
    # What comes later is not ours either
    write(prefix / 'lib' / 'qemu' / 'later')
    status, _ = install('remove', prefix=prefix)
    assert status == 0
    (prefix / 'lib' / 'qemu' / 'later').unlink()
    (prefix / 'lib' / 'qemu').rmdir()
    assert tree(prefix) == before


def test_a_second_install_replaces_the_first(prefix, built):
    before = tree(prefix)
    copy(built, prefix)
    configure(built, prefix, module=False)
    (built.with_name('source') / 'qemu-system-x86_64').write_text('newer')
    copy(built, prefix)
    assert (prefix / QEMU).read_text() == 'newer'
    assert list((prefix / 'lib').iterdir()) == []
    status, _ = install('remove', prefix=prefix)
    assert status == 0
    assert tree(prefix) == before


def test_folders_that_install_made_are_removed(prefix, built):
    before = tree(prefix)
    inner = prefix / 'a++' / 'b'
    configure(built, inner)
    copy(built, inner)
    status, _ = install('remove', prefix=inner)
    assert status == 0
    assert tree(prefix) == before


def test_files_of_others_are_not_overwritten(prefix, built):
    write(prefix / QEMU)
    before = tree(prefix)
    status, said = install('copy', built, prefix=prefix)
    assert status == 1
    assert said == (f"install: {prefix}/{QEMU} is there already, and no "
                    "'make install' put it there; remove it, or use another "
                    "PREFIX\n")
    assert tree(prefix) == before


def test_uninstall_removes_nothing_outside_of_the_prefix(prefix, built):
    copy(built, prefix)
    victim = prefix.parent / 'victim'
    write(victim)
    with open(prefix / 'share' / 'qemu' / 'installed', 'a',
              encoding='utf-8') as listed:
        listed.write(f'{prefix}/bin/../../victim\n')
    status, said = install('remove', prefix=prefix)
    assert status == 1
    assert 'nothing was removed' in said
    assert victim.exists()
    assert (prefix / QEMU).exists()


@pytest.mark.parametrize('command, prefix, error', [
    ('check', '', 'PREFIX is not set'),
    ('remove', '', 'PREFIX is not set'),
    ('check', '/usr', "PREFIX=/usr belongs to Debian's packages"),
    ('check', '/usr/../usr/', "PREFIX=/usr belongs to Debian's packages"),
    ('check', '/', "PREFIX=/ belongs to Debian's packages"),
    ('check', '/opt/two words', 'PREFIX=/opt/two words has a space'),
    ('check', '/dev/null/qemu', '/dev/null is no folder'),
    ('remove', '/nowhere', "PREFIX=/nowhere: no 'make install' was made"),
])
def test_a_prefix_that_cannot_be_used_is_one_error(command, prefix, error):
    status, said = install(command, prefix=prefix)
    assert status == 1
    assert said.startswith('install: ') and error in said
    assert said.count('\n') == 1
