"""Decisions about datasets: what a validation is asked, what its result means and when it is repeated."""
