"""What runs a model: one backend per format, behind one small protocol."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast

from penstock.runtime.errors import LoadError
from penstock.runtime.metadata import Metadata
from penstock.runtime.tensors import Array, TensorSpec


class Backend(Protocol):
    """A loaded model."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    is_row_wise: bool
    """Whether every row is answered by itself: rows of several requests may then share a call."""

    def predict(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        """Computes the named outputs from arrays that fit `inputs`; may run in several threads at once.

        Raises `RequestError` where the arrays do not fit each other; any other exception is the model's failure.
        """


Loader = Callable[[Path, Metadata], Backend]
# Imported on demand: a server of one format does not pay for the libraries of the other.
_MODULES = {"ONNX": "penstock.runtime.backends.onnx", "Skops": "penstock.runtime.backends.skops"}
_SUFFIXES = {"ONNX": ".onnx", "Skops": ".skops"}


def load_backend(model_format: str, directory: Path, metadata: Metadata) -> Backend:
    """Loads the one model file of that format in the folder; raises `LoadError`."""
    suffix = _SUFFIXES[model_format]
    files = sorted(directory.glob(f"*{suffix}"))
    if len(files) != 1:
        raise LoadError("LoadFailed", f"{directory} must hold exactly one *{suffix} file; it holds {len(files)}.")
    load = cast("Loader", importlib.import_module(_MODULES[model_format]).load)
    return load(files[0], metadata)
