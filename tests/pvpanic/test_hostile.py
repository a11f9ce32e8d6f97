"""Hostile input from the host's side: command lines and QMP commands.

Each works, or is answered with one clear error: one line and exit status 1, or
one QMP error from a QEMU that lives on.  What devices, properties, actions and
machine types there are to try, QEMU is asked.
"""

import json
import re
import subprocess

from guest import PATCHED, TIMEOUT

import pytest

# An argument on a Linux command line has less than 128 KiB
LONG = 'x' * 0x10000
# QEMU's monitor reads byte by byte: a string of 1 MiB takes it 4 s
VERY_LONG = 'x' * 0x40000
DEEP = '[' * 500 + ']' * 500
TOO_DEEP = '[' * 5000 + ']' * 5000


class Run:
    """One QEMU without a guest, which runs QMP commands and quits.

    :param args: its command line, in pairs
    :param commands: JSON texts, one for each command
    :raise AssertionError: if it ends otherwise than with exit status 0, or 1
        and one line; says more than a line; or does not answer each command
    """

    def __init__(self, *args, commands=()):
        self._args = args
        commands = ['{"execute": "qmp_capabilities"}', *commands,
                    '{"execute": "quit"}']
        qemu = subprocess.run(
            [PATCHED, '-display', 'none', '-nodefaults', '-m', '32',
             '-accel', 'qtest', '-qmp', 'stdio', *args],
            input='\n'.join(commands), text=True, capture_output=True,
            timeout=TIMEOUT, check=False)
        self._lines = qemu.stderr.splitlines()
        self._started = qemu.returncode == 0
        said = f'{self}: {qemu.returncode}: {qemu.stderr[-1000:]}'
        if self._started:
            replies = [json.loads(line) for line in qemu.stdout.splitlines()]
            replies = [reply for reply in replies
                       if 'return' in reply or 'error' in reply]
            assert len(replies) == len(commands), said
            self._replies = replies[1:-1]
        else:
            assert qemu.returncode == 1, said
            assert len(self._lines) == 1, said

    def __str__(self):
        return ' '.join(self._args)[:200]

    def assert_refused(self, reason):
        """QEMU does not start, and what it says matches the reason.

        The option that it repeats in front of that does not count.
        """
        assert not self._started, f'{self}: starts'
        line = self._lines[0].removeprefix(f'{PATCHED.name}: ')
        for option in zip(self._args[::2], self._args[1::2]):
            line = line.removeprefix(f'{option[0]} {option[1]}: ')
        assert re.search(reason, line), f'{self}: {line[-1000:]}'

    def assert_started(self, *warnings):
        """QEMU starts, and says no more than these."""
        assert self._started, f'{self}: {self._lines}'
        assert self._lines == [f'{PATCHED.name}: warning: {warning}'
                               for warning in warnings]

    def replies(self):
        """What the commands were answered, by a QEMU that started."""
        self.assert_started()
        return self._replies


def execute(*commands, args=('-machine', 'none')):
    """What commands return that all succeed."""
    return [reply['return'] for reply in Run(*args, commands=commands
                                             ).replies()]


def command(name, **arguments):
    return json.dumps({'execute': name, 'arguments': arguments})


def members(pairs):
    """A JSON text of members that are JSON texts."""
    return '{%s}' % ', '.join(f'"{name}": {text}' for name, text in pairs)


def assert_errors(replies, reasons):
    """Each command failed, and each error matches its reason."""
    for reply, reason in zip(replies, reasons, strict=True):
        assert 'error' in reply, f'{reason}: {reply}'
        line = reply['error']['desc']
        assert re.search(reason, line), f'{reason}: {line[-1000:]}'


