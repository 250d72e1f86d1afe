"""The JSON form of inference: bytes to named arrays and back."""

import math
from collections.abc import Iterable
from functools import cache
from typing import Annotated, Any

import msgspec
import numpy as np
import orjson

from penstock.runtime.calls import Answer, Call, InputTensor
from penstock.runtime.errors import RequestError, quoted
from penstock.runtime.tensors import MAX_RANK, NUMPY_TYPES, Array, datatype_of

_Size = Annotated[int, msgspec.Meta(ge=1)]


class _Input(msgspec.Struct, frozen=True):
    name: str
    datatype: str
    shape: Annotated[tuple[_Size, ...], msgspec.Meta(min_length=1, max_length=MAX_RANK)]
    data: msgspec.Raw = msgspec.Raw()


class _Output(msgspec.Struct, frozen=True):
    name: str


class _Request(msgspec.Struct, frozen=True):
    inputs: list[_Input]
    id: str | None = None
    outputs: list[_Output] | None = None


_decode_request = msgspec.json.Decoder(_Request).decode


def decode_call(body: bytes) -> Call:
    """Reads a request; raises `RequestError` (400) for what is no JSON, no inference request or no tensor."""
    try:
        request = _decode_request(body)
        inputs = [InputTensor(item.name, item.datatype, _array(item)) for item in request.inputs]
    except msgspec.ValidationError as error:
        raise RequestError(400, f"the body is not an inference request: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(400, f"the body is not valid JSON: {error}") from None
    outputs = [output.name for output in request.outputs] if request.outputs else None
    return Call(request.id, inputs, outputs)


def encode_answer(answer: Answer, identifier: str) -> bytes:
    """The answer as JSON, tensors flat and row-major; raises `ValueError` if a number is not finite."""
    return orjson.dumps(
        {
            "id": identifier,
            "model_name": answer.model_name,
            "model_version": answer.model_version,
            "outputs": [_tensor(name, array) for name, array in answer.outputs.items()],
        },
        option=orjson.OPT_SERIALIZE_NUMPY,
    )


def _tensor(name: str, array: Array) -> dict[str, Any]:
    datatype = datatype_of(array)
    if datatype == "BYTES":
        data: Any = [str(item) for item in array.ravel()]
    else:
        data = np.ascontiguousarray(array).ravel()
        if array.dtype.kind == "f" and not np.isfinite(data).all():
            raise ValueError(f"output {quoted(name)} holds a number that is not finite")
    return {"name": name, "datatype": datatype, "shape": array.shape, "data": data}


def _array(item: _Input) -> Array:
    dtype = NUMPY_TYPES.get(item.datatype)
    if dtype is None:
        raise RequestError(
            400, f"input {quoted(item.name)} has datatype {quoted(item.datatype)}, known are {_join(NUMPY_TYPES)}"
        )
    raw = bytes(item.data)
    if not raw:
        raise RequestError(400, f"input {quoted(item.name)} has no data; binary tensors are not supported")
    nested = raw[1:].lstrip().startswith(b"[")
    depth = len(item.shape) if nested else 1
    try:
        values = _data_decoder(dtype.kind, depth).decode(raw)
        array = np.array(values, dtype=dtype)
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
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise RequestError(400, f"input {quoted(item.name)} holds a number beyond the range of {item.datatype}")
    return array.reshape(item.shape)


@cache
def _data_decoder(kind: str, depth: int) -> msgspec.json.Decoder[Any]:
    element: Any = {"f": float, "i": int, "u": int, "b": bool, "O": str}[kind]
    for _ in range(depth):
        element = list[element]
    return msgspec.json.Decoder(element)


def _join(names: Iterable[str]) -> str:
    return ", ".join(names)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
