"""Draw the pictures in docs/, each from its source.

usage: python3 -m scripts.pictures [--check] [NAME...]

A picture that was made from its source as it is now is left alone.  With
--check, none is drawn, and it is an error if one is not; that needs none of
the tools that draw.  Tools of different versions draw differently, so a
picture is not compared with another one: its last line has a hash, of its
source and of itself.
"""

import argparse
import hashlib
from pathlib import Path
import re
import subprocess
import sys
from xml.etree import ElementTree

DOCS = Path(__file__).resolve().parent.parent / 'docs'
SVG = 'http://www.w3.org/2000/svg'
PADDING = 10

# What the tools draw with, and what it becomes where pages are dark
DARK = {
    '#ffffff': '#161b22', '#000000': '#e6edf3', '#d3d3d3': '#444c56',
    '#e4edfa': '#1c3556', '#ffe3e0': '#67302c', '#1f5fa8': '#79b8ff',
    '#57606a': '#9ea7b3',
}
COLOUR_NAMES = {'white': '#ffffff', 'black': '#000000', 'transparent': 'none'}
PAINTS = 'fill', 'stroke', 'color'
STYLE = ('svg { max-width: 100%; height: auto }\n'
         '@media (prefers-color-scheme: dark) {\n' +
         ''.join(f'[{paint}="{light}"] {{ {paint}: {dark} }}\n'
                 for paint in PAINTS for light, dark in DARK.items()) +
         '}\n')


def table(page):
    """The rows of the table in a page, as lists of cells."""
    return [[cell.strip() for cell in line.strip('|\n').split('|')]
            for line in (DOCS / page).open() if line.startswith('|')]


# Rows of the table of run states that a label names otherwise
LABELS = {
    'guest writes': 'panic',
    'snapshot-load': 'loadvm',
    'migrate with pause-before-switchover': 'migrate',
    'the reader of what is held goes away': 'migration fails',
    'what is held is read': 'migration ends',
}


def label(command):
    """What the picture calls a command of the table."""
    command = re.split(r' \d|, | \(', command)[0]
    return LABELS.get(command, command)


def run_states():
    """The ways into and out of guest-panicked, for Graphviz.

    They are those of the table, and those by which VMs move on from there.
    Left out is what changes nothing or ends QEMU, what a guest writes while
    it is stopped, and the ends of what a command has begun, but for that of
    a migration: it leads to postmigrate, by way of finish-migrate.
    """
    centre = 'guest-panicked'
    moves_on = 'cont', 'stop', 'system_reset', 'migration ends'
    only_from = {'panic': 'running', 'migration ends': 'finish-migrate'}
    (_, *states), _, *rows = table('run-states.md')
    edges = {}
    for row, *cells in rows:
        command = label(row)
        for state, cell in zip(states, cells):
            for end in cell.split(' / '):
                if end in states and only_from.get(command, state) == state:
                    edges.setdefault((state, end), {})[command] = None
    near = {state for edge in edges if centre in edge for state in edge}
    del edges[centre, 'postmigrate']

    lines = ['digraph "run states" {',
             'nodesep=0.07; ranksep=0.5; pad=0',
             'node [shape=box, style=rounded, fontname="sans-serif",'
             ' fontsize=14, height=0.4, margin="0.06,0.05"]',
             'edge [fontname="sans-serif", fontsize=14, arrowsize=0.8]',
             '{ rank=source; running }',
             f'"{centre}" [style="rounded,filled", fillcolor="#ffe3e0"]']
    for (state, end), commands in edges.items():
        shown = r'\n'.join(
            f' {command}' for command in commands
            if centre in (state, end) or command in moves_on)
        if shown and {state, end} <= near:
            lines.append(f'"{state}" -> "{end}" [label="{shown}"]')
    return '\n'.join([*lines, '}', ''])


def panic():
    """The life of a panic, for pikchr."""
    return (DOCS / 'panic.pikchr').read_text()


def bench():
    """The ratios of make bench, for gnuplot.

    A table of three columns has them: what, TCG, KVM.
    """
    rows = [row for row in table('bench.md') if len(row) == 3][2:]
    lines = ['$rows << END', *(f'"{what}"' for what, *_ in rows), 'END']
    for accel, column in ('tcg', 1), ('kvm', 2):
        ratios = (re.fullmatch(r'(\S+) \((\S+) to (\S+)\)', row[column])
                  for row in rows)
        lines += [f'${accel} << END',
                  *(' '.join([str(number), *ratio.groups()])
                    for number, ratio in enumerate(ratios) if ratio), 'END']
    script = DOCS.parent / 'bench' / 'plot.gp'
    return '\n'.join([*lines, script.read_text()])


def paint(value):
    """A colour as DARK has it."""
    rgb = re.fullmatch(r'rgb\( *(\d+), *(\d+), *(\d+)\)', value)
    if rgb:
        return '#' + ''.join(f'{int(part):02x}' for part in rgb.groups())
    return COLOUR_NAMES.get(value, value)


