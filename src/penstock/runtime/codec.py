"""The wire form of inference: JSON, with tensors in it or as bytes after it, to named arrays and back."""

import math
from collections.abc import Iterable
from functools import cache
from typing import Annotated, Any

import msgspec
import numpy as np
import orjson

from penstock.runtime.binary_tensors import read_tensor, tensor_bytes
from penstock.runtime.calls import JSON_FORM, Answer, Call, Encoded, Form, InputTensor
from penstock.runtime.errors import RequestError, quoted
from penstock.runtime.tensors import MAX_RANK, NUMPY_TYPES, Array, datatype_of

_Size = Annotated[int, msgspec.Meta(ge=1)]


class _InputParameters(msgspec.Struct, frozen=True):
    binary_data_size: Annotated[int, msgspec.Meta(ge=0)] | None = None


class _Input(msgspec.Struct, frozen=True):
    name: str
    datatype: str
    shape: Annotated[tuple[_Size, ...], msgspec.Meta(min_length=1, max_length=MAX_RANK)]
    data: msgspec.Raw = msgspec.Raw()
    parameters: _InputParameters | None = None


class _OutputParameters(msgspec.Struct, frozen=True):
    binary_data: bool | None = None


class _Output(msgspec.Struct, frozen=True):
    name: str
    parameters: _OutputParameters | None = None


class _Parameters(msgspec.Struct, frozen=True):
    binary_data_output: bool = False


class _Request(msgspec.Struct, frozen=True):
    inputs: list[_Input]
    id: str | None = None
    outputs: list[_Output] | None = None
    parameters: _Parameters | None = None


_decode_request = msgspec.json.Decoder(_Request).decode


def decode_call(body: bytes, json_size: int | None = None, *, missing: bool = False) -> Call:
    """Reads a request; `json_size` is the length of its JSON part where bytes of tensors follow it.

    `missing` lets values be missing, as null in JSON and NaN in bytes: floats are then NaN, other tensors of objects
    with None. Raises `RequestError` (400) for what is no JSON, no inference request or no tensor.
    """
    try:
        request = _decode_request(body if json_size is None else body[:json_size])
        tail = None if json_size is None else _Tail(body, json_size)
        inputs = [InputTensor(item.name, item.datatype, _array(item, tail, missing)) for item in request.inputs]
    except msgspec.ValidationError as error:
        raise RequestError(400, f"the body is not an inference request: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(400, f"the body is not valid JSON: {error}") from None
    if tail is not None:
        tail.expect_end()
    outputs = [output.name for output in request.outputs] if request.outputs else None
    return Call(request.id, inputs, outputs, _form(request))


def encode_answer(answer: Answer, identifier: str, form: Form = JSON_FORM) -> Encoded:
    """The answer in the form asked for, tensors flat and row-major; raises `ValueError` if a number is not finite."""
    tensors: list[dict[str, Any]] = []
    tail: list[bytes] = []
    for name, array in answer.outputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"output {quoted(name)} holds a number that is not finite")
        tensor: dict[str, Any] = {"name": name, "datatype": datatype_of(array), "shape": array.shape}
        if form.is_binary(name):
            tail.append(tensor_bytes(array))
            tensor["parameters"] = {"binary_data_size": len(tail[-1])}
        elif tensor["datatype"] == "BYTES":
            tensor["data"] = [str(item) for item in array.ravel()]
        else:
            tensor["data"] = np.ascontiguousarray(array).ravel()
        tensors.append(tensor)
    head = orjson.dumps(
        {
            "id": identifier,
            "model_name": answer.model_name,
            "model_version": answer.model_version,
            "outputs": tensors,
        },
        option=orjson.OPT_SERIALIZE_NUMPY,
    )
    return Encoded(b"".join([head, *tail]), len(head)) if tail else Encoded(head)


