"""ONNX models on onnxruntime, CPU, one thread per prediction."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from penstock.runtime.backends import Backend
from penstock.runtime.errors import LoadError, RequestError
from penstock.runtime.metadata import Metadata
from penstock.runtime.tensors import Array, TensorSpec

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # must be set before the import

import onnxruntime

_DATATYPES = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}
# What the ZipMap operator makes of probabilities: per row a map from class to score.
_CLASS_MAPS = {
    "seq(map(int64,tensor(float)))": "FP32",
    "seq(map(string,tensor(float)))": "FP32",
}


class OnnxBackend:
    """A session; names, types and shapes are the graph's own."""

    # A graph may do anything with its first axis.
    is_row_wise = False

    def __init__(self, session: Any) -> None:
        self._session = session
        self.inputs = tuple(_spec(node, "input", _DATATYPES) for node in session.get_inputs())
        self.outputs = tuple(_spec(node, "output", _DATATYPES | _CLASS_MAPS) for node in session.get_outputs())
        self._class_maps = {node.name for node in session.get_outputs() if node.type in _CLASS_MAPS}
        self._symbols = _shared_symbols(session)

    def predict(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        """Runs the graph; see `Backend.predict`."""
        for symbol, axes in self._symbols.items():
            if len({inputs[name].shape[axis] for name, axis in axes}) > 1:
                names = ", ".join(name for name, _ in axes)
                raise RequestError(400, f"the inputs {names} must have the same size ({symbol})")
        values = self._session.run(list(outputs), dict(inputs))
        return {
            name: _class_scores(value) if name in self._class_maps else value
            for name, value in zip(outputs, values, strict=True)
        }


def load(file: Path, metadata: Metadata) -> Backend:
    """Loads a graph; raises `LoadError` if onnxruntime or the protocol cannot take it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no base class
        raise LoadError(
            "LoadFailed", f"onnxruntime cannot load {file.name}: {str(error).splitlines()[0][:300]}."
        ) from error
    backend = OnnxBackend(session)
    for kind, declared, actual in (
        ("inputs", metadata.inputs, backend.inputs),
        ("outputs", metadata.outputs, backend.outputs),
    ):
        if declared and {(s.name, s.datatype) for s in declared} != {(s.name, s.datatype) for s in actual}:
            found = ", ".join(f"{spec.name} {spec.datatype}" for spec in actual)
            raise LoadError("SchemaMismatch", f"The {kind} in metadata.json are not those of the graph: {found}.")
    return backend


def _spec(node: Any, kind: str, datatypes: Mapping[str, str]) -> TensorSpec:
    datatype = datatypes.get(node.type)
    if datatype is None:
        raise LoadError(
            "LoadFailed",
            f"The {kind} '{node.name}' of the graph is of type {node.type}, which cannot be sent as a tensor.",
        )
    if node.type in _CLASS_MAPS:
        return TensorSpec(node.name, datatype, (-1, -1))
    return TensorSpec(
        node.name, datatype, tuple(size if isinstance(size, int) and size > 0 else -1 for size in node.shape)
    )


def _shared_symbols(session: Any) -> dict[str, list[tuple[str, int]]]:
    """Sizes that must be equal: those with one symbolic name, and unnamed first sizes, which are the rows."""
    symbols: dict[str, list[tuple[str, int]]] = {}
    for node in session.get_inputs():
        for axis, size in enumerate(node.shape):
            if isinstance(size, str):
                symbols.setdefault(size, []).append((node.name, axis))
            elif size is None and axis == 0:
                symbols.setdefault("rows", []).append((node.name, axis))
    return {symbol: axes for symbol, axes in symbols.items() if len(axes) > 1}


def _class_scores(rows: list[dict[Any, float]]) -> Array:
    """Rows of maps as [n, classes], classes in ascending order."""
    classes = sorted(rows[0])
    return np.array([[row[label] for label in classes] for row in rows], dtype=np.float32)


__all__ = ["OnnxBackend", "load"]
