"""What an image is made of, and the hash that says whether it has to be made again."""

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from hack.cluster import paths
from hack.cluster.console import ClusterError

DOMAIN = "penstock.local"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """An image: a Dockerfile, a key of everything it copies, and a function that lays the build context out.

    `key` is cheap and changes with the content; `context` is called only when the image must be built. A recipe with
    `dependencies` has a Dockerfile stage of that name, which is built once per value of that key.
    """

    name: str
    dockerfile: Path
    key: Callable[[], str]
    context: Callable[[], Path]
    on_python_base: bool = False
    dependencies: Callable[[], str] | None = None


def folder(*parts: str) -> Path:
    """A folder for images in the cache. Created when missing."""
    path = paths.cache().joinpath("images", *parts)
    path.mkdir(parents=True, exist_ok=True)
    return path


def fresh_folder(*parts: str) -> Path:
    """The same, emptied first."""
    path = paths.cache().joinpath("images", *parts)
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def key_of(*parts: bytes | str) -> str:
    """12 hex characters of a sha256 over the parts."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()[:12]


def key_of_files(root: Path, files: Iterable[Path]) -> str:
    """12 hex characters that change with the path below `root` or the content of any file."""
    parts: list[bytes | str] = []
    for file in sorted(files):
        parts += [file.relative_to(root).as_posix(), file.read_bytes()]
    return key_of(*parts)


def command(name: str, package: str) -> str:
    """The path of a command of the operating system. Raises ClusterError naming the package that holds it."""
    search = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin:/sbin"
    found = shutil.which(name, path=search)
    if found is None:
        raise ClusterError(f"The command {name} is missing; install it with: apt-get install -y {package}")
    return found
