"""Statistics on plain arrays and counts: no I/O, no clock, no randomness."""
