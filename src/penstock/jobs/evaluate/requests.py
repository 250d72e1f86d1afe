"""From rows of a dataset to requests in the Open Inference Protocol, by the same definition as in serving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import polars as pl

from penstock.api.v1alpha1.conditions import Reason
from penstock.api.v1alpha1.featureset import Feature, FeatureType
from penstock.domain.features.schema import FeatureSchema
from penstock.features.errors import FeatureError
from penstock.features.request import DATATYPES
from penstock.features.transform import Transform, as_matrix, exact
from penstock.jobs.evaluate.failure import EvaluationError
from penstock.runtime.tensors import NUMPY_TYPES

_TYPES = {"FP64": FeatureType.FLOAT64, "FP32": FeatureType.FLOAT32, "BOOL": FeatureType.BOOLEAN}


@dataclass(frozen=True, slots=True)
class Input:
    """An input of the model as its metadata has it."""

    name: str
    datatype: str
    shape: tuple[int, ...]


def inputs_of(metadata: Mapping[str, Any]) -> tuple[Input, ...]:
    """Read the inputs from a server's model metadata; raises EvaluationError."""
    try:
        return tuple(
            Input(str(item["name"]), str(item["datatype"]), tuple(int(size) for size in item["shape"]))
            for item in metadata["inputs"]
        )
    except (KeyError, TypeError, ValueError):
        raise EvaluationError(
            Reason.INVALID_SPEC, "The server's model metadata does not name its inputs: it must speak protocol V2."
        ) from None


class Requests:
    """Makes requests for one server.

    `types`: the columns that are read, with what they are in the FeatureSet. Values go as they lie in the dataset where
    the server knows the features, and as the model's own inputs, through `penstock.features`, where it does not.
    """

    def __init__(self, inputs: Sequence[Input], features: Sequence[Feature]) -> None:
        """`features`: those of the FeatureSet; none if the model has none. Raises EvaluationError."""
        self._inputs = {item.name: item for item in inputs}
        self._schema = FeatureSchema.of(features)
        self._transform: Transform | None = None
        self._matrix: Input | None = None
        if not features:
            self.types = {item.name: _TYPES.get(item.datatype, _other(item.datatype)) for item in inputs}
            if any(len(item.shape) > 2 or (len(item.shape) == 2 and item.shape[1] != 1) for item in inputs):
                raise EvaluationError(
                    Reason.INVALID_SPEC,
                    "The model takes several columns in one tensor and has no FeatureSet that says which: set"
                    " spec.features.featureSetRef of the Model.",
                )
            return
        self.types = {item.name: item.type for item in features}
        declared = {item.name: DATATYPES[item.type] for item in features}
        if {item.name: item.datatype for item in inputs} == declared:
            return
        if len(inputs) == 1 and inputs[0].name not in declared:
            self._matrix = inputs[0]
        elif set(self._inputs) != set(declared):
            raise EvaluationError(
                Reason.SCHEMA_MISMATCH, "The server takes other inputs than the FeatureSet has features: mend either."
            )
        coded = {item.name for item in inputs if item.datatype != "BYTES"}
        try:
            self._transform = Transform(self._schema, codes=True if self._matrix else coded)
        except FeatureError as error:
            raise EvaluationError(Reason.SCHEMA_MISMATCH, f"The feature schema is wrong: {error}.") from None

    @property
    def optional(self) -> frozenset[str]:
        """Columns that the dataset may lack, since a default stands for them."""
        return frozenset(item.name for item in self._schema.features if item.default is not None)

    def body(self, rows: pl.DataFrame, output: str | None) -> bytes:
        """Return one request for all rows; `output`: the only tensor to be answered, all if None.

        Raises EvaluationError where a value does not fit its feature.
        """
        tensors = self._tensors(rows)
        document: dict[str, Any] = {"inputs": tensors}
        if output is not None:
            document["outputs"] = [{"name": output}]
        return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)

    def _tensors(self, rows: pl.DataFrame) -> list[dict[str, Any]]:
        if self._transform is None:
            return [
                {
                    "name": name,
                    "datatype": self._datatype(name),
                    "shape": self._shape(name, rows.height),
                    "data": _sendable(rows[name]),
                }
                for name in self.types
                if name in rows.columns
            ]
        try:
            columns = self._transform.apply({name: _filled(rows[name]) for name in self.types if name in rows.columns})
            if self._matrix is not None:
                matrix = as_matrix(columns, NUMPY_TYPES[self._matrix.datatype])
                return [_tensor(self._matrix, matrix)]
            return [
                _tensor(self._inputs[name], exact(name, values, NUMPY_TYPES[self._inputs[name].datatype]))
                for name, values in columns.items()
            ]
        except FeatureError as error:
            raise EvaluationError(
                Reason.SCHEMA_MISMATCH,
                f"Held-out rows do not fit the feature '{error.feature[:128]}' of the FeatureSet: mend the rows.",
            ) from None

    def _datatype(self, name: str) -> str:
        known = self._inputs.get(name)
        return known.datatype if known else DATATYPES[self.types[name]]

    def _shape(self, name: str, rows: int) -> list[int]:
        known = self._inputs.get(name)
        return [rows] if known is not None and len(known.shape) == 1 else [rows, 1]


def _other(datatype: str) -> FeatureType:
    return FeatureType.STRING if datatype == "BYTES" else FeatureType.INT64


def _sendable(values: pl.Series) -> list[Any]:
    """Values for JSON; what is missing, NaN too, is null."""
    if isinstance(values.dtype, pl.Datetime):
        values = values.dt.convert_time_zone("UTC").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ")
    elif values.dtype.is_float():
        values = values.fill_nan(None)
    return values.to_list()


def _filled(values: pl.Series) -> pl.Series:
    # As pandas writes them, missing numbers of a Parquet file may be NaN.
    return values.fill_nan(None) if values.dtype.is_float() else values


def _tensor(spec: Input, values: Any) -> dict[str, Any]:
    shape = [len(values), 1] if values.ndim == 1 and len(spec.shape) == 2 else list(values.shape)
    flat = values.ravel()
    data = flat.tolist() if values.dtype == object else np.ascontiguousarray(flat)
    return {"name": spec.name, "datatype": spec.datatype, "shape": shape, "data": data}
