"""2-reversible: the run state, with Linux and with libvirt."""
