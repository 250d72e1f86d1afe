"""The columns of a Polars frame, as NumPy arrays without a copy where Polars can."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import polars as pl

from penstock.stats.columns import Column, Numeric, Tally, Truth
from penstock.stats.grid import Grid, GridError, NumericGrid
from penstock.stats.histogram import cells_of


def frame_columns(frame: pl.DataFrame, names: Iterable[str] | None = None) -> dict[str, Column]:
    """The named columns (all by default); raises `GridError` for a column that is missing or of no feature's type."""
    columns: dict[str, Column] = {}
    for name in frame.columns if names is None else names:
        if name not in frame.columns:
            raise GridError(f"The data have no column '{name}'.")
        columns[name] = series_column(frame[name])
    return columns


def series_column(series: pl.Series) -> Column:
    """One column; raises `GridError` if it holds no numbers, datetimes, dates, Booleans or strings."""
    kind = series.dtype
    nulls = series.null_count()
    if kind in (pl.String, pl.Categorical, pl.Enum):
        counted = series.drop_nulls().value_counts(name="rows")
        labels = counted.to_series(0).cast(pl.String).to_list()
        return Tally(labels, counted["rows"].to_numpy().astype(np.int64), nulls)
    if kind == pl.Boolean:
        return Truth(series.drop_nulls().to_numpy(), nulls)
    if kind in (pl.Date, pl.Datetime):
        microseconds = series.cast(pl.Datetime("us")).to_physical()
        return Numeric(microseconds.drop_nulls().to_numpy(), nulls)
    if not kind.is_numeric() or kind.is_decimal():
        raise GridError(f"Column '{series.name}' is of type {kind}, which no feature has.")
    return Numeric(series.drop_nulls().to_numpy() if nulls else series.to_numpy(), nulls)


def series_cells(series: pl.Series, grid: Grid) -> npt.NDArray[np.intp]:
    """Each row's place in the counts of its column on this grid, shape [n]; raises `GridError` if they do not fit."""
    if isinstance(grid, NumericGrid):
        if isinstance(series.dtype, pl.Datetime) or series.dtype == pl.Date:
            series = series.cast(pl.Datetime("us")).to_physical()
        if not series.dtype.is_numeric():
            raise GridError("A numeric grid counts numbers, not strings or Booleans.")
        # What Polars hands over of a column with nulls is NaN there.
        return cells_of(grid, series.to_numpy())
    if series.dtype not in (pl.String, pl.Categorical, pl.Boolean) and not isinstance(series.dtype, pl.Enum):
        raise GridError("A categorical grid counts strings or Booleans, not numbers.")
    labels = series.cast(pl.String)
    cells = labels.replace_strict(
        pl.Series(grid.categories, dtype=pl.String),
        pl.Series(np.arange(len(grid.categories))),
        default=grid.other,
        return_dtype=pl.Int64,
    )
    found: npt.NDArray[np.intp] = cells.to_numpy().astype(np.intp)
    if labels.null_count():
        found[labels.is_null().to_numpy()] = grid.size - 1
    return found
