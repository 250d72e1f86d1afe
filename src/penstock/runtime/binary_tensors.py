"""Tensors as raw bytes, little-endian and row-major: the protocol's binary tensor data extension."""

import math
import struct

import numpy as np

from penstock.runtime.errors import RequestError, quoted
from penstock.runtime.tensors import NUMPY_TYPES, Array, datatype_of

_LENGTH = struct.Struct("<I")


def read_tensor(name: str, datatype: str, shape: tuple[int, ...], data: memoryview, *, missing: bool = False) -> Array:
    """The tensor in `data`, an array of its own; `missing` allows NaN.

    Raises `RequestError` (400) if the bytes are not that tensor.
    """
    count = math.prod(shape)
    if datatype == "BYTES":
        return _read_strings(name, data, count).reshape(shape)
    dtype = NUMPY_TYPES[datatype]
    if len(data) != count * dtype.itemsize:
        raise RequestError(
            400,
            f"input {quoted(name)} of shape {list(shape)} has {len(data)} bytes, "
            f"{datatype} takes {count * dtype.itemsize}",
        )
    if dtype.kind == "b":
        values = np.frombuffer(data, dtype=np.uint8)
        if (values > 1).any():
            raise RequestError(400, f"input {quoted(name)} holds a byte other than 0 and 1, which is no BOOL")
        return values.astype(dtype).reshape(shape)
    # A copy is aligned and writable, which compiled models may rely on.
    array = np.frombuffer(data, dtype=dtype.newbyteorder("<")).astype(dtype)
    if dtype.kind == "f" and (np.isinf(array).any() if missing else not np.isfinite(array).all()):
        raise RequestError(400, f"input {quoted(name)} holds a number that is not finite")
    return array.reshape(shape)


def tensor_bytes(array: Array) -> bytes:
    """The bytes of a tensor; strings as their length in four bytes and their UTF-8."""
    if datatype_of(array) == "BYTES":
        encoded = [str(item).encode() for item in array.ravel()]
        return b"".join(part for item in encoded for part in (_LENGTH.pack(len(item)), item))
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _read_strings(name: str, data: memoryview, count: int) -> Array:
    # Every string takes four bytes at least: a shape beyond that must not make room for itself first.
    if count * _LENGTH.size > len(data):
        raise _wrong_strings(name, count)
    array = np.empty(count, dtype=object)
    position = 0
    for index in range(count):
        if position + _LENGTH.size > len(data):
            raise _wrong_strings(name, count)
        (size,) = _LENGTH.unpack_from(data, position)
        position += _LENGTH.size
        if position + size > len(data):
            raise _wrong_strings(name, count)
        try:
            array[index] = str(data[position : position + size], "utf-8")
        except UnicodeDecodeError:
            raise RequestError(400, f"input {quoted(name)} holds bytes that are not UTF-8") from None
        position += size
    if position != len(data):
        raise _wrong_strings(name, count)
    return array


def _wrong_strings(name: str, count: int) -> RequestError:
    return RequestError(400, f"the bytes of input {quoted(name)} are not {count} strings with their lengths")
