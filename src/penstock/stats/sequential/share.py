"""The state of one analysis that compares shares: errors, slow answers, a user's proportion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from penstock.domain.canary.analysis import Worse
from penstock.stats.sequential import go, harm
from penstock.stats.sequential.go import Go
from penstock.stats.sequential.harm import Harm

Counts = tuple[int, int, int, int]
"""Requests and events of the candidate, requests and events of the champion."""


@dataclass(frozen=True, slots=True)
class ShareState:
    """Totals of the step and of the rollout, the Harm test, and the Go test per side.

    `beside`: for Latency (candidate's, champion's) numbers of requests slower than the bounds below and above.
    """

    harm: Harm
    go: tuple[Go, ...]
    step: Counts = (0, 0, 0, 0)
    rollout: Counts = (0, 0, 0, 0)
    beside: Counts = (0, 0, 0, 0)

    def as_json(self) -> list[Any]:
        """Return plain integers."""
        counts = [list(item) for item in (self.step, self.rollout, self.beside)]
        return [self.harm.as_json(), [side.as_json() for side in self.go], *counts]

    @classmethod
    def from_json(cls, value: Sequence[Any]) -> ShareState:
        """Return the state that `as_json` was called on."""
        step, rollout, beside = (_counts(item) for item in value[2:5])
        return cls(harm.from_json(value[0]), tuple(go.from_json(side) for side in value[1]), step, rollout, beside)


def begin(worse: Worse, usual: tuple[float, float]) -> ShareState:
    """Return the state at the beginning of a rollout; `usual`: requests and events in the champion's history."""
    return ShareState(harm.begin(worse), tuple(go.begin(*_turned(usual, side)) for side in _sides(worse)))


def next_step(state: ShareState, worse: Worse) -> ShareState:
    """Return the state at the beginning of the next step: Harm begins anew, Go goes on."""
    return replace(state, harm=harm.begin(worse), step=(0, 0, 0, 0))


def observe(
    state: ShareState,
    worse: Worse,
    margin: float,
    candidate: tuple[int, int],
    champion: tuple[int, int],
    dispersion: float,
    started: float,
) -> ShareState:
    """Return the state after a block with (requests, events) of each track; `started`: see `harm.starting`."""
    added = (*candidate, *champion)
    sides = zip(state.go, _sides(worse), strict=True)
    return replace(
        state,
        harm=harm.observe(state.harm, worse, candidate, champion, dispersion, started),
        go=tuple(
            go.observe(test, margin, _turned_counts(candidate, side), _turned_counts(champion, side), dispersion)
            for test, side in sides
        ),
        step=_plus(state.step, added),
        rollout=_plus(state.rollout, added),
    )


def difference(counts: Counts) -> float | None:
    """Return the candidate's share less the champion's; None if either has no requests."""
    n1, x1, n2, x2 = counts
    return x1 / n1 - x2 / n2 if n1 and n2 else None


def worsening(counts: Counts, worse: Worse) -> float | None:
    """Return by how much the candidate is worse: the difference, turned so that more is worse."""
    found = difference(counts)
    if found is None or worse is Worse.HIGHER:
        return found
    return -found if worse is Worse.LOWER else abs(found)


def log_go(state: ShareState) -> float:
    """Return log e of the Go test; where either direction is worse, both have to be shown."""
    return min(side.log_e for side in state.go)


def _sides(worse: Worse) -> tuple[Worse, ...]:
    return (Worse.HIGHER, Worse.LOWER) if worse is Worse.EITHER else (worse,)


def _turned_counts(counts: tuple[int, int], side: Worse) -> tuple[int, int]:
    """Return the counts with what is worse when there is more of it as the event."""
    return counts if side is Worse.HIGHER else (counts[0], counts[0] - counts[1])


def _turned(usual: tuple[float, float], side: Worse) -> tuple[float, float]:
    return usual if side is Worse.HIGHER else (usual[0], usual[0] - usual[1])


def _plus(one: Counts, other: Counts) -> Counts:
    return (one[0] + other[0], one[1] + other[1], one[2] + other[2], one[3] + other[3])


def _counts(value: Sequence[Any]) -> Counts:
    return (value[0], value[1], value[2], value[3])
