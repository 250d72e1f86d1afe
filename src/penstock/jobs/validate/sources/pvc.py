"""Datasets on a PersistentVolumeClaim, read in place."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from penstock.api.v1alpha1.conditions import Reason
from penstock.artifact.digest import digest_file
from penstock.jobs.validate.failure import DatasetError
from penstock.jobs.validate.sources.scratch import Scratch
from penstock.jobs.validate.sources.source import (
    MAX_FILES,
    Fetched,
    LocalFile,
    is_pattern,
    matching,
    no_match,
    several,
    single,
    too_many,
)

_Stamp = tuple[int, int, int]


@dataclass
class PvcSource:
    """`pvc://CLAIM/PATH`: files under the claim's mount; `root` holds one folder per claim."""

    uri: str
    root: Path
    _stamps: dict[Path, _Stamp] = field(default_factory=dict)

    def fetch(self, scratch: Scratch) -> Fetched:
        """Hash the files where they lie; nothing is copied. See Source.fetch."""
        claim, _, path = self.uri.removeprefix("pvc://").partition("/")
        mount = self.root / claim
        folder, _, name = path.rpartition("/")
        try:
            if not is_pattern(name):
                return single(self._file(mount, mount / path, path))
            found = matching([item.name for item in os.scandir(mount / folder) if item.is_file()], name)
            if not found:
                raise no_match(self.uri)
            if len(found) > MAX_FILES:
                raise too_many(self.uri)
            return several([self._file(mount, mount / folder / item, item) for item in found])
        except OSError as error:
            raise self._explained(error) from None

    def verify(self, fetched: Fetched) -> None:
        """See Source.verify: size, time of change and inode of every file are what they were."""
        for file in fetched.files:
            try:
                now = _stamp(file.path)
            except OSError:
                now = None
            if now != self._stamps[file.path]:
                raise self._changed(file.name)

    def _file(self, mount: Path, path: Path, name: str) -> LocalFile:
        actual = path.resolve(strict=True)
        if not actual.is_relative_to(mount.resolve()):
            raise DatasetError(
                Reason.SOURCE_ACCESS_DENIED,
                f"'{name}' is a link that leads out of the claim: put the file itself there.",
            )
        if not actual.is_file():
            raise DatasetError(
                Reason.SOURCE_NOT_FOUND, f"{self.uri} is a folder: name a file or end the uri in a pattern such as *."
            )
        before = _stamp(actual)
        digest = digest_file(actual)
        if _stamp(actual) != before:
            raise self._changed(name)
        self._stamps[actual] = before
        return LocalFile(name, before[0], digest, actual)

    def _changed(self, name: str) -> DatasetError:
        return DatasetError(
            Reason.SOURCE_CHANGED,
            f"'{name}' was changed while it was read: write new versions under a new name; it is read again.",
        )

    def _explained(self, error: OSError) -> DatasetError:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            return DatasetError(
                Reason.SOURCE_NOT_FOUND, f"There is no file at {self.uri}: correct the uri or bring the file."
            )
        if isinstance(error, PermissionError):
            return DatasetError(
                Reason.SOURCE_ACCESS_DENIED,
                f"The Job's user may not read {self.uri}: make the files readable for everybody on the volume.",
            )
        return DatasetError(
            Reason.SOURCE_UNAVAILABLE,
            f"{self.uri} cannot be read ({os.strerror(error.errno or 0)}): check the volume; it is tried again.",
        )


def _stamp(path: Path) -> _Stamp:
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino
