"""Core dumps of a panicked Linux guest, read with makedumpfile."""

import os
import subprocess
import threading

from linux import BUILD, LinuxGuest  # noqa: F401, sets up qemu.qmp
from qemu.qmp.legacy import QMPError  # noqa: F401
from qemu.machine.machine import VMLaunchFailure  # noqa: F401

import pytest
