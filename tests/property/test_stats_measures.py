"""Measures on counts against scipy on the values or on the same counts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from penstock.stats import drift
from penstock.stats.grid import NumericGrid
from penstock.stats.histogram import count_numbers

TABLES = st.integers(2, 40).flatmap(
    lambda size: st.tuples(*[st.lists(st.integers(0, 10_000), min_size=size, max_size=size)] * 2)
).filter(lambda pair: sum(pair[0]) > 0 and sum(pair[1]) > 0)  # fmt: skip
GRID = NumericGrid(-10.0, 10.0, 512)
INSIDE = st.lists(st.floats(-9.99, 9.99), min_size=1, max_size=60)


def arrays(pair):
    return np.array(pair[0], np.int64), np.array(pair[1], np.int64)


@given(TABLES)
def test_jensen_shannon_is_scipy_s(pair):
    old, new = arrays(pair)
    assert drift.jensen_shannon(old, new) == pytest.approx(jensenshannon(old, new, base=2), abs=1e-7)


@given(TABLES)
def test_psi_is_both_kullback_leibler_divergences_where_no_group_is_empty(pair):
    old, new = (counts + 1 for counts in arrays(pair))
    p, q = old / old.sum(), new / new.sum()
    assert drift.psi(old, new) == pytest.approx(stats.entropy(p, q) + stats.entropy(q, p), rel=1e-9, abs=1e-12)


@given(TABLES)
def test_psi_is_symmetric_finite_and_never_negative(pair):
    old, new = arrays(pair)
    value = drift.psi(old, new)
    assert np.isfinite(value)
    assert value >= 0
    assert drift.psi(new, old) == pytest.approx(value, rel=1e-12)
    assert drift.psi(old, old) == 0


@given(TABLES)
def test_chi_square_is_scipy_s_where_counts_are_large_enough(pair):
    old, new = (counts + 50 for counts in arrays(pair))
    smaller = min(old.sum(), new.sum()) / (old.sum() + new.sum())
    if ((old + new) * smaller < 5).any():
        return
    found, expected = drift.chi_square(old, new), stats.chi2_contingency(np.stack([old, new]), correction=False)
    assert found.statistic == pytest.approx(expected.statistic, rel=1e-9, abs=1e-9)
    assert found.degrees_of_freedom == expected.dof
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)


@given(TABLES)
def test_chi_square_never_tests_on_expected_counts_below_five_unless_all_are(pair):
    old, new = arrays(pair)
    found = drift.chi_square(old, new)
    smaller = min(old.sum(), new.sum())
    assert 0 <= found.p_value <= 1
    assert found.degrees_of_freedom <= smaller / 5


@given(INSIDE, INSIDE)
def test_binned_ks_is_below_the_exact_one_by_at_most_the_heaviest_cell(one, other):
    old, new = (count_numbers(GRID, np.array(values)).values for values in (one, other))
    exact = stats.ks_2samp(one, other, method="asymp").statistic
    binned = drift.binned_ks(old, new)
    heaviest = max((old / old.sum()).max(), (new / new.sum()).max())
    assert binned <= exact + 1e-12
    assert exact <= binned + heaviest + 1e-12


@given(INSIDE, INSIDE)
def test_wasserstein_is_scipy_s_to_one_cell(one, other):
    old, new = (count_numbers(GRID, np.array(values)).values for values in (one, other))
    exact = stats.wasserstein_distance(one, other)
    assert drift.wasserstein(GRID, old, new) == pytest.approx(exact, abs=GRID.width * (1 + 1e-9))


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(0, 0.5))
def test_many_values_give_scipy_s_distances_and_p_value(seed, shift):
    random = np.random.default_rng(seed)
    one, other = random.normal(size=5000), random.normal(shift, size=4000)
    old, new = (count_numbers(NumericGrid(-8.0, 8.0, 4096), values).values for values in (one, other))
    exact = stats.ks_2samp(one, other, method="asymp")
    distance = drift.binned_ks(old, new)
    assert distance == pytest.approx(exact.statistic, abs=0.005)
    # scipy's asymptotic p-value keeps a term in 1/√n that the limit distribution does not have.
    expected = stats.kstwobign.sf(np.sqrt(5000 * 4000 / 9000) * distance)
    assert drift.ks_p_value(distance, 5000, 4000) == pytest.approx(expected, rel=1e-6, abs=1e-12)
    assert drift.ks_p_value(exact.statistic, 5000, 4000) == pytest.approx(exact.pvalue, abs=0.03)
