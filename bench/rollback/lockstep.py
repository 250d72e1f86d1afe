"""The operator's tests for thousands of rollouts at once, in numpy.

The same formulas on arrays; tests/unit/stats/test_sequential_lockstep.py holds them to the operator's own code on
random streams. Arrays have one entry per run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penstock.domain.canary.analysis import Worse
from penstock.domain.canary.boundary import LEAST, MOST
from penstock.stats.sequential import dispersion as operators
from penstock.stats.sequential import go, harm, nats
from penstock.stats.sequential.dispersion import BLOCK_SECONDS, FADE_SECONDS, Sums
from penstock.stats.sequential.nats import PER_NAT

Array = NDArray[Any]
LOOK_SECONDS = 5


class Harm:
    """`stats.sequential.harm` for all runs, with the requests of the step (`requests`, of the candidate)."""

    def __init__(self, runs: int, dispersion: Array) -> None:
        self.dispersion = dispersion
        self._ratios = np.array(harm.log_ratios(Worse.HIGHER))[:, None]
        self._excess = np.expm1(self._ratios)
        self._weights = np.array(harm.log_weights(Worse.HIGHER))[:, None]
        self._begin = np.array(harm.begin(Worse.HIGHER).logs)[:, None]
        self.logs = np.repeat(self._begin, runs, axis=1)
        self.log_e = self._mixed(self.logs)
        self.since = np.zeros((4, len(self._ratios), runs), np.int64)
        self.requests = np.zeros(runs, np.int64)
        self.began, self.at = np.zeros(runs), np.zeros(runs)

    def observe(self, counts: Array, now: float, runs: Array | None = None) -> None:
        """`counts`: (4, runs) requests and events of the candidate, then of the champion; for `runs` or all of them."""
        where = np.arange(len(self.log_e)) if runs is None else runs
        n1, x, n2, y = counts
        started = self._starting(where, now)
        self.requests[where] += n1
        before = self.logs[:, where] / PER_NAT
        logs = np.logaddexp(before, np.log(started))
        kept = self.since[:, :, where] * np.exp(before - logs)
        self.since[:, :, where] = np.floor(kept).astype(np.int64) + harm.PER_COUNT * counts[:, None, :]
        k = x + y
        hit = np.flatnonzero((k > 0) & (n1 > 0) & (n2 > 0))
        if len(hit):
            share = n1[hit] / (n1[hit] + n2[hit])
            change = x[hit] * self._ratios - k[hit] * np.log1p(share * self._excess)
            logs[:, hit] += change / self.dispersion[where[hit]]
        self.logs[:, where] = np.maximum(np.floor(logs * PER_NAT), nats.LEAST).astype(np.int64)
        self.log_e[where] = self._mixed(self.logs[:, where])

    def _starting(self, where: Array, now: float) -> Array:
        first, last = self.at[where] - self.began[where], now - self.began[where]
        self.at[where] = now
        late = harm.LATE_SECONDS
        return np.asarray(harm.LATE * late * (last - first) / ((late + first) * (late + last)))

    def _mixed(self, logs: Array) -> Array:
        terms = logs / PER_NAT + self._weights
        largest = terms.max(axis=0)
        return np.asarray(largest + np.log(np.exp(terms - largest).sum(axis=0)))

    def difference(self) -> Array:
        """The candidate's share of events less the champion's, since harm may have begun; NaN without requests."""
        most = (self.logs / PER_NAT + self._weights).argmax(axis=0)
        n1, x, n2, y = self.since[:, most, np.arange(len(most))]
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(x / n1 - y / n2)

    def restart(self, runs: Array, now: float) -> None:
        """Begin the next step in these runs."""
        self.logs[:, runs] = self._begin
        self.log_e[runs] = self._mixed(self._begin)
        self.since[:, :, runs], self.requests[runs], self.began[runs] = 0, 0, now

    def shown(self, threshold: float | Array, margin: float | Array) -> Array:
        """Which runs are rolled back at this look."""
        found = self.log_e >= threshold
        if found.any():
            found &= np.nan_to_num(self.difference(), nan=-1.0) > margin
        return found

    def snapshot(self) -> tuple[Array, ...]:
        """What is in status."""
        return self.logs.copy(), self.log_e.copy(), self.since.copy(), self.at.copy()

    def restore(self, stored: tuple[Array, ...], runs: Array) -> None:
        """Go on from what was in status."""
        for now, then in zip((self.logs, self.log_e, self.since, self.at), stored, strict=True):
            now[..., runs] = then[..., runs]


class Go:
    """`stats.sequential.go` for all runs."""

    def __init__(self, dispersion: Array, history_n: Array, history_x: Array) -> None:
        begun = [go.begin(float(n), float(x)) for n, x in zip(history_n, history_x, strict=True)]
        self.dispersion = dispersion
        self.log = np.array([state.log for state in begun], np.int64)
        self.usual_n = np.array([state.usual_n for state in begun], np.int64)
        self.usual_x = np.array([state.usual_x for state in begun], np.int64)
        self.outage = np.zeros(len(begun), np.int64)

    def observe(self, counts: Array, margin: float | Array) -> None:
        """`counts`: (4, runs) requests and events of the candidate, then of the champion."""
        n1, x1, n2, x2 = counts
        any_request = n1 + n2 > 0
        usual = np.clip((self.usual_x + 0.5) / (self.usual_n + 100), LEAST, MOST)
        outage = (self.usual_n > 0) & (x2 > 3 * usual * n2 + 8 * self.dispersion)
        null1, null2 = nearest_null(usual, margin, np.where(any_request, n1, 1), n2)
        ratio = (
            x1 * np.log(usual / null1)
            + (n1 - x1) * (np.log1p(-usual) - np.log1p(-null1))
            + x2 * np.log(usual / null2)
            + (n2 - x2) * (np.log1p(-usual) - np.log1p(-null2))
        ) / self.dispersion
        capped = np.log(go.IDLE + (1 - go.IDLE) * np.exp(np.minimum(ratio, 500.0)))
        factor = np.where((ratio < 0) & ~outage, ratio, capped)
        bet = any_request & (self.outage == 0)
        self.log += np.where(bet, np.floor(factor * PER_NAT), 0).astype(np.int64)
        usually = any_request & ~outage
        again = any_request & outage & (self.outage >= go.PATIENCE)
        self.usual_n = np.where(usually, self.usual_n + n1 + n2, np.where(again, n2, self.usual_n))
        self.usual_x = np.where(usually, self.usual_x + x1 + x2, np.where(again, x2, self.usual_x))
        self.outage = np.where(any_request, np.where(outage & ~again, self.outage + 1, 0), self.outage)

    def shown(self) -> Array:
        """Which runs may go on at this look."""
        return self.log / PER_NAT >= go.THRESHOLD


def nearest_null(share: Array, margin: float | Array, n1: Array, n2: Array) -> tuple[Array, Array]:
    """`domain.canary.boundary.nearest_null` on arrays."""
    low, high = np.maximum(share - margin, 0.0), np.minimum(share, 1.0 - margin)
    weight = n1 / (n1 + n2)
    for _ in range(50):
        middle = (low + high) / 2
        above = middle + margin
        slope = weight * (share - above) * middle * (1 - middle) + (1 - weight) * (share - middle) * above * (1 - above)
        up = slope > 0
        low, high = np.where(up, middle, low), np.where(up, high, middle)
    champion = np.clip((low + high) / 2, LEAST / 2, 1 - margin - LEAST / 2)
    return champion + margin, champion


def at_most(usual: Array) -> Array:
    """`stats.sequential.dispersion.at_most` on arrays."""
    return np.asarray(4 * usual + 10)


@dataclass
class History:
    """`stats.sequential.history` for one analysis of all runs, at readings `LOOK_SECONDS` apart without gaps."""

    runs: int
    pods: int
    n: Array = field(init=False)
    x: Array = field(init=False)
    seconds: Array = field(init=False)

    def __post_init__(self) -> None:
        self.n, self.x, self.seconds = (np.zeros(self.runs) for _ in range(3))
        self._sums = {length: np.zeros((4, self.runs)) for length in BLOCK_SECONDS}
        self._open = {length: np.zeros((2, self.runs, self.pods), np.int64) for length in BLOCK_SECONDS}
        self._before: dict[int, Array] = {}
        self._looks = 0

    def observe(self, requests: Array, events: Array) -> None:
        """(runs, pods) of the champion since the last reading."""
        fade = math.exp(-LOOK_SECONDS / FADE_SECONDS)
        self._looks += 1
        total, k = requests.sum(axis=1), events.sum(axis=1)
        self.n, self.x, self.seconds = self.n * fade, self.x * fade, self.seconds * fade
        usual = np.divide(self.x, self.seconds, out=np.zeros(self.runs), where=self.seconds > 0)
        self.n += total
        self.x += np.minimum(k, at_most(usual * LOOK_SECONDS))
        self.seconds += np.where(total > 0, LOOK_SECONDS, 0)
        for length in BLOCK_SECONDS:
            self._sums[length] *= fade
            block = self._open[length]
            block[0] += requests
            block[1] += events
            if self._looks * LOOK_SECONDS % length == 0:
                self._close(length, usual * length)

    def _close(self, length: int, usual: Any) -> None:
        block = self._open[length]
        if self.pods == 1:
            before = self._before.get(length)
            parts = block if before is None else np.concatenate([block, before], axis=2)
            self._before[length] = block
        else:
            parts = block
        self._open[length] = np.zeros_like(block)
        requests, events = parts
        k = events.sum(axis=1)
        there = (requests > 0).sum(axis=1)
        hit = np.flatnonzero((k > 0) & (there >= 2))
        if not len(hit):
            return
        requests, events, k, there = requests[hit], events[hit], k[hit], there[hit]
        share = requests / requests.sum(axis=1)[:, None]
        mean = k[:, None] * share
        squares = ((events - mean) ** 2).sum(axis=1)
        expected = (mean * (1 - share)).sum(axis=1)
        variance = 2 * k * (k - 1) * (there - 1) / there**2
        weight = np.minimum(1.0, at_most(usual[hit]) / k) ** 2
        self._sums[length][:, hit] += np.stack([weight * k, weight * squares, weight * expected, weight**2 * variance])

    def dispersion(self) -> Array:
        """The factor of each run, by the operator's own function."""
        return np.array([self._of(run)[0] for run in range(self.runs)])

    def _of(self, run: int) -> tuple[float, bool]:
        by_block = {length: Sums(*(float(value) for value in sums[:, run])) for length, sums in self._sums.items()}
        return operators.dispersion(by_block, float(self.seconds[run]), one_pod=self.pods == 1)