class Property:
    """A property that is a pvpanic's own.

    :param flavour: the device's name
    :param info: what device-list-properties says of it
    """

    def __init__(self, flavour, info):
        self.flavour = flavour
        self.name = info['name']
        self._bits = re.match(r'uint(\d+)$', info['type'])
        self.default = info.get('default-value')
        alias = re.match('alias of (.*)', info.get('description', ''))
        # An error about its range names the property behind an alias
        names = [self.name, alias[1]] if alias else [self.name]
        self.reason = f"({'|'.join(map(re.escape, names))})'"

    def bad_texts(self):
        """What it does not take as key=value."""
        if self._bits:
            return ['', 'x', '0x', '-1', '1.5', '1k', str(10 ** 400), LONG,
                    str(2 ** int(self._bits[1])), str(2 ** 64)]
        return ['', 'x', '0', 'NONE', 'none ', LONG]

    def bad_json(self):
        """What it does not take as JSON."""
        return ['""', '"x"', '"0"', 'null', 'true', '{}', '[]', '1.5', '-1',
                str(2 ** 64), str(10 ** 400), DEEP,
                str(2 ** int(self._bits[1])) if self._bits else '0']


def find_properties():
    """The Property of each pvpanic that there is, and the inherited ones.

    :return: a list, and a dict of lists of names by flavour
    """
    [types] = execute(command('qom-list-types', implements='device'))
    own, inherited = [], {}
    for flavour, parent in [(entry['name'], entry['parent'])
                            for entry in types
                            if entry['name'].startswith('pvpanic')]:
        every, of_parent = execute(
            command('device-list-properties', typename=flavour),
            command('qom-list-properties', typename=parent))
        inherited[flavour] = [info['name'] for info in of_parent]
        own += [Property(flavour, info) for info in every
                if info['name'] not in inherited[flavour]]
    return own, inherited


PROPERTIES, INHERITED = find_properties()
SETTABLE = [prop for prop in PROPERTIES if prop.default is not None]
# The others cannot be plugged into a VM that is there
PCI = [flavour for flavour in INHERITED if 'romfile' in INHERITED[flavour]]


def test_properties_are_found():
    found = {(prop.flavour, prop.name) for prop in SETTABLE}
    assert found >= {
        ('pvpanic', 'iobase'), ('pvpanic', 'ioport'), ('pvpanic', 'events'),
        ('pvpanic', 'action'), ('pvpanic-pci', 'events'),
        ('pvpanic-pci', 'action')}
    assert 'pvpanic-pci' in PCI


def test_device_option():
    for prop in PROPERTIES:
        device = f'{prop.flavour},{prop.name}'
        for text in prop.bad_texts():
            Run('-device', f'{device}={text}').assert_refused(prop.reason)
    for prop in SETTABLE:
        Run('-device', f'{prop.flavour},{prop.name}=,{prop.name}='
            f'{prop.default}').assert_started()


def test_device_option_in_json():
    for prop in PROPERTIES:
        driver = 'driver', f'"{prop.flavour}"'
        for text in (*prop.bad_json(), f'"{LONG}"'):
            Run('-device', members([driver, (prop.name, text)])
                ).assert_refused(prop.reason)
        default = prop.name, json.dumps(prop.default)
        Run('-device', members([driver, default, default])
            ).assert_refused('duplicate key')
        Run('-device', members([driver, (prop.name, TOO_DEEP)])
            ).assert_refused('nesting depth limit exceeded')


@pytest.mark.parametrize('machine', ['pc', 'pc,builtin-pvpanic=on'])
def test_global(machine):
    is_builtin = machine != 'pc'
    for prop in PROPERTIES:
        if is_builtin and prop.flavour != 'pvpanic':
            continue
        device = [] if is_builtin else ['-device', prop.flavour]
        for text in prop.bad_texts():
            Run('-machine', machine, *device,
                '-global', f'{prop.flavour}.{prop.name}={text}'
                ).assert_refused(f"can't apply global .*{prop.reason}")


