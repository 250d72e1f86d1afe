"""Counting and merging."""

import numpy as np
import pytest

from penstock.stats.columns import Coded, FeatureType, Numeric, Tally, Truth, column, count, count_columns, grid_for
from penstock.stats.grid import CategoricalGrid, GridError, NumericGrid, boolean_grid
from penstock.stats.histogram import Histogram, Moments, count_codes, count_numbers, empty, merge

GRID = NumericGrid(0.0, 10.0, 5)
COLORS = CategoricalGrid(("blue", "red"))


def test_nan_and_infinities_never_pass_silently():
    counted = count_numbers(GRID, np.array([1.0, np.nan, np.inf, -np.inf, 9.0]), nulls=2)
    assert counted.counts.tolist() == [1, 1, 0, 0, 0, 1, 1, 3]
    assert counted.moments == Moments(2, 2, 1.0, 9.0, 14.0, 9.0 + 121.0)
    assert counted.mean == 5.0
    assert counted.deviation == 4.0


def test_a_sum_too_large_for_a_float_leaves_no_mean():
    counted = count_numbers(GRID, np.full(10, 1e308))
    assert (counted.rows, counted.mean, counted.deviation) == (10, None, None)


def test_chunks_make_no_difference():
    values = np.random.default_rng(3).normal(5, 3, 100_000)
    values[::1000] = np.nan
    counted = count_numbers(GRID, values)
    inside, _ = np.histogram(values[(values >= 0) & (values < 10)], GRID.edges)
    assert counted.counts[1:-2].tolist() == inside.tolist()
    assert counted.nulls == 100


def test_different_grids_are_not_merged():
    with pytest.raises(GridError, match="different grids"):
        merge(empty(GRID), empty(NumericGrid(0.0, 10.0, 6)))
    with pytest.raises(GridError, match="different grids"):
        merge(empty(GRID), empty(COLORS))


def test_counts_that_do_not_fit_are_refused():
    with pytest.raises(GridError, match="8 numbers"):
        Histogram(GRID, np.zeros(3, np.int64), Moments())
    with pytest.raises(GridError, match="moments"):
        Histogram(GRID, np.zeros(8, np.int64))


def test_counts_cannot_be_changed():
    counted = count_numbers(GRID, np.array([1.0]))
    with pytest.raises(ValueError, match="read-only"):
        counted.counts[0] = 5


def test_equal_histograms_are_equal():
    one, other = (count_numbers(GRID, np.array(values)) for values in ([1.0, 2.0], [2.0, 1.0]))
    assert one == other
    assert hash(one) == hash(other)
    assert one != count_numbers(GRID, np.array([1.0, 3.0]))


def test_categories_booleans_and_codes():
    assert count(COLORS, column(np.array(["red", None, "green", "red"], object))).counts.tolist() == [0, 2, 1, 1]
    assert count(COLORS, column(np.array(["blue", float("nan")], object))).counts.tolist() == [1, 0, 0, 1]
    assert count(COLORS, Coded(np.array([0, -1, 1]), ("red", "green"), nulls=1)).counts.tolist() == [0, 1, 1, 2]
    assert count(boolean_grid(), column(np.array([True, False, True]))).counts.tolist() == [1, 2, 0, 0]
    assert count(COLORS, Tally((), np.array([], np.int64), 3)).counts.tolist() == [0, 0, 0, 3]


def test_a_code_without_label_is_refused():
    with pytest.raises(GridError, match="no label"):
        count_codes(COLORS, np.array([0, 2]), ("red",))


@pytest.mark.parametrize(
    ("grid", "values"),
    [
        (GRID, Tally(("a",), np.array([1]))),
        (GRID, Truth(np.array([True]))),
        (COLORS, Numeric(np.array([1.0]))),
    ],
)
def test_columns_of_another_kind_name_the_feature(grid, values):
    with pytest.raises(GridError, match="Feature 'speed': "):
        count_columns({"speed": grid}, {"speed": values})


def test_a_missing_column_is_named():
    with pytest.raises(GridError, match="no column 'speed'"):
        count_columns({"speed": GRID}, {})


def test_objects_that_are_no_strings_are_refused():
    with pytest.raises(GridError, match="type int"):
        column(np.array(["a", 1], object))
    with pytest.raises(GridError, match="complex"):
        column(np.array([1j]))


def test_grids_by_type():
    text = Tally(("b", "a"), np.array([1, 2]))
    assert grid_for(FeatureType.STRING, text) == CategoricalGrid(("a", "b"))
    assert grid_for(FeatureType.STRING, text, ["z"]) == CategoricalGrid(("z",))
    assert grid_for(FeatureType.STRING, Coded(np.array([1, 1, -1]), ("x", "y"))) == CategoricalGrid(("x", "y"))
    assert grid_for(FeatureType.BOOLEAN, Truth(np.array([True]))) == boolean_grid()
    assert grid_for(FeatureType.INT64, Numeric(np.array([1, 2]))) == NumericGrid(0.5, 2.5, 2)
    with pytest.raises(GridError, match="Int64 needs numbers"):
        grid_for(FeatureType.INT64, text)
    with pytest.raises(GridError, match="needs strings"):
        grid_for(FeatureType.STRING, Numeric(np.array([1.0])))
