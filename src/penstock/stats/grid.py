"""Fixed grids: where a feature's values are counted, chosen once from reference data."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
import numpy.typing as npt

from penstock.stats.groups import quantile_groups

MAX_CELLS = 4096
MAX_CATEGORIES = 4096
MAX_CATEGORY_CHARACTERS = 1024
BOOLEAN_CATEGORIES = ("false", "true")

# Tried in this order: outliers stay outside the range as far as the quantile groups stay distinguishable inside it.
_TAILS = (0.001, 0.01, 0.05, 0.1)
_MARGIN = 0.1
_ENOUGH_GROUPS = 0.75
_WANTED_GROUPS = 32
# Differences of two such limits are still finite.
_LARGEST = 8e307
_SMALLEST_SPAN = 1e-200

Floats = npt.NDArray[np.float64]


class GridError(ValueError):
    """A grid that cannot be, or two grids that should be one; the message is one sentence for a person."""


@dataclass(frozen=True, slots=True)
class NumericGrid:
    """`cells` equal cells on [low, high); counts are [below, cells…, at or above high, null], `size` numbers.

    Infinities count as below or above, NaN as null. Raises `GridError` if the limits cannot be told apart.
    """

    low: float
    high: float
    cells: int

    def __post_init__(self) -> None:
        if not 1 <= self.cells <= MAX_CELLS:
            raise GridError(f"A grid has 1 to {MAX_CELLS} cells, not {self.cells}.")
        if not (isfinite(self.low) and isfinite(self.high) and self.low < self.high):
            raise GridError(f"A grid's low must be a number below its high, not {self.low} and {self.high}.")
        if not (isfinite(self.scale) and isfinite(self.high - self.origin)):
            raise GridError(f"The grid from {self.low} to {self.high} is too wide or too narrow to be counted on.")

    @property
    def width(self) -> float:
        """Width of a cell, in the feature's unit."""
        return (self.high - self.low) / self.cells

    @property
    def scale(self) -> float:
        """Cells per unit of the feature."""
        width = self.width
        return 1 / width if width else float("inf")

    @property
    def origin(self) -> float:
        """Where the cell of the values below would begin: values are counted by their distance from here."""
        return self.low - self.width

    @property
    def size(self) -> int:
        """How many numbers the counts have."""
        return self.cells + 3

    @property
    def edges(self) -> Floats:
        """Limits of the cells, shape [cells + 1]."""
        edges: Floats = np.linspace(self.low, self.high, self.cells + 1)
        return edges


@dataclass(frozen=True, slots=True)
class CategoricalGrid:
    """One cell per known category; counts are [categories…, other, null], `size` numbers.

    Raises `GridError` for too many, too long or repeated categories.
    """

    categories: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.categories) > MAX_CATEGORIES:
            raise GridError(f"A grid knows at most {MAX_CATEGORIES} categories, not {len(self.categories)}.")
        if len(set(self.categories)) != len(self.categories):
            raise GridError("A grid's categories must differ from each other.")
        if any(len(category) > MAX_CATEGORY_CHARACTERS for category in self.categories):
            raise GridError(f"A category has at most {MAX_CATEGORY_CHARACTERS} characters.")

    @property
    def other(self) -> int:
        """Index of the count of values that are no known category."""
        return len(self.categories)

    @property
    def size(self) -> int:
        """How many numbers the counts have."""
        return len(self.categories) + 2


Grid = NumericGrid | CategoricalGrid


