"""Counts on a fixed grid, with the sums behind mean and deviation; merged by addition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, sqrt

import numpy as np
import numpy.typing as npt

from penstock.stats.grid import BOOLEAN_CATEGORIES, CategoricalGrid, Grid, GridError, NumericGrid

# A chunk of so many rows stays in the processor's cache from one step to the next; smaller ones cost more calls.
CHUNK_ROWS = 65_536

Counts = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Moments:
    """What a numeric feature's finite values add up to.

    `total` and `squares` are sums of the distance from the grid's origin and of its square, infinite if too large for a
    float; `minimum` and `maximum` are infinite (and swapped) while there is no value. `infinite` counts the infinities,
    which are in no sum.
    """

    finite: int = 0
    infinite: int = 0
    minimum: float = float("inf")
    maximum: float = float("-inf")
    total: float = 0.0
    squares: float = 0.0

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.finite + other.finite,
            self.infinite + other.infinite,
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
            self.total + other.total,
            self.squares + other.squares,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Counts of one feature, int64 of shape [grid.size], and its moments (None for a categorical feature).

    Raises `GridError` if they do not fit the grid.
    """

    grid: Grid
    counts: Counts
    moments: Moments | None = None

    def __post_init__(self) -> None:
        if self.counts.shape != (self.grid.size,) or self.counts.dtype != np.int64:
            raise GridError(f"The counts of this grid are {self.grid.size} numbers of type int64.")
        if (self.moments is None) is isinstance(self.grid, NumericGrid):
            raise GridError("A numeric histogram has moments, a categorical one has none.")
        self.counts.setflags(write=False)

    @property
    def rows(self) -> int:
        """Rows counted, nulls among them."""
        return int(self.counts.sum())

    @property
    def nulls(self) -> int:
        """Rows without a value: null or NaN."""
        return int(self.counts[-1])

    @property
    def values(self) -> Counts:
        """The counts without that of the nulls, shape [grid.size - 1]."""
        return self.counts[:-1]

    @property
    def mean(self) -> float | None:
        """Mean of the finite values; None without any, or if their sum is too large for a float."""
        if self.moments is None or not self.moments.finite or not isinstance(self.grid, NumericGrid):
            return None
        mean = self.grid.origin + self.moments.total / self.moments.finite
        return mean if isfinite(mean) else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation (divided by n) of the finite values, in the feature's unit; None as for `mean`."""
        if self.moments is None or not self.moments.finite:
            return None
        n = self.moments.finite
        mean = self.moments.total / n
        deviation = sqrt(max(0.0, self.moments.squares / n - mean * mean)) if isfinite(mean * mean) else mean
        return deviation if isfinite(deviation) else None

    def __add__(self, other: Histogram) -> Histogram:
        return merge(self, other)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Histogram):
            return NotImplemented
        return (
            self.grid == other.grid
            and self.moments == other.moments
            and bool(np.array_equal(self.counts, other.counts))
        )

    def __hash__(self) -> int:
        return hash((self.grid, self.moments, self.counts.tobytes()))


def empty(grid: Grid) -> Histogram:
    """Nothing counted yet."""
    return Histogram(grid, np.zeros(grid.size, np.int64), Moments() if isinstance(grid, NumericGrid) else None)


def merge(one: Histogram, other: Histogram) -> Histogram:
    """The histogram of both samples together; raises `GridError` if they were counted on different grids."""
    if one.grid != other.grid:
        raise GridError("Histograms on different grids cannot be merged: count both on the grid of one profile.")
    moments = one.moments + other.moments if one.moments is not None and other.moments is not None else None
    return Histogram(one.grid, one.counts + other.counts, moments)


def count_numbers(grid: NumericGrid, values: Numbers, nulls: int = 0) -> Histogram:
    """Counts floats, integers or datetimes (any NumPy unit; as microseconds since 1970), shape [n].

    NaN and NaT count as null; `nulls` adds rows that `values` leaves out. Raises `GridError` for other types.
    """
    counts = np.zeros(grid.size, np.int64)
    counts[-1] = nulls
    moments = Moments()
    length = min(len(values), CHUNK_ROWS)
    distance, cell = np.empty(length, np.float64), np.empty(length, np.intp)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(values), CHUNK_ROWS):
            chunk = as_numbers(values[start : start + CHUNK_ROWS])
            moments += _count_chunk(grid, chunk, counts, distance[: len(chunk)], cell[: len(chunk)])
    return Histogram(grid, counts, moments)


