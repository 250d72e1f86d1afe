"""Runs calls on a loaded model: checks them against its inputs, decides where they run, measures."""

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from penstock.runtime.backends import Backend
from penstock.runtime.calls import Answer, Call, InputTensor
from penstock.runtime.errors import LoadError, RequestError, quoted
from penstock.runtime.tensors import NUMPY_TYPES, Array, TensorSpec

# A prediction on the event loop holds up every other request for its time.
INLINE_SECONDS = 0.002
INLINE_ROWS = 64
_TRIALS = 5


class Engine:
    """One model, ready to answer."""

    def __init__(
        self, backend: Backend, *, model_name: str, revision: str, threads: int, example: Call | None = None
    ) -> None:
        """Predicts once, to learn how long it takes: a model that fails its own example is a `LoadError`."""
        self.inputs = backend.inputs
        self.outputs = backend.outputs
        self._backend = backend
        self._model_name, self._revision = model_name, revision
        self._specs = {spec.name: spec for spec in backend.inputs}
        self._output_names = [spec.name for spec in backend.outputs]
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="predict")
        self.row_seconds = self._example_seconds(example) if example else _row_seconds(backend, self._output_names)

    async def infer(self, call: Call) -> Answer:
        """Answers a call. Raises `RequestError` (400) if it does not fit the model; what else comes is its failure."""
        outputs = self._wanted(call.outputs)
        inputs = self._fitting(call.inputs)
        rows = max(len(array) for array in inputs.values())
        if self.row_seconds is not None and self.row_seconds <= INLINE_SECONDS and rows <= INLINE_ROWS:
            values = self._backend.predict(inputs, outputs)
        else:
            loop = asyncio.get_running_loop()
            values = await loop.run_in_executor(self._pool, self._backend.predict, inputs, outputs)
        return Answer(self._model_name, self._revision, inputs, values)

    def _example_seconds(self, example: Call) -> float:
        try:
            inputs = self._fitting(example.inputs)
            return min(_timed(self._backend, inputs, self._output_names) for _ in range(_TRIALS))
        except RequestError as error:
            raise LoadError("LoadFailed", f"The example in metadata.json does not fit: {error.message}.") from None
        except Exception as error:
            raise LoadError("LoadFailed", f"The model fails on the example in metadata.json: {error}.") from error

    def _fitting(self, tensors: list[InputTensor]) -> dict[str, Array]:
        inputs: dict[str, Array] = {}
        for tensor in tensors:
            spec = self._specs.get(tensor.name)
            if spec is None:
                raise RequestError(
                    400, f"there is no input {quoted(tensor.name)}, the model takes {_names(self.inputs)}"
                )
            if tensor.name in inputs:
                raise RequestError(400, f"input {quoted(tensor.name)} is given twice")
            inputs[tensor.name] = spec.fit(tensor.array, tensor.datatype)
        missing = [spec for spec in self.inputs if spec.name not in inputs]
        if missing:
            raise RequestError(400, f"the request lacks {_names(missing)}")
        return inputs

    def _wanted(self, outputs: list[str] | None) -> list[str]:
        if outputs is None:
            return self._output_names
        for name in outputs:
            if name not in self._output_names:
                raise RequestError(400, f"there is no output {quoted(name)}, the model has {_names(self.outputs)}")
        if len(set(outputs)) != len(outputs):
            raise RequestError(400, "an output is asked for twice")
        return outputs


def _row_seconds(backend: Backend, outputs: list[str]) -> float | None:
    """How long one row takes, best of a few; None if the model refuses a row of zeros and empty strings."""
    row = {spec.name: _blank(spec) for spec in backend.inputs}
    try:
        return min(_timed(backend, row, outputs) for _ in range(_TRIALS))
    except Exception:  # a strict encoder may know no empty string; such a model is served all the same
        return None


def _timed(backend: Backend, row: dict[str, Array], outputs: list[str]) -> float:
    start = time.perf_counter()
    backend.predict(row, outputs)
    return time.perf_counter() - start


def _blank(spec: TensorSpec) -> Array:
    shape = tuple(1 if size == -1 else size for size in spec.shape)
    if spec.datatype == "BYTES":
        return np.full(shape, "", dtype=object)
    return np.zeros(shape, dtype=NUMPY_TYPES[spec.datatype])


def _names(specs: Mapping[str, TensorSpec] | tuple[TensorSpec, ...] | list[TensorSpec]) -> str:
    names = [spec if isinstance(spec, str) else spec.name for spec in specs]
    shown = ", ".join(names[:20])
    return shown if len(names) <= 20 else f"{shown} and {len(names) - 20} more"
