"""Runs calls on a loaded model: checks them against its inputs, decides where they run, measures."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from penstock.runtime.backends import Backend
from penstock.runtime.batching import BATCH_ROWS, Batcher, Seen
from penstock.runtime.calls import Answer, Call, InputTensor
from penstock.runtime.cost import Cost, cost_of_blank, measured_cost
from penstock.runtime.errors import LoadError, RequestError, quoted
from penstock.runtime.tensors import Array, TensorSpec


class Engine:
    """One model, ready to answer."""

    def __init__(
        self,
        backend: Backend,
        *,
        model_name: str,
        revision: str,
        threads: int,
        example: Call | None = None,
        seen: Seen | None = None,
    ) -> None:
        """Predicts a few times, to learn how long it takes: a model that fails its own example is a `LoadError`.

        `seen` is told of every input that the model has answered; what is tried here is not among them.
        """
        self.inputs = backend.inputs
        self.outputs = backend.outputs
        self._backend = backend
        self._model_name, self._revision = model_name, revision
        self._specs = {spec.name: spec for spec in backend.inputs}
        self._output_names = [spec.name for spec in backend.outputs]
        self._threads = threads
        self._seen = seen
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="predict")
        self.cost = self._example_cost(example) if example else cost_of_blank(backend, self._output_names)
        is_batched = backend.is_row_wise and self.cost.gains_by_batches
        self._batcher = Batcher(backend, self._pool, self._runs_inline, seen) if is_batched else None

    async def infer(self, call: Call) -> Answer:
        """Answers a call. Raises `RequestError` (400) if it does not fit the model; what else comes is its failure."""
        outputs = self._wanted(call.outputs)
        inputs = self._fitting(call.inputs)
        sizes = {len(array) for array in inputs.values()}
        rows = max(sizes)
        if self._batcher is not None and rows < BATCH_ROWS and len(sizes) == 1:
            values = await self._batcher.predict(inputs, rows, outputs)
        else:
            values = await self._predicted(inputs, rows, outputs)
            if self._seen is not None:
                self._seen(inputs)
        return Answer(self._model_name, self._revision, inputs, values)

    async def _predicted(self, inputs: dict[str, Array], rows: int, outputs: list[str]) -> dict[str, Array]:
        if self._runs_inline(rows):
            return self._backend.predict(inputs, outputs)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._backend.predict, inputs, outputs)

    def requests_within(self, seconds: float) -> float:
        """How many requests of one row the model answers in that time; infinite if it could not be tried."""
        if self._batcher is not None:
            return seconds * BATCH_ROWS / self.cost.seconds(BATCH_ROWS)
        one = self.cost.seconds(1)
        if one == float("inf"):
            return one
        return seconds / one * (1 if self._runs_inline(1) else self._threads)

    def _runs_inline(self, rows: int) -> bool:
        return self.cost.runs_inline(rows)

    def _example_cost(self, example: Call) -> Cost:
        try:
            inputs = self._fitting(example.inputs)
            self._backend.predict(inputs, self._output_names)
            return measured_cost(self._backend, inputs, self._output_names)
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


def _names(specs: Mapping[str, TensorSpec] | tuple[TensorSpec, ...] | list[TensorSpec]) -> str:
    names = [spec if isinstance(spec, str) else spec.name for spec in specs]
    shown = ", ".join(names[:20])
    return shown if len(names) <= 20 else f"{shown} and {len(names) - 20} more"
