"""What a guest and a management can see, compared with the unpatched QEMU.

No guest runs in these VMs.  Whatever differs has to be named here.
"""

import base64
from collections import Counter
import re
import subprocess

from guest import BASE, PATCHED, TOPICS, UNPATCHED, release
from guest.vm import VM, QtestVM

import pytest

BINARIES = UNPATCHED, PATCHED
HAS_RECORD, HAS_LOG = (name in TOPICS for name in ('record', 'guest-log'))
# What the reader of the guest's log adds
MESSAGE = ['message'] if HAS_LOG else []


def output(binary, *args):
    """The lines that QEMU prints."""
    return subprocess.run([binary, *args], check=True, text=True,
                          capture_output=True).stdout.splitlines()


def differences(unpatched, patched):
    """Two lists: the lines that only one of two texts has."""
    unpatched, patched = Counter(unpatched), Counter(patched)
    return (list((unpatched - patched).elements()),
            list((patched - unpatched).elements()))


def machine_types():
    """The machine types that the unpatched QEMU has, without aliases."""
    return [line.split()[0] for line in output(UNPATCHED, '-machine', 'help')
            if line[0].islower() and '(alias of' not in line]


def events_differ(machine_type, device):
    """What events a device has by default, without the series and with it."""
    has_release = re.match(r'pc-(i440fx|q35)-', machine_type)
    version = release(machine_type if has_release else BASE)
    if release(BASE) < (9, 1):
        # There is no third event, and what there is has always been as here
        return 2 * (3 if version >= (5, 2) or device == 'pvpanic-pci' else 1,)
    if version >= (9, 1):
        return 7, 7
    if version >= (5, 2) or device == 'pvpanic-pci':
        return 7, 3
    return 1, 1


class Machine:
    """What can be seen of a VM.

    :param binary: the QEMU
    :param machine_type: its machine
    :param device: the panic device to plug in, or None
    """

    def __init__(self, binary, machine_type, device):
        # With fw_cfg's DMA everywhere, as reading byte by byte takes minutes
        args = ['-nodefaults', '-m', '32', '-global',
                'fw_cfg_io.dma_enabled=on']
        if device:
            args += ['-device', device]
        self._vm = QtestVM(*args, binary=binary, machine=machine_type)
        with self._vm as vm:
            vm.launch()
            # The order of the address spaces is that of a hash table
            self.ports = sorted(sorted(part.splitlines()) for part in
                                self._hmp('info mtree').split('\n\n'))
            self.devices = self._hmp('info qtree').splitlines()
            self.pci = self._hmp('info pci')
            has_fw_cfg = any('fw_cfg_io' in line for line in self.devices)
            self.files = self._fw_cfg_files() if has_fw_cfg else {}

    def _hmp(self, command):
        return self._vm.cmd('human-monitor-command',
                            command_line=command).replace('\r\n', '\n')

    def _fw_cfg_read(self, key, size):
        """Read from fw_cfg with its DMA interface, at these addresses."""
        if not size:
            return b''
        access, buffer = 0x10000, 0x100000
        control = key << 16 | 0x08 | 0x02  # select, read
        for offset, value in ((0, control), (4, size), (8, 0), (12, buffer)):
            value = value.to_bytes(4, 'big').hex()
            self._vm.qtest(f'write {access + offset} 4 0x{value}')
        low = int.from_bytes(access.to_bytes(4, 'big'), 'little')
        self._vm.qtest('outl 0x514 0')
        self._vm.qtest(f'outl 0x518 {low}')
        answer = self._vm.qtest(f'b64read {buffer} {size}')
        return base64.b64decode(answer.split()[1])

    def _fw_cfg_files(self):
        """Content by key and name."""
        number = int.from_bytes(self._fw_cfg_read(0x19, 4), 'big')
        directory = self._fw_cfg_read(0x19, 4 + 64 * number)
        files = {}
        for start in range(4, len(directory), 64):
            entry = directory[start:start + 64]
            size = int.from_bytes(entry[:4], 'big')
            key = int.from_bytes(entry[4:6], 'big')
            name = entry[8:].split(b'\0')[0].decode()
            files[key, name] = self._fw_cfg_read(key, size)
        return files


