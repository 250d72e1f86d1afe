"""Evaluates revisions: one Job per gate, revision and attempt, whose numbers the domain judges."""