def finish(svg, title, text):
    """Make what a tool has drawn fit for any page, light or dark.

    :param svg: the picture, as the tool draws it
    :param title: its name
    :param text: what it says, for who does not see it; None if its own
                 text can be read in its place
    :return: the picture, without its last line
    """
    root = ElementTree.fromstring(svg)
    for node in root.iter():
        for rule in filter(None, node.attrib.pop('style', '').split(';')):
            name, value = rule.split(':')
            if value != 'initial':
                node.set(name, value)
        for name in set(PAINTS) & set(node.attrib):
            node.set(name, paint(node.get(name)))
        if node.attrib.pop('dominant-baseline', None) == 'central':
            node.set('dy', '.35em')  # not all know the baseline
    for what in 'title', 'desc':
        for node in root.findall(f'{{{SVG}}}{what}'):
            root.remove(node)

    x, y, width, height = map(float, root.get('viewBox').split())
    box = {'x': x - PADDING, 'y': y - PADDING,
           'width': width + 2 * PADDING, 'height': height + 2 * PADDING}
    box = {name: f'{value:.0f}' for name, value in box.items()}
    for name, value in {'font-family': 'sans-serif', 'font-size': '16',
                        'fill': '#000000'}.items():
        root.attrib.setdefault(name, value)
    root.attrib.update(viewBox=' '.join(box.values()),
                       width=box['width'], height=box['height'])
    head = [ElementTree.Element(f'{{{SVG}}}{name}')
            for name in ('title', 'desc', 'style', 'rect')]
    for node, value in zip(head, (title, text, STYLE)):
        node.text, node.tail = value, '\n'
    head[-1].attrib.update(**box, rx='6', fill='#ffffff')
    if text:
        root.set('role', 'img')
    else:
        del head[1]
    root[:0] = head
    svg = ElementTree.tostring(root, encoding='unicode').replace('\t', ' ')
    return '\n'.join(filter(None, map(str.rstrip, svg.split('\n')))) + '\n'


def run(*command):
    """A function that lets a tool draw what is on its standard input."""
    def draw(source):
        try:
            return subprocess.run(command, input=source, text=True, check=True,
                                  stdout=subprocess.PIPE).stdout
        except FileNotFoundError:
            sys.exit(f'{command[0]} is missing; `make pictures` installs it')
        except subprocess.CalledProcessError as error:
            sys.exit(str(error))
    return draw


# name: (title, text, what makes the source, what draws it)
PICTURES = {
    'run-states': (
        'The run states around guest-panicked',
        'From running, a panic or loadvm leads to guest-panicked. From there,'
        ' cont leads to running; stop and loadvm to paused; system_reset to'
        ' prelaunch; migrate to finish-migrate, from where migrate_cancel or'
        ' a failure leads back, and the end of the migration to postmigrate.'
        ' loadvm leads to guest-panicked from paused and prelaunch, too. cont'
        ' leads to running from all of them but finish-migrate.',
        run_states, run('dot', '-Tsvg')),
    'panic': (
        'The life of a panic',
        'The guest writes 1 to port 0x505. Its vCPU thread finds that the'
        ' device offers the event, decides on the action, counts and'
        ' remembers the panic, sends GUEST_PANICKED through the monitor to'
        ' the manager, asks the main loop for a stop, and stops. The main'
        ' loop makes the run state guest-panicked, pauses all vCPUs and sends'
        ' STOP. Whenever the manager comes, query-status says guest-panicked.'
        ' cont makes the run state running, sends RESUME and resumes the'
        ' vCPUs: the guest goes on.',
        panic, run('fossil', 'pikchr', '-', '-')),
    'bench': (
        'Patched against unpatched: ratios and their quartiles',
        None,
        bench, run('gnuplot', '-')),
}


def with_hash(picture, source):
    """The picture with a last line that fits it and its source only."""
    seal = hashlib.sha256(f'{source}{picture}'.encode()).hexdigest()
    return f'{picture}<!-- pictures.py: {seal} -->\n'


def is_drawn(path, source):
    """Whether the picture is there, and made from that source."""
    if not path.exists():
        return False
    picture = path.read_text()
    return picture == with_hash(picture.rpartition('<!-- ')[0], source)


def up_to_date(name, check):
    """See to one picture.

    :param name: of PICTURES
    :param check: do not draw
    :return: whether it shows what it should
    """
    path = DOCS / f'{name}.svg'
    title, text, get_content, draw = PICTURES[name]
    content = get_content()
    source = f'{STYLE}{title}{text}{content}'
    fine = is_drawn(path, source)
    if not fine and not check:
        path.write_text(with_hash(finish(draw(content), title, text), source))
        print(f'docs/{path.name}: drawn')
    elif not check:
        print(f'docs/{path.name}: up to date')
    elif not fine:
        print(f'docs/{path.name} is not what it was made from;'
              f' run `make pictures`', file=sys.stderr)
    return fine or not check


def main():
    """Draw, or check."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
    parser.add_argument('--check', action='store_true')
    parser.add_argument('names', nargs='*', metavar='NAME')
    args = parser.parse_args()
    for name in args.names:
        if name not in PICTURES:
            parser.error(f'there is no picture {name!r}; there are: '
                         + ', '.join(PICTURES))
    ElementTree.register_namespace('', SVG)
    ElementTree.register_namespace('xlink', 'http://www.w3.org/1999/xlink')
    return not all([up_to_date(name, args.check)
                    for name in args.names or PICTURES])


if __name__ == '__main__':
    sys.exit(main())