@pytest.mark.parametrize('device, machine_type', [
    (device, machine_type)
    for device, without in ((None, []), ('pvpanic', ['none']),
                            ('pvpanic-pci', ['none', 'isapc', 'microvm']))
    for machine_type in machine_types() if machine_type not in without])
def test_guest_sees_the_same(machine_type, device):
    unpatched, patched = (Machine(binary, machine_type, device)
                          for binary in BINARIES)
    assert patched.ports == unpatched.ports
    assert patched.pci == unpatched.pci
    assert patched.files == unpatched.files
    names = [name for _, name in patched.files]
    if machine_type.startswith('pc-'):
        # QEMU 7.2 leaves them to SeaBIOS up to 1.6
        has_tables = release(machine_type) >= (1, 7) or BASE != '7.2'
        assert ('etc/acpi/tables' in names) == has_tables
    assert ('etc/pvpanic-port' in names) == (device == 'pvpanic')

    gone, new = differences(unpatched.devices, patched.devices)
    before, after = events_differ(machine_type, device)
    expected_gone, expected_new = [], []
    if device == 'pvpanic':
        expected_gone.append('ioport = 1285 (0x505)')
        expected_new.append('iobase = 1285 (0x505)')
    if device:
        if before != after:
            expected_gone.append(f'events = {before} (0x{before:x})')
            expected_new.append(f'events = {after} (0x{after:x})')
        expected_new.append('action = "pause"')
        expected_new += [f'{name} = true' for name in MESSAGE]
    assert sorted(line.strip() for line in gone) == sorted(expected_gone)
    assert sorted(line.strip() for line in new) == sorted(expected_new)


@pytest.mark.parametrize('machine_type', ['pc', 'q35'])
def test_guest_sees_a_device_or_none(machine_type):
    """A built-in one as if it were explicit, and a neutralised one not."""
    def seen(binary, machine_type, device=None):
        vm = Machine(binary, machine_type, device)
        return vm.ports, vm.files

    assert (seen(PATCHED, f'{machine_type},builtin-pvpanic=on') ==
            seen(UNPATCHED, machine_type, 'pvpanic'))
    assert (seen(PATCHED, machine_type, 'pvpanic,iobase=0') ==
            seen(UNPATCHED, machine_type))


def test_machine_help():
    gone, new = differences(*(output(binary, '-machine', 'help')
                              for binary in BINARIES))
    assert not gone
    there = 'pc-i440fx-1.5' in machine_types()
    assert [line.split()[0] for line in new] == (
        [] if there else ['pc-1.5', 'pc-i440fx-1.5'])
    assert all('no migration to other release lines' in line for line in new)


@pytest.mark.parametrize('machine_type, added', [
    ('pc', ['builtin-pvpanic']), ('q35', ['builtin-pvpanic']),
    ('isapc', ['builtin-pvpanic']), ('microvm', []), ('none', [])])
def test_machine_property_help(machine_type, added):
    gone, new = differences(*(output(binary, '-machine',
                                     f'{machine_type},help')
                              for binary in BINARIES))
    assert not gone
    assert [line.split('=')[0].strip() for line in new] == added


@pytest.mark.parametrize('device, removed, added', [
    ('pvpanic', ['ioport'], ['action', 'iobase', 'ioport', *MESSAGE]),
    ('pvpanic-pci', [], ['action', *MESSAGE])])
def test_device_help(device, removed, added):
    gone, new = differences(*(output(binary, '-device', f'{device},help')
                              for binary in BINARIES))
    assert [line.split('=')[0].strip() for line in gone] == removed
    assert [line.split('=')[0].strip() for line in new] == added
    # Every value that there is
    for value in 'pause', 'none', 'shutdown', 'exit-failure', 'reset':
        assert value in [line for line in new if 'action=' in line][0]


def test_devices():
    assert output(UNPATCHED, '-device', 'help') == \
        output(PATCHED, '-device', 'help')


