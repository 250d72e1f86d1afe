"""The digest of a model: of a single file its bytes', of a folder that of a sorted list of its files."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from penstock.artifact.errors import ArtifactError, Reason

CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of an artifact: its path in the artifact, size in bytes and digest."""

    path: str
    size: int
    digest: str


def digest_bytes(content: bytes) -> str:
    """`sha256:` and the hex digest of `content`."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def digest_file(path: Path) -> str:
    """`sha256:` and the hex digest of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def digest_entries(entries: Iterable[FileEntry]) -> str:
    """Digest of a folder: sha256 over the sorted lines `<sha256> <size> <path>`, each ended by a newline."""
    lines = sorted(f"{entry.digest.removeprefix('sha256:')} {entry.size} {entry.path}\n" for entry in entries)
    return digest_bytes("".join(lines).encode())


def digest_path(path: Path) -> str:
    """Digest of a file or folder, as `spec.artifact.digest` wants it for sources other than a registry."""
    if path.is_dir():
        return digest_entries(list_files(path))
    return list_files(path)[0].digest


def list_files(path: Path) -> list[FileEntry]:
    """The files of an artifact, sorted by path: the file itself, or every file below a folder.

    Raises `ArtifactError` for what has no place in an artifact: links, devices, names with control characters.
    """
    if not path.exists():
        raise ArtifactError(Reason.ARTIFACT_NOT_FOUND, f"There is no file or folder '{path}'.")
    found = [path] if not path.is_dir() else sorted(_walk(path))
    root = path if path.is_dir() else path.parent
    entries = [_entry(file, file.relative_to(root).as_posix()) for file in found]
    if not entries:
        raise ArtifactError(Reason.ARTIFACT_NOT_FOUND, f"The folder '{path}' holds no file.")
    return entries


def _walk(folder: Path) -> Iterable[Path]:
    for base, folders, files in os.walk(folder):
        yield from (Path(base, name) for name in [*files, *(f for f in folders if Path(base, f).is_symlink())])


def _entry(file: Path, name: str) -> FileEntry:
    if file.is_symlink() or not file.is_file():
        raise ArtifactError(
            Reason.UNSAFE_FORMAT, f"'{name}' is a link or special file: an artifact holds plain files only."
        )
    if not name.isprintable():
        raise ArtifactError(Reason.UNSAFE_FORMAT, f"The file name {name!a} holds control characters: rename it.")
    return FileEntry(name, file.stat().st_size, digest_file(file))
