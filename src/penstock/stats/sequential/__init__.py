"""Tests that may be looked at as often as one likes: the canary's. Standard library only, the operator imports it."""
