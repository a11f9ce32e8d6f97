"""1-pvpanic: the device."""
