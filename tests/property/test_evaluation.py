"""What holds for evaluations of any rows."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as oracle

from penstock.stats.evaluation.estimate import Options
from penstock.stats.evaluation.fairness import NAMES as FAIRNESS
from penstock.stats.evaluation.fairness import disparity
from penstock.stats.evaluation.metrics import CLASSES, NAMES, REGRESSION, Rows, compare, evaluate
from penstock.stats.evaluation.roc import placements
from penstock.stats.evaluation.slices import sliced
from penstock.stats.evaluation.uncertain import Share

OPTIONS = Options(seed=5, resamples=200)
SCORES = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))


@st.composite
def rows(draw, least=20, most=80):
    n = draw(st.integers(least, most))
    labels = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    scores = [draw(st.lists(SCORES, min_size=n, max_size=n)) for _ in range(2)]
    return Rows(np.array(labels, dtype=float), *(np.array(item) for item in scores))


@settings(max_examples=60, deadline=None)
@given(rows(), st.sampled_from(NAMES), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(sample, metric, random):
    index = list(range(len(sample)))
    random.shuffle(index)
    other = sample.taken(np.array(index))
    for one, two in (
        (evaluate(metric, sample, OPTIONS, 0.5), evaluate(metric, other, OPTIONS, 0.5)),
        (compare(metric, sample, OPTIONS).difference, compare(metric, other, OPTIONS).difference),
    ):
        assert one.problem is two.problem
        if one.problem:
            continue
        for name in ("value", "lower", "upper"):
            assert getattr(one, name) == pytest.approx(getattr(two, name), rel=1e-9, abs=1e-9), name


@settings(max_examples=60, deadline=None)
@given(rows(), st.sampled_from(NAMES))
def test_the_difference_the_other_way_round_is_the_opposite(sample, metric):
    swapped = Rows(sample.labels, sample.champion, sample.scores)
    one, other = compare(metric, sample, OPTIONS).difference, compare(metric, swapped, OPTIONS).difference
    assert one.problem is other.problem
    if one.value is not None:
        assert one.value == pytest.approx(-other.value, abs=1e-12)
    if metric == "roc_auc" and one.lower is not None:
        assert (one.lower, one.upper) == pytest.approx((-other.upper, -other.lower), abs=1e-12)


@settings(max_examples=80, deadline=None)
@given(rows(), st.sampled_from(NAMES), st.floats(0.01, 0.99))
def test_intervals_hold_their_value_and_are_possible(sample, metric, bound):
    for found in (evaluate(metric, sample, OPTIONS, bound), compare(metric, sample, OPTIONS).difference):
        assert (found.problem is None) == (found.lower is not None) == (found.upper is not None)
        if found.problem is None:
            assert found.lower <= found.value <= found.upper
            assert all(math.isfinite(number) for number in (found.lower, found.value, found.upper))
    found = evaluate(metric, sample, OPTIONS, bound)
    if found.problem is None:
        assert 0 <= found.p_below <= 1
        assert 0 <= found.p_above <= 1
        if metric in CLASSES and metric != "log_loss":
            assert found.lower >= 0
            assert found.upper <= 1


@settings(max_examples=60, deadline=None)
@given(rows(), st.integers(0, 79), st.sampled_from([math.nan, math.inf, -math.inf]), st.sampled_from(NAMES))
def test_one_number_that_is_none_spoils_the_metric(sample, place, value, metric):
    scores = sample.scores.copy()
    scores[place % len(scores)] = value
    spoilt = Rows(sample.labels, scores, sample.champion)
    for found in (evaluate(metric, spoilt, OPTIONS), compare(metric, spoilt, OPTIONS).difference):
        assert found.problem is not None
        assert found.value is None


@settings(max_examples=60, deadline=None)
@given(rows())
def test_placements_average_to_scikit_learn_s_area_either_way(sample):
    assume(0 < sample.labels.sum() < len(sample))
    found = placements(sample.positive, sample.scores)
    expected = oracle.roc_auc_score(sample.labels, sample.scores)
    assert found.area == pytest.approx(expected, abs=1e-12)
    assert found.of_negatives.mean() == pytest.approx(expected, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(rows(), st.floats(0.1, 10), st.floats(-5, 5))
def test_the_area_knows_only_the_order_of_scores(sample, factor, offset):
    # Scores that a step tells apart stay apart.
    coarse = sample.scores.round(3)
    one = evaluate("roc_auc", Rows(sample.labels, coarse), OPTIONS)
    other = evaluate("roc_auc", Rows(sample.labels, (coarse * 1000).round() * factor + offset), OPTIONS)
    assert (one.value, one.lower, one.upper) == (other.value, other.lower, other.upper)


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.001, 0.4))
def test_exact_shares_are_scipy_s(pair, tail):
    hits, n = pair
    interval = stats.binomtest(hits, n).proportion_ci(1 - 2 * tail, method="exact")
    assert Share(hits, n).bounds(tail) == pytest.approx((interval.low, interval.high), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(rows(40, 120), st.sampled_from(CLASSES + REGRESSION), st.integers(1, 5), st.floats(0.1, 0.9))
def test_slices_count_every_row_once(sample, metric, parts, bound):
    codes = np.arange(len(sample)) % parts
    names = [f"x={index}" for index in range(parts)]
    found = sliced(metric, sample, [(names, codes)], OPTIONS, least_rows=8, bound=bound)
    assert sum(part.rows for part in found.parts) == len(sample)
    assert found.small == 0
    known = [part.p_breach for part in found.parts if part.p_breach is not None]
    if known:
        assert found.parts[0].p_breach == min(known)


@settings(max_examples=40, deadline=None)
@given(rows(80, 160), st.sampled_from(FAIRNESS), st.permutations(range(3)))
def test_disparity_does_not_depend_on_the_groups_numbers(sample, metric, places):
    codes = np.arange(len(sample)) % 3
    answers = sample.scores >= 0.5
    one = disparity(metric, sample.positive, answers, codes, OPTIONS, least_rows=5).found
    other = disparity(metric, sample.positive, answers, np.array(places)[codes], OPTIONS, least_rows=5).found
    assert one.problem is other.problem
    if one.problem is None:
        assert one.value == pytest.approx(other.value, abs=1e-12)
        assert 0 <= one.lower <= one.value <= one.upper <= 1
        assert one.upper == pytest.approx(other.upper, abs=0.1)


@settings(max_examples=40, deadline=None)
@given(rows(40, 120), st.sampled_from(CLASSES + REGRESSION))
def test_a_p_value_says_what_the_interval_says(sample, metric):
    options = Options(seed=5, resamples=2000)
    found = evaluate(metric, sample, options, 0.5)
    if found.problem is None and found.lower < found.value < found.upper:
        at_lower, at_upper = (evaluate(metric, sample, options, bound) for bound in (found.lower, found.upper))
        assert at_lower.p_above == pytest.approx(0.025, abs=0.006)
        assert at_upper.p_below == pytest.approx(0.025, abs=0.006)
