"""Where the local cluster keeps its files: a cache that can be rebuilt, and the state of the running cluster."""

import os
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent


def cache() -> Path:
    """The cache root: $PENSTOCK_CACHE, or ~/.cache/penstock. Created when missing."""
    root = Path(os.environ.get("PENSTOCK_CACHE") or Path.home() / ".cache" / "penstock").expanduser().absolute()
    root.mkdir(parents=True, exist_ok=True)
    return root


def state() -> Path:
    """The folder of the local cluster: keys, configuration, data, logs and pid files. Created when missing."""
    folder = cache() / "cluster"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def bin_dir() -> Path:
    """The folder of built binaries and of the `kubectl` link. Created when missing."""
    folder = cache() / "bin"
    folder.mkdir(exist_ok=True)
    return folder
