"""What the rows' times say: the newest one, rows per hour, and the baseline's blocks that they are in."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from penstock.stats.blocks import Blocking

_HOUR_MICROSECONDS = 3_600_000_000
# 57 years; times that are spread further are no times of one process, and no blocks are made of them.
_MAX_HOURS = 500_000


def hours_of(moments: pl.Series) -> npt.NDArray[np.int64]:
    """Hours since 1970 of times of type Datetime("us"); for a null one that no time has."""
    return moments.to_physical().fill_null(np.iinfo(np.int64).min).to_numpy() // _HOUR_MICROSECONDS


class RowTimes:
    """Collects times batch by batch. `by_hour`: count rows per hour; `blocking`: collect the blocks of these."""

    def __init__(self, *, by_hour: bool, blocking: Blocking | None) -> None:
        self.newest: datetime | None = None
        self._by_hour = by_hour
        self._blocking = blocking
        self._hours: dict[int, int] = {}
        self._blocks: set[int] = set()

    def add(self, moments: pl.Series) -> None:
        """Take the times of a batch, of type Datetime("us", "UTC")."""
        known = moments.drop_nulls()
        newest = known.max()
        if not isinstance(newest, datetime):
            return
        if self.newest is None or newest > self.newest:
            self.newest = newest.astimezone(UTC)
        if not self._by_hour and self._blocking is None:
            return
        hours, rows = np.unique(hours_of(known), return_counts=True)
        if self._blocking is not None and len(self._blocks) <= len(self._blocking.index):
            self._blocks.update(np.unique(self._blocking.of(hours)).tolist())
        if self._by_hour and len(self._hours) <= _MAX_HOURS:
            for hour, count in zip(hours.tolist(), rows.tolist(), strict=True):
                self._hours[hour] = self._hours.get(hour, 0) + count

    @property
    def hours(self) -> dict[int, int]:
        """Rows per hour since 1970; empty where there are too many hours."""
        return self._hours if len(self._hours) <= _MAX_HOURS else {}

    @property
    def blocks(self) -> int:
        """How many different blocks the rows are in; not counted on beyond those of the baseline."""
        return len(self._blocks)
