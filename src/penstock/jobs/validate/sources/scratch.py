"""The disk that a Job may use: files are hashed while they are written, within a limit of bytes."""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from penstock.api.v1alpha1.conditions import Reason
from penstock.jobs.validate.failure import DatasetError

RESERVE_BYTES = 64 << 20
"""What stays free on the disk, for the keys that are sorted there and for the rest of the machine."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True)
class Saved:
    """A written file: where, how many bytes and their sha256 as `sha256:<hex>`."""

    path: Path
    size: int
    digest: str


class Scratch:
    """A folder with a limit of bytes over all that was saved in it; no limit but the disk's if None."""

    def __init__(self, folder: Path, limit_bytes: int | None = None) -> None:
        self.folder = folder
        self._limit = limit_bytes
        self._used = 0
        self._count = 0
        folder.mkdir(parents=True, exist_ok=True)

    def expect(self, size: int) -> None:
        """Raise DatasetError (DatasetTooLarge) if `size` more bytes have no room; spares a useless download."""
        free = shutil.disk_usage(self.folder).free - RESERVE_BYTES
        room = free if self._limit is None else min(free, self._limit - self._used)
        if size > room:
            raise _too_large()

    def new_path(self, suffix: str = "") -> Path:
        """A path that is not in use; names of the source never become names here."""
        self._count += 1
        return self.folder / f"{self._count:05d}{suffix}"

    def save(self, chunks: Iterable[bytes]) -> Saved:
        """Write a file; a failed try leaves nothing behind. Raises DatasetError (DatasetTooLarge)."""
        path, hasher, size = self.new_path(), hashlib.sha256(), 0
        try:
            with path.open("wb") as file:
                for chunk in chunks:
                    size += len(chunk)
                    if self._limit is not None and self._used + size > self._limit:
                        raise _too_large()
                    hasher.update(chunk)
                    file.write(chunk)
        except OSError as error:
            path.unlink(missing_ok=True)
            if error.errno in _FULL:
                raise _too_large() from None
            raise
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        self._used += size
        return Saved(path, size, f"sha256:{hasher.hexdigest()}")


def disk_full(error: BaseException) -> bool:
    """Whether an error says that the disk is full."""
    return isinstance(error, OSError) and error.errno in _FULL


def _too_large() -> DatasetError:
    return DatasetError(
        Reason.DATASET_TOO_LARGE,
        "The dataset does not fit on the disk of the Job: raise spec.validation.scratchGibibytes or narrow the uri.",
    )
