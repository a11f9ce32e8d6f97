"""Hostile input for the properties of devices, and for devices themselves."""

import json
import re

from guest import BASE, TOPICS, release
from tests.hostile import (DEEP, LONG, TOO_DEEP, VERY_LONG, Run, assert_errors,
                           command, execute, members)

import pytest


class Property:
    """A property that is a pvpanic's own.

    :param flavour: the device's name
    :param info: what device-list-properties says of it
    """

    def __init__(self, flavour, info):
        self.flavour = flavour
        self.name = info['name']
        self._bits = re.match(r'uint(\d+)$', info['type'])
        self._is_bool = info['type'] == 'bool'
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
        return ['""', '"x"', '"0"', 'null', '{}', '[]', '1.5', '-1',
                str(2 ** 64), str(10 ** 400), DEEP,
                str(2 ** int(self._bits[1])) if self._bits else '0',
                *([] if self._is_bool else ['true'])]


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
    of_both = ['events', 'action']
    if 'guest-log' in TOPICS:
        of_both.append('message')
    assert found >= {
        ('pvpanic', 'iobase'), ('pvpanic', 'ioport'),
        *((flavour, name) for flavour in ('pvpanic', 'pvpanic-pci')
          for name in of_both)}
    assert 'pvpanic-pci' in PCI


def test_device_option():
    for prop in PROPERTIES:
        device = f'{prop.flavour},{prop.name}'
        for text in prop.bad_texts():
            Run('-device', f'{device}={text}').assert_refused(prop.reason)
    for prop in SETTABLE:
        Run('-device', f'{prop.flavour},{prop.name}=,{prop.name}='
            f'{json.dumps(prop.default).strip(chr(34))}').assert_started()


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


def test_device_add():
    for flavour in PCI:
        props = [prop for prop in PROPERTIES if prop.flavour == flavour]
        driver = 'driver', f'"{flavour}"'
        # QEMU 7.2 makes text of it first, and leaves out what is none
        other = (['"0"', 'null', '{}', '[]', DEEP]
                 if release(BASE) < (8, 0) else [])
        tries = [([(prop.name, text)], prop.reason) for prop in props
                 for text in prop.bad_json() if text not in other]
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
