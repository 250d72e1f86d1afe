"""Logarithms of e-values as integers: what goes on after a restart is bit for bit what would have gone on without."""

from __future__ import annotations

import math
from collections.abc import Sequence

PER_NAT = 1_000_000
LEAST = -(10**12)
"""A process that has lost this much (in millionths of a nat) stays there; it bounds the state's size."""


def stored(log_e: float) -> int:
    """Return `log_e` in millionths of a nat, rounded down: rounding must not make evidence."""
    return max(math.floor(log_e * PER_NAT), LEAST)


def mixture(logs: Sequence[int], log_weights: Sequence[float]) -> float:
    """Return the log of the weighted mean of e-values, which is an e-value itself, in nats."""
    terms = [log / PER_NAT + weight for log, weight in zip(logs, log_weights, strict=True)]
    largest = max(terms)
    return largest + math.log(sum(math.exp(term - largest) for term in terms))
