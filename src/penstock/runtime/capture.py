"""What the model is asked and answers, in bounded memory: counts on a fixed grid per feature, and the last answers."""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt

from penstock.runtime.calls import Answer
from penstock.runtime.errors import LoadError
from penstock.runtime.tensors import Array, TensorSpec

FILE_NAME = "profile.json"
_MAX_BYTES = 4 << 20
_MAX_FEATURES = 4096
_MAX_CELLS = 4096
# Counting costs less per value when many are counted at once, as far as they stay in the processor's cache.
_PENDING_VALUES = 1 << 14
_KEPT_ANSWERS = 1024
# What is kept of a request cannot be used again for the next one, which costs more than the request's own work on it.
_ANSWERS_PER_SECOND = 100
_KEPT_VALUES = 8
# Outputs of up to so many rows are kept as they are, which costs a request nothing; of larger ones the beginning.
_KEPT_ROWS = 64
_NUMBERS = frozenset({"UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP32", "FP64"})
NOTHING_CAPTURED: dict[str, Any] = {"histograms": [], "answers": []}


class Grid(msgspec.Struct, frozen=True):
    """One feature's range in equal cells; values outside are counted as below or above it."""

    input: str
    low: float
    high: float
    cells: Annotated[int, msgspec.Meta(ge=1, le=_MAX_CELLS)]
    column: Annotated[int, msgspec.Meta(ge=0)] = 0


class _Profile(msgspec.Struct, frozen=True):
    features: Annotated[tuple[Grid, ...], msgspec.Meta(min_length=1, max_length=_MAX_FEATURES)]


def read_profile(directory: Path, inputs: tuple[TensorSpec, ...]) -> tuple[Grid, ...]:
    """The grids in `profile.json`, none if there is no such file; raises `LoadError` if it is wrong."""
    file = directory / FILE_NAME
    if not file.exists():
        return ()
    if file.stat().st_size > _MAX_BYTES:
        raise LoadError("LoadFailed", f"{FILE_NAME} is larger than {_MAX_BYTES} bytes.")
    try:
        grids = msgspec.json.decode(file.read_bytes(), type=_Profile).features
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise LoadError("LoadFailed", f"{FILE_NAME} is not valid: {error}.") from None
    specs = {spec.name: spec for spec in inputs}
    for grid in grids:
        spec = specs.get(grid.input)
        if spec is None or spec.datatype not in _NUMBERS:
            raise LoadError("SchemaMismatch", f"{FILE_NAME}: the model has no input of numbers '{grid.input}'.")
        if grid.column >= int(np.prod(spec.shape[1:])) or -1 in spec.shape[1:]:
            raise LoadError("SchemaMismatch", f"{FILE_NAME}: '{grid.input}' has no column {grid.column}.")
        if not grid.low < grid.high:
            raise LoadError("LoadFailed", f"{FILE_NAME}: the range of '{grid.input}' must have its low below its high.")
    return grids


class _Counts:
    """The grids of one input: counts of shape [features, most cells + 2], below the range first, above it last."""

    def __init__(self, grids: list[Grid]) -> None:
        self.grids = grids
        cells = np.array([grid.cells for grid in grids])
        columns = [grid.column for grid in grids]
        self._columns = np.array(columns)
        self._are_first_columns = columns == list(range(len(columns)))
        self._low = np.array([grid.low for grid in grids])
        self._scale = cells / (np.array([grid.high for grid in grids]) - self._low)
        self._cells = cells.astype(np.float64)
        self._width = int(cells.max()) + 2
        # Cell -1 is what lies below.
        self._offsets = np.arange(len(grids)) * self._width + 1
        self._totals: npt.NDArray[np.int64] = np.zeros(len(grids) * self._width, dtype=np.int64)

    def add(self, values: Array) -> None:
        """Counts rows of shape [rows, columns]."""
        chosen = values[:, : len(self.grids)] if self._are_first_columns else values[:, self._columns]
        with np.errstate(over="ignore"):  # a huge value may become infinite, never NaN
            place = chosen.astype(np.float64, copy=False) - self._low
            np.multiply(place, self._scale, out=place)
        np.floor(place, out=place)
        np.maximum(place, -1.0, out=place)
        np.minimum(place, self._cells, out=place)
        np.add(place, self._offsets, out=place)
        cells = place.ravel()
        absent = np.isnan(cells)  # missing values, which only a feature schema lets in, lie nowhere
        if absent.any():
            cells = cells[~absent]
        self._totals += np.bincount(cells.astype(np.int64), minlength=len(self._totals))

    def as_json(self) -> list[dict[str, Any]]:
        table = self._totals.reshape(len(self.grids), self._width)
        return [
            {
                **msgspec.to_builtins(grid),
                "below": int(row[0]),
                "counts": row[1 : grid.cells + 1].tolist(),
                "above": int(row[grid.cells + 1]),
            }
            for grid, row in zip(self.grids, table, strict=True)
        ]


