"""A libvirtd of one's own, and Linux domains in it.

It is Debian's, unpacked in build/libvirt by scripts/setup/libvirt, and runs as
a session daemon: configuration, sockets, logs and dumps are in a folder of its
own.  It finds its libraries and data in /usr because it has a mount namespace
of its own too, where build/libvirt lies over /usr.

With LIBVIRT=/ in the environment, it is the one that is installed, and is the
system's daemon: that is for a system that is there for nothing else.
"""

import contextlib
import json
import os
from pathlib import Path
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from guest import BASE, GUEST, PATCHED, ROOT, TIMEOUT
from guest.linux import Console, Lines

LIBVIRT = Path(os.environ.get('LIBVIRT', ROOT / 'build' / 'libvirt'))

# In a user namespace, so that this needs no root; and not as its root, so
# that libvirtd takes itself for a session daemon, but as a user that every
# Debian has, "daemon".  KVM is hidden: for a QEMU that lacks it where it is
# there, libvirt's cache of capabilities never holds.
NAMESPACE = '''
mount -t overlay -o lowerdir={usr}:/usr overlay /usr
if [ -e /dev/kvm ]; then mount --bind {unreadable} /dev/kvm; fi
exec unshare --user --map-user=1 --map-group=1 {command}
'''

QEMU_CONF = '''
stdio_handler = "file"
auto_dump_path = "{folder}/dumps"
'''

# For a chroot, whose cgroups are the host's
INSTALLED_QEMU_CONF = QEMU_CONF + '''
namespaces = []
cgroup_controllers = []
'''

DOMAIN = '''
<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>512</memory>
  <os>
    <type arch='x86_64' machine='{machine}'>hvm</type>
    <kernel>{guest}/vmlinuz</kernel>
    <initrd>{guest}/{initramfs}</initrd>
    <cmdline>console=ttyS0 {append}</cmdline>
  </os>
  <features><acpi/><vmcoreinfo state='on'/></features>
  <on_crash>{on_crash}</on_crash>
  <devices>
    <emulator>{emulator}</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <serial type='unix'>
      <source mode='bind' path='{console}'/>
      <target type='isa-serial'/>
    </serial>
    {panic}
  </devices>
</domain>
'''


class LibvirtError(Exception):
    """What virsh said when it failed."""


class NoNamespace(Exception):
    """This machine does not let a user have namespaces, or an overlay."""


