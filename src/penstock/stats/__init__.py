"""Statistics on plain arrays and counts: no I/O, no clock, randomness only from a seed that is given."""
