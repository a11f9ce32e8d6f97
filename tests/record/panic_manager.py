"""Know how often VMs have panicked, and continue those that this stopped.

usage: python3 -m tests.record.panic_manager STATE SOCKET...

STATE is a file, and all that it keeps: the panics of the VM at each QMP
SOCKET, in JSON, and {} at first.  So it can be killed at any moment, and
started again: it looks at each VM then, and prints its socket.  When its
standard input ends, it looks at all of them once more, and ends.
"""

import asyncio
import json
from pathlib import Path
import sys
import time

from guest.vm import QMPClient

# What it does with a panic besides takes this long, and it reads nothing
# meanwhile
SLOWNESS = .001  # seconds


class Manager:
    """What is known.

    :param path: the state file
    """

    def __init__(self, path):
        self._path = path
        self._known = json.loads(path.read_text())

    def _learn(self, vm, panics):
        """Note how many panics a VM has had."""
        if panics > self._known.get(vm, 0):
            self._known[vm] = panics
            new = self._path.with_suffix('.new')
            new.write_text(json.dumps(self._known))
            new.replace(self._path)

    async def _look(self, vm, client):
        """Learn what happened, and continue a VM that panicked."""
        status = await client.execute('query-status')
        # Without the series there is no record
        self._learn(vm, status.get('guest-panic', {}).get('panicked', 0))
        if status['status'] == 'guest-panicked':
            await client.execute('cont')

    async def _handle(self, vm, client, event):
        data = event['data']
        # Nor is there a count: this is the next panic
        self._learn(vm, data.get('count', self._known.get(vm, 0) + 1))
        time.sleep(SLOWNESS)
        if data['action'] == 'pause':
            await client.execute('cont')

    async def watch(self, vm, end):
        """Watch a VM.

        :param vm: its socket
        :param end: the task that ends when this shall
        """
        client = QMPClient()
        with client.listener('GUEST_PANICKED') as listener:
            await client.connect(vm)
            await self._look(vm, client)
            print(vm, flush=True)
            while not end.done():
                event = asyncio.ensure_future(listener.get())
                await asyncio.wait({event, end},
                                   return_when=asyncio.FIRST_COMPLETED)
                if event.done():
                    await self._handle(vm, client, event.result())
                else:
                    event.cancel()
            await self._look(vm, client)
            # Sent before the answer
            for event in listener.clear():
                await self._handle(vm, client, event)
        await client.disconnect()


async def main(state, *vms):
    """Watch them all."""
    manager = Manager(Path(state))
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    end = asyncio.ensure_future(reader.read())
    await asyncio.gather(*(manager.watch(vm, end) for vm in vms))


if __name__ == '__main__':
    asyncio.run(main(*sys.argv[1:]))