class _Tail:
    """The bytes after the JSON; tensors take theirs in the order of the request."""

    def __init__(self, body: bytes, json_size: int) -> None:
        if json_size > len(body):
            raise RequestError(400, f"the JSON part has {json_size} bytes by its header, the body only {len(body)}")
        self._rest = memoryview(body)[json_size:]

    def take(self, name: str, size: int) -> memoryview:
        if size > len(self._rest):
            raise RequestError(400, f"input {quoted(name)} has {size} bytes by its parameter, the body ends before")
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def expect_end(self) -> None:
        if self._rest:
            raise RequestError(400, f"{len(self._rest)} bytes at the end of the body belong to no input")


def _form(request: _Request) -> Form:
    by_output = {
        output.name: output.parameters.binary_data
        for output in request.outputs or ()
        if output.parameters is not None and output.parameters.binary_data is not None
    }
    binary = request.parameters is not None and request.parameters.binary_data_output
    return Form(binary, by_output) if binary or by_output else JSON_FORM


def _array(item: _Input, tail: _Tail | None, missing: bool) -> Array:
    dtype = NUMPY_TYPES.get(item.datatype)
    if dtype is None:
        raise RequestError(
            400, f"input {quoted(item.name)} has datatype {quoted(item.datatype)}, known are {_join(NUMPY_TYPES)}"
        )
    raw = bytes(item.data)
    size = item.parameters.binary_data_size if item.parameters else None
    if size is not None:
        if tail is None:
            raise RequestError(400, "binary_data_size needs the header Inference-Header-Content-Length")
        if raw:
            raise RequestError(400, f"input {quoted(item.name)} has both data and binary_data_size")
        return read_tensor(item.name, item.datatype, item.shape, tail.take(item.name, size), missing=missing)
    if not raw:
        raise RequestError(400, f"input {quoted(item.name)} has neither data nor binary_data_size")
    return _json_array(item, dtype, raw, missing)


def _json_array(item: _Input, dtype: np.dtype[Any], raw: bytes, missing: bool) -> Array:
    nested = raw[1:].lstrip().startswith(b"[")
    depth = len(item.shape) if nested else 1
    try:
        if missing and b"null" in raw:
            array = _array_with_nulls(_data_decoder(dtype.kind, depth, nulls=True).decode(raw), dtype)
        else:
            array = np.array(_data_decoder(dtype.kind, depth).decode(raw), dtype=dtype)
    except (msgspec.ValidationError, OverflowError, ValueError) as error:
        # A ValueError is what numpy raises for rows of different length.
        if isinstance(error, UnicodeDecodeError) or type(error) is msgspec.DecodeError:
            raise
        raise RequestError(
            400, f"the data of input {quoted(item.name)} are not {item.datatype} of its shape: {_first_line(error)}"
        ) from None
    if (array.shape != item.shape) if nested else (array.size != math.prod(item.shape)):
        found = f"shape {list(array.shape)}" if nested else f"{array.size} elements"
        raise RequestError(
            400, f"input {quoted(item.name)} declares shape {list(item.shape)} but its data have {found}"
        )
    # The JSON decoder itself refuses what is beyond the range of FP64.
    if item.datatype == "FP32" and (np.isinf(array).any() if missing else not np.isfinite(array).all()):
        raise RequestError(400, f"input {quoted(item.name)} holds a number beyond the range of {item.datatype}")
    return array.reshape(item.shape)


def _array_with_nulls(values: list[Any], dtype: np.dtype[Any]) -> Array:
    if dtype.kind in "fO":
        return np.array(values, dtype=dtype)
    array = np.array(values, dtype=object)
    np.array([value for value in array.ravel().tolist() if value is not None], dtype=dtype)  # OverflowError beyond it
    return array


@cache
def _data_decoder(kind: str, depth: int, *, nulls: bool = False) -> msgspec.json.Decoder[Any]:
    element: Any = {"f": float, "i": int, "u": int, "b": bool, "O": str}[kind]
    if nulls:
        element = element | None
    for _ in range(depth):
        element = list[element]
    return msgspec.json.Decoder(element)


def _join(names: Iterable[str]) -> str:
    return ", ".join(names)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
