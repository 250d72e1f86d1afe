"""Intervals for a proportion, by the standard library alone: one for a single look, one that holds at every look.

Counts may be fractions: dividing both by a design effect makes of n requests that come in bursts the number of
independent ones that say as much.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from penstock.domain.shadow.view import Blocks

_TINY = 1e-300
_MOST_TERMS = 100_000
# Fewer blocks than these say little about bursts.
LEAST_BLOCKS = 12


@dataclass(frozen=True, slots=True)
class Interval:
    """What a number may be."""

    lower: float
    upper: float


def clopper_pearson(k: float, n: float, alpha: float) -> Interval:
    """Return the exact two-sided interval of level 1 - alpha (Clopper & Pearson 1934, Biometrika 26)."""
    if not n > 0:
        return Interval(0.0, 1.0)
    lower = beta_quantile(alpha / 2, k, n - k + 1) if k > 0 else 0.0
    upper = beta_quantile(1 - alpha / 2, k + 1, n - k) if k < n else 1.0
    return Interval(lower, upper)


def confidence_sequence(k: float, n: float, alpha: float, guess: float, weight: float) -> Interval:
    """Return an interval that holds at all looks together with probability 1 - alpha.

    For a Bernoulli(p) sequence the likelihood mixed over a Beta(a, b) prior, divided by the one at p, is a martingale
    that starts at 1, so by Ville's inequality it never reaches 1 / alpha with probability 1 - alpha (Robbins 1970, Ann.
    Math. Stat. 41; Howard et al. 2021, Ann. Stat. 49). The interval is where it is below. The prior only decides where
    the interval is narrow: `guess` is its mean and `weight` its size in requests. Both have to be fixed beforehand.
    """
    if not n > 0:
        return Interval(0.0, 1.0)
    limit = -math.log(alpha)

    def is_out(p: float) -> bool:
        return log_evidence(k, n, p, guess, weight) >= limit

    lower = 0.0 if k <= 0 else _edge(is_out, 0.0, k / n)
    upper = 1.0 if k >= n else _edge(is_out, 1.0, k / n)
    return Interval(lower, upper)


def log_evidence(k: float, n: float, p: float, guess: float, weight: float) -> float:
    """Return the logarithm of that martingale: the evidence that the proportion is not p, with 0 < p < 1."""
    a, b = max(0.5, weight * guess), max(0.5, weight * (1 - guess))
    return _log_beta(a + k, b + n - k) - _log_beta(a, b) - k * math.log(p) - (n - k) * math.log1p(-p)


def design_effect(blocks: Blocks) -> float:
    """Return how much larger the variance of a proportion is than of independent requests; at least 1.

    The variance of a ratio over blocks of time, divided by the binomial one (Cochran 1977, Sampling Techniques, 9.A).
    1 where there are too few blocks, or nothing that differs.
    """
    if blocks.count < LEAST_BLOCKS or not 0 < blocks.k < blocks.n:
        return 1.0
    p = blocks.k / blocks.n
    squares = blocks.k_squared - 2 * p * blocks.n_times_k + p * p * blocks.n_squared
    return max(1.0, squares * blocks.count / (blocks.count - 1) / (blocks.n * p * (1 - p)))


def beta_quantile(probability: float, a: float, b: float) -> float:
    """Return the x at which the Beta(a, b) distribution reaches the probability: bisection, with steps of Newton."""
    low, high = 0.0, 1.0
    x = a / (a + b)
    scale = _log_beta(a, b)
    for _ in range(200):
        over = beta_cdf(x, a, b) - probability
        low, high = (low, x) if over > 0 else (x, high)
        density = math.exp((a - 1) * math.log(x) + (b - 1) * math.log1p(-x) - scale) if 0 < x < 1 else 0.0
        step = over / density if density > _TINY else math.inf
        if abs(step) <= 1e-15 * x or high - low <= 1e-15 * x:
            break
        x = x - step if low < x - step < high else (low + high) / 2
    return x


def beta_cdf(x: float, a: float, b: float) -> float:
    """Return the regularized incomplete beta function I_x(a, b) (Abramowitz & Stegun 26.5.8)."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_cdf(1 - x, b, a)
    front = math.exp(a * math.log(x) + b * math.log1p(-x) - _log_beta(a, b)) / a
    return front / _fraction(x, a, b)


def _fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of the incomplete beta function, from the front (Lentz's method)."""
    value, c, d = 1.0, 1.0, 0.0
    for term in range(1, _MOST_TERMS):
        m = term // 2
        if term % 2:
            step = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            step = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1 / _not_zero(1 + step * d)
        c = _not_zero(1 + step / c)
        value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value


def _not_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def _edge(is_out: Callable[[float], bool], outside: float, inside: float) -> float:
    """The place between them where `is_out` changes, on its outer side."""
    for _ in range(100):
        middle = (outside + inside) / 2
        if middle in (outside, inside):
            break
        if is_out(middle):
            outside = middle
        else:
            inside = middle
    return outside


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
