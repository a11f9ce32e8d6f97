"""What takes whole systems: Linux, libvirt, gdb, the unpatched QEMU."""
