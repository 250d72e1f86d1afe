"""Bugs that are planted into the operator's process to see whether the oracles find them."""

from tests.faults import bugs_in_machinery, bugs_in_rollouts
from tests.faults.planting import BUGS

__all__ = ["BUGS", "bugs_in_machinery", "bugs_in_rollouts"]