def test_global_that_is_for_nothing():
    for flavour in INHERITED:
        Run('-device', flavour, '-global', f'{flavour}.no=1').assert_refused(
            f"Property '{flavour}.no' not found")
        Run('-global', f'{flavour}.no=1').assert_started()
        Run('-global', f'driver={flavour},value=1').assert_refused("'property")
        Run('-global', f'{flavour}.=1').assert_refused(f"'{flavour}.'")
    Run('-global', 'pvpanic-no.iobase=0').assert_started(
        'global pvpanic-no.iobase has invalid class name')
    Run('-global', 'pc-machine.builtin-pvpanic=on').assert_started(
        'global pc-machine.builtin-pvpanic has invalid class name')


def test_device_that_is_not_there():
    for text, reason in (
            ('pvpanic-no', "'pvpanic-no' is not"), ('', "'driver' is missing"),
            (LONG, f"'{LONG}' is not"), ('{}', "'driver' is missing"),
            ('{"driver": 1}', "'driver'"), ('{', 'premature EOI')):
        Run('-device', text).assert_refused(reason)
    for flavour in INHERITED:
        for name in 'no', '', LONG:
            Run('-device', f'{flavour},{name}=1').assert_refused(
                f"Property '{flavour}.{name}' not found")


def test_realized_is_left_to_qemu():
    """It is a property of every device, and crashes the base."""
    for flavour in INHERITED:
        for args in (['-device', f'{flavour},realized=on'],
                     ['-device', f'{flavour}', '-global',
                      f'{flavour}.realized=on']):
            Run(*args).assert_refused("realized' is not writable")
    replies = Run(commands=[command('device_add', driver=flavour,
                                    realized=True) for flavour in PCI]
                  ).replies()
    assert_errors(replies, ["realized' is not writable"] * len(PCI))


def test_machine_property():
    for text in '', 'x', 'ON', '1', 'on ', LONG:
        Run('-machine', f'pc,builtin-pvpanic={text}').assert_refused(
            "'builtin-pvpanic' expects 'on' or 'off'")
    Run('-machine', 'pc,builtin-pvpanic.x=on').assert_refused(
        'builtin-pvpanic')
    Run('-machine', 'pc,builtin-pvpanic=x,builtin-pvpanic=on').assert_started()


def test_device_add():
    for flavour in PCI:
        props = [prop for prop in PROPERTIES if prop.flavour == flavour]
        driver = 'driver', f'"{flavour}"'
        tries = [([(prop.name, text)], prop.reason) for prop in props
                 for text in prop.bad_json()]
        tries += [([(prop.name, '1')] * 2, 'duplicate key') for prop in props]
        tries += [([('no', '1')], f"'{flavour}.no' not found"),
                  ([('events', f'"{VERY_LONG}"')], "'events'")]
        replies = Run(commands=[
            members([('execute', '"device_add"'),
                     ('arguments', members([driver, *arguments]))])
            for arguments, _ in tries]).replies()
        assert_errors(replies, [reason for _, reason in tries])


def test_device_add_of_what_cannot_be_plugged():
    for flavour in set(INHERITED) - set(PCI):
        replies = Run(commands=[command('device_add', driver=flavour)]
                      ).replies()
        assert_errors(replies, ["'isa.0' does not support hotplugging"])


def test_device_add_with_inherited_properties():
    """Those are up to QEMU: whatever it answers, it lives."""
    for flavour in PCI:
        Run(commands=[
            command('device_add', driver=flavour, **{name: value})
            for name in INHERITED[flavour]
            for value in ('', -1, None)]).assert_started()


def test_qom_set():
    """A device that is there keeps what it has."""
    for flavour in INHERITED:
        path = '/machine/peripheral/it'
        props = [prop for prop in SETTABLE if prop.flavour == flavour]
        queries = [command('qom-get', path=path, property=prop.name)
                   for prop in props]
        sets = [members([('execute', '"qom-set"'), ('arguments', members([
            ('path', f'"{path}"'), ('property', f'"{prop.name}"'),
            ('value', text)]))])
            for prop in props
            for text in (json.dumps(prop.default), *prop.bad_json())]
        replies = Run('-device', f'{flavour},id=it',
                      commands=queries + sets + queries).replies()
        before = replies[:len(props)]
        assert before == [{'return': prop.default} for prop in props]
        assert replies[-len(props):] == before
        assert_errors(replies[len(props):-len(props)],
                      ['after it was realized'] * len(sets))


