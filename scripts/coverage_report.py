#!/usr/bin/python3
"""Which of the lines that the series adds the tests have reached.

Reads what QEMU wrote to build/10.0/coverage as it ran.  Tests are not counted,
nor what is not compiled for x86_64.  Exits with 1 if there is a line that was
not reached, and tests/uncovered has no reason for it.
"""

from collections import defaultdict
import json
import os
from pathlib import Path
import re
import subprocess
import sys

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / 'build' / os.environ.get('BASE', '10.0')
SRC = BUILD / 'src'
COVERAGE = BUILD / 'coverage'


def run(*command, cwd):
    """What a command prints; raise CalledProcessError if it fails."""
    return subprocess.run(command, cwd=cwd, check=True, text=True,
                          stdout=subprocess.PIPE).stdout


def added_lines():
    """The numbers of the lines that the series adds.

    :return: a set of numbers for each C file
    """
    added = {}
    diff = run('git', 'diff', '--unified=0', '--no-color', '--no-ext-diff',
               'base', 'series', '--', '*.c', ':!tests', cwd=SRC)
    for line in diff.splitlines():
        if line.startswith('+++ '):
            lines = added.setdefault(line[len('+++ b/'):], set())
        hunk = re.match(r'@@ -\S+ \+(\d+)(?:,(\d+))? @@', line)
        if hunk:
            first, count = int(hunk[1]), int(hunk[2] or 1)
            lines.update(range(first, first + count))
    return added


def notes_of(file):
    """What the compiler left for gcov: system/cpus.c has it in
    lib.p/system_cpus.c.gcno, or in system/lib.p/cpus.c.gcno."""
    *folders, _ = parts = file.split('/')
    for depth in range(len(folders) + 1):
        yield from COVERAGE.joinpath(*parts[:depth]).glob(
            f'*.p/{"_".join(parts[depth:])}.gcno')


def gcov(file):
    """What gcov knows of a file.

    :param file: its path in the tree
    :return: counts: for each line, how often it was run, and a list of how
             often each of its branches was taken; empty if it is not compiled
    """
    runs = defaultdict(int)
    branches = defaultdict(list)
    for notes in notes_of(file):
        report = json.loads(run('gcov', '--json-format', '--stdout',
                                '--branch-probabilities', str(notes),
                                cwd=COVERAGE))
        for source in report['files']:
            if (COVERAGE / source['file']).resolve() != SRC / file:
                continue
            for line in source['lines']:
                number = line['line_number']
                runs[number] += line['count']
                branches[number] += [b['count'] for b in line['branches']]
    return {number: (runs[number], branches[number]) for number in runs}


def reasons():
    """For each file, pairs: a pattern for a line, why no test reaches it."""
    known = defaultdict(list)
    for line in (ROOT / 'tests' / 'uncovered').read_text().splitlines():
        if line and not line.startswith('#'):
            file, pattern, reason = line.split('|')
            known[file].append((re.compile(pattern), reason))
    return known


def report():
    """Print what was reached and what was not.

    :return: how many lines were not reached for no known reason
    """
    known = reasons()
    missed = []
    total = [0] * 4
    print(f'{"":40}{"lines":>14}{"branches":>14}')
    for file, added in sorted(added_lines().items()):
        counts = gcov(file)
        if not counts:
            print(f'{file:40}{"not compiled for x86_64":>28}')
            continue
        counts = {n: counts[n] for n in sorted(added & counts.keys())}
        taken = [b for _, branches in counts.values() for b in branches]
        numbers = [sum(runs > 0 for runs, _ in counts.values()), len(counts),
                   sum(b > 0 for b in taken), len(taken)]
        total = [sum(pair) for pair in zip(total, numbers)]
        print('{:40}{:5} of {:5}{:5} of {:5}'.format(file, *numbers))
        text = (SRC / file).read_text(encoding='utf-8').splitlines()
        for number, (runs, branches) in counts.items():
            if not runs:
                line = text[number - 1]
                why = [reason for pattern, reason in known[file]
                       if pattern.search(line)]
                missed.append((file, number, line.strip(), why))
    print('{:40}{:5} of {:5}{:5} of {:5}'.format('all', *total))

    print('\nNot reached:')
    for file, number, line, why in missed:
        print(f'  {file}:{number}: {line}\n      {(why or ["WHY?"])[0]}')
    return sum(not why for *_, why in missed)


if __name__ == '__main__':
    unknown = report()
    if unknown:
        sys.exit(f'{unknown} lines are not reached, for no known reason; test '
                 'them, or give a reason in tests/uncovered')
