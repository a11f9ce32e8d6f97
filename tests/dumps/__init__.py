"""6-dumps: what other tools read in a dump."""
