"""Decisions as pure functions on plain values: no I/O, no clock, no randomness, no Kubernetes."""
