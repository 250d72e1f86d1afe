"""Polars columns give the counts that their values have."""

from datetime import date, datetime

import polars as pl
import pytest

from penstock.stats.columns import count
from penstock.stats.frames import frame_columns, series_column
from penstock.stats.grid import CategoricalGrid, GridError, NumericGrid, boolean_grid

COLORS = CategoricalGrid(("blue", "red"))


@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical, pl.Enum(["red", "green", "blue"])])
def test_text(dtype):
    series = pl.Series("color", ["red", None, "green", "red"], pl.String).cast(dtype)
    assert count(COLORS, series_column(series)).counts.tolist() == [0, 2, 1, 1]


@pytest.mark.parametrize("dtype", [pl.Float64, pl.Float32, pl.Int64, pl.UInt8])
def test_numbers_with_nulls(dtype):
    series = pl.Series("n", [1, None, 3], dtype)
    assert count(NumericGrid(0.5, 3.5, 3), series_column(series)).counts.tolist() == [0, 1, 0, 1, 0, 1]


def test_nan_is_null():
    counted = count(NumericGrid(0.5, 3.5, 3), series_column(pl.Series([1.0, float("nan"), None])))
    assert counted.counts.tolist() == [0, 1, 0, 0, 0, 2]


def test_booleans():
    assert count(boolean_grid(), series_column(pl.Series([True, None, False]))).counts.tolist() == [1, 1, 0, 1]


@pytest.mark.parametrize("values", [[date(1970, 1, 2), None], [datetime(1970, 1, 2), None]])
def test_times(values):
    day = 86_400e6
    assert count(NumericGrid(0.0, 2 * day, 2), series_column(pl.Series(values))).counts.tolist() == [0, 0, 1, 0, 1]


def test_other_types_and_missing_columns_are_refused():
    with pytest.raises(GridError, match="'a' is of type List"):
        frame_columns(pl.DataFrame({"a": [[1]]}))
    with pytest.raises(GridError, match="no column 'b'"):
        frame_columns(pl.DataFrame({"a": [1]}), ["b"])
