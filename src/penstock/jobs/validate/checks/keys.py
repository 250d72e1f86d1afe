"""Whether no two rows have the same entity key: exact, in bounded memory, by parts that are kept on disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl

from penstock.api.v1alpha1.conditions import Reason
from penstock.api.v1alpha1.featuresetstatus import SHOWN_KEYS
from penstock.jobs.validate.checks.result import CheckResult, shown_key
from penstock.jobs.validate.failure import DatasetError

PART_ROWS = 1 << 18
"""How many keys are held in memory at a time, about; more of a table that would need more than 128 parts."""
_MAX_PARTS = 128
_SEED = 0


class UniqueKeys:
    """Collects entity keys. `rows_at_most` decides in how many parts they are told apart.

    Keys that are equal have an equal hash and come into the same part: no duplicate is missed, and inside a part the
    keys themselves are compared, so that none is invented.
    """

    def __init__(self, columns: list[str], folder: Path, rows_at_most: int, part_rows: int = PART_ROWS) -> None:
        self._columns = columns
        self._folder = folder
        self._part_rows = max(part_rows, rows_at_most // _MAX_PARTS)
        self._parts = 1 + rows_at_most // self._part_rows
        self._buffer: list[pl.DataFrame] = []
        self._buffered = 0
        self._spills = 0

    def add(self, batch: pl.DataFrame) -> None:
        """Take the keys of a batch that has the key's columns."""
        keys = batch.select(pl.col(name).cast(pl.String) for name in self._columns)
        self._buffer.append(keys)
        self._buffered += keys.height
        if self._buffered >= self._part_rows:
            self._spill()

    def result(self) -> CheckResult:
        """How many rows have a key that an earlier row has; removes what lies on disk."""
        try:
            duplicates, examples = 0, list[str]()
            if self._spills and self._buffered:
                self._spill()
            for part in range(self._parts):
                keys = self._part(part)
                if keys is None:
                    continue
                repeated = keys.group_by(self._columns).len().filter(pl.col("len") > 1)
                duplicates += int((repeated["len"] - 1).sum())
                first = repeated.sort(self._columns).head(SHOWN_KEYS).select(self._columns)
                examples += [shown_key(row) for row in first.rows()]
            return CheckResult(
                "UniqueKey", not duplicates, count=duplicates, threshold="0", keys=tuple(sorted(examples)[:SHOWN_KEYS])
            )
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _part(self, part: int) -> pl.DataFrame | None:
        if not self._spills:
            return pl.concat(self._buffer) if part == 0 and self._buffer else None
        files = sorted((self._folder / str(part)).glob("*.arrow"))
        return pl.concat([pl.read_ipc(file) for file in files]) if files else None

    def _spill(self) -> None:
        keys = pl.concat(self._buffer)
        self._buffer, self._buffered = [], 0
        part = (keys.hash_rows(seed=_SEED) % self._parts).alias("part")
        try:
            for (index,), piece in (
                keys.with_columns(part).partition_by("part", as_dict=True, include_key=False).items()
            ):
                folder = self._folder / str(index)
                folder.mkdir(parents=True, exist_ok=True)
                piece.write_ipc(folder / f"{self._spills}.arrow", compression="zstd")
        except (OSError, pl.exceptions.PolarsError):
            raise DatasetError(
                Reason.DATASET_TOO_LARGE,
                "The entity keys do not fit on the disk of the Job beside the dataset: raise"
                " spec.validation.scratchGibibytes.",
            ) from None
        self._spills += 1