def numeric_grid(sample: npt.ArrayLike, cells: int = MAX_CELLS) -> NumericGrid:
    """The grid for a numeric feature, from a sample of its reference values, shape [n], NaN and infinities ignored.

    Integers get cells of a whole width, centred on them; few integers one cell each. Otherwise the range is that
    between the 0.1 % and 99.9 % quantiles and a margin, or a narrower one where outliers would hide the rest. A
    constant gets one cell. Without any finite value the grid is one cell from 0 to 1. Timestamps are given as
    microseconds since 1970. Raises `GridError` for what is no number.
    """
    values = np.asarray(sample)
    if values.dtype.kind not in "fiub":
        raise GridError(f"A numeric grid is made from numbers, not from {values.dtype}.")
    finite = np.sort(values.astype(np.float64)[np.isfinite(values)]).clip(-_LARGEST, _LARGEST)
    if not finite.size:
        return NumericGrid(0.0, 1.0, 1)
    whole = bool((finite == np.floor(finite)).all()) and max(-finite[0], finite[-1]) < 2**52
    if whole:
        return _best(finite, [_whole_grid(finite, tail, cells) for tail in _TAILS])
    middle, span = float(finite[len(finite) // 2]), float(finite[-1] - finite[0])
    if span <= max(abs(middle) * 1e-12, _SMALLEST_SPAN):
        return _constant_grid(middle)
    return _best(finite, [_real_grid(finite, tail, cells) for tail in _TAILS])


def categorical_grid(values: Iterable[str | None], limit: int = 256) -> CategoricalGrid:
    """The grid for a categorical feature, from a sample of its reference values: the `limit` most frequent, sorted."""
    counted = Counter(value for value in values if value is not None and len(value) <= MAX_CATEGORY_CHARACTERS)
    most = sorted(counted, key=lambda value: (-counted[value], value))[: min(limit, MAX_CATEGORIES)]
    return CategoricalGrid(tuple(sorted(most)))


def boolean_grid() -> CategoricalGrid:
    """The grid for a Boolean feature."""
    return CategoricalGrid(BOOLEAN_CATEGORIES)


def _quantiles(ordered: Floats, tail: float) -> tuple[float, float]:
    last = len(ordered) - 1
    return float(ordered[int(last * tail)]), float(ordered[last - int(last * tail)])


def _whole_grid(ordered: Floats, tail: float, cells: int) -> NumericGrid:
    smallest, largest = float(ordered[0]), float(ordered[-1])
    if largest - smallest >= cells:
        low, high = _quantiles(ordered, tail)
        margin = np.floor((high - low) * _MARGIN)
        smallest, largest = max(smallest, low - margin), min(largest, high + margin)
    width = float(np.ceil((largest - smallest + 1) / cells))
    used = int(np.ceil((largest - smallest + 1) / width))
    return NumericGrid(smallest - 0.5, smallest - 0.5 + used * width, used)


def _real_grid(ordered: Floats, tail: float, cells: int) -> NumericGrid:
    low, high = _quantiles(ordered, tail)
    margin = (high - low) * _MARGIN
    low, high = max(float(ordered[0]), low - margin), min(float(ordered[-1]), high + margin)
    if high - low <= max(abs(low) * 1e-12, abs(high) * 1e-12, _SMALLEST_SPAN):
        return _constant_grid(low)
    # A cell must be wider than the gap between neighbouring floats.
    used = max(1, min(cells, int((high - low) / (8 * np.spacing(max(abs(low), abs(high)))))))
    half = (high - low) / used / 2
    return NumericGrid(low - half, high + half, used)


def _constant_grid(value: float) -> NumericGrid:
    distance = max(abs(value) * 1e-9, 1e-9)
    return NumericGrid(value - distance, value + distance, 1)


def _best(ordered: Floats, grids: Sequence[NumericGrid]) -> NumericGrid:
    """The first grid on which the reference quantiles are told apart about as well as in the sample itself."""
    ranks = np.arange(1, _WANTED_GROUPS) * len(ordered) // _WANTED_GROUPS
    ideal = len(np.unique(ordered[ranks])) + 1
    found: list[int] = []
    for grid in grids:
        with np.errstate(over="ignore"):
            inside = np.clip((ordered - grid.origin) * grid.scale, 0, grid.cells + 1).astype(np.int64)
        groups = int(quantile_groups(np.bincount(inside, minlength=grid.cells + 2), _WANTED_GROUPS)[-1]) + 1
        if groups >= ideal * _ENOUGH_GROUPS:
            return grid
        found.append(groups)
    return grids[int(np.argmax(found))]
