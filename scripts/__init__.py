"""What `make` calls, and what draws and shows."""
