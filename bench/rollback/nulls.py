"""Candidates that are as good as the champion: how many are rolled back within an hour of looks every 5 seconds?"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from bench.rollback.lockstep import LOOK_SECONDS, Array, Harm, History
from bench.rollback.rules import RULES, Watch
from bench.rollback.traffic import Kind, Traffic, counts
from penstock.stats.sequential import harm
from penstock.stats.sequential.dispersion import PESSIMISTIC

MARGIN = 0.005
STEPS = 3
ERRORS_THRESHOLD = harm.threshold(0, 0, 2, 0, STEPS)
"""Of errors in the first of three steps, latency being analysed too: the lowest there is in such a rollout."""
HISTORY_SECONDS = 6 * 3600
_SAVED_LOOKS = 6
"""Status is written every 30 s."""


@dataclass(frozen=True)
class Cell:
    """One line of the table: a kind of traffic, the candidate's weights, and what else goes on."""

    group: str
    kind: Kind
    weights: tuple[float, ...] = (0.05, 0.25, 0.5)
    history: bool = True
    restarts: bool = False


@dataclass
class Line:
    """What came of one cell at one weight: shares of runs rolled back, and the dispersions that were used."""

    cell: Cell
    weight: float
    runs: int
    penstock: float
    rules: dict[str, float]
    dispersion: tuple[float, float, float] = field(default=(1.0, 1.0, 1.0))


def past(kind: Kind, runs: int, seed: int, seconds: int = HISTORY_SECONDS) -> History:
    """The champion alone, as long as the operator's sums reach back."""
    traffic = Traffic(kind, runs, seed)
    history = History(runs, kind.champion_pods)
    for _ in range(seconds // LOOK_SECONDS):
        ((requests, errors),) = traffic.look(((1.0, kind.champion_pods, kind.error),))
        history.observe(requests, errors)
    return history


def run(cell: Cell, runs: int, seconds: int, seed: int) -> list[Line]:
    """All weights of one cell; they share the champion's history."""
    factor = past(cell.kind, runs, seed).dispersion() if cell.history else np.full(runs, PESSIMISTIC)
    low, middle, high = (float(value) for value in np.quantile(factor, (0.05, 0.5, 0.95)))
    lines = []
    for index, weight in enumerate(cell.weights):
        found, watches = _rollouts(cell, weight, factor, seconds, seed + 1 + index)
        rules = {watch.rule.name: float(np.isfinite(watch.found).mean()) for watch in watches}
        lines.append(Line(cell, weight, runs, float(found.mean()), rules, (low, middle, high)))
    return lines


def _rollouts(cell: Cell, weight: float, factor: Array, seconds: int, seed: int) -> tuple[Array, list[Watch]]:
    kind, runs = cell.kind, len(factor)
    traffic = Traffic(kind, runs, seed)
    test = Harm(runs, factor)
    watches = [Watch(rule, runs) for rule in RULES]
    found = np.zeros(runs, bool)
    operator = Restarts(runs, seed) if cell.restarts else None
    candidate_pods = max(1, round(kind.champion_pods * weight))
    tracks = ((weight, candidate_pods, kind.error), (1 - weight, kind.champion_pods, kind.error))
    for look in range(1, seconds // LOOK_SECONDS + 1):
        candidate, champion = traffic.look(tracks)
        seen = counts(candidate, champion)
        if operator is None:
            test.observe(seen, look * LOOK_SECONDS)
            found |= test.shown(ERRORS_THRESHOLD, MARGIN)
        else:
            up = operator.look(test, seen, look)
            found |= test.shown(ERRORS_THRESHOLD, MARGIN) & up
        for watch in watches:
            watch.observe(seen[0], seen[1], look * LOOK_SECONDS)
    return found, watches


class Restarts:
    """An operator that ends some 12 times an hour without notice, and is back after 5 to 30 s with what status says."""

    def __init__(self, runs: int, seed: int) -> None:
        self.random = np.random.default_rng(seed + 1000)
        self.down = np.zeros(runs, np.int64)
        self.unsaved = np.zeros((4, runs), np.int64)
        self.saved: tuple[Array, ...] | None = None

    def look(self, test: Harm, seen: Array, look: int) -> Array:
        """Feed the test as such an operator would; returns which runs' operators looked."""
        if self.saved is None:
            self.saved = test.snapshot()
        self.unsaved += seen
        ends = (self.random.random(len(self.down)) < LOOK_SECONDS / 300) & (self.down == 0)
        test.restore(self.saved, np.flatnonzero(ends))
        back = np.flatnonzero(self.down == 1)
        up = np.flatnonzero((self.down == 0) & ~ends)
        test.observe(seen[:, up], look * LOOK_SECONDS, up)
        test.observe(self.unsaved[:, back], look * LOOK_SECONDS, back)
        looked = np.zeros(len(self.down), bool)
        looked[up] = looked[back] = True
        self.down = np.where(ends, self.random.integers(1, 7, len(self.down)), np.maximum(self.down - 1, 0))
        if look % _SAVED_LOOKS == 0:
            for old, new in zip(self.saved, test.snapshot(), strict=True):
                old[..., looked] = new[..., looked]
            self.unsaved[:, looked] = 0
        return looked


def cells() -> list[Cell]:
    """Every kind of traffic in which nothing is wrong with the candidate."""
    found = [
        Cell("independent" if burst == 1 else "bursts", Kind(rate, error, burst))
        for rate in (0.5, 5.0, 50.0)
        for error in (0.001, 0.01, 0.05)
        for burst in (1, 3, 8)
    ]
    found += [Cell("bursts, geometric", Kind(50.0, error, 4, geometric=True)) for error in (0.001, 0.01, 0.05)]
    found += [Cell("bursts, champion of one pod", Kind(50.0, 0.01, burst, champion_pods=1)) for burst in (3, 8)]
    found += [
        Cell("outages", Kind(rate, 0.01, burst, outages_per_hour=2.0)) for rate in (5.0, 50.0) for burst in (1, 8)
    ]
    found.append(Cell("outages, champion of one pod", Kind(50.0, 0.01, champion_pods=1, outages_per_hour=2.0)))
    found += [Cell("pods replaced", Kind(rate, 0.01, 1, replaced_per_hour=6.0)) for rate in (5.0, 50.0)]
    found += [
        Cell("operator restarts", Kind(50.0, error, burst), restarts=True)
        for error in (0.001, 0.01)
        for burst in (1, 8)
    ]
    found += [Cell("no history", Kind(50.0, 0.01, burst), history=False) for burst in (1, 3, 8)]
    return found
