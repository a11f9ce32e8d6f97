"""Hostile input for set-action and for the option -action."""

from tests.hostile import (DEEP, LONG, Run, assert_errors, command, execute,
                           members)


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