class Schema:
    """What query-qmp-schema says, as a set of paths.

    They are those that libvirt uses to ask for something in the schema: see
    its src/qemu/qemu_qapi.c, and docs/libvirt.md for those of this series.
    """

    def __init__(self, binary):
        with VM(binary=binary, machine='none') as vm:
            vm.launch()
            schema = vm.cmd('query-qmp-schema')
        self._types = {entity['name']: entity for entity in schema}
        self.paths = set()
        for entity in schema:
            name, kind = entity['name'], entity['meta-type']
            if kind not in ('command', 'event'):
                continue
            self._add(name, entity)
            self._walk(f'{name}/arg-type', entity['arg-type'], ())
            if kind == 'command':
                self._walk(f'{name}/ret-type', entity['ret-type'], ())

    def _add(self, path, entity):
        self.paths.add(path)
        self.paths.update(f'{path}/${feature}'
                          for feature in entity.get('features', []))

    def _walk(self, path, type_name, inside):
        """Add a type's paths.

        :param inside: the types that contain it, as some contain themselves
        """
        entity = self._types[type_name]
        kind = entity['meta-type']
        self._add(path, entity)
        if type_name in inside:
            return
        inside += type_name,
        if kind == 'builtin':
            self.paths.add(f'{path}/!{entity["json-type"]}')
        elif kind == 'array':
            self._walk(path, entity['element-type'], inside)
        elif kind == 'enum':
            for value in entity['members']:
                self._add(f'{path}/^{value["name"]}', value)
        elif kind == 'alternate':
            for member in entity['members']:
                self._walk(path, member['type'], inside)
        else:
            for member in entity['members']:
                name = f'{path}/{member["name"]}'
                self._add(name, member)
                if 'default' in member:
                    self.paths.add(f'{path}/*{member["name"]}')
                self._walk(name, member['type'], inside)
            for case in entity.get('variants', []):
                self._walk(f'{path}/+{case["case"]}', case['type'], inside)


def test_schema():
    unpatched, patched = (Schema(binary).paths for binary in BINARIES)
    assert 'GUEST_PANICKED/arg-type/action/^pause' in unpatched
    assert not unpatched - patched
    record, command = 'query-status/ret-type/guest-panic', 'query-action'
    log = 'query-guest-log'
    new = patched - unpatched

    def below(path, pattern='[^/]*'):
        return {found.removeprefix(f'{path}/') for found in new
                if re.fullmatch(f'{re.escape(path)}/{pattern}', found)}

    expected = {
        'GUEST_PANICKED/$reversible',
        'GUEST_PANICKED/arg-type/action/^reset',
        'GUEST_CRASHLOADED/arg-type/action/^reset',
        'query-action',
        'query-machines/ret-type/*builtin-pvpanic',
        'query-machines/ret-type/builtin-pvpanic',
        'query-machines/ret-type/builtin-pvpanic/!boolean',
        'query-status/ret-type/status/^guest-panicked/$reversible',
        'set-action/arg-type/panic/^reset'}
    for event in 'GUEST_PANICKED', 'GUEST_CRASHLOADED':
        if HAS_RECORD:
            expected |= {f'{event}/arg-type/count',
                         f'{event}/arg-type/count/!int'}
        if HAS_LOG:
            expected |= {f'{event}/arg-type/*message',
                         f'{event}/arg-type/message',
                         f'{event}/arg-type/message/!string'}
    if HAS_RECORD:
        expected |= {'query-status/ret-type/*guest-panic', record}
        assert below(record) == {'panicked', 'crashloaded', 'last'}
        assert below(f'{record}/last') == {
            'type', 'action', 'timestamp', 'device', '*device', 'info',
            '*info', *MESSAGE, *(f'*{name}' for name in MESSAGE)}
    if HAS_LOG:
        expected.add(log)
        assert below(log, '[^/]*-type/[^/!]*') == {
            'arg-type/max-size', 'arg-type/*max-size', 'ret-type/release',
            'ret-type/log', 'ret-type/truncated'}
    # Whatever is below a new member or command is new
    assert {path for path in new if not path.startswith(
        (f'{record}/', f'{command}/', f'{log}/'))} == expected
    assert below(f'{command}/ret-type') == {
        'panic', '*panic', 'reboot', 'shutdown', 'watchdog'}
