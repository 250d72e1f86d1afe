"""Requests that wait at the same moment share one call of the model."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from penstock.runtime.backends import Backend
from penstock.runtime.tensors import Array

BATCH_ROWS = 64
Outputs = dict[str, Array]
Seen = Callable[[dict[str, Array]], None]
"""Is told the inputs of what the model has answered, of several requests together where they were asked together."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    inputs: dict[str, Array]
    rows: int
    outputs: tuple[str, ...]
    future: asyncio.Future[Outputs]


class Batcher:
    """Collects what comes while the loop or the model is busy; nobody waits for a timer.

    Only for models that look at every row by itself. A batch that fails is asked again request by request.
    """

    def __init__(
        self, backend: Backend, pool: ThreadPoolExecutor, runs_inline: Callable[[int], bool], seen: Seen | None = None
    ) -> None:
        """`runs_inline` says whether that many rows are quick enough to run on the event loop.

        `seen` is called on the event loop or on a thread of the pool.
        """
        self._backend, self._pool, self._runs_inline, self._seen = backend, pool, runs_inline, seen
        self._waiting: deque[_Waiting] = deque()
        self._is_busy = False

    async def predict(self, inputs: dict[str, Array], rows: int, outputs: Sequence[str]) -> Outputs:
        """Like `Backend.predict`; every input has `rows` rows."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Outputs] = loop.create_future()
        self._waiting.append(_Waiting(inputs, rows, tuple(outputs), future))
        if not self._is_busy:
            # Runs after every request that the loop has already read.
            self._is_busy = True
            loop.call_soon(self._run, loop)
        return await future

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        batch = self._next_batch()
        if self._runs_inline(sum(item.rows for item in batch)):
            self._settle(loop, batch, self._outcomes(batch))
        else:
            running = loop.run_in_executor(self._pool, self._outcomes, batch)
            running.add_done_callback(lambda done: self._settle(loop, batch, done.result()))

    def _settle(
        self, loop: asyncio.AbstractEventLoop, batch: list[_Waiting], outcomes: list[Outputs | Exception]
    ) -> None:
        for item, outcome in zip(batch, outcomes, strict=True):
            if item.future.done():
                continue
            if isinstance(outcome, Exception):
                item.future.set_exception(outcome)
            else:
                item.future.set_result(outcome)
        if self._waiting:
            loop.call_soon(self._run, loop)
        else:
            self._is_busy = False

    def _next_batch(self) -> list[_Waiting]:
        """What has waited longest, of one choice of outputs, as far as it fits into one batch."""
        batch = [self._waiting.popleft()]
        rows = batch[0].rows
        while (
            self._waiting
            and self._waiting[0].outputs == batch[0].outputs
            and rows + self._waiting[0].rows <= BATCH_ROWS
        ):
            batch.append(self._waiting.popleft())
            rows += batch[-1].rows
        return batch

    def _outcomes(self, batch: list[_Waiting]) -> list[Outputs | Exception]:
        if len(batch) > 1:
            try:
                return list(self._together(batch))
            except Exception:  # noqa: S110 - whose row it was shows when each is asked alone
                pass
        return [self._alone(item) for item in batch]

    def _together(self, batch: list[_Waiting]) -> list[Outputs]:
        names = batch[0].inputs
        inputs = {name: np.concatenate([item.inputs[name] for item in batch]) for name in names}
        outputs = self._backend.predict(inputs, batch[0].outputs)
        starts = np.cumsum([0, *(item.rows for item in batch)]).tolist()
        if any(len(array) != starts[-1] for array in outputs.values()):
            raise ValueError("the model does not answer row by row")
        if self._seen is not None:
            self._seen(inputs)
        return [
            {name: array[start : start + item.rows] for name, array in outputs.items()}
            for item, start in zip(batch, starts, strict=False)
        ]

    def _alone(self, item: _Waiting) -> Outputs | Exception:
        try:
            outputs = self._backend.predict(item.inputs, item.outputs)
        except Exception as error:  # handed to the one who waits for it
            return error
        if self._seen is not None:
            self._seen(item.inputs)
        return outputs
