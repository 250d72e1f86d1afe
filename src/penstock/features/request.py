"""The request check of the model server: tensors of a request to the columns that the model was trained on."""

from collections.abc import Iterable
from typing import Protocol

from penstock.api.v1alpha1.featureset import NUMERIC_TYPES, FeatureType
from penstock.features.columns import Array, Mask
from penstock.features.errors import FeatureError
from penstock.features.transform import Transform

DATATYPES = {
    FeatureType.FLOAT64: "FP64",
    FeatureType.FLOAT32: "FP32",
    FeatureType.INT64: "INT64",
    FeatureType.BOOLEAN: "BOOL",
    FeatureType.STRING: "BYTES",
    FeatureType.TIMESTAMP: "BYTES",
}
"""What clients send for a feature of each type, in the names of the Open Inference Protocol."""
_ROUNDED = frozenset({"FP16", "FP32"})
_SHOWN = 20


class Tensor(Protocol):
    """A named array of a request; missing values are NaN, or None in an array of objects."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def datatype(self) -> str:
        """Its datatype in the protocol."""

    @property
    def array(self) -> Array:
        """Its values."""


class RequestCheck:
    """A schema, ready for requests: a tensor [n] or [n, 1] per feature, or all numbers in one tensor [n, features]."""

    def __init__(self, transform: Transform) -> None:
        self.transform = transform
        self._names = frozenset(transform.encoders)
        features = transform.schema.features
        self._others = [feature for feature in features if feature.type not in NUMERIC_TYPES]
        # What a client has rounded is not what the model was trained on.
        self._doubles = frozenset(feature.name for feature in features if feature.type is FeatureType.FLOAT64)

    def columns(self, tensors: Iterable[Tensor]) -> dict[str, Array]:
        """Return one array [n] per feature in the schema's order.

        Raises FeatureError for an input that is unknown, given twice, missing without a default, or wrong.
        """
        given: dict[str, tuple[Array, Mask | None]] = {}
        tensors = list(tensors)
        for tensor in tensors:
            array = tensor.array
            if tensor.name not in self._names:
                if len(tensors) == 1 and array.ndim == 2 and array.shape[1] > 1:
                    return self._of_matrix(tensor)
                raise self._unknown(tensors)
            if tensor.name in given:
                raise FeatureError(tensor.name, "is given twice: give it once")
            if tensor.datatype in _ROUNDED and tensor.name in self._doubles:
                raise FeatureError(tensor.name, f"has the datatype {tensor.datatype}", "give FP64")
            if array.ndim != 1:
                if array.ndim != 2 or array.shape[1] != 1:
                    raise FeatureError(tensor.name, f"has the shape {list(array.shape)}: give [n] or [n, 1]")
                array = array.reshape(-1)
            given[tensor.name] = (array, None)
        return self.transform.encode(given)

    def _of_matrix(self, tensor: Tensor) -> dict[str, Array]:
        names, matrix = self.transform.schema.names, tensor.array
        rounded = [name for name in names if name in self._doubles] if tensor.datatype in _ROUNDED else []
        if rounded:
            raise FeatureError(rounded[0], f"has the datatype {tensor.datatype}", "give FP64")
        if self._others:
            other = self._others[0]
            raise FeatureError(other.name, f"is of type {other.type}", "give one tensor per feature, not one for all")
        if matrix.shape[1] != len(names):
            place = names[min(matrix.shape[1], len(names) - 1)]
            raise FeatureError(
                place, f"is column {names.index(place)} of {len(names)}: the tensor has {matrix.shape[1]}"
            )
        # Contiguous columns, each of which a model may keep.
        return self.transform.encode({name: (matrix[:, index].copy(), None) for index, name in enumerate(names)})

    def _unknown(self, tensors: list[Tensor]) -> FeatureError:
        unknown = [tensor.name for tensor in tensors if tensor.name not in self._names]
        more = "" if len(unknown) == 1 else f", nor are {_shown(unknown[1:])}"
        return FeatureError(
            unknown[0], f"is not one of the model's{more}: the features are {_shown(self.transform.schema.names)}"
        )


def _shown(names: Iterable[str]) -> str:
    names = list(names)
    shown = ", ".join(repr(name[:80]) for name in names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
