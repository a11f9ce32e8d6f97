"""The patched QEMU, measured against the unpatched one."""
