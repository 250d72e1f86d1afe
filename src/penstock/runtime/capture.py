"""What the model is asked and answers, in bounded memory: counts on a fixed grid per feature, and the last answers."""

import threading
from collections import deque
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
# Counting costs less per row when many are counted at once.
_PENDING_ROWS = 256
_KEPT_ANSWERS = 1024
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
        self._columns = np.array([grid.column for grid in grids])
        self._low = np.array([grid.low for grid in grids])
        self._scale = cells / (np.array([grid.high for grid in grids]) - self._low)
        self._last = (cells + 1).astype(np.float64)
        self._width = int(cells.max()) + 2
        self._offsets = np.arange(len(grids)) * self._width
        self._totals: npt.NDArray[np.int64] = np.zeros(len(grids) * self._width, dtype=np.int64)

    def add(self, values: Array) -> None:
        """Counts rows of shape [rows, columns]."""
        with np.errstate(over="ignore"):  # a huge value may become infinite, never NaN
            position = (values[:, self._columns].astype(np.float64, copy=False) - self._low) * self._scale
        # Cell 0 is what lies below.
        place = np.clip(np.floor(position) + 1, 0, self._last)
        absent = np.isnan(place)  # missing values, which only a feature schema lets in, lie nowhere
        if absent.any():
            present = ~absent
            cell = (place[present].astype(np.int64)) + np.broadcast_to(self._offsets, place.shape)[present]
        else:
            cell = (place.astype(np.int64) + self._offsets).ravel()
        self._totals += np.bincount(cell, minlength=len(self._totals))

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
    """Notes every answer; reading it is for another thread."""

    def __init__(self, grids: tuple[Grid, ...], revision: str) -> None:
        names = dict.fromkeys(grid.input for grid in grids)
        self._counts = {name: _Counts([grid for grid in grids if grid.input == name]) for name in names}
        self._revision = revision
        self._lock = threading.Lock()
        self._pending: list[dict[str, Array]] = []
        self._pending_rows = 0
        self._answers: deque[tuple[str, float, int, dict[str, Array]]] = deque(maxlen=_KEPT_ANSWERS)

    def note(self, answer: Answer, identifier: str, seconds: float) -> None:
        """One answered request and the time it took."""
        outputs = answer.outputs
        rows = len(next(iter(outputs.values())))
        if rows > _KEPT_ROWS:
            outputs = {name: array[:_KEPT_VALUES].copy() for name, array in outputs.items()}
        with self._lock:
            self._answers.append((identifier, seconds, rows, outputs))
            self._pending.append(answer.inputs)
            self._pending_rows += rows
            if self._pending_rows >= _PENDING_ROWS:
                self._count()

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
        if not self._pending:
            return
        for name, counts in self._counts.items():
            rows = np.concatenate([inputs[name] for inputs in self._pending])
            counts.add(rows.reshape(len(rows), -1))
        self._pending.clear()
        self._pending_rows = 0


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
