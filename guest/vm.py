"""The one way to start a VM here: with QEMU's own package, and a time-out."""

import asyncio
import base64

from qemu.machine import QEMUMachine, QEMUQtestMachine
from qemu.qmp import ExecuteError, QMPClient

from . import PATCHED, TIMEOUT, TOPICS

__all__ = ['VM', 'QtestVM', 'ExecuteError', 'QMPClient', 'counted']

# Bytes of a line: with less, as in QEMU 7.2, there is no query-qmp-schema
QMPClient._limit = 10 << 20


def counted(number):
    """The member of an event that counts it, on a line that has it."""
    return {'count': number} if 'record' in TOPICS else {}


class Machine:
    """What all VMs can be asked.

    :param args: QEMU's arguments
    :param binary: the QEMU to run
    :param machine: the machine type
    :param options: more for QEMU's own class
    """

    def __init__(self, *args, binary=PATCHED, machine=None, **options):
        super().__init__(str(binary), args=args, qmp_timer=TIMEOUT, **options)
        if machine:
            self.set_machine(machine)

    # What else QEMU's own package has from QEMU 8.2 on
    if not hasattr(QEMUMachine, 'cmd'):
        def _pre_launch(self):
            # On its socket pair, a line has 64 KiB at most
            self._monitor_address = f'{self.temp_dir}/qmp'
            super()._pre_launch()

        def cmd(self, cmd, args_dict=None, **args):
            """Run a command, and return its result."""
            if args_dict is not None:
                return self.command(cmd, conv_keys=False, **args_dict)
            return self.command(cmd, **args)

    def wait_for_event(self, name, **data):
        """Wait for a QMP event.

        :param name: the event's name
        :param data: members that its data has to have, with their values
        :return: the event
        :raise TimeoutError: if none comes within TIMEOUT seconds
        """
        match = {'data': data} if data else None
        try:
            return self.event_wait(name, timeout=TIMEOUT, match=match)
        except asyncio.TimeoutError:
            raise TimeoutError(f'no {name} event {data or ""}') from None

    def status(self):
        """The run state that query-status gives."""
        return self.cmd('query-status')['status']

    def record(self):
        """The guest-panic member of query-status, or None."""
        return self.cmd('query-status').get('guest-panic')

    def guest_log(self, **limit):
        """What query-guest-log returns, with the log as bytes.

        :param limit: max_size, if not the default
        """
        reply = self.cmd('query-guest-log', **limit)
        return {**reply, 'log': base64.b64decode(reply['log'])}


class VM(Machine, QEMUMachine):
    """A VM whose vCPUs run.

    :param accel: what runs them
    """

    def __init__(self, *args, accel='tcg', **options):
        super().__init__(*args, **options)
        self.add_args('-accel', accel)


class QtestVM(Machine, QEMUQtestMachine):
    """A VM whose vCPUs do nothing: what a guest would do, qtest() does."""
