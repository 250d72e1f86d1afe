"""The tests for means: sums, sums of squares and counts say nothing of a distribution, so these are asymptotic.

Per block of traffic the difference of means d is weighted by n = n1 n2 / (n1 + n2) requests; what moves both tracks
alike cancels. With S = sum n d, N = sum n and W the variance of S, the mixture of normal likelihood ratios over
positive drifts (half-normal with variance c),

    e = 2 / sqrt(1 + c W) * exp(c S^2 / (2 (1 + c W))) * Phi(S sqrt(c / (1 + c W))),

is an e-process against "drift <= 0" for normal sums (Robbins 1970, Ann. Math. Stat. 41; Howard et al. 2021, Ann. Stat.
49) and asymptotically for any (Waudby-Smith et al. 2024, Ann. Stat. 52). Go puts margin N - S in the place of S.
The first `BURN_IN` requests only say how large the variance is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

BURN_IN = 100.0
_TUNED_FOR = 500.0
"""Weighted requests at which the mixture is most sensitive."""

Sample = tuple[float, float, float]
"""(count, sum, sum of squares) of one track."""


@dataclass(frozen=True, slots=True)
class MeanState:
    """Sums over the rollout (`candidate`, `champion`: for variances), and of the running tests.

    `scale`: c, 0 before the end of the burn-in. `step` and `rollout`: (S, N, W), of the Harm and of the Go test.
    """

    candidate: Sample = (0.0, 0.0, 0.0)
    champion: Sample = (0.0, 0.0, 0.0)
    burnt: float = 0.0
    scale: float = 0.0
    step: Sample = (0.0, 0.0, 0.0)
    rollout: Sample = (0.0, 0.0, 0.0)
    step_n: int = 0

    def as_json(self) -> list[Any]:
        """Return decimal strings."""
        tuples = [list(map(repr, t)) for t in (self.candidate, self.champion, self.step, self.rollout)]
        return [*tuples, repr(self.burnt), repr(self.scale), self.step_n]

    @classmethod
    def from_json(cls, value: list[Any]) -> MeanState:
        """Return the state that `as_json` was called on."""
        candidate, champion, step, rollout = (_sample(item) for item in value[:4])
        return cls(candidate, champion, float(value[4]), float(value[5]), step, rollout, value[6])


def observe(state: MeanState, candidate: Sample, champion: Sample) -> MeanState:
    """Return the state after a block with the counts, sums and sums of squares of both tracks."""
    both1, both2 = _plus(state.candidate, candidate), _plus(state.champion, champion)
    n1, n2 = candidate[0], champion[0]
    step_n = state.step_n + round(n1)
    v1, v2 = variance(both1), variance(both2)
    if n1 <= 0 or n2 <= 0 or v1 + v2 <= 0:
        return MeanState(both1, both2, state.burnt, state.scale, state.step, state.rollout, step_n)
    n = n1 * n2 / (n1 + n2)
    if state.scale == 0.0:
        burnt = state.burnt + n
        scale = 1 / (_TUNED_FOR * (v1 + v2) / 2) if burnt >= BURN_IN else 0.0
        return MeanState(both1, both2, burnt, scale, state.step, state.rollout, step_n)
    added = (n * (candidate[1] / n1 - champion[1] / n2), n, n * n * (v1 / n1 + v2 / n2))
    step, rollout = _plus(state.step, added), _plus(state.rollout, added)
    return MeanState(both1, both2, state.burnt, state.scale, step, rollout, step_n)


def log_harm(state: MeanState, direction: int, dispersion: float) -> float:
    """Return log e against "not worse" in this step; `direction` 1: higher is worse, -1: lower is."""
    total, _, spread = state.step
    return _log_e(direction * total, spread * dispersion, state.scale)


def log_go(state: MeanState, direction: int, margin: float, dispersion: float) -> float:
    """Return log e against "worse by the margin or more", over the whole rollout."""
    total, n, spread = state.rollout
    return _log_e(margin * n - direction * total, spread * dispersion, state.scale)


def variance(sample: Sample) -> float:
    """Return the variance of the values; 0 of fewer than two."""
    count, total, squares = sample
    return max(0.0, (squares - total * total / count) / (count - 1)) if count > 1 else 0.0


def _log_e(total: float, spread: float, scale: float) -> float:
    if scale == 0.0 or spread == 0.0:
        return 0.0
    grown = 1 + scale * spread
    z = total * math.sqrt(scale / grown)
    # Far below zero Phi underflows; its logarithm is then close to -z^2/2 - log(-z sqrt(2 pi)).
    log_phi = math.log(math.erfc(-z / math.sqrt(2)) / 2) if z > -30 else -z * z / 2 - math.log(-z * 2.5066282746)
    return math.log(2) - math.log(grown) / 2 + z * z / 2 + log_phi


def _plus(one: Sample, other: Sample) -> Sample:
    return (one[0] + other[0], one[1] + other[1], one[2] + other[2])


def _sample(value: list[str]) -> Sample:
    return (float(value[0]), float(value[1]), float(value[2]))
