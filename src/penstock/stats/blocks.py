"""Counts per block of days, because rows of one day are alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from penstock.stats.grid import GridError, NumericGrid
from penstock.stats.groups import MOST, Counts, Groups, category_groups, quantile_groups, wanted_groups
from penstock.stats.histogram import Histogram

FEWEST_BLOCKS = 8
MAX_BLOCKS = 400
_DAY_HOURS = 24
_WEEK_DAYS = 7
# What a profile holds of block counts at most, over all features.
_MAX_NUMBERS = 2_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Blocking:
    """Blocks of `days` days that begin at the hour `offset` (UTC); `index` int64 of shape [blocks], ascending.

    An hour, counted from 1970, is in the block (hour - offset) // (24 · days); blocks without a row are in no list.
    Raises `GridError` for what can be no blocks.
    """

    offset: int
    days: int
    index: Counts

    def __post_init__(self) -> None:
        if not (0 <= self.offset < _DAY_HOURS and 1 <= self.days <= 1_000_000):
            raise GridError("Blocks have one day and more, which begin at an hour from 0 to 23.")
        if not 1 <= len(self.index) <= MAX_BLOCKS or not (np.diff(self.index) > 0).all():
            raise GridError(f"There are 1 to {MAX_BLOCKS} blocks, in order.")

    def of(self, hours: Counts) -> Counts:
        """The block of each hour."""
        blocks: Counts = (hours - self.offset) // (_DAY_HOURS * self.days)
        return blocks

    def same_blocks(self, other: Blocking) -> bool:
        """Whether both name blocks alike: same length, same begin."""
        return (self.offset, self.days) == (other.offset, other.days)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Blocking):
            return NotImplemented
        return self.same_blocks(other) and bool(np.array_equal(self.index, other.index))

    def __hash__(self) -> int:
        return hash((self.offset, self.days, self.index.tobytes()))


@dataclass(frozen=True, slots=True, eq=False)
class BlockTable:
    """One feature's counts, int64 of shape [blocks, groups + 1], nulls last.

    `groups` maps the cells of the feature's grid, shape [grid.size - 1], to groups. Raises `GridError` if the two do
    not fit each other.
    """

    groups: Groups
    counts: Counts

    def __post_init__(self) -> None:
        if not len(self.groups) or self.groups.min() < 0 or self.counts.ndim != 2:
            raise GridError("Counts per block need groups.")
        if int(self.groups.max()) + 2 != self.counts.shape[1] or self.counts.shape[1] > MOST + 1:
            raise GridError("The groups of a feature do not fit its counts per block.")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BlockTable):
            return NotImplemented
        return bool(np.array_equal(self.groups, other.groups)) and bool(np.array_equal(self.counts, other.counts))

    def __hash__(self) -> int:
        return hash((self.groups.tobytes(), self.counts.tobytes()))


@dataclass(frozen=True, slots=True)
class BlockCounts:
    """The blocks of a dataset and every feature's counts in them."""

    blocking: Blocking
    tables: Mapping[str, BlockTable]

    @property
    def blocks(self) -> int:
        """How many blocks have rows."""
        return len(self.blocking.index)


def blocking_of(hours: Mapping[int, int], features: int) -> Blocking | None:
    """The blocks of rows counted per hour since 1970; None without any row.

    A day begins after its quietest stretch, so that a night does not part what belongs together. Blocks are days, or as
    many weeks as it takes to have at most 400 of them (fewer from 150 features on, to keep profiles small).
    """
    if not hours:
        return None
    at = np.fromiter(hours, np.int64, len(hours))
    rows = np.bincount(at % _DAY_HOURS, np.fromiter(hours.values(), np.float64, len(hours)), _DAY_HOURS)
    # The hours before and after count half: the middle of a quiet night, not its last hour.
    offset = int(np.argmin(np.roll(rows, 1) + 2 * rows + np.roll(rows, -1)))
    most = max(FEWEST_BLOCKS, min(MAX_BLOCKS, _MAX_NUMBERS // ((MOST + 1) * max(1, features))))
    day = np.unique((at - offset) // _DAY_HOURS)
    days = 1
    index = day
    while len(index) > most:
        days = _WEEK_DAYS if days == 1 else days + _WEEK_DAYS
        index = np.unique((at - offset) // (_DAY_HOURS * days))
    return Blocking(offset, days, index)


def block_groups(histogram: Histogram) -> Groups:
    """The groups in which a baseline's blocks are counted, made from the whole baseline: at most 32."""
    rows = int(histogram.values.sum())
    grouping = quantile_groups if isinstance(histogram.grid, NumericGrid) else category_groups
    return grouping(histogram.values, wanted_groups(rows, rows))


class BlockCounter:
    """Counts a dataset per block, batch by batch, after its histograms are known."""

    def __init__(self, blocking: Blocking, histograms: Mapping[str, Histogram]) -> None:
        self._blocking = blocking
        self._groups = {name: block_groups(histogram) for name, histogram in histograms.items()}
        # The null's cell, the last one, has a group of its own.
        self._all_groups = {name: np.append(groups, groups.max() + 1) for name, groups in self._groups.items()}
        self._counts = {
            name: np.zeros((len(blocking.index), int(groups[-1]) + 1), np.int64)
            for name, groups in self._all_groups.items()
        }

    def places(self, hours: Counts) -> npt.NDArray[np.intp]:
        """Where rows of these hours since 1970 are counted, shape [n]; -1 for a block that is not there."""
        wanted = self._blocking.of(hours)
        places = np.searchsorted(self._blocking.index, wanted).clip(max=len(self._blocking.index) - 1)
        return np.where(self._blocking.index[places] == wanted, places, -1)

    def add(self, name: str, places: npt.NDArray[np.intp], cells: npt.NDArray[np.intp]) -> None:
        """Count one column of a batch; `cells`: each row's place in the histogram's counts, shape [n].

        Rows at the place -1 are left out.
        """
        table = self._counts[name]
        flat = places * table.shape[1] + self._all_groups[name][cells]
        table += np.bincount(flat[places >= 0], minlength=table.size).reshape(table.shape)

    def counts(self) -> BlockCounts:
        """What was counted so far."""
        tables = {name: BlockTable(self._groups[name], counts) for name, counts in self._counts.items()}
        return BlockCounts(self._blocking, tables)


def merge_blocks(parts: Sequence[BlockCounts | None]) -> BlockCounts | None:
    """The blocks of several parts together; None where they were not counted alike.

    Alike are blocks of the same length and begin, with the same groups for every feature, and at most 400 together.
    """
    known = [part for part in parts if part is not None]
    if not known or len(known) != len(parts):
        return None
    first = known[0]
    index = np.unique(np.concatenate([part.blocking.index for part in known]))
    if len(index) > MAX_BLOCKS or not all(first.blocking.same_blocks(part.blocking) for part in known):
        return None
    tables: dict[str, BlockTable] = {}
    for name, table in first.tables.items():
        counts = np.zeros((len(index), table.counts.shape[1]), np.int64)
        for part in known:
            other = part.tables.get(name)
            if other is None or not np.array_equal(other.groups, table.groups):
                return None
            counts[np.searchsorted(index, part.blocking.index)] += other.counts
        tables[name] = BlockTable(table.groups, counts)
    return BlockCounts(Blocking(first.blocking.offset, first.blocking.days, index), tables)
