"""5-moments: migration, to and from the unpatched QEMU."""
