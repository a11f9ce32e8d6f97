#!/usr/bin/python3
"""What QEMU's own tests came to, on two builds.

usage: suites.py key BUILD NAME...     a hash of all that goes into the results
       suites.py compare BASE SERIES   "pass", "fail" or "skip" a line, as
                                       scripts/check/results.sh has them

BASE and SERIES are folders with suite.json, which is Meson's, and with paths,
lines with a result and a name.  What a build came to goes to stderr.
"""

from collections import Counter
import hashlib
import json
import os
from pathlib import Path
import re
import subprocess
import sys

HERE = Path(__file__).resolve().parent


def introspect(build, what):
    """What Meson knows of a build."""
    return json.loads(subprocess.run(
        ['pyvenv/bin/meson', 'introspect', f'--{what}', '.'], cwd=build,
        check=True, stdout=subprocess.PIPE).stdout)


def inputs(build, names):
    """The tests, and every file that they can run or read."""
    targets = {t['id']: t['filename'] for t in introspect(build, 'targets')}
    tests = sorted((t for t in introspect(build, 'tests')
                    if t['name'] in names), key=lambda test: test['name'])
    files = {HERE / 'suites.py', HERE / 'upstream', HERE / 'qtest.sh'}
    for test in tests:
        for path in [*test['cmd'], *test['env'].values(),
                     *(name for target in test['depends']
                       for name in targets[target])]:
            files.add(build / path)
    for folder in 'tests/data', 'qemu-bundle':
        for path, _, found in os.walk(build / folder, followlinks=True):
            files.update(Path(path, name) for name in found)
    return tests, sorted(file for file in files if file.is_file())


def key(build, *names):
    """Print a hash, which changes when the results can."""
    tests, files = inputs(Path(build).resolve(), names)
    total = hashlib.sha256(json.dumps([names, tests]).encode())
    for file in files:
        total.update(f'{file} {hashlib.sha256(file.read_bytes()).hexdigest()}'
                     .encode())
    print(total.hexdigest())


def results(folder):
    """What the tests of a build, and the cases in them, came to.

    :return: a result for each name, and why that name was skipped
    """
    found, why = {}, {}
    for line in (folder / 'suite.json').read_text().splitlines():
        test = json.loads(line)
        name = test['name'].split(' / ')[-1]
        found[name] = test['result']
        for no, case, skip, reason in re.findall(
                r'^(not )?ok \d+ (?:- )?(.*?)(?: # (SKIP|TODO) ?(.*))?$',
                test.get('stdout', ''), re.M):
            case = f'{name} {case}'
            found[case] = skip or ('FAIL' if no else 'OK')
            why[case] = reason
    for line in (folder / 'paths').read_text().splitlines():
        result, name = line.split(' ', 1)
        found[name] = result
    for result, count in sorted(Counter(found.values()).items()):
        print(f'    {folder.name}: {count} {result}', file=sys.stderr)
        if result not in ('OK', 'SKIP'):
            for name in (n for n in found if found[n] == result):
                print(f'        {name}', file=sys.stderr)
    return found, why


def compare(base, series):
    """Print what is different, and what is no success on either build."""
    before, _ = results(Path(base))
    after, why = results(Path(series))
    for name in [*after, *(before.keys() - after.keys())]:
        old, new = before.get(name, 'not run'), after.get(name, 'not run')
        if new == 'OK':
            print('pass', name)
        elif new == old or (old, new) == ('not run', 'SKIP'):
            print(f'skip {name}: {new} patched, {old} unpatched',
                  *filter(None, [why.get(name)]))
        else:
            print(f'fail {name}: {new} patched, {old} unpatched')


if __name__ == '__main__':
    {'key': key, 'compare': compare}[sys.argv[1]](*sys.argv[2:])
