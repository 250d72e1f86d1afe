"""Datasets for training: local Parquet and CSV files, or a table in memory, as slices of named columns."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from penstock.api.v1alpha1.featureset import DatasetFormat, FeatureType
from penstock.artifact.digest import FileEntry, digest_entries, digest_file
from penstock.features.errors import DatasetError, FeatureError

SLICE_ROWS = 1 << 18
"""So many rows are transformed at once."""
_SUFFIXES = {".parquet": DatasetFormat.PARQUET, ".pq": DatasetFormat.PARQUET, ".csv": DatasetFormat.CSV}
Columns = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Files:
    """The files of a dataset, sorted; `folder`: what their names are relative to, None for one file by itself."""

    paths: tuple[Path, ...]
    folder: Path | None

    def digest(self) -> str:
        """As `penstock digest` prints it: of one file its bytes', else that of the list of all."""
        if self.folder is None:
            return digest_file(self.paths[0])
        return digest_entries(
            FileEntry(path.relative_to(self.folder).as_posix(), path.stat().st_size, digest_file(path))
            for path in self.paths
        )


def files_of(data: str | Path | Sequence[str | Path]) -> Files:
    """Return the files that paths, folders, patterns with * and ?, and file:// URIs name; raises DatasetError."""
    places = [Path(_local(item)).absolute() for item in ([data] if isinstance(data, str | Path) else data)]
    if len(places) == 1 and places[0].is_file():
        return Files((places[0],), None)
    found: set[Path] = set()
    folders: list[Path] = []
    for place in places:
        if place.is_dir():
            folders.append(place)
            found.update(file for file in place.rglob("*") if file.suffix.lower() in _SUFFIXES and file.is_file())
        elif place.is_file():
            folders.append(place.parent)
            found.add(place)
        elif any(sign in place.name for sign in "*?"):
            folders.append(place.parent)
            found.update(file for file in place.parent.glob(place.name) if file.is_file())
        else:
            raise DatasetError(f"There is no file or folder {place}.")
    if not found:
        raise DatasetError(f"{', '.join(map(str, places))} names no Parquet or CSV file.")
    return Files(tuple(sorted(found)), Path(os.path.commonpath(folders)))


def slices_of_files(
    files: Files, names: Sequence[str], types: Mapping[str, FeatureType], form: DatasetFormat
) -> Iterator[Columns]:
    """Read the named columns with Polars, file by file, as validation reads them.

    `types`: of the columns that have one. `form`: that of files whose name does not tell. Raises DatasetError for what
    cannot be read or lacks a column, FeatureError for a column or value of another type.
    """
    polars = _polars()
    for file in files.paths:
        try:
            frame = _frame(polars, file, names, types, form)
        except (polars.exceptions.PolarsError, OSError) as error:
            raise DatasetError(f"{file} cannot be read: {' '.join(str(error).split())[:400]}.") from None
        yield from slices_of_frame(frame, names)


def _frame(polars: Any, file: Path, names: Sequence[str], types: Mapping[str, FeatureType], form: DatasetFormat) -> Any:
    from penstock.features.conversion import convert  # noqa: PLC0415 - needs Polars, which a frame in memory does not

    is_text = _SUFFIXES.get(file.suffix.lower(), form) is DatasetFormat.CSV
    if is_text:
        table = polars.scan_csv(file, glob=False, infer_schema=False)
    else:
        table = polars.scan_parquet(file, glob=False, hive_partitioning=False)
    found = table.collect_schema()
    expect_columns(str(file), found.names(), names)
    conversions = {name: convert(name, types[name], found[name], text=is_text) for name in names if name in types}
    frame = table.select(
        *(conversions[name].value.alias(name) if name in types else polars.col(name) for name in names),
        *(conversion.wrong.alias(f"\0{name}") for name, conversion in conversions.items()),
    ).collect()
    for name in conversions:
        wrong = frame[f"\0{name}"]
        if wrong.any():
            row = int(wrong.arg_max())
            raise FeatureError(name, f"is no {types[name]} ({found[name]} in {file.name})", "correct the file", row)
    return frame.select(names)


def slices_of_frame(frame: Any, names: Sequence[str]) -> Iterator[Columns]:
    """Cut a pandas or Polars frame, or a mapping of columns, into slices; raises DatasetError."""
    if hasattr(frame, "collect_schema") and hasattr(frame, "collect"):  # a LazyFrame
        expect_columns("the table", frame.collect_schema().names(), names)
        frame = frame.select(list(names)).collect()
    is_frame = type(frame).__module__.partition(".")[0] in ("pandas", "polars")
    if not is_frame and not isinstance(frame, Mapping):
        raise DatasetError(
            f"A dataset is a path, a frame of pandas or Polars, or a dict of columns, not {type(frame).__name__}."
        )
    expect_columns("the table", list(frame.columns) if is_frame else list(frame), names)
    columns = {name: frame[name] for name in names}
    rows = len(next(iter(columns.values())))
    if any(len(column) != rows for column in columns.values()):
        raise DatasetError("The columns of the table do not have the same number of rows.")
    for start in range(0, max(rows, 1), SLICE_ROWS):
        yield {name: column[start : start + SLICE_ROWS] for name, column in columns.items()}


def expect_columns(what: str, found: Sequence[str], names: Sequence[str]) -> None:
    """Raise DatasetError naming the columns that are not there."""
    if missing := [name for name in names if name not in set(found)]:
        shown = ", ".join(repr(name) for name in missing[:20])
        raise DatasetError(f"{what} lacks the columns {shown}; it has {', '.join(map(str, found[:50]))}.")


def _polars() -> Any:
    try:
        import polars  # noqa: PLC0415 - only where files are read
    except ImportError:
        raise DatasetError("Reading Parquet and CSV files needs Polars: pip install polars.") from None
    return polars


def _local(place: str | Path) -> str:
    text = str(place)
    scheme = urlsplit(text).scheme if "://" in text else ""
    if scheme == "file":
        return unquote(urlsplit(text).path)
    if scheme:
        raise DatasetError(f"{text} is not on this machine: copy it here first and give the path of the copy.")
    return text
