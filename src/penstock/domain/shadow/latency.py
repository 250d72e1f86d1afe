"""Cells for durations: each 4 % wider than the one before, from 10 µs on; what is shorter is in cell 0."""

from __future__ import annotations

import math

_LEAST_SECONDS = 1e-5
_GROWTH = math.log(1.04)
LAST_CELL = 450
"""Of 7 minutes and more."""


def cell_of(seconds: float) -> int:
    """Return the cell of a duration."""
    if not seconds > _LEAST_SECONDS:
        return 0
    return min(LAST_CELL, 1 + int(math.log(seconds / _LEAST_SECONDS) / _GROWTH))


def middle_of(cell: int) -> float:
    """Return the duration in the (geometric) middle of a cell: at most 2 % from each in it."""
    return _LEAST_SECONDS * math.exp(_GROWTH * (cell - 0.5)) if cell else _LEAST_SECONDS
