"""Slices and groups: one pass, corrected p-values, simultaneous intervals."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as oracle

from penstock.stats.correction import holm
from penstock.stats.evaluation.estimate import Options, Problem
from penstock.stats.evaluation.fairness import (
    DEMOGRAPHIC_PARITY,
    EQUAL_OPPORTUNITY,
    EQUALIZED_ODDS,
    NAMES,
    disparity,
)
from penstock.stats.evaluation.metrics import NAMES as METRICS
from penstock.stats.evaluation.metrics import REGRESSION, Rows, evaluate
from penstock.stats.evaluation.slices import sliced

OPTIONS = Options(seed=9)
CARRIERS = ["carrier=AA", "carrier=B6", "carrier=DL", "carrier=ZZ"]


def rows_in_parts(n=2000, *, seed=4):
    random = np.random.default_rng(seed)
    codes = random.choice(4, n, p=[0.4, 0.35, 0.24, 0.01])
    labels = (random.random(n) < 0.4).astype(float)
    quality = np.array([1.5, 1.2, 0.3, 1.0])[codes]
    return Rows(labels, 1 / (1 + np.exp(-(labels * 2 - 1) * quality + random.normal(size=n)))), codes


@pytest.mark.parametrize("metric", [name for name in METRICS if name not in REGRESSION])
def test_a_slice_is_the_metric_of_its_rows(metric):
    rows, codes = rows_in_parts()
    found = sliced(metric, rows, [(CARRIERS, codes)], OPTIONS, least_rows=100, bound=0.6)
    assert (len(found.parts), found.small) == (3, 1)
    for part in found.parts:
        chosen = codes == CARRIERS.index(part.name)
        alone = evaluate(metric, rows.taken(chosen), OPTIONS, bound=0.6)
        assert part.rows == chosen.sum()
        assert part.found.value == pytest.approx(alone.value, rel=1e-12)
        assert (part.found.lower, part.found.upper) == pytest.approx((alone.lower, alone.upper), abs=0.02)


def test_p_values_are_corrected_and_intervals_are_not():
    rows, codes = rows_in_parts()
    found = sliced("recall", rows, [(CARRIERS, codes)], OPTIONS, least_rows=100, bound=0.6)
    raw = {}
    for part in found.parts:
        chosen = (codes == CARRIERS.index(part.name)) & rows.positive
        hits = int((rows.scores[chosen] >= 0.5).sum())
        test = stats.binomtest(hits, int(chosen.sum()), 0.6, alternative="less")
        interval = stats.binomtest(hits, int(chosen.sum())).proportion_ci(0.95, method="exact")
        raw[part.name] = test.pvalue
        assert (part.found.lower, part.found.upper) == pytest.approx((interval.low, interval.high))
    adjusted = dict(zip(raw, holm(list(raw.values())), strict=True))
    assert {part.name: part.p_breach for part in found.parts} == pytest.approx(adjusted)
    assert found.parts[0].name == "carrier=DL"


def test_where_smaller_is_better_a_breach_is_above():
    rows, codes = rows_in_parts()
    found = sliced("brier", rows, [(CARRIERS, codes)], OPTIONS, least_rows=100, bound=0.2)
    first = found.parts[0]
    assert (first.name, first.found.lower > 0.2, first.p_breach < 0.025) == ("carrier=DL", True, True)
    uppers = [part.found.upper for part in found.parts[1:]]
    assert uppers == sorted(uppers, reverse=True)


def test_a_slice_that_cannot_be_known_comes_before_better_ones():
    rows, codes = rows_in_parts()
    labels = np.where(codes == 1, 0.0, rows.labels)
    found = sliced("roc_auc", Rows(labels, rows.scores), [(CARRIERS, codes)], OPTIONS, least_rows=100, bound=0.7)
    # First the one that breaches most surely, then the unknown one, then the rest.
    assert [part.name for part in found.parts] == ["carrier=DL", "carrier=B6", "carrier=AA"]
    unknown = found.parts[1]
    assert (unknown.found.problem, unknown.p_breach) == (Problem.ONE_CLASS, None)


def test_nan_in_one_slice_is_no_number_there_only():
    rows, codes = rows_in_parts()
    scores = rows.scores.copy()
    scores[np.flatnonzero(codes == 1)[0]] = math.nan
    for metric in ("recall", "brier"):
        found = sliced(metric, Rows(rows.labels, scores), [(CARRIERS, codes)], OPTIONS, least_rows=100, bound=0.5)
        problems = {part.name: part.found.problem for part in found.parts}
        assert problems == {"carrier=AA": None, "carrier=B6": Problem.NOT_FINITE, "carrier=DL": None}


def test_several_columns_share_one_correction():
    rows, codes = rows_in_parts()
    columns = [(CARRIERS, codes), (["hour=0", "hour=1"], np.where(codes == 3, -1, codes % 2))]
    found = sliced("accuracy", rows, columns, OPTIONS, least_rows=100, bound=0.65)
    assert {part.name for part in found.parts} == {*CARRIERS[:3], "hour=0", "hour=1"}
    one = sliced("accuracy", rows, columns[:1], OPTIONS, least_rows=100, bound=0.65)
    p = {part.name: part.p_breach for part in found.parts}
    assert p["carrier=DL"] == pytest.approx(5 / 3 * one.parts[0].p_breach)


def test_no_slice_with_enough_rows():
    rows, codes = rows_in_parts(100)
    assert sliced("accuracy", rows, [(CARRIERS, codes)], OPTIONS, least_rows=1000, bound=0.5).parts == ()


def rates(labels, decided, groups, metric):
    """Rates per group, by the definitions."""
    families = []
    for of in {DEMOGRAPHIC_PARITY: [None], EQUAL_OPPORTUNITY: [1], EQUALIZED_ODDS: [1, 0]}[metric]:
        used = np.ones(len(labels), bool) if of is None else labels == of
        families.append([decided[used & (groups == group)].mean() for group in np.unique(groups)])
    return families


@pytest.mark.parametrize("metric", NAMES)
def test_disparity_is_the_largest_difference_of_any_two(metric):
    rows, codes = rows_in_parts(5000)
    decided = rows.scores >= 0.5
    found = disparity(metric, rows.positive, decided, codes, OPTIONS, least_rows=5)
    expected = max(
        abs(a - b)
        for family in rates(rows.labels, decided, codes, metric)
        for a, b in itertools.combinations(family, 2)
    )
    assert found.found.value == pytest.approx(expected, rel=1e-12)
    assert found.found.lower < expected < found.found.upper
    assert (found.groups, found.left_out) == (4, 0)


def test_two_large_groups_have_the_interval_of_a_difference_of_shares():
    random = np.random.default_rng(2)
    groups = np.repeat([0, 1], 4000)
    decided = random.random(8000) < np.where(groups == 0, 0.3, 0.4)
    found = disparity(DEMOGRAPHIC_PARITY, np.zeros(8000, bool), decided, groups, OPTIONS).found
    p, q = decided[:4000].mean(), decided[4000:].mean()
    error = math.sqrt(p * (1 - p) / 4000 + q * (1 - q) / 4000)
    assert (found.lower, found.upper) == pytest.approx((q - p - 1.96 * error, q - p + 1.96 * error), abs=0.08 * error)


def test_small_groups_are_left_out_and_said():
    rows, codes = rows_in_parts(1000)
    found = disparity(DEMOGRAPHIC_PARITY, rows.positive, rows.scores >= 0.5, codes, OPTIONS)
    assert (found.groups, found.left_out) == (3, 1)


@pytest.mark.parametrize(
    ("groups", "problem"), [([], Problem.NO_ROWS), ([0] * 200, Problem.TOO_FEW), ([-1] * 200, Problem.NO_ROWS)]
)
def test_one_group_is_not_compared(groups, problem):
    codes = np.array(groups, dtype=np.int64)
    answers = np.zeros(len(codes), bool)
    for metric in NAMES:
        found = disparity(metric, answers, answers, codes, OPTIONS).found
        assert (found.problem, found.value, found.upper) == (problem, None, None)


def test_groups_without_a_positive_row_have_no_equal_opportunity():
    labels = np.repeat([True, False], 200)
    groups = np.repeat([0, 1], 200)
    assert disparity(EQUAL_OPPORTUNITY, labels, labels, groups, OPTIONS).found.problem is Problem.TOO_FEW


def test_never_in_forty_rows_is_not_never():
    groups = np.repeat([0, 1], 40)
    decided = np.zeros(80, bool)
    found = disparity(DEMOGRAPHIC_PARITY, decided, decided, groups, OPTIONS).found
    assert (found.value, found.lower) == (0.0, 0.0)
    assert 0.03 < found.upper < 0.25


def test_recall_per_slice_is_scikit_learn_s():
    rows, codes = rows_in_parts()
    found = sliced("recall", rows, [(CARRIERS, codes)], OPTIONS, least_rows=100, bound=0.6)
    for part in found.parts:
        chosen = codes == CARRIERS.index(part.name)
        expected = oracle.recall_score(rows.labels[chosen], rows.scores[chosen] >= 0.5)
        assert part.found.value == pytest.approx(expected)
