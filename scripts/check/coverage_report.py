"""Which of the lines that the series adds the tests have reached.

Reads what QEMU wrote to build/10.0/coverage as it ran.  Tests are not counted,
nor what is not compiled for x86_64.  Exits with 1 if tests/uncovered does not
say of each line that was not reached why, or says it of others.
"""

from collections import Counter, defaultdict
import json
import re
import subprocess
import sys

from guest import BUILD, SRC, list_of

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
    :return: for each line, how often it was run, a list of how often each of
             its branches was taken, and the function that it is in; empty if
             the file is not compiled
    """
    runs = defaultdict(int)
    branches = defaultdict(list)
    functions = {}
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
                functions[number] = line.get('function_name', '')
    return {number: (runs[number], branches[number], functions[number])
            for number in runs}


def reasons(text):
    """What tests/uncovered says.

    :return: for each place (file, function, line), how many such lines are not
             reached, at least and at most, and why
    """
    known = {}
    for line in text.splitlines():
        if line and not line.startswith('#'):
            file, function, number, rest = line.split('|', 3)
            code, why = rest.rsplit('|', 1)
            least, _, most = number.partition('-')
            assert (file, function, code) not in known, f'twice: {line}'
            assert why, f'no reason: {line}'
            known[file, function, code] = int(least), int(most or least), why
    return known


def complaints(known, places, missed):
    """What does not fit together, in words.

    :param known: what reasons() returns
    :param places: of all lines, one for each
    :param missed: of those that are not reached, one for each
    """
    count = Counter(missed)
    for place in sorted(count.keys() - known.keys()):
        yield f'{"|".join(place)}: {count[place]} not reached, and no reason'
    for place, (least, most, _) in known.items():
        if place not in places:
            yield f'{"|".join(place)}: there is no such line'
        elif not least <= count[place] <= most:
            yield (f'{"|".join(place)}: {count[place]} not reached, and not '
                   f'{least if least == most else f"{least} to {most}"}')


def report():
    """Print what was reached and what was not.

    :return: what is wrong with that, in words
    """
    known = reasons(list_of('uncovered'))
    places, missed = [], []
    total = [0] * 4
    print(f'{"":40}{"lines":>14}{"branches":>14}')
    for file, added in sorted(added_lines().items()):
        counts = gcov(file)
        if not counts:
            print(f'{file:40}{"not compiled for x86_64":>28}')
            continue
        counts = {n: counts[n] for n in sorted(added & counts.keys())}
        taken = [b for _, branches, _ in counts.values() for b in branches]
        numbers = [sum(runs > 0 for runs, *_ in counts.values()), len(counts),
                   sum(b > 0 for b in taken), len(taken)]
        total = [sum(pair) for pair in zip(total, numbers)]
        print('{:40}{:5} of {:5}{:5} of {:5}'.format(file, *numbers))
        text = (SRC / file).read_text(encoding='utf-8').splitlines()
        for number, (runs, _, function) in counts.items():
            places.append((file, function, text[number - 1].strip()))
            if not runs:
                missed.append((number, places[-1]))
    print('{:40}{:5} of {:5}{:5} of {:5}'.format('all', *total))

    print('\nNot reached:')
    for number, place in missed:
        file, function, line = place
        *_, why = known.get(place, ['WHY?'])
        print(f'  {file}:{number}: {function}: {line}\n      {why}')
    return list(complaints(known, places, [place for _, place in missed]))


if __name__ == '__main__':
    wrong = report()
    if wrong:
        sys.exit('\n'.join(['', 'tests/uncovered is wrong, or a test is '
                            'missing:', *wrong]))
