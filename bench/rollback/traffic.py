"""Traffic: requests and errors of every pod in every look, for thousands of rollouts at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
LOOK_SECONDS = 5


@dataclass(frozen=True)
class Kind:
    """What the traffic is like.

    `rate`: requests per second of both tracks. `error`: of the champion; errors come in bursts of exactly `burst` in
    one pod (a client that tries again, a pod that hiccups), or of a random, geometric size with that mean.
    `outages_per_hour`: both tracks fail half of their requests for 10 to 120 s. `replaced_per_hour`: every pod is
    replaced so often (its counters begin anew, what it counted since the last look is lost), failing whatever comes in
    its last second.
    """

    rate: float
    error: float
    burst: int = 1
    geometric: bool = False
    champion_pods: int = 3
    outages_per_hour: float = 0.0
    replaced_per_hour: float = 0.0


class Traffic:
    """Draws look after look. Pods of a track share its traffic alike."""

    def __init__(self, kind: Kind, runs: int, seed: int) -> None:
        self.kind, self.runs = kind, runs
        self.random = np.random.default_rng(seed)
        self._outage_left = np.zeros(runs)

    def look(self, tracks: tuple[tuple[float | Array, int, float], ...]) -> list[tuple[Array, Array]]:
        """(requests, errors), each (runs, pods), of tracks given as (share of the traffic, pods, share of errors)."""
        outage = self._outage()
        return [self._track(share, pods, error, outage) for share, pods, error in tracks]

    def _outage(self) -> Array | None:
        """The part of this look in which everything fails by half."""
        if not self.kind.outages_per_hour:
            return None
        begins = self.random.random(self.runs) < self.kind.outages_per_hour * LOOK_SECONDS / 3600
        self._outage_left = np.where(begins, self.random.uniform(10, 120, self.runs), self._outage_left)
        part = np.minimum(self._outage_left, LOOK_SECONDS) / LOOK_SECONDS
        self._outage_left = np.maximum(self._outage_left - LOOK_SECONDS, 0)
        return np.asarray(part)

    def _track(self, share: float | Array, pods: int, error: float, outage: Array | None) -> tuple[Array, Array]:
        # One share for all runs, or one for each.
        mean = self.kind.rate * np.reshape(share, (-1, 1)) * LOOK_SECONDS / pods
        shape = (self.runs, pods)
        good = self.random.poisson(mean * (1 - error), shape)
        bursts = self.random.poisson(mean * error / self.kind.burst, shape)
        if self.kind.geometric:
            # The sum of so many geometric sizes: each at least 1, the rest negative binomial.
            more = self.random.negative_binomial(np.maximum(bursts, 1), 1 / self.kind.burst)
            errors = np.where(bursts > 0, bursts + more, 0)
        else:
            errors = bursts * self.kind.burst
        if outage is not None and outage.any():
            failing = self.random.binomial(good, 0.5 * outage[:, None])
            good, errors = good - failing, errors + failing
        requests = good + errors
        if self.kind.replaced_per_hour:
            requests, errors = self._replaced(requests, errors)
        return requests, errors

    def _replaced(self, requests: Array, errors: Array) -> tuple[Array, Array]:
        gone = self.random.random(requests.shape) < self.kind.replaced_per_hour * LOOK_SECONDS / 3600
        if not gone.any():
            return requests, errors
        # The last second's requests fail; then what was counted up to some moment of the look is lost.
        last = self.random.binomial(np.where(gone, requests - errors, 0), 1 / LOOK_SECONDS)
        errors = errors + last
        kept = np.where(gone, self.random.random(requests.shape), 1.0)
        kept_errors = self.random.binomial(errors, kept)
        return kept_errors + self.random.binomial(requests - errors, kept), kept_errors


def counts(candidate: tuple[Array, Array], champion: tuple[Array, Array]) -> Array:
    """(4, runs): requests and errors of the candidate, then of the champion, all pods together."""
    return np.stack([part.sum(axis=1) for part in (*candidate, *champion)])
