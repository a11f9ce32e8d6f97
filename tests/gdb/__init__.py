"""7-gdb: what gdb sees of a panic."""
