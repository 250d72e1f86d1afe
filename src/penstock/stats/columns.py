"""Grids and counts for many columns at once, from NumPy arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from penstock.stats.grid import (
    MAX_CELLS,
    CategoricalGrid,
    Grid,
    GridError,
    NumericGrid,
    boolean_grid,
    categorical_grid,
    numeric_grid,
)
from penstock.stats.histogram import (
    Histogram,
    Numbers,
    as_numbers,
    count_booleans,
    count_codes,
    count_labels,
    count_numbers,
)


class FeatureType(StrEnum):
    """The types of a FeatureSet's features."""

    FLOAT64 = "Float64"
    FLOAT32 = "Float32"
    INT64 = "Int64"
    BOOLEAN = "Boolean"
    STRING = "String"
    TIMESTAMP = "Timestamp"


@dataclass(frozen=True, slots=True)
class Numeric:
    """Numbers or datetimes of shape [n]; `nulls` counts rows that are left out of `values`."""

    values: Numbers
    nulls: int = 0


@dataclass(frozen=True, slots=True)
class Truth:
    """An array of type bool, shape [n]; `nulls` counts rows that are left out of `values`."""

    values: Numbers
    nulls: int = 0


@dataclass(frozen=True, slots=True)
class Coded:
    """A dictionary-encoded column: integers of shape [n] into `labels`, -1 for null."""

    codes: Numbers
    labels: Sequence[str]
    nulls: int = 0


@dataclass(frozen=True, slots=True)
class Tally:
    """A categorical column counted already: `rows` of shape [labels]."""

    labels: Sequence[str]
    rows: Numbers
    nulls: int = 0


Column = Numeric | Truth | Coded | Tally


def column(values: Numbers) -> Column:
    """A plain array, shape [n]: numbers, datetimes, bool, or strings with None (or NaN) for null.

    Strings in bulk are better given as `Coded`. Raises `GridError` for other values.
    """
    if values.dtype.kind == "b":
        return Truth(values)
    if values.dtype.kind in "fiuM":
        return Numeric(values)
    if values.dtype.kind not in "OUT":
        raise GridError(f"A feature holds numbers, datetimes, Booleans or strings, not values of type {values.dtype}.")
    rows: dict[str, int] = {}
    nulls = 0
    for value in values.tolist():
        if isinstance(value, str):
            rows[value] = rows.get(value, 0) + 1
        elif value is None or value != value:  # noqa: PLR0124 - NaN is what differs from itself
            nulls += 1
        else:
            raise GridError(f"A column of objects holds strings, not values of type {type(value).__name__}.")
    return Tally(list(rows), np.fromiter(rows.values(), np.int64, len(rows)), nulls)


def grid_for(kind: FeatureType, sample: Column, categories: Sequence[str] = (), cells: int = MAX_CELLS) -> Grid:
    """The grid of a feature from a sample of its reference values; declared categories are taken as they are.

    Raises `GridError` if the values do not fit the type.
    """
    if kind == FeatureType.BOOLEAN:
        return boolean_grid()
    if kind == FeatureType.STRING:
        return CategoricalGrid(tuple(categories)) if categories else categorical_grid(tally(sample))
    if not isinstance(sample, Numeric):
        raise GridError(f"A feature of type {kind} needs numbers.")
    return numeric_grid(as_numbers(sample.values), cells)


def tally(sample: Column) -> dict[str, int]:
    """Rows per label of a column of strings; raises `GridError` for other columns."""
    if isinstance(sample, Coded):
        codes = sample.codes.astype(np.intp)
        rows = np.bincount(codes[codes >= 0], minlength=len(sample.labels))
        return dict(zip(sample.labels, rows.tolist(), strict=True))
    if isinstance(sample, Tally):
        return dict(zip(sample.labels, sample.rows.tolist(), strict=True))
    raise GridError("A feature of type String needs strings.")


def count(grid: Grid, values: Column) -> Histogram:
    """Counts one column on a grid; raises `GridError` if the two do not fit each other."""
    if isinstance(grid, NumericGrid):
        if not isinstance(values, Numeric):
            raise GridError("A numeric grid counts numbers, not strings or Booleans.")
        return count_numbers(grid, values.values, values.nulls)
    match values:
        case Truth():
            return count_booleans(grid, values.values, values.nulls)
        case Coded():
            return count_codes(grid, values.codes, values.labels, values.nulls)
        case Tally():
            return count_labels(grid, values.labels, values.rows, values.nulls)
    raise GridError("A categorical grid counts strings or Booleans, not numbers.")


def count_columns(grids: Mapping[str, Grid], columns: Mapping[str, Column]) -> dict[str, Histogram]:
    """Counts every column that has a grid; raises `GridError`, naming the feature, if one is missing or unfit."""
    counted: dict[str, Histogram] = {}
    for name, grid in grids.items():
        if name not in columns:
            raise GridError(f"The data have no column '{name}'.")
        try:
            counted[name] = count(grid, columns[name])
        except GridError as error:
            raise GridError(f"Feature '{name}': {error}") from None
    return counted
