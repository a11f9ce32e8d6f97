"""A real gdb, attached to a Linux guest that panics."""

import re
import subprocess

from guest.linux import Lines, LinuxGuest


class Gdb:
    """gdb with its machine interface: use it as a context manager."""

    def __init__(self):
        self._process = subprocess.Popen(
            ['gdb', '-q', '-nx', '--interpreter=mi2'], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._lines = Lines('gdb', self._process.stdout)
        self.command('-gdb-set mi-async on', '^done')
        self.command('-gdb-set architecture i386:x86-64', '^done')

    def wait_for(self, record):
        """Wait for a line that starts with this.

        :return: the line
        :raise TimeoutError: if gdb is silent for TIMEOUT seconds
        :raise EOFError: if gdb is gone
        :raise ValueError: if gdb reports an error
        """
        while True:
            line = self._lines.next(record)
            if line.startswith(record):
                return line
            if line.startswith('^error'):
                raise ValueError(f'gdb says: {line}')

    def command(self, command, record):
        """Run a command, and wait for what it leads to."""
        self._process.stdin.write(f'{command}\n')
        self._process.stdin.flush()
        return self.wait_for(record)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()


def expect(vm, status, panicked):
    """The run state, and how many panics there were."""
    assert vm.status() == status
    record = vm.record()
    assert (record['panicked'] if record else 0) == panicked


def instruction_pointer(vm, cpu):
    """A vCPU's RIP, as a signed number."""
    registers = vm.cmd('human-monitor-command', cpu_index=cpu,
                       command_line='info registers')
    rip = re.search('RIP=([0-9a-f]{16})', registers).group(1)
    return int.from_bytes(bytes.fromhex(rip), 'big', signed=True)


def test_gdb_and_a_panic(tmp_path):
    """The second vCPU panics while gdb knows of the first one only."""
    path = tmp_path / 'gdb'
    with LinuxGuest('-smp', '2', '-device', 'pvpanic', '-gdb',
                    f'unix:{path},server=on,wait=off',
                    append='panic=1') as vm, Gdb() as gdb:
        vm.boot()
        gdb.command(f'-target-select remote {path}', '^connected')
        expect(vm, 'paused', 0)
        gdb.command('-exec-continue', '*running')
        vm.wait_for_event('RESUME')

        vm.type('taskset 2 sh -c "echo c > /proc/sysrq-trigger"')
        stopped = gdb.wait_for('*stopped')
        assert 'signal-name="SIGABRT"' in stopped
        assert 'thread-id="2"' in stopped
        expect(vm, 'guest-panicked', 1)

        # It is the second one's registers that gdb sees, and nothing changes
        rip = gdb.command('-data-evaluate-expression (long)$rip', '^done')
        assert f'value="{instruction_pointer(vm, 1)}"' in rip
        assert f'value="{instruction_pointer(vm, 0)}"' not in rip
        expect(vm, 'guest-panicked', 1)

        stopped = gdb.command('-exec-step-instruction', '*stopped')
        assert 'reason="end-stepping-range"' in stopped
        expect(vm, 'debug', 1)

        gdb.command('-exec-continue', '*running')
        vm.wait_for_line('Rebooting in 1 seconds')
        expect(vm, 'running', 1)

        stopped = gdb.command('-exec-interrupt', '*stopped')
        assert 'signal-name="SIGINT"' in stopped
        expect(vm, 'paused', 1)

        gdb.command('-target-detach', '^done')
        expect(vm, 'running', 1)
        vm.wait_until_ready()

        # Who attaches to a panicked VM takes it over, and can let it go
        vm.get_qmp_events()
        vm.crash()
        vm.wait_for_event('STOP')
        expect(vm, 'guest-panicked', 2)
        gdb.command(f'-target-select remote {path}', '^connected')
        expect(vm, 'guest-panicked', 2)
        gdb.command('-target-detach', '^done')
        expect(vm, 'running', 2)
        vm.wait_until_ready()