def cells_of(grid: NumericGrid, values: Numbers) -> npt.NDArray[np.intp]:
    """Each value's place in the counts that `count_numbers` makes, shape [n]; the last one for NaN and NaT."""
    with np.errstate(over="ignore", invalid="ignore"):
        distance = np.subtract(as_numbers(values), grid.origin, dtype=np.float64) * grid.scale
    missing = np.isnan(distance)
    distance[missing] = 0
    cells = np.clip(distance, 0, grid.cells + 1).astype(np.intp)
    cells[missing] = grid.size - 1
    return cells


def as_numbers(values: Numbers) -> Numbers:
    """Numbers as they are, datetimes as float64 microseconds since 1970 with NaN for NaT; raises `GridError` else."""
    if values.dtype.kind == "M":
        microseconds = values.astype("datetime64[us]")
        return np.where(np.isnat(microseconds), np.nan, microseconds.astype(np.int64).astype(np.float64))
    if values.dtype.kind not in "fiub":
        raise GridError(f"A numeric feature needs numbers or datetimes, not values of type {values.dtype}.")
    return values


def _count_chunk(
    grid: NumericGrid, chunk: Numbers, counts: Counts, distance: npt.NDArray[np.float64], cell: npt.NDArray[np.intp]
) -> Moments:
    np.subtract(chunk, grid.origin, out=distance, dtype=np.float64)
    total = float(distance.sum())
    if not isfinite(total):
        # Rare, so looked at only where the sum shows it: NaN, an infinity, or a sum too large for a float.
        present = ~np.isnan(chunk)
        counts[-1] += len(chunk) - int(present.sum())
        chunk, distance = chunk[present], distance[present]
        cell = cell[: len(chunk)]
        finite = np.isfinite(chunk)
        moments = _moments(chunk[finite], distance[finite], len(chunk) - int(finite.sum()))
    else:
        moments = _moments(chunk, distance, 0)
    np.multiply(distance, grid.scale, out=distance)
    np.clip(distance, 0, grid.cells + 1, out=distance)
    np.copyto(cell, distance, casting="unsafe")
    counts[:-1] += np.bincount(cell, minlength=grid.cells + 2)
    return moments


def _moments(finite: Numbers, distance: npt.NDArray[np.float64], infinite: int) -> Moments:
    if not len(finite):
        return Moments(infinite=infinite)
    # einsum, not dot: a threaded BLAS takes many times longer for chunks of this size.
    squares, total = float(np.einsum("i,i->", distance, distance)), float(distance.sum())
    if not isfinite(total):
        total = float("inf")
    return Moments(len(finite), infinite, float(finite.min()), float(finite.max()), total, squares)


def count_codes(grid: CategoricalGrid, codes: Numbers, labels: Sequence[str], nulls: int = 0) -> Histogram:
    """Counts a dictionary-encoded column: integers of shape [n] into `labels`, -1 for null.

    Labels that the grid does not know count as other. Raises `GridError` for a code without a label.
    """
    per_label = np.zeros(len(labels) + 1, np.int64)
    for start in range(0, len(codes), CHUNK_ROWS):
        shifted = codes[start : start + CHUNK_ROWS].astype(np.intp) + 1
        if shifted.min() < 0 or shifted.max() > len(labels):
            raise GridError("A code of a categorical column has no label.")
        per_label += np.bincount(shifted, minlength=len(labels) + 1)
    return count_labels(grid, labels, per_label[1:], nulls + int(per_label[0]))


def count_labels(grid: CategoricalGrid, labels: Sequence[str], rows: npt.ArrayLike, nulls: int = 0) -> Histogram:
    """Counts values that were counted per label already; `rows` has shape [labels]."""
    place = {category: index for index, category in enumerate(grid.categories)}
    counts = np.zeros(grid.size, np.int64)
    cells = np.array([place.get(label, grid.other) for label in labels], np.intp)
    np.add.at(counts, cells, np.asarray(rows, np.int64))
    counts[-1] += nulls
    return Histogram(grid, counts)


def count_booleans(grid: CategoricalGrid, values: Numbers, nulls: int = 0) -> Histogram:
    """Counts an array of type bool, shape [n]."""
    true = int(np.count_nonzero(values))
    return count_labels(grid, BOOLEAN_CATEGORIES, [len(values) - true, true], nulls)