def action_values():
    """What set-action takes: values by member, as query-qmp-schema says."""
    [schema] = execute(command('query-qmp-schema'))
    entities = {entity['name']: entity for entity in schema}
    arguments = entities[entities['set-action']['arg-type']]
    return {member['name']: [value['name'] for value in
                             entities[member['type']]['members']]
            for member in arguments['members']}


def test_set_action():
    """What is refused changes nothing, not even in part."""
    actions = action_values()
    assert set(actions) == {'panic', 'reboot', 'shutdown', 'watchdog'}
    tries = [(text, "'arguments' must be an object")
             for text in ('[]', '""', 'null', '1')]
    for name, values in actions.items():
        good = [(other, f'"{actions[other][-1]}"') for other in actions
                if other != name]
        for text in ('""', '"x"', f'"{values[0].upper()}"', '0', 'null',
                     'true', '{}', '[]', '1.5', str(10 ** 400), DEEP):
            tries += [(members([(name, text)]), f"'{name}'"),
                      (members([*good, (name, text)]), f"'{name}'")]
        value = name, f'"{values[-1]}"'
        tries += [(members([value, value]), 'duplicate key'),
                  (members([value, ('no', '1')]), "'no' is unexpected"),
                  (members([value, ('', '1')]), "'' is unexpected")]
    query = command('query-action')
    before, *replies, after = Run(commands=[query, *[
        members([('execute', '"set-action"'), ('arguments', text)])
        for text, _ in tries], query]).replies()
    assert_errors(replies, [reason for _, reason in tries])
    assert after == before
    assert 'panic' not in before['return']


def test_action_option():
    for name, values in action_values().items():
        for text in ('', 'x', '0', values[0].upper(), f'{values[0]} ', LONG):
            Run('-action', f'{name}={text}').assert_refused(f"'{name}' ")
        Run('-action', f'{name}=x,{name}={values[-1]}').assert_started()
    Run('-action', 'no=none').assert_refused("'no'")
    Run('-action', '=none').assert_refused("Invalid parameter ''")


def machine_types():
    """Each machine type, and whether it can have a built-in pvpanic."""
    [types] = execute(command('query-machines'))
    return [(entry['name'], 'builtin-pvpanic' in entry) for entry in types]


def port_0x505(*args):
    """What a guest would read there."""
    [text] = execute(command('human-monitor-command',
                             **{'command-line': 'i /xb 0x505'}), args=args)
    return int(re.match(r'portb\[0x0505\] = (0x..)\r\n', text)[1], 16)


@pytest.mark.parametrize('machine_type, has_builtin', machine_types())
def test_machine_type(machine_type, has_builtin):
    """Built in, neutralised, explicit beside it, and explicit instead of it.

    test_side_by_side has each machine type with one explicit device.
    """
    builtin = '-machine', f'{machine_type},builtin-pvpanic=on'
    neutral = '-global', 'pvpanic.iobase=0'
    explicit = '-device', 'pvpanic,iobase=0x505'
    if not has_builtin:
        Run(*builtin).assert_refused(
            f"Property '{machine_type}-machine.builtin-pvpanic' not found")
    if machine_type == 'none':
        Run('-machine', 'none', *explicit).assert_refused("No 'ISA' bus")
        return

    nothing = port_0x505('-machine', machine_type, '-device', 'pvpanic',
                         *neutral)
    assert nothing == 0xff
    if has_builtin:
        assert port_0x505(*builtin, *neutral) == nothing
        events = port_0x505(*builtin)
        assert events in (1, 3, 7)
        assert port_0x505(*builtin, *neutral, *explicit) == events
        Run(*builtin, *explicit).assert_refused(
            'built-in pvpanic is already active at I/O port 0x505; '
            'remove it with -machine builtin-pvpanic=off')
