"""A dataset's files as one table that is read batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from penstock.api.v1alpha1.conditions import Reason
from penstock.api.v1alpha1.featureset import DatasetFormat
from penstock.jobs.validate.failure import DatasetError
from penstock.jobs.validate.parquet import ParquetError, row_groups
from penstock.jobs.validate.sources import Dataset, LocalFile

_BATCH_VALUES = 1 << 20
_MIN_BATCH_ROWS, _MAX_BATCH_ROWS = 2_048, 65_536
_ROW_GROUP_SHARE = 4
"""Two row groups are unpacked at a time, and what is made of them takes room too."""
_SHORTEST_ROW_BYTES = 16
_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"BZh", b"\xfd7zXZ")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_POLARS_ERRORS = (pl.exceptions.PolarsError, pl.exceptions.PanicException)


@dataclass(frozen=True, slots=True)
class TableFile:
    """A file with rows in it: its columns and their types as they lie in the file."""

    name: str
    path: Path
    columns: dict[str, pl.DataType]


@dataclass(frozen=True, slots=True)
class Table:
    """The files with their needed columns. `rows_at_most`: the number of rows if it is known, else a bound."""

    files: tuple[TableFile, ...]
    format: DatasetFormat
    rows_at_most: int

    def batches(self, file: TableFile, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """The file's rows in order, in pieces of some 2^21 values. Raises DatasetError (CorruptFile).

        A piece has `columns` only. A file is read once per call.
        """
        chunk = max(_MIN_BATCH_ROWS, min(_MAX_BATCH_ROWS, _BATCH_VALUES // max(1, len(columns))))
        try:
            pieces = _scan(file.path, self.format).select(columns).collect_batches(chunk_size=chunk, lazy=True)
            for piece in pieces:
                # What is buffered may be a multiple of the size asked for where a file's own pieces are larger.
                yield from piece.iter_slices(chunk)
        except _POLARS_ERRORS as error:
            raise _corrupt(file.name, _cause(error)) from None


def open_table(dataset: Dataset, columns: frozenset[str], *, memory_bytes: int) -> Table:
    """Look at every file's header or footer. Files without a byte or a row are left out.

    `columns`: the columns that will be read. `memory_bytes`: what the container has. Raises DatasetError: CorruptFile,
    or DatasetTooLarge for rows that would have to be unpacked together and fill the memory.
    """
    files: list[TableFile] = []
    rows = 0
    for file in dataset.files:
        if file.size == 0:
            continue
        if dataset.format == DatasetFormat.PARQUET:
            found = _check_parquet(file, columns, memory_bytes)
        else:
            _check_csv(file)
            found = file.size // _SHORTEST_ROW_BYTES + 1
        opened = _open(file, dataset.format)
        if found:
            rows += found
            files.append(opened)
    return Table(tuple(files), dataset.format, rows)


def _open(file: LocalFile, dataset_format: DatasetFormat) -> TableFile:
    try:
        schema = _scan(file.path, dataset_format).collect_schema()
    except pl.exceptions.NoDataError:
        raise _corrupt(file.name, "it has no header") from None
    except _POLARS_ERRORS as error:
        raise _corrupt(file.name, _cause(error)) from None
    columns = dict(schema)
    if dataset_format == DatasetFormat.CSV:
        if any("�" in name for name in columns):
            raise _corrupt(file.name, "its header is not UTF-8")
        for name in columns:
            original, marker, _ = name.rpartition("_duplicated_")
            if marker and original in columns:
                raise _corrupt(file.name, f"its header names the column {original[:128]!r} more than once")
    return TableFile(file.name, file.path, columns)


def _scan(path: Path, dataset_format: DatasetFormat) -> pl.LazyFrame:
    # The path is never a pattern here, and hive partitions are no columns of ours.
    if dataset_format == DatasetFormat.PARQUET:
        return pl.scan_parquet(path, glob=False, hive_partitioning=False)
    return pl.scan_csv(path, glob=False, infer_schema=False)


def _check_parquet(file: LocalFile, columns: frozenset[str], memory_bytes: int) -> int:
    try:
        groups = row_groups(file.path, columns)
    except ParquetError as error:
        raise _corrupt(file.name, str(error)) from None
    limit = memory_bytes // _ROW_GROUP_SHARE
    largest = max((group.unpacked_bytes for group in groups), default=0)
    if largest > limit:
        raise DatasetError(
            Reason.DATASET_TOO_LARGE,
            f"A row group of '{file.name}' unpacks to {largest >> 20} MiB, and with the Job's memory it may be"
            f" {limit >> 20} MiB: write it with smaller row groups, or raise spec.validation.resources.limits.memory.",
        )
    return sum(group.rows for group in groups)


def _check_csv(file: LocalFile) -> None:
    with file.path.open("rb") as content:
        start = content.read(8)
    if start.startswith(_COMPRESSED):
        raise _corrupt(file.name, "it is compressed")
    if start.startswith(_UTF16) or b"\0" in start:
        raise _corrupt(file.name, "it is not UTF-8")
    if start.startswith(b"PAR1"):
        raise _corrupt(file.name, "it is a Parquet file")


def _corrupt(name: str, cause: str) -> DatasetError:
    return DatasetError(
        Reason.CORRUPT_FILE,
        f"'{name[:128]}' cannot be read in spec.source.format: {cause}; write the file again as Parquet or plain UTF-8"
        " CSV with a header.",
    )


def _cause(error: BaseException) -> str:
    # Polars' own text shows values of the file: only what kind of fault it was is said.
    text = str(error).lower()
    for word, cause in (
        ("utf-8", "it is not UTF-8"),
        ("utf8", "it is not UTF-8"),
        ("more fields", "a row has more fields than the header"),
        ("out of specification", "its pages are damaged"),
        ("could not parse", "a quote is not closed or a row is malformed"),
        ("no space left", "the disk is full"),
    ):
        if word in text:
            return cause
    return f"it is damaged ({type(error).__name__})"
