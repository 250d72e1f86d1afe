"""Build contexts of the Python images: hash-pinned dependencies and the code, compiled ahead."""

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from hack.cluster import paths
from hack.cluster.console import ClusterError, Stopwatch
from hack.cluster.images.recipe import Recipe, folder, key_of, key_of_files

_PYTHON = "3.11"
_PLATFORM = "x86_64-manylinux_2_36"  # the C library of Debian bookworm
_PACKAGE = paths.REPOSITORY / "src" / "penstock"
# No package imports its own tests (`grep -rE "import.*tests"` over the installed tree), and they are 10 % of it.
_DROPPED_FOLDERS = ("tests",)
_DROPPED_SUFFIXES = (".pyi", ".pxd", ".pyx", ".h", ".a")


def recipe(name: str, dockerfile: Path, entry: Path | None = None) -> Recipe:
    """An image of requirements/<name>.txt, src/penstock and, as /app/main.py, `entry`."""
    requirements = paths.REPOSITORY / "requirements" / f"{name}.txt"

    def key() -> str:
        code = [path for path in _PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
        entry_key = entry.read_bytes() if entry else b""
        return key_of(_dependencies_key(requirements), key_of_files(_PACKAGE, code), entry_key)

    def context() -> Path:
        target = folder("context", name)
        _install(name, requirements, target)
        shutil.rmtree(target / "penstock", ignore_errors=True)
        shutil.copytree(_PACKAGE, target / "penstock", ignore=shutil.ignore_patterns("__pycache__"))
        if entry:
            shutil.copyfile(entry, target / "main.py")
        _compile([target / "penstock"])
        return target

    return Recipe(
        name, dockerfile, key, context, on_python_base=True, dependencies=lambda: _dependencies_key(requirements)
    )


def _dependencies_key(requirements: Path) -> str:
    return key_of(requirements.read_bytes(), _PYTHON, _PLATFORM, *_DROPPED_FOLDERS, *_DROPPED_SUFFIXES)


def _install(name: str, requirements: Path, context: Path) -> None:
    """Puts the dependencies into context/site-packages, unless they are the same as last time."""
    stamp = context / ".dependencies"
    wanted = _dependencies_key(requirements)
    if stamp.exists() and stamp.read_text() == wanted:
        return
    stamp.unlink(missing_ok=True)
    watch = Stopwatch()
    target = context / "site-packages"
    shutil.rmtree(target, ignore_errors=True)
    uv_install(requirements, target)
    for path in list(target.rglob("*")):
        if path.is_dir() and path.name in _DROPPED_FOLDERS and path.parent != target:
            shutil.rmtree(path, ignore_errors=True)
        elif path.suffix in _DROPPED_SUFFIXES:
            path.unlink(missing_ok=True)
    shutil.rmtree(target / "bin", ignore_errors=True)
    (target / ".lock").unlink(missing_ok=True)
    _compile([target])
    stamp.write_text(wanted)
    watch.stage(f"{name} image: dependencies installed")


def uv_install(requirements: Path, target: Path) -> None:
    """Installs hash-pinned wheels for the images' Python and platform into a folder."""
    uv = Path(sysconfig.get_path("scripts"), "uv")
    if not uv.exists():
        raise ClusterError(f"uv is missing beside {sys.executable}; run: make venv")
    options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    platform = ["--python-version", _PYTHON, "--python-platform", _PLATFORM]
    install = [str(uv), "pip", "install", *options, *platform, "--target", str(target), "-r", str(requirements)]
    if subprocess.run(install, check=False).returncode:
        raise ClusterError(f"Installing {requirements.name} failed; the lines above are uv's own report.")


def _compile(roots: Iterable[Path]) -> None:
    """Writes .pyc files that are valid whatever time stamps a layer gives the sources, if this Python can."""
    for root in roots:
        subprocess.run(["chmod", "-R", "a+rX", root], check=True)
    if f"{sys.version_info.major}.{sys.version_info.minor}" != _PYTHON:
        return  # the interpreter of the image compiles at start: slower, not different
    compiler = [sys.executable, "-m", "compileall", "-q", "-j", "2", "--invalidation-mode", "unchecked-hash"]
    for root in roots:
        # Paths in tracebacks are those of the image.
        where = ["-s", str(root.parent), "-p", "/app"]
        subprocess.run([*compiler, *where, root], stdout=subprocess.DEVNULL, check=True)
