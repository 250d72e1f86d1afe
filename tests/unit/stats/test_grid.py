"""Grids made from awkward reference data."""

import numpy as np
import pytest

from penstock.stats.grid import CategoricalGrid, GridError, NumericGrid, boolean_grid, categorical_grid, numeric_grid
from penstock.stats.groups import quantile_groups
from penstock.stats.histogram import count_numbers

RANDOM = np.random.default_rng(7)


def groups_of(values, wanted=32):
    counted = count_numbers(numeric_grid(values), np.asarray(values, float))
    return int(quantile_groups(counted.values, wanted)[-1]) + 1


def test_a_constant_gets_one_cell_that_tells_it_from_everything_else():
    grid = numeric_grid([0.1] * 50)
    counts = count_numbers(grid, np.array([0.1, 0.1, 0.1000001, 0.0999999, 7, -7.0])).counts
    assert grid.cells == 1
    assert counts.tolist() == [2, 2, 2, 0]


def test_few_whole_numbers_get_a_cell_each():
    grid = numeric_grid(np.array([3, 1, 2, 2, 5]))
    assert (grid.low, grid.high, grid.cells) == (0.5, 5.5, 5)
    assert count_numbers(grid, np.array([1, 2, 2, 5, 6, 0])).counts.tolist() == [1, 1, 2, 0, 0, 1, 1, 0]


def test_many_whole_numbers_get_cells_of_a_whole_width():
    grid = numeric_grid(np.arange(10_000))
    assert grid.width == 3
    assert grid.low == -0.5
    inner = count_numbers(grid, np.arange(10_000)).counts[1:-3]
    assert set(inner.tolist()) == {3}


@pytest.mark.parametrize(("sigma", "least"), [(1.0, 32), (3.0, 24), (6.0, 16)])
def test_outliers_do_not_hide_the_rest(sigma, least):
    assert groups_of(RANDOM.lognormal(0, sigma, 20_000)) >= least


def test_a_single_far_outlier_stays_outside():
    values = np.append(RANDOM.normal(size=5000), 1e12)
    grid = numeric_grid(values)
    assert grid.high < 10
    assert count_numbers(grid, values).counts[-2] >= 1


def test_a_frequent_value_is_a_group_of_its_own():
    values = np.concatenate([np.zeros(5000), RANDOM.normal(10, 1, 5000)])
    counted = count_numbers(numeric_grid(values), values).values
    groups = quantile_groups(counted, 32)
    zero = int(np.argmax(counted))
    assert (groups == groups[zero]).sum() == 1


@pytest.mark.parametrize(
    "sample",
    [
        [],
        [np.nan, np.nan],
        [np.inf, -np.inf],
        [1e308, -1e308],
        [5e-324, 1e-323],
        [1e15, 1e15 + 0.125],
        [-0.0],
        [2**63 - 1, -(2**63)],
        [True, False],
    ],
)
def test_any_sample_makes_a_grid(sample):
    grid = numeric_grid(sample)
    counted = count_numbers(grid, np.asarray(sample, float))
    assert counted.rows == len(sample)
    assert counted.nulls == int(np.isnan(np.asarray(sample, float)).sum())


def test_float32_is_counted_in_double_precision():
    values = np.float32([16_777_216, 16_777_218, 16_777_220])
    counts = count_numbers(NumericGrid(16_777_215.0, 16_777_221.0, 6), values).counts
    assert counts.tolist() == [0, 0, 1, 0, 1, 0, 1, 0, 0]


def test_datetimes_are_microseconds_since_1970_and_nat_is_null():
    at = np.array(["1970-01-01T00:00:01", "NaT", "1970-01-01T00:00:03"], "datetime64[s]")
    counted = count_numbers(NumericGrid(0.0, 4e6, 4), at)
    assert counted.counts.tolist() == [0, 0, 1, 0, 1, 0, 1]
    assert counted.mean == pytest.approx(2e6)


def test_strings_are_no_numbers():
    with pytest.raises(GridError, match="from numbers"):
        numeric_grid(["a"])
    with pytest.raises(GridError, match="needs numbers"):
        count_numbers(NumericGrid(0.0, 1.0, 1), np.array(["a"]))


@pytest.mark.parametrize(
    ("low", "high", "cells"),
    [
        (1.0, 1.0, 4),
        (2.0, 1.0, 4),
        (float("nan"), 1.0, 4),
        (0.0, float("inf"), 4),
        (0.0, 1.0, 0),
        (0.0, 1.0, 4097),
        (-1e308, 1e308, 4),
        (0.0, 5e-324, 4),
    ],
)
def test_impossible_grids_are_refused(low, high, cells):
    with pytest.raises(GridError):
        NumericGrid(low, high, cells)


def test_categories():
    assert categorical_grid(["b", "a", "a", None, "c" * 2000]).categories == ("a", "b")
    assert boolean_grid().categories == ("false", "true")
    with pytest.raises(GridError, match="differ"):
        CategoricalGrid(("a", "a"))
    with pytest.raises(GridError, match="at most"):
        CategoricalGrid(tuple(str(number) for number in range(5000)))
