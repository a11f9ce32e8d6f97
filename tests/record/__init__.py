"""4-record: no panic is lost, and none leaves anything behind."""
