"""What every kind of source offers, and what a dataset is once it lies on disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol

from penstock.api.v1alpha1.conditions import Reason
from penstock.api.v1alpha1.featureset import DatasetFormat
from penstock.artifact.digest import FileEntry, digest_entries
from penstock.jobs.validate.failure import DatasetError
from penstock.jobs.validate.sources.scratch import Scratch

MAX_FILES = 10_000
_SUFFIXES = {DatasetFormat.PARQUET: (".parquet", ".pq"), DatasetFormat.CSV: (".csv",)}


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file of a dataset on this machine: its name in the dataset, size in bytes, sha256 and where it lies."""

    name: str
    size: int
    digest: str
    path: Path


@dataclass(frozen=True, slots=True)
class Dataset:
    """The files of a dataset, sorted by name, and the digest that stands for all of them."""

    files: tuple[LocalFile, ...]
    digest: str
    format: DatasetFormat

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a source brought: the files and their digest."""

    files: tuple[LocalFile, ...]
    digest: str


class Source(Protocol):
    """A place that datasets are read from."""

    def fetch(self, scratch: Scratch) -> Fetched:
        """Bring the files onto this machine, hashed while they are read.

        Raises DatasetError with SourceNotFound, SourceAccessDenied, SourceUnavailable, SourceChanged,
        CredentialsMissing or DatasetTooLarge.
        """

    def verify(self, fetched: Fetched) -> None:
        """Look once more after everything was read; raises DatasetError with SourceChanged."""


def is_pattern(name: str) -> bool:
    """Whether the last part of a uri stands for several files."""
    return "*" in name or "?" in name


def matching(names: Sequence[str], pattern: str) -> list[str]:
    """The names that a pattern of `*` and `?` stands for, sorted; hidden files are left out."""
    literal = pattern.replace("[", "[[]")
    return sorted(name for name in names if fnmatchcase(name, literal) and not name.startswith("."))


def of_format(names: Sequence[str], dataset_format: DatasetFormat) -> list[str]:
    """The names with the format's suffix, or all of them if none has it; sorted."""
    with_suffix = [name for name in names if name.lower().endswith(_SUFFIXES[dataset_format])]
    return sorted(with_suffix or names)


def several(files: Sequence[LocalFile]) -> Fetched:
    """The files of a pattern with the digest that `penstock digest FOLDER` prints for a folder that holds them."""
    ordered = tuple(sorted(files, key=lambda file: file.name))
    return Fetched(ordered, digest_entries(FileEntry(file.name, file.size, file.digest) for file in ordered))


def single(file: LocalFile) -> Fetched:
    """One file: its own digest."""
    return Fetched((file,), file.digest)


def no_match(uri: str) -> DatasetError:
    """The error for a pattern that no file matches."""
    return DatasetError(
        Reason.SOURCE_NOT_FOUND, f"No file matches {uri}: correct the pattern in the uri or bring the files."
    )


def too_many(uri: str) -> DatasetError:
    """The error for a pattern that stands for more files than one dataset may have."""
    return DatasetError(
        Reason.DATASET_TOO_LARGE, f"More than {MAX_FILES} files match {uri}: narrow the pattern or write larger files."
    )


def secret_file(folder: Path, key: str) -> str | None:
    """One key of a mounted Secret without white space around it; None if it is not there.

    Raises DatasetError (CredentialsMissing) if it is there and cannot be read as text.
    """
    path = folder / key
    if not os.path.lexists(path):
        return None
    try:
        return path.read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        raise DatasetError(
            Reason.CREDENTIALS_MISSING, f"The key {key} of the credentials cannot be read: write it as plain text."
        ) from None
