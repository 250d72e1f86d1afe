"""Trains the models of examples/flights, once per content of what they are made of."""

import fcntl
import importlib.metadata
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from hack.cluster import paths
from hack.cluster.console import ClusterError
from hack.cluster.images.recipe import key_of
from hack.demo.stages import note

EXAMPLE = paths.REPOSITORY / "examples" / "flights"
_CODE = ("train.py", "data.py", "requirements.txt")
_LIBRARIES = ("numpy", "pandas", "scikit-learn", "onnx", "skl2onnx", "skops")


def trained() -> Path:
    """The folder with logistic/, boosted/ and rows.json; trains first unless the same was trained before.

    Raises ClusterError if training fails; what it printed stands above.
    """
    models = paths.cache() / "flights"
    models.mkdir(exist_ok=True)
    target = models / training_key(EXAMPLE)
    with (models / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two at once train once
        if target.exists():
            note(f"trained before: {target}")
        else:
            _train(models, target)
    return target


def training_key(example: Path) -> str:
    """12 hex characters that change with the code, the data's hash, Python and the libraries that train."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES]
    return key_of(platform.python_version(), *versions, *((example / name).read_bytes() for name in _CODE))


def _train(models: Path, target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=models) as temporary:
        partial = Path(temporary) / "models"
        partial.mkdir()
        # Its output goes to standard error, where the progress of everything else is.
        done = subprocess.run([sys.executable, EXAMPLE / "train.py", partial], stdout=sys.stderr, check=False)
        if done.returncode:
            raise ClusterError("Training failed, the lines above say why; repeat it with: make demo")
        partial.rename(target)
