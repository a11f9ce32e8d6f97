"""Each machine type, with a pvpanic built in, neutralised and explicit."""

import re

from tests.hostile import LONG, Run, command, execute

import pytest


def machine_types():
    """Each machine type, and whether it can have a built-in pvpanic."""
    [types] = execute(command('query-machines'))
    return [(entry['name'], 'builtin-pvpanic' in entry) for entry in types]


def test_machine_property():
    for text in '', 'x', 'ON', '1', 'on ', LONG:
        Run('-machine', f'pc,builtin-pvpanic={text}').assert_refused(
            "'builtin-pvpanic' expects 'on' or 'off'")
    Run('-machine', 'pc,builtin-pvpanic.x=on').assert_refused(
        'builtin-pvpanic')
    Run('-machine', 'pc,builtin-pvpanic=x,builtin-pvpanic=on').assert_started()


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