class PrivateLibvirt:
    """A session libvirtd: use it as a context manager.

    :raise FileNotFoundError: if libvirt has not been unpacked
    :raise NoNamespace: if the machine does not allow it
    :raise LibvirtError: if the daemon does not start
    """

    def __init__(self):
        if not LIBVIRT.is_dir():
            raise FileNotFoundError(f'{LIBVIRT}: scripts/setup/libvirt makes '
                                    'it')
        # Not below the checkout: the path of a socket has to be short
        self.folder = Path(tempfile.mkdtemp(prefix='pvpanic-libvirt-'))
        (self.folder / 'dumps').mkdir()
        self._configure()
        # For clients, which run outside of the namespace
        self.client_env = dict(
            self.env, PYTHONUNBUFFERED='1',
            LD_LIBRARY_PATH=f'{LIBVIRT}/usr/lib/x86_64-linux-gnu',
            PYTHONPATH=f'{LIBVIRT}/usr/lib/python3/dist-packages')
        self.log = self.folder / 'libvirtd.log'
        self._daemon = None
        try:
            self._check_namespace()
            self.start()
        except BaseException:
            self._end()
            raise

    def _configure(self):
        """Let all that it has be in its folder."""
        for name in 'run', 'config/libvirt', 'cache', 'data':
            (self.folder / name).mkdir(parents=True)
        (self.folder / 'run').chmod(0o700)
        (self.folder / 'config' / 'libvirt' / 'qemu.conf').write_text(
            QEMU_CONF.format(folder=self.folder))
        self.env = dict(os.environ, HOME=str(self.folder),
                        XDG_RUNTIME_DIR=f'{self.folder}/run',
                        XDG_CONFIG_HOME=f'{self.folder}/config',
                        XDG_CACHE_HOME=f'{self.folder}/cache',
                        XDG_DATA_HOME=f'{self.folder}/data')
        self.socket = self.folder / 'run' / 'libvirt' / 'libvirt-sock'
        self.uri = f'qemu+unix:///session?socket={self.socket}'
        self.logs = self.folder / 'cache' / 'libvirt' / 'qemu' / 'log'
        self._pids = self.folder / 'run' / 'libvirt' / 'qemu' / 'run'

    def _in_namespace(self, command):
        unreadable = self.folder / 'unreadable'
        unreadable.touch(mode=0)
        return ['unshare', '--user', '--map-root-user', '--mount', 'sh', '-ec',
                NAMESPACE.format(usr=LIBVIRT / 'usr', unreadable=unreadable,
                                 command=command)]

    def _check_namespace(self):
        run = subprocess.run(self._in_namespace('true'), capture_output=True,
                             text=True, check=False)
        if run.returncode:
            raise NoNamespace(run.stderr.strip())

    def start(self):
        """Start the daemon, and wait until it takes connections."""
        notify = self.folder / 'notify'
        notify.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready, \
                self.log.open('ab') as log:
            ready.bind(str(notify))
            self._daemon = subprocess.Popen(
                self._in_namespace('/usr/sbin/libvirtd'),
                env=dict(self.env, NOTIFY_SOCKET=str(notify)),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            with os.fdopen(os.pidfd_open(self._daemon.pid)) as end:
                if select.select([ready, end], [], [], TIMEOUT)[0] != [ready]:
                    raise LibvirtError('libvirtd does not start: ' +
                                       self.log.read_text())

    def freeze(self):
        """Let the daemon do nothing more: what it is sent, it never reads."""
        self._daemon.send_signal(signal.SIGSTOP)

    @contextlib.contextmanager
    def killed(self):
        """Kill the daemon, with SIGKILL, and start it again in the end.

        The domains live on.
        """
        self._daemon.kill()
        self._daemon.wait()
        try:
            yield
        finally:
            self.start()

    def close(self):
        """End the domains and the daemon, and leave nothing behind."""
        try:
            for name in self.virsh('list', '--name').split():
                self.virsh('destroy', name)
        finally:
            self._end()

    def _end(self):
        if self._daemon:
            self._daemon.kill()
            self._daemon.wait()
        # Domains that it could not end
        for pid in self._pids.glob('*.pid'):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid.read_text()), signal.SIGKILL)
        shutil.rmtree(self.folder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def virsh(self, *command):
        """Run a virsh command, and return what it prints."""
        run = subprocess.run([LIBVIRT / 'usr' / 'bin' / 'virsh', '-q', '-c',
                              self.uri, *command],
                             env=self.client_env, capture_output=True,
                             text=True, timeout=TIMEOUT, check=False)
        if run.returncode:
            raise LibvirtError(run.stderr.strip())
        return run.stdout.strip()


class InstalledLibvirt(PrivateLibvirt):
    """The system's libvirtd, in the same way."""

    def _configure(self):
        self.folder.chmod(0o711)  # QEMU's user is another one
        Path('/etc/libvirt/qemu.conf').write_text(
            INSTALLED_QEMU_CONF.format(folder=self.folder))
        self.env = dict(os.environ)
        self.uri = 'qemu:///system'
        self.logs = Path('/var/log/libvirt/qemu')
        self._pids = Path('/run/libvirt/qemu')

    def _in_namespace(self, command):
        return [command]


class Events:
    """Lifecycle events, from now on: use it as a context manager."""

    def __init__(self, libvirt):
        self._process = subprocess.Popen(
            [sys.executable, Path(__file__).parent / 'libvirt_events.py',
             libvirt.uri], env=libvirt.client_env, text=True,
            stdout=subprocess.PIPE)
        self._lines = Lines('libvirt', self._process.stdout)
        self.wait_for('registered')

    def wait_for(self, line):
        """Wait for "domain event detail", as libvirt_events.py prints it.

        :raise TimeoutError: if nothing comes for TIMEOUT seconds
        :raise EOFError: if the daemon is gone
        """
        seen = []
        while line not in seen:
            seen.append(self._lines.next(f'{line}, but {seen}'))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait()


class Domain:
    """A Linux guest in a private libvirtd.

    :param libvirt: the PrivateLibvirt
    :param name: the domain's name
    :param on_crash: what libvirt is to do when the guest panics
    :param panic: the XML of the panic device
    :param machine: the machine type
    :param append: more for the kernel command line
    :param initramfs: one of the two in build/guest
    :param emulator: the QEMU to run
    """

    def __init__(self, libvirt, name, on_crash='preserve',
                 panic="<panic model='isa'/>", machine=f'pc-i440fx-{BASE}',
                 append='panic=1', initramfs='initramfs', emulator=PATCHED):
        self.libvirt = libvirt
        self.name = name
        console = libvirt.folder / f'{name}.console'
        xml = libvirt.folder / f'{name}.xml'
        xml.write_text(DOMAIN.format(
            name=name, machine=machine, guest=GUEST, append=append,
            initramfs=initramfs, on_crash=on_crash, emulator=emulator,
            console=console, panic=panic))
        self._console_path = console
        self.console = None
        libvirt.virsh('define', str(xml))

    def boot(self):
        """Start the domain, and wait until its shell takes commands."""
        self.virsh('start')
        self._open_console()
        self.console.wait_until_ready()

    def _open_console(self):
        channel = socket.socket(socket.AF_UNIX)
        channel.connect(str(self._console_path))
        self.console = Console(channel)

    def move_to(self, emulator):
        """Save the domain, and restore it in another QEMU."""
        image = self.libvirt.folder / f'{self.name}.image'
        self.virsh('save', str(image))
        xml = image.with_suffix('.xml')
        xml.write_text(re.sub(
            '(?<=<emulator>)[^<]*', str(emulator),
            self.libvirt.virsh('save-image-dumpxml', str(image))))
        self.libvirt.virsh('restore', str(image), '--xml', str(xml))
        image.unlink()
        self._open_console()

    def virsh(self, command, *args):
        """Run a virsh command on this domain."""
        return self.libvirt.virsh(command, self.name, *args)

    def state(self):
        """The state and its reason, as libvirt sees them."""
        return self.virsh('domstate', '--reason')

    def qmp(self, command, **arguments):
        """Run a QMP command behind libvirt's back."""
        answer = json.loads(self.virsh('qemu-monitor-command', json.dumps(
            {'execute': command, 'arguments': arguments})))
        if 'error' in answer:
            raise LibvirtError(answer['error']['desc'])
        return answer['return']

    def wait_for_states(self, *wanted):
        """Wait until states() is what is wanted.

        :raise TimeoutError: if it is not after TIMEOUT seconds
        """
        end = time.monotonic() + TIMEOUT
        while (states := self.states()) != wanted:
            if time.monotonic() > end:
                raise TimeoutError(f'{self.name} is {states}, not {wanted}')
            time.sleep(.1)

    def states(self):
        """The state as libvirt sees it, and as QEMU does."""
        # This waits for a libvirtd that has just been started
        status = self.qmp('query-status')['status']
        return self.state(), status
