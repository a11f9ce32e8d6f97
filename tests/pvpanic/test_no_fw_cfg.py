"""A pvpanic on a machine without fw_cfg.

No x86 machine with an ISA bus that TCG or qtest can run lacks fw_cfg.  So gdb
hides it: it lets the fw_cfg_find() that the device calls return NULL.
"""

import subprocess

from guest import EVENTS, PATCHED, TIMEOUT, UNPATCHED

import pytest

HIDE_FW_CFG = ['set breakpoint pending on',
               'break pvpanic_isa_realizefn', 'run',
               'break fw_cfg_find', 'continue',
               'return', 'set $rax = 0', 'delete', 'continue']


@pytest.mark.parametrize('binary, value', [(PATCHED, f'0x{EVENTS:02x}'),
                                           (UNPATCHED, '0xff')],
                         ids=['decodes-its-port', 'does-not-in-the-base'])
def test_device_without_fw_cfg(binary, value):
    command = ['gdb', '-q', '-batch', '-nx']
    for line in HIDE_FW_CFG:
        command += ['-ex', line]
    command += ['--args', binary, '-machine', 'pc', '-accel', 'qtest',
                '-nodefaults', '-display', 'none', '-device', 'pvpanic',
                '-monitor', 'stdio']
    run = subprocess.run(command, input='i /xb 0x505\nquit\n', text=True,
                         capture_output=True, timeout=TIMEOUT, check=False)
    assert f'portb[0x0505] = {value}' in run.stdout, run.stdout + run.stderr
