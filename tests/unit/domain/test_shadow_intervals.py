"""Intervals of the standard library against scipy's, and what they promise by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from penstock.domain.shadow.intervals import (
    LEAST_BLOCKS,
    beta_cdf,
    beta_quantile,
    clopper_pearson,
    confidence_sequence,
    design_effect,
    log_evidence,
)
from penstock.domain.shadow.view import Blocks


@st.composite
def proportions(draw: st.DrawFn) -> tuple[float, float]:
    """Counts, whole or divided by a design effect."""
    n = draw(st.integers(1, 2_000_000))
    k = draw(st.one_of(st.integers(0, n), st.integers(0, min(n, 50)), st.integers(max(0, n - 50), n)))
    effect = draw(st.sampled_from([1.0, 1.0, 1.7, 12.3]))
    return k / effect, n / effect


@settings(max_examples=300, deadline=None)
@given(proportions(), st.sampled_from([0.05, 0.0125, 0.001, 0.5]))
def test_clopper_pearson_is_scipys(proportion: tuple[float, float], alpha: float) -> None:
    k, n = proportion
    found = clopper_pearson(k, n, alpha)
    lower = stats.beta.ppf(alpha / 2, k, n - k + 1) if k > 0 else 0.0
    upper = stats.beta.ppf(1 - alpha / 2, k + 1, n - k) if k < n else 1.0
    assert found.lower == pytest.approx(lower, abs=1e-9)
    assert found.upper == pytest.approx(upper, abs=1e-9)


@settings(max_examples=200, deadline=None)
@given(st.floats(0.01, 1e5), st.floats(0.01, 1e5), st.floats(0, 1, allow_subnormal=False))
def test_the_beta_distribution_is_scipys(a: float, b: float, x: float) -> None:
    assert beta_cdf(x, a, b) == pytest.approx(stats.beta.cdf(x, a, b), abs=1e-9)


@settings(max_examples=200, deadline=None)
@given(st.floats(0.5, 1e5), st.floats(0.5, 1e5), st.floats(0.001, 0.999))
def test_the_quantile_undoes_the_distribution(a: float, b: float, probability: float) -> None:
    assert beta_cdf(beta_quantile(probability, a, b), a, b) == pytest.approx(probability, abs=1e-8)


def test_nothing_is_known_of_nothing() -> None:
    for interval in (clopper_pearson(0, 0, 0.05), confidence_sequence(0, 0, 0.05, 0.1, 100)):
        assert (interval.lower, interval.upper) == (0.0, 1.0)


@settings(max_examples=200, deadline=None)
@given(proportions(), st.floats(0, 1), st.floats(0, 1000))
def test_a_confidence_sequence_ends_where_the_evidence_does(
    proportion: tuple[float, float], guess: float, weight: float
) -> None:
    k, n = proportion
    interval = confidence_sequence(k, n, 0.05, guess, weight)
    assert 0 <= interval.lower <= k / n <= interval.upper <= 1
    limit = math.log(1 / 0.05)
    for edge, inside in ((interval.lower, 1), (interval.upper, -1)):
        if 1e-9 < edge < 1 - 1e-9:
            step = min(edge, 1 - edge) * 1e-6 * inside
            assert log_evidence(k, n, edge - step, guess, weight) >= limit
            assert log_evidence(k, n, edge + step, guess, weight) <= limit + 1e-3 * n


def test_it_is_wider_than_one_look_but_not_by_far_where_it_was_meant_for() -> None:
    once = clopper_pearson(100, 2000, 0.0125)
    always = confidence_sequence(100, 2000, 0.0125, 0.05, 2000 / 12)
    ratio = (always.upper - always.lower) / (once.upper - once.lower)
    assert 1.0 < ratio < 1.5


@pytest.mark.parametrize(("p", "guess"), [(0.03, 0.03), (0.03, 0.0), (0.3, 0.02)])
def test_it_holds_at_every_look_together(p: float, guess: float) -> None:
    """Of many sequences looked at 300 times each, at most alpha ever leave their interval (and some do)."""
    alpha, sequences, looks, per_look = 0.1, 2000, 300, 20
    random = np.random.default_rng(3)
    k = random.binomial(per_look, p, (sequences, looks)).cumsum(axis=1)
    n = np.arange(1, looks + 1) * per_look
    weight = 2000 / 12
    a, b = max(0.5, weight * guess), max(0.5, weight * (1 - guess))
    from scipy.special import betaln

    log_e = betaln(a + k, b + n - k) - betaln(a, b) - k * math.log(p) - (n - k) * math.log1p(-p)
    # The same numbers as the module's own.
    assert log_e[7, 123] == pytest.approx(log_evidence(float(k[7, 123]), float(n[123]), p, guess, weight), abs=1e-8)
    left = int((log_e >= math.log(1 / alpha)).any(axis=1).sum())
    assert left <= stats.binom.ppf(0.9999, sequences, alpha)
    # One look's interval, looked at so often, does leave: that is why there are two.
    naive = np.abs(k / n - p) > stats.norm.ppf(1 - alpha / 2) * np.sqrt(p * (1 - p) / n)
    assert naive[:, 10:].any(axis=1).mean() > 2 * alpha


def blocks_of(n: np.ndarray, k: np.ndarray) -> Blocks:  # type: ignore[type-arg]
    found = Blocks()
    for requests, differing in zip(n.tolist(), k.tolist(), strict=True):
        found = found.with_block(int(requests), int(differing))
    return found


def test_the_design_effect_of_independent_requests_is_about_one() -> None:
    random = np.random.default_rng(1)
    n = random.poisson(50, 400)
    assert 1.0 <= design_effect(blocks_of(n, random.binomial(n, 0.1))) < 1.3


@pytest.mark.parametrize("burst", [4, 10])
def test_the_design_effect_of_bursts_is_their_length(burst: int) -> None:
    """Where requests that differ come `burst` at a time, the variance is that many times the independent one."""
    random = np.random.default_rng(2)
    n = np.full(4000, 100)
    k = burst * random.binomial(100 // burst, 0.05, 4000)
    assert design_effect(blocks_of(n, k)) == pytest.approx(burst, rel=0.15)


@pytest.mark.parametrize(
    "blocks", [Blocks(), Blocks(LEAST_BLOCKS - 1, 100, 50, 2000, 900, 900), Blocks(100, 100, 0), Blocks(100, 100, 100)]
)
def test_where_nothing_is_known_about_bursts_the_effect_is_one(blocks: Blocks) -> None:
    assert design_effect(blocks) == 1.0
