"""Counting: nothing is lost, parts add up, and the cells are those numpy would choose."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from penstock.stats.correction import benjamini_hochberg, holm
from penstock.stats.grid import CategoricalGrid, NumericGrid, categorical_grid, numeric_grid
from penstock.stats.groups import category_groups, group, quantile_groups
from penstock.stats.histogram import count_codes, count_numbers, merge

ANY_FLOATS = arrays.arrays(np.float64, st.integers(0, 80), elements=st.floats(width=64))
ANY_NUMBERS = st.one_of(
    ANY_FLOATS,
    arrays.arrays(np.int64, st.integers(0, 80)),
    arrays.arrays(np.float32, st.integers(0, 80), elements=st.floats(width=32)),
    arrays.arrays(np.uint8, st.integers(0, 80)),
)
LIMITS = st.tuples(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(1, 300))
COUNTS = arrays.arrays(np.int64, st.integers(1, 200), elements=st.integers(0, 1000))
P_VALUES = st.lists(st.floats(0, 1), max_size=30)


@given(ANY_NUMBERS, ANY_NUMBERS)
def test_every_row_is_counted_once_on_a_grid_made_from_anything(reference, values):
    grid = numeric_grid(reference)
    counted = count_numbers(grid, values)
    finite = values[np.isfinite(values)]
    assert counted.rows == len(values)
    assert counted.nulls == int(np.isnan(values).sum())
    assert counted.moments is not None
    assert counted.moments.infinite == int(np.isinf(values).sum())
    assert counted.moments.finite == len(finite)
    if len(finite):
        assert (counted.moments.minimum, counted.moments.maximum) == (float(finite.min()), float(finite.max()))


@given(LIMITS, arrays.arrays(np.float64, st.integers(0, 200), elements=st.floats(-3e6, 3e6)))
def test_cells_are_numpy_s_apart_from_values_on_their_limits(limits, values):
    low, span, cells = limits
    grid = NumericGrid(low, low + span, cells)
    counted = count_numbers(grid, values).values
    position = (values - grid.low) / grid.width
    clear = np.abs(position - np.round(position)) > 1e-6
    exact = count_numbers(grid, values[clear]).values
    inside, _ = np.histogram(values[clear], grid.edges)
    assert exact[1:-1].tolist() == inside.tolist()
    assert exact[0] == (values[clear] < grid.low).sum()
    assert counted.sum() == len(values)


@given(ANY_FLOATS, ANY_FLOATS, ANY_FLOATS)
def test_parts_add_up_to_the_whole(reference, one, other):
    grid = numeric_grid(reference)
    merged, whole = merge(count_numbers(grid, one), count_numbers(grid, other)), None
    whole = count_numbers(grid, np.concatenate([one, other]))
    assert merged.counts.tolist() == whole.counts.tolist()
    assert merged.moments is not None
    assert whole.moments is not None
    assert merged.moments.finite == whole.moments.finite
    assert merged.moments.minimum == whole.moments.minimum
    assert merged.moments.maximum == whole.moments.maximum


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(-1e6, 1e6), st.floats(1e-2, 1e4), st.integers(2, 100_000))
def test_mean_and_deviation_are_numpy_s(seed, mean, deviation, rows):
    values = np.random.default_rng(seed).normal(mean, deviation, rows)
    counted = count_numbers(numeric_grid(values), values)
    assert counted.mean == pytest.approx(values.mean(), rel=1e-9, abs=1e-7)
    assert counted.deviation == pytest.approx(values.std(), rel=1e-6, abs=1e-7 * max(1, abs(mean)))


@given(st.lists(st.sampled_from(["a", "b", "c", "d", None])), st.sets(st.sampled_from("abcd")))
def test_codes_are_counted_as_their_labels(values, known):
    grid = CategoricalGrid(tuple(sorted(known)))
    labels = ["d", "c", "b", "a"]
    codes = np.array([-1 if value is None else labels.index(value) for value in values], np.int32)
    counted = count_codes(grid, codes, labels)
    expected = [values.count(category) for category in grid.categories]
    other = sum(value is not None and value not in known for value in values)
    assert counted.counts.tolist() == [*expected, other, values.count(None)]


@given(st.lists(st.one_of(st.none(), st.text(max_size=3))))
def test_a_categorical_grid_knows_the_most_frequent(values):
    grid = categorical_grid(values, limit=3)
    present = [value for value in values if value is not None]
    least = min((present.count(category) for category in grid.categories), default=0)
    assert len(grid.categories) == min(3, len(set(present)))
    assert all(present.count(value) <= least for value in set(present) - set(grid.categories))


@given(COUNTS, st.integers(2, 32))
def test_quantile_groups_are_neighbours_in_order_and_not_too_many(counts, wanted):
    groups = quantile_groups(counts, wanted)
    assert groups[0] == 0
    assert set(np.diff(groups).tolist()) <= {0, 1}
    assert groups[-1] < wanted
    assert group(counts, groups).sum() == counts.sum()


@given(st.integers(10, 32))
def test_quantile_groups_of_a_smooth_distribution_weigh_the_same(wanted):
    counts = np.full(4098, 250, np.int64)
    weights = group(counts, quantile_groups(counts, wanted))
    assert len(weights) == wanted
    assert weights.max() - weights.min() <= 250


@given(COUNTS, st.integers(3, 32))
def test_category_groups_keep_other_by_itself(counts, wanted):
    groups = category_groups(counts, wanted)
    weights = group(counts, groups)
    assert len(weights) <= wanted
    assert weights[-1] == counts[-1]
    assert weights.sum() == counts.sum()


@given(P_VALUES)
def test_corrections_keep_the_order_and_are_ordered_among_each_other(p_values):
    strict, mild = holm(p_values), benjamini_hochberg(p_values)
    for raw, low, high in zip(p_values, mild, strict, strict=True):
        assert raw <= low + 1e-15
        assert low <= high + 1e-12
        assert high <= min(1, raw * len(p_values)) + 1e-12
    ranked = sorted(range(len(p_values)), key=lambda index: p_values[index])
    for adjusted in (strict, mild):
        assert [adjusted[index] for index in ranked] == sorted(adjusted)
