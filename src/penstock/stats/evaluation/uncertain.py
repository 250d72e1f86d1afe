"""The ways in which an estimate is uncertain: a count, a normal approximation, bootstrap draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import betainc, betaincinv, expit, logit, ndtr, ndtri

from penstock.stats.evaluation.estimate import Estimate, Floats, Options, Problem

Scale = Callable[[float], float]
_LEAST_IN_TAIL = 10


class Uncertain(Protocol):
    """A value that can say where the truth may lie."""

    @property
    def value(self) -> float:
        """The estimate itself."""

    @property
    def n(self) -> int:
        """The rows that it rests on."""

    def bounds(self, tail: float) -> tuple[float, float]:
        """The interval that leaves `tail` on each side."""

    def p_below(self, threshold: float) -> float:
        """The one-sided p-value of "the truth is at least `threshold`"."""

    def p_above(self, threshold: float) -> float:
        """The one-sided p-value of "the truth is at most `threshold`"."""


def estimate(found: Uncertain | Problem, options: Options, threshold: float | None = None, *, n: int = 0) -> Estimate:
    """Put an uncertain value into numbers; `n` is said where there is none."""
    if isinstance(found, Problem):
        return Estimate(n, problem=found)
    if found.n < options.least_rows:
        return Estimate(found.n, found.value, problem=Problem.TOO_FEW)
    lower, upper = found.bounds(options.tail)
    below, above = (None, None) if threshold is None else (found.p_below(threshold), found.p_above(threshold))
    return Estimate(found.n, found.value, lower, upper, below, above)


def _same(value: float) -> float:
    return value


@dataclass(frozen=True, slots=True)
class Share:
    """`hits` of `n` (> 0) independent trials, on a rising scale of the share; exact, so on the safe side.

    Clopper & Pearson 1934, Biometrika 26: the tails of the beta distribution; p-values are those of the binomial test.
    """

    hits: int
    n: int
    scale: Scale = _same
    back: Scale = _same

    @property
    def value(self) -> float:
        """See Uncertain."""
        return self.scale(self.hits / self.n)

    def bounds(self, tail: float) -> tuple[float, float]:
        """See Uncertain."""
        hits, missed = self.hits, self.n - self.hits
        lower = 0.0 if hits == 0 else float(betaincinv(hits, missed + 1, tail))
        upper = 1.0 if missed == 0 else float(betaincinv(hits + 1, missed, 1 - tail))
        return self.scale(lower), self.scale(upper)

    def p_below(self, threshold: float) -> float:
        """See Uncertain: P(X <= hits) at the threshold."""
        share = min(1.0, max(0.0, self.back(threshold)))
        return 1.0 if self.hits == self.n else float(betainc(self.n - self.hits, self.hits + 1, 1 - share))

    def p_above(self, threshold: float) -> float:
        """See Uncertain: P(X >= hits) at the threshold."""
        share = min(1.0, max(0.0, self.back(threshold)))
        return 1.0 if self.hits == 0 else float(betainc(self.hits, self.n - self.hits + 1, share))


@dataclass(frozen=True, slots=True)
class Normal:
    """About normal with this standard error; `low` and `high` are what the number can be at all."""

    value: float
    error: float
    n: int
    low: float = -np.inf
    high: float = np.inf

    def bounds(self, tail: float) -> tuple[float, float]:
        """See Uncertain."""
        reach = float(ndtri(1 - tail)) * self.error
        return max(self.low, self.value - reach), min(self.high, self.value + reach)

    def p_below(self, threshold: float) -> float:
        """See Uncertain."""
        return self._tail(self.value - threshold)

    def p_above(self, threshold: float) -> float:
        """See Uncertain."""
        return self._tail(threshold - self.value)

    def _tail(self, distance: float) -> float:
        if self.error == 0:
            return 1.0 if distance >= 0 else 0.0
        return float(ndtr(distance / self.error))


@dataclass(frozen=True, slots=True)
class LogitNormal:
    """A value strictly between 0 and 1 whose logit is about normal."""

    value: float
    error: float
    n: int

    def _on_logits(self) -> Normal:
        return Normal(float(logit(self.value)), self.error / (self.value * (1 - self.value)), self.n)

    def bounds(self, tail: float) -> tuple[float, float]:
        """See Uncertain."""
        lower, upper = self._on_logits().bounds(tail)
        return float(expit(lower)), float(expit(upper))

    def p_below(self, threshold: float) -> float:
        """See Uncertain."""
        return self._on_logits().p_below(float(logit(threshold)))

    def p_above(self, threshold: float) -> float:
        """See Uncertain."""
        return self._on_logits().p_above(float(logit(threshold)))


@dataclass(frozen=True, slots=True)
class Unseen:
    """A value that was the same in each of `trials` independent comparisons.

    Another one may come with a probability of up to 1 - tail^(1/trials) (Clopper & Pearson) and be off by 1.
    """

    value: float
    trials: int
    n: int
    low: float = -1.0

    def bounds(self, tail: float) -> tuple[float, float]:
        """See Uncertain."""
        reach = 1 - tail ** (1 / self.trials)
        return max(self.low, self.value - reach), min(1.0, self.value + reach)

    def p_below(self, threshold: float) -> float:
        """See Uncertain."""
        return self._p(threshold - self.value)

    def p_above(self, threshold: float) -> float:
        """See Uncertain."""
        return self._p(self.value - threshold)

    def _p(self, distance: float) -> float:
        return 1.0 if distance <= 0 else float(max(0.0, 1 - distance) ** self.trials)


@dataclass(frozen=True)
class Draws:
    """Bootstrap draws; the interval between two of their percentiles.

    With a `bias` and an `acceleration`, both 0 for plain percentiles, it is BCa (Efron 1987, JASA 82; Efron &
    Tibshirani 1993, chapter 14), whose two tails are right to one order more: losses are skewed. P-values are those at
    which the interval's end reaches the threshold. Where fewer than ten draws lie in a tail the normal distribution
    with the draws' spread stands in for them.
    """

    value: float
    draws: Floats
    n: int
    bias: float = 0.0
    acceleration: float = 0.0

    def bounds(self, tail: float) -> tuple[float, float]:
        """See Uncertain; the value itself is never outside."""
        shares = [self._share(float(ndtri(level))) for level in (tail, 1 - tail)]
        lower, upper = self._normal.bounds(tail)
        if min(shares[0], 1 - shares[1]) * len(self.draws) >= _LEAST_IN_TAIL:
            lower, upper = np.quantile(self.draws, shares).tolist()
        return min(lower, self.value), max(upper, self.value)

    def p_below(self, threshold: float) -> float:
        """See Uncertain."""
        return self._p(int((self.draws >= threshold).sum()), self._normal.p_below(threshold), above=False)

    def p_above(self, threshold: float) -> float:
        """See Uncertain."""
        return self._p(int((self.draws <= threshold).sum()), self._normal.p_above(threshold), above=True)

    @property
    def _normal(self) -> Normal:
        return Normal(self.value, float(self.draws.std(ddof=1)), self.n)

    def _share(self, z: float) -> float:
        """The share of draws below the end of the interval whose normal quantile is z."""
        moved = self.bias + z
        return float(ndtr(self.bias + moved / (1 - self.acceleration * moved)))

    def _p(self, beyond: int, normal: float, *, above: bool) -> float:
        # Never less than one draw's worth (Davison & Hinkley 1997, 4.2).
        counted = (beyond + 1) / (len(self.draws) + 1)
        if beyond < _LEAST_IN_TAIL:
            return min(counted, normal)
        if beyond == len(self.draws):
            return 1.0
        share = counted if above else 1 - counted
        moved = float(ndtri(share)) - self.bias
        z = moved / (1 + self.acceleration * moved) - self.bias
        return float(ndtr(z if above else -z))


def accelerated(value: float, draws: Floats, n: int, without: Floats) -> Draws:
    """Draws with bias and acceleration; `without`: the statistic without each row (or block of rows) in turn."""
    share = float((draws < value).mean() + (draws == value).mean() / 2)
    edge = 1 / (len(draws) + 1)
    pull = without.mean() - without
    spread = float((pull**2).sum()) ** 1.5
    acceleration = float((pull**3).sum()) / (6 * spread) if spread > 0 else 0.0
    return Draws(value, draws, n, float(ndtri(min(1 - edge, max(edge, share)))), acceleration)


def two_sided_p(found: Uncertain) -> float:
    """The p-value of "it is 0": twice the smaller one-sided one."""
    return min(1.0, 2 * min(found.p_below(0.0), found.p_above(0.0)))
