"""The virtual environment of the library compared with, from its hash-pinned file, kept between runs."""

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path

from bench.runtime.venvs import CACHE, ROOT


def evidently_python() -> Path:
    """The interpreter of evidently's environment, made if missing and named after the pins.

    Raises `CalledProcessError` if uv cannot make it.
    """
    requirements = ROOT / "requirements" / "bench-drift-evidently.txt"
    folder = CACHE / "bench-venvs" / f"evidently-{hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    interpreter, complete = folder / "bin" / "python", folder / ".complete"
    # Two runs at a time must not build the same folder.
    with (folder.parent / "evidently.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            uv = Path(sys.executable).with_name("uv")
            subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, folder], check=True)
            install: list[str | Path] = [uv, "pip", "sync", "--quiet", "--require-hashes"]
            subprocess.run([*install, "--python", interpreter, requirements], check=True)
            complete.touch()
    return interpreter
