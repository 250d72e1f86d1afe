"""Virtual environments for foreign servers and clients, each from a hash-pinned file, kept between runs."""

import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "penstock"


def python_of(name: str, kind: str, bench: str = "runtime") -> Path:
    """The interpreter of the environment that `requirements/bench-BENCH-NAME.txt` describes, made if missing.

    `kind` is the folder in Penstock's cache. The environment is named after the file's content, so that a changed pin
    makes a new one. Raises `CalledProcessError` if uv cannot make it.
    """
    requirements = ROOT / "requirements" / f"bench-{bench}-{name}.txt"
    identity = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    folder = CACHE / kind / f"{name}-{identity}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    interpreter, complete = folder / "bin" / "python", folder / ".complete"
    # Two runs at a time must not build the same folder.
    with (folder.parent / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            uv = Path(sys.executable).with_name("uv")
            subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True)
            install: list[str | Path] = [uv, "pip", "sync", "--quiet", "--require-hashes"]
            subprocess.run([*install, "--python", interpreter, requirements], check=True)
            complete.touch()
    return interpreter
