"""The demo: from a bare machine to predictions of a real model, in one command."""
