"""The data types of the protocol, and what a model says about one of its tensors."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from penstock.runtime.errors import RequestError, quoted

Array = npt.NDArray[Any]

# BYTES are strings; as objects they keep their length.
NUMPY_TYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(object),
}
_DATATYPES = {dtype: name for name, dtype in NUMPY_TYPES.items()}
MAX_RANK = 8


def datatype_of(array: Array) -> str:
    """The protocol's name for an array's type; raises `TypeError` for one that the protocol does not know."""
    if array.dtype.kind in "OUT":
        return "BYTES"
    try:
        return _DATATYPES[array.dtype]
    except KeyError:
        raise TypeError(f"arrays of type {array.dtype} cannot be sent") from None


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, datatype and shape of an input or output; -1 stands for a size that the request decides."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def fit(self, array: Array, datatype: str) -> Array:
        """Returns the array in this shape; raises `RequestError` (400) if type or shape differ.

        A column may come as [n] or [n, 1], whichever of the two the model declares.
        """
        if datatype != self.datatype:
            raise RequestError(
                400, f"input {quoted(self.name)} has datatype {datatype}, the model takes {self.datatype}"
            )
        if self._matches(array.shape):
            return array
        if self.shape[1:] == (1,) and self._matches((*array.shape, 1)):
            return array.reshape(-1, 1)
        if len(self.shape) == 1 and array.ndim == 2 and array.shape[1] == 1 and self._matches(array.shape[:1]):
            return array.reshape(-1)
        raise RequestError(
            400, f"input {quoted(self.name)} has shape {list(array.shape)}, the model takes {list(self.shape)}"
        )

    def _matches(self, shape: tuple[int, ...]) -> bool:
        return len(shape) == len(self.shape) and all(
            wanted in (-1, found) for wanted, found in zip(self.shape, shape, strict=True)
        )

    def as_json(self) -> dict[str, Any]:
        """The protocol's form."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}
