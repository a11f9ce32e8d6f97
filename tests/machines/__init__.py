"""3-machines: each machine type, beside the unpatched QEMU."""
