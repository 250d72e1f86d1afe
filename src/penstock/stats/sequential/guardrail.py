"""A gauge with bounds. It has no size of sample, so it can stop a rollout but is never evidence to go on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from penstock.domain.canary.analysis import Analysis
from penstock.domain.canary.counters import Reading


@dataclass(frozen=True, slots=True)
class GuardrailState:
    """The last value (of several series the one furthest out), and for how many looks in a row it was outside."""

    value: float | None = None
    outside: int = 0
    looks: int = 0

    def as_json(self) -> list[Any]:
        """Return plain values."""
        return [None if self.value is None else repr(self.value), self.outside, self.looks]

    @classmethod
    def from_json(cls, value: list[Any]) -> GuardrailState:
        """Return the state that `as_json` was called on."""
        return cls(None if value[0] is None else float(value[0]), value[1], value[2])


def observe(state: GuardrailState, analysis: Analysis, candidate: Reading | None) -> GuardrailState:
    """Return the state after one look; a look without a finite value says nothing and leaves the count as it is."""
    series = {} if candidate is None else candidate.user.get(analysis.name, {})
    values = [float(counts.values[0]) for counts in series.values() if math.isfinite(counts.values[0])]
    if not values:
        return GuardrailState(None, state.outside, state.looks)
    furthest = max(values, key=lambda value: _beyond(value, analysis))
    outside = state.outside + 1 if _beyond(furthest, analysis) > 0 else 0
    return GuardrailState(furthest, outside, state.looks + 1)


def _beyond(value: float, analysis: Analysis) -> float:
    above = -math.inf if analysis.maximum is None else value - analysis.maximum
    below = -math.inf if analysis.minimum is None else analysis.minimum - value
    return max(above, below)
