"""`metadata.json` beside a model: its inputs and outputs in the shape of the protocol's model metadata."""

from pathlib import Path

import msgspec

from penstock.runtime.errors import LoadError
from penstock.runtime.tensors import MAX_RANK, NUMPY_TYPES, TensorSpec

FILE_NAME = "metadata.json"
_MAX_BYTES = 4 << 20


class _Tensor(msgspec.Struct, frozen=True):
    name: str
    datatype: str
    shape: tuple[int, ...]


class _Parameters(msgspec.Struct, frozen=True):
    example: msgspec.Raw = msgspec.Raw()


class _Document(msgspec.Struct, frozen=True):
    inputs: list[_Tensor] = []
    outputs: list[_Tensor] = []
    parameters: _Parameters = _Parameters()


class Metadata(msgspec.Struct, frozen=True):
    """What the artifact says about its model; empty where it says nothing.

    `example` is a whole inference request as JSON: a real row, which proves more than zeros do.
    """

    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    example: bytes | None = None


def read_metadata(directory: Path) -> Metadata:
    """Reads the file, empty metadata if there is none; raises `LoadError` if it is wrong."""
    file = directory / FILE_NAME
    if not file.exists():
        return Metadata()
    if file.stat().st_size > _MAX_BYTES:
        raise LoadError("LoadFailed", f"{FILE_NAME} is larger than {_MAX_BYTES} bytes.")
    try:
        document = msgspec.json.decode(file.read_bytes(), type=_Document)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise LoadError("LoadFailed", f"{FILE_NAME} is not valid: {error}.") from None
    example = document.parameters.example
    return Metadata(
        _specs(document.inputs, "input"),
        _specs(document.outputs, "output"),
        bytes(example) or None,
    )


def _specs(tensors: list[_Tensor], kind: str) -> tuple[TensorSpec, ...]:
    names = [tensor.name for tensor in tensors]
    if len(set(names)) != len(names) or "" in names:
        raise LoadError("LoadFailed", f"{FILE_NAME}: every {kind} needs a name of its own.")
    for tensor in tensors:
        if tensor.datatype not in NUMPY_TYPES:
            raise LoadError(
                "LoadFailed",
                f"{FILE_NAME}: {kind} '{tensor.name}' has datatype '{tensor.datatype}', "
                f"possible are {', '.join(NUMPY_TYPES)}.",
            )
        if not 1 <= len(tensor.shape) <= MAX_RANK or any(size != -1 and size < 1 for size in tensor.shape):
            raise LoadError(
                "LoadFailed",
                f"{FILE_NAME}: the shape of {kind} '{tensor.name}' must hold 1 to {MAX_RANK} sizes, -1 or more than 0.",
            )
    return tuple(TensorSpec(tensor.name, tensor.datatype, tensor.shape) for tensor in tensors)
