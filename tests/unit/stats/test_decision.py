"""Decisions: an effect, enough rows, and chance ruled out over all features."""

import numpy as np
import pytest
from scipy import stats

from penstock.stats.correction import benjamini_hochberg, holm
from penstock.stats.decision import Correction, DriftPolicy, Effect, Reason, Verdict, decide
from penstock.stats.drift import measure, psi, psi_bias
from penstock.stats.grid import CategoricalGrid, GridError, NumericGrid, numeric_grid
from penstock.stats.histogram import count_labels, count_numbers, empty

GRID = NumericGrid(-6.0, 6.0, 4096)


def numbers(shift=0.0, rows=5000, seed=0, nan=0, infinite=0):
    values = np.random.default_rng(seed).normal(shift, 1, rows)
    values[:nan] = np.nan
    values[nan : nan + infinite] = np.inf
    return count_numbers(GRID, values)


def judge(reference, current, policy=None):
    return decide([measure("speed", reference, current)], policy)[0]


def test_a_shift_is_drift():
    found = judge(numbers(), numbers(0.5, seed=1))
    assert (found.verdict, found.reason, found.drifted) == (Verdict.DRIFTED, Reason.SHIFT, True)
    assert found.effect == found.measures.psi_corrected > 0.2
    assert found.measures.wasserstein == pytest.approx(0.5, abs=0.05)
    assert (found.n_reference, found.n_current) == (5000, 5000)


def test_no_shift_is_none():
    assert judge(numbers(), numbers(seed=1)).drifted is False


def test_a_tiny_but_certain_shift_is_below_the_threshold():
    found = judge(numbers(rows=500_000), numbers(0.03, rows=500_000, seed=1))
    assert (found.drifted, found.reason) == (False, Reason.BELOW_THRESHOLD)
    assert found.p_adjusted is not None
    assert found.p_adjusted < 1e-6


def test_a_large_but_uncertain_shift_is_not_significant():
    policy = DriftPolicy(threshold=0.05, effect=Effect.KS, minimum_rows=10)
    found = judge(numbers(rows=100), numbers(0.15, rows=100, seed=4), policy)
    assert found.effect is not None
    assert found.effect > 0.05
    assert (found.drifted, found.reason) == (False, Reason.NOT_SIGNIFICANT)


@pytest.mark.parametrize(("before", "now"), [(5000, 499), (499, 5000), (0, 5000), (5000, 0), (0, 0)])
def test_too_few_rows_is_no_data_and_never_no_drift(before, now):
    found = judge(numbers(rows=before), numbers(3.0, rows=now, seed=1))
    assert (found.verdict, found.reason, found.drifted) == (Verdict.NO_DATA, Reason.TOO_FEW_ROWS, None)


def test_even_a_policy_without_a_minimum_needs_a_row():
    found = judge(numbers(), numbers(rows=0), DriftPolicy(minimum_rows=0))
    assert found.verdict == Verdict.NO_DATA


@pytest.mark.parametrize("gone", [{"nan": 1000}, {"infinite": 1000}, {"nan": 5000}])
def test_values_that_went_missing_are_drift(gone):
    found = judge(numbers(), numbers(seed=1, **gone))
    assert found.drifted is True
    assert found.measures.null_current == gone.get("nan", 0) / 5000
    assert found.measures.infinite_current == gone.get("infinite", 0) / 5000
    if "nan" in gone:
        assert found.reason == Reason.MISSING_VALUES


def test_a_constant_that_stays_has_one_group_and_one_that_changes_drifts():
    one, other = np.full(1000, 3.0), np.full(1000, 4.0)
    grid = numeric_grid(one)
    same = judge(count_numbers(grid, one), count_numbers(grid, one))
    changed = judge(count_numbers(grid, one), count_numbers(grid, other))
    assert (same.drifted, same.reason) == (False, Reason.ONE_GROUP)
    assert changed.drifted is True


def test_new_categories_are_drift():
    grid = CategoricalGrid(("a", "b"))
    found = judge(count_labels(grid, ["a", "b"], [900, 600]), count_labels(grid, ["a", "b", "c"], [700, 500, 300]))
    assert found.drifted is True
    assert found.measures.ks is None


@pytest.mark.parametrize("effect", list(Effect))
@pytest.mark.parametrize("correction", list(Correction))
def test_every_effect_and_correction_sees_a_shift_and_no_other(effect, correction):
    policy = DriftPolicy(threshold=0.1, effect=effect, correction=correction)
    measures = [measure("moved", numbers(), numbers(0.6, seed=1)), measure("still", numbers(), numbers(seed=2))]
    assert [found.drifted for found in decide(measures, policy)] == [True, False]


def test_features_without_data_do_not_weaken_the_others():
    measures = [measure("a", numbers(), numbers(0.5, seed=1)), measure("b", numbers(), numbers(rows=0))]
    assert [found.drifted for found in decide(measures)] == [True, None]
    assert decide([]) == []


def test_different_grids_are_refused_by_name():
    with pytest.raises(GridError, match="'speed'"):
        measure("speed", numbers(), empty(NumericGrid(0.0, 1.0, 3)))


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_benjamini_hochberg_is_scipy_s():
    p_values = np.random.default_rng(5).random(40) ** 2
    assert benjamini_hochberg(p_values.tolist()) == pytest.approx(stats.false_discovery_control(p_values).tolist())


@pytest.mark.parametrize(("groups", "n", "m"), [(10, 500, 500), (32, 2000, 5000), (20, 300, 10_000)])
def test_the_correction_is_what_psi_is_without_drift(groups, n, m):
    random = np.random.default_rng(11)
    shares = np.full(groups, 1 / groups)
    pairs = [(random.multinomial(n, shares), random.multinomial(m, shares)) for _ in range(400)]
    mean = np.mean([psi(old, new) for old, new in pairs])
    assert np.mean([psi_bias(old, new) for old, new in pairs]) == pytest.approx(mean, rel=0.12)


def samples(random, rows):
    yield random.normal(size=rows)
    yield random.lognormal(0, 2, rows)
    yield random.poisson(3, rows).astype(float)
    yield np.where(random.random(rows) < 0.7, 0.0, random.exponential(size=rows))
    yield random.standard_t(2, rows)
    yield np.where(random.random(rows) < 0.1, np.nan, random.random(rows))


@pytest.mark.parametrize("threshold", [0.0, 0.1])
def test_windows_without_drift_raise_false_alarms_in_at_most_five_percent(threshold):
    random = np.random.default_rng(20_261_121)
    policy = DriftPolicy(threshold=threshold, missing_threshold=0.0)
    alarms = 0
    for _ in range(200):
        measures = []
        for reference, window in zip(samples(random, 3000), samples(random, 1000), strict=True):
            grid = numeric_grid(reference)
            measures.append(measure("x", count_numbers(grid, reference), count_numbers(grid, window)))
        alarms += any(found.drifted for found in decide(measures, policy))
    assert alarms <= 10
