"""How long a model takes, measured before it serves: decides where predictions run and whether they are batched."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from penstock.runtime.backends import Backend
from penstock.runtime.tensors import NUMPY_TYPES, Array, TensorSpec

# A prediction on the event loop holds up every other request for its time.
INLINE_SECONDS = 0.002
INLINE_ROWS = 64
_TRIALS = 5
_FEW_ROWS = 8
# A batch of a few rows must take less than this share of the same rows one by one.
_BATCH_GAIN = 0.5


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds per call and per row of the call; infinite per call if the model could not be tried."""

    call: float
    row: float

    def seconds(self, rows: int) -> float:
        """Of one call with that many rows."""
        return self.call + self.row * rows

    def runs_inline(self, rows: int) -> bool:
        """Whether such a call may run on the event loop."""
        return rows <= INLINE_ROWS and self.seconds(rows) <= INLINE_SECONDS

    @property
    def gains_by_batches(self) -> bool:
        """Whether rows of several requests should share a call."""
        return self.seconds(_FEW_ROWS) < _BATCH_GAIN * _FEW_ROWS * self.seconds(1)


UNKNOWN = Cost(float("inf"), 0.0)


def measured_cost(backend: Backend, inputs: dict[str, Array], outputs: Sequence[str]) -> Cost:
    """The best of a few trials with these inputs; what the model raises comes through.

    A model that looks at every row by itself is tried with one row and with a few.
    """
    if not backend.is_row_wise:
        return Cost(_timed(backend, inputs, outputs), 0.0)
    one = _timed(backend, {name: array[:1] for name, array in inputs.items()}, outputs)
    few = _timed(backend, {name: np.repeat(array[:1], _FEW_ROWS, axis=0) for name, array in inputs.items()}, outputs)
    row = max(0.0, (few - one) / (_FEW_ROWS - 1))
    return Cost(max(0.0, one - row), row)


def cost_of_blank(backend: Backend, outputs: Sequence[str]) -> Cost:
    """With a row of zeros and empty strings; `UNKNOWN` if the model refuses it."""
    try:
        return measured_cost(backend, {spec.name: _blank(spec) for spec in backend.inputs}, outputs)
    except Exception:  # a strict encoder may know no empty string; such a model is served all the same
        return UNKNOWN


def _timed(backend: Backend, inputs: dict[str, Array], outputs: Sequence[str]) -> float:
    best = float("inf")
    for _ in range(_TRIALS):
        start = time.perf_counter()
        backend.predict(inputs, outputs)
        best = min(best, time.perf_counter() - start)
    return best


def _blank(spec: TensorSpec) -> Array:
    shape = tuple(1 if size == -1 else size for size in spec.shape)
    if spec.datatype == "BYTES":
        return np.full(shape, "", dtype=object)
    return np.zeros(shape, dtype=NUMPY_TYPES[spec.datatype])
