"""How often intervals hold the truth over many simulated holdouts: seeded, so the same counts every time."""

import numpy as np
import pytest
from scipy import stats

from penstock.stats.evaluation.estimate import Options
from penstock.stats.evaluation.fairness import DEMOGRAPHIC_PARITY, disparity
from penstock.stats.evaluation.metrics import REGRESSION, Rows, compare, evaluate
from penstock.stats.evaluation.slices import sliced

RUNS = 400
N = 400
# Two normal scores with unit noise at distance 1.5 for positives; the champion's distance is 1.2, correlated 0.6.
POSITIVE, NEAR, FAR = 0.35, 1.2, 1.5


def holdout(random, n=N):
    labels = (random.random(n) < POSITIVE).astype(float)
    shared, own, other = random.normal(size=(3, n))
    candidate = FAR * labels + np.sqrt(0.6) * shared + np.sqrt(0.4) * own
    champion = NEAR * labels + np.sqrt(0.6) * shared + np.sqrt(0.4) * other
    # The posterior is a monotone function of the score: calibrated probabilities.
    prior = np.log(POSITIVE / (1 - POSITIVE))
    probabilities = [1 / (1 + np.exp(-(prior + d * s - d * d / 2))) for d, s in ((FAR, candidate), (NEAR, champion))]
    return Rows(labels, *probabilities)


def regression(random, n=N):
    labels = random.gamma(3.0, 10.0, n)
    return Rows(labels, labels + random.normal(0, 4, n), labels + random.normal(0, 5, n))


@pytest.fixture(scope="module")
def truth():
    random = np.random.default_rng(0)
    one, other = holdout(random, 400_000), regression(random, 400_000)
    options = Options(seed=1, resamples=2)
    return {
        metric: (evaluate(metric, rows, options).value, compare(metric, rows, options).difference.value)
        for rows, metrics in (
            (one, ("average_precision", "accuracy", "precision", "recall", "f1", "log_loss", "brier")),
            (other, REGRESSION),
        )
        for metric in metrics
    } | {
        "roc_auc": (
            stats.norm.cdf(FAR / np.sqrt(2)),
            stats.norm.cdf(FAR / np.sqrt(2)) - stats.norm.cdf(NEAR / np.sqrt(2)),
        )
    }


EXACT = ("accuracy", "precision", "recall", "f1")
"""Clopper and Pearson's intervals hold the truth more often than they say, never less often."""


@pytest.mark.parametrize(
    "metric",
    ["roc_auc", "average_precision", "accuracy", "precision", "recall", "f1", "log_loss", "brier", "mae", "rmse", "r2"],
)
def test_ninety_five_of_a_hundred_intervals_hold_the_truth(metric, truth):
    # Every metric sees holdouts of its own.
    random = np.random.default_rng([7, *metric.encode()])
    value, difference = truth[metric]
    held = np.zeros(2)
    for run in range(RUNS):
        rows = (regression if metric in REGRESSION else holdout)(random)
        options = Options(seed=run, resamples=300)
        one, two = evaluate(metric, rows, options), compare(metric, rows, options).difference
        held += (one.lower <= value <= one.upper, two.lower <= difference <= two.upper)
    shares = held / RUNS
    print(metric, shares)
    assert 0.93 <= shares[0] <= (0.985 if metric in EXACT else 0.975)
    assert 0.93 <= shares[1] <= 0.975


def test_a_nearly_perfect_model_s_area():
    random, held = np.random.default_rng(6), 0
    distance = 4.0
    for run in range(RUNS):
        labels = np.arange(120) < 40
        scores = random.normal(size=120) + distance * labels
        found = evaluate("roc_auc", Rows(labels.astype(float), scores), Options(seed=run))
        held += found.lower <= stats.norm.cdf(distance / np.sqrt(2)) <= found.upper
    print("area 0.998", held / RUNS)
    assert held / RUNS >= 0.93


def test_slices_that_keep_the_bound_are_seldom_blamed():
    random, blamed = np.random.default_rng(7), 0
    names = [f"x={index}" for index in range(20)]
    for run in range(RUNS):
        codes = random.integers(0, 20, 4000)
        labels = np.ones(4000)
        scores = (random.random(4000) < 0.7) * 1.0
        found = sliced("recall", Rows(labels, scores), [(names, codes)], Options(seed=run), least_rows=50, bound=0.7)
        blamed += found.parts[0].p_breach <= 0.025
    print("any of twenty slices blamed", blamed / RUNS)
    assert blamed / RUNS <= 0.04


@pytest.mark.parametrize("chances", [(0.3, 0.3, 0.3, 0.3, 0.3), (0.2, 0.3, 0.3, 0.32, 0.3), (0.02, 0.02, 0.05)])
def test_disparities_hold_the_truth(chances):
    random, held = np.random.default_rng(8), 0
    sizes = np.array([400, 300, 150, 80, 60])[: len(chances)]
    groups = np.repeat(np.arange(len(chances)), sizes)
    truth = max(chances) - min(chances)
    for run in range(RUNS):
        decided = random.random(len(groups)) < np.array(chances)[groups]
        found = disparity(DEMOGRAPHIC_PARITY, decided, decided, groups, Options(seed=run, resamples=500)).found
        held += found.lower <= truth <= found.upper
    print(chances, held / RUNS)
    assert held / RUNS >= 0.93
