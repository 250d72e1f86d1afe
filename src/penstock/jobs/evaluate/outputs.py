"""From a server's answer to one number per row: the positive class's score, or the predicted number."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from penstock.api.v1alpha1.conditions import Reason
from penstock.jobs.evaluate.failure import EvaluationError
from penstock.jobs.evaluate.labels import Classes
from penstock.stats.evaluation.estimate import Floats

_FLOATS = ("FP64", "FP32", "FP16")
_PROBABILITIES = "probabilities"


class WrongForm(Exception):
    """An answer that is none to the question: no JSON, another number of rows, not the output asked for."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """An output of an answer; `data` is flat."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: list[Any]

    @property
    def columns(self) -> int:
        """Values per row; 0 for tensors that are no table."""
        return 1 if len(self.shape) == 1 else self.shape[1] if len(self.shape) == 2 else 0


@dataclass(frozen=True, slots=True)
class Chosen:
    """The output that is read: its name and which of its columns; `positive`: the text that counts as yes, if texts."""

    output: str
    column: int
    columns: int
    positive: str | None = None

    def numbers(self, content: bytes, rows: int) -> Floats:
        """Return one number per row, NaN where it is none; raises WrongForm."""
        found = next((item for item in tensors_of(content) if item.name == self.output), None)
        if found is None or found.columns != self.columns or found.shape[0] != rows:
            raise WrongForm
        values = found.data[self.column :: self.columns]
        if found.datatype == "BYTES":
            if self.positive is None:
                raise WrongForm
            return np.array([float(str(value) == self.positive) for value in values])
        try:
            return np.array(values, dtype=np.float64)
        except (TypeError, ValueError):
            raise WrongForm from None


def tensors_of(content: bytes) -> list[Tensor]:
    """Read the outputs of an answer; raises WrongForm. NaN and Infinity, which are no JSON, are read as numbers."""
    try:
        try:
            document = orjson.loads(content)
        except orjson.JSONDecodeError:
            document = json.loads(content)
        return [_tensor(item) for item in document["outputs"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise WrongForm from None


def choose(tensors: Sequence[Tensor], wanted: str | None, classes: Classes | None) -> Chosen:
    """Find the output that holds the scores (`classes`) or, without classes, the numbers.

    `wanted`: its name, if the gate says it. Raises EvaluationError with a sentence that tells which outputs there are.
    """
    if wanted is not None:
        named = [item for item in tensors if item.name == wanted]
        if not named:
            raise _unclear(tensors, f"there is no output '{wanted}'")
        return _column(named[0], tensors, classes)
    tables = [item for item in tensors if item.columns >= 1]
    floats = [item for item in tables if item.datatype in _FLOATS]
    if classes is None:
        single = [item for item in floats if item.columns == 1] or [
            item for item in tables if item.columns == 1 and item.datatype not in ("BYTES", "BOOL")
        ]
        if not single:
            raise _unclear(tensors, "none has one number per row")
        return Chosen(single[0].name, 0, 1)
    several = [item for item in floats if item.columns >= 2]
    found = [item for item in several if item.name == _PROBABILITIES] or several
    found = found or [item for item in floats if item.columns == 1]
    if len(found) != 1:
        raise _unclear(tensors, "more than one may hold the scores" if found else "none has a score per row")
    return _column(found[0], tensors, classes)


def _column(tensor: Tensor, tensors: Sequence[Tensor], classes: Classes | None) -> Chosen:
    if tensor.columns < 1:
        raise _unclear(tensors, f"'{tensor.name}' is no table of numbers")
    if tensor.columns == 1:
        texts = tensor.datatype == "BYTES"
        if texts and classes is None:
            raise _unclear(tensors, f"'{tensor.name}' has texts")
        return Chosen(tensor.name, 0, 1, classes.positive if texts and classes else None)
    place = classes.column_of(tensor.columns) if classes else None
    if place is None or tensor.datatype == "BYTES":
        why = "has columns, and the held-out rows have other classes" if classes else "has several columns"
        raise _unclear(tensors, f"'{tensor.name}' {why}")
    return Chosen(tensor.name, place, tensor.columns)


def _tensor(item: Any) -> Tensor:
    shape = tuple(int(size) for size in item["shape"])
    data = item["data"]
    while data and isinstance(data[0], list):
        data = [value for part in data for value in part]
    if not shape or math.prod(shape) != len(data):
        raise ValueError("data and shape differ")
    return Tensor(str(item["name"]), str(item["datatype"]), shape, data)


def _unclear(tensors: Sequence[Tensor], why: str) -> EvaluationError:
    shown = ", ".join(
        f"{item.name[:40]} ({item.datatype} {['n', *item.shape[1:]]})".replace("'", "") for item in tensors[:10]
    )
    return EvaluationError(
        Reason.INVALID_SPEC,
        f"It is not clear which output to read ({why}): the model answers {shown or 'nothing'}; name one in"
        " spec.output.",
    )