class Capture:
    """Counts every input that is answered and keeps the last answers; both may be read by another thread."""

    def __init__(self, grids: tuple[Grid, ...], revision: str, clock: Callable[[], float] = time.monotonic) -> None:
        names = dict.fromkeys(grid.input for grid in grids)
        self._counts = {name: _Counts([grid for grid in grids if grid.input == name]) for name in names}
        self._revision = revision
        self._lock = threading.Lock()
        self._pending: dict[str, list[Array]] = {name: [] for name in names}
        self._pending_values = 0
        self._answers: deque[tuple[str, float, int, dict[str, Array]]] = deque(maxlen=_KEPT_ANSWERS)
        self._clock = clock
        self._next_answer = clock()

    def count(self, inputs: Mapping[str, Array]) -> None:
        """What the model has answered, of one request or of several together."""
        with self._lock:
            for name, pending in self._pending.items():
                array = inputs[name]
                pending.append(array)
                self._pending_values += array.size
            if self._pending_values >= _PENDING_VALUES:
                self._count()

    def note(self, answer: Answer, identifier: str, seconds: float) -> None:
        """One answered request and the time it took: kept if none was within the last hundredth of a second."""
        now = self._clock()
        if now < self._next_answer:
            return
        self._next_answer = now + 1 / _ANSWERS_PER_SECOND
        outputs = answer.outputs
        rows = len(next(iter(outputs.values())))
        if rows > _KEPT_ROWS:
            outputs = {name: array[:_KEPT_VALUES].copy() for name, array in outputs.items()}
        with self._lock:
            self._answers.append((identifier, seconds, rows, outputs))

    def as_json(self) -> dict[str, Any]:
        """Everything so far, in a form that `merged` adds up."""
        with self._lock:
            self._count()
            histograms = [item for counts in self._counts.values() for item in counts.as_json()]
            answers = list(self._answers)
        return {
            "histograms": histograms,
            "answers": [
                {
                    "id": identifier,
                    "revision": self._revision,
                    "rows": rows,
                    "seconds": seconds,
                    "outputs": {name: array.ravel()[:_KEPT_VALUES].tolist() for name, array in outputs.items()},
                }
                for identifier, seconds, rows, outputs in answers
            ],
        }

    def _count(self) -> None:
        if not self._pending_values:
            return
        for name, counts in self._counts.items():
            rows = np.concatenate(self._pending[name])
            self._pending[name].clear()
            counts.add(rows.reshape(len(rows), -1))
        self._pending_values = 0


def merged(captures: list[dict[str, Any]]) -> dict[str, Any]:
    """The captures of several processes of one model as one."""
    histograms = [
        {
            **same[0],
            "below": sum(item["below"] for item in same),
            "counts": [sum(cell) for cell in zip(*(item["counts"] for item in same), strict=True)],
            "above": sum(item["above"] for item in same),
        }
        for same in zip(*(capture["histograms"] for capture in captures), strict=True)
    ]
    return {"histograms": histograms, "answers": [answer for capture in captures for answer in capture["answers"]]}
