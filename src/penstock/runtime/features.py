"""The seam to `penstock.features`: requests in terms of a FeatureSet's features, to what the loaded model takes."""

from collections.abc import Iterable
from pathlib import Path

from penstock.api.v1alpha1.featureset import FeatureType
from penstock.domain.features.schema import FeatureSchema
from penstock.features.encoders import Encoder, IntEncoder, TextEncoder
from penstock.features.errors import FeatureError
from penstock.features.request import DATATYPES, RequestCheck
from penstock.features.schema_file import read_schema
from penstock.features.transform import Transform, as_matrix, exact
from penstock.runtime.calls import Call, InputTensor
from penstock.runtime.codec import decode_call
from penstock.runtime.errors import LoadError, RequestError
from penstock.runtime.tensors import NUMPY_TYPES, TensorSpec

_WHOLE_SIZES = {"INT16": 15, "INT32": 31, "INT64": 63, "UINT16": 16, "UINT32": 32, "UINT64": 64}


class FeatureInputs:
    """A schema bound to one model: checks calls and gives them the model's own inputs."""

    def __init__(self, schema: FeatureSchema, inputs: tuple[TensorSpec, ...], *, takes_missing_texts: bool) -> None:
        """`takes_missing_texts`: whether the model may be given None for a text.

        Raises `LoadError`: InvalidConfiguration for a schema that contradicts itself, SchemaMismatch where the model
        takes other inputs than the features are.
        """
        by_name = {spec.name: spec for spec in inputs}
        self._matrix = _matrix_of(schema, inputs)
        coded = {spec.name for spec in inputs if spec.datatype != "BYTES"}
        try:
            transform = Transform(schema, codes=True if self._matrix else coded)
        except FeatureError as error:
            raise LoadError("InvalidConfiguration", f"The feature schema is wrong: {error}.") from None
        if self._matrix is not None and self._matrix.shape[1] not in (-1, len(schema.features)):
            raise _mismatch(f"it takes {inputs[0].shape[1]} columns, there are {len(schema.features)} features")
        if self._matrix is None and set(by_name) != set(schema.names):
            raise _mismatch(f"it takes {_listed(by_name)}, the features are {_listed(schema.names)}")
        self._targets = {name: (self._matrix or by_name[name]).datatype for name in schema.names}
        for name, encoder in transform.encoders.items():
            _check_fit(encoder, self._targets[name], takes_missing_texts)
        self._check = RequestCheck(transform)
        self.specs = tuple(TensorSpec(spec.name, DATATYPES[spec.type], (-1, 1)) for spec in schema.features)

    def decode(self, body: bytes, json_size: int | None = None) -> Call:
        """Like `decode_call`, and raises `RequestError` (400) naming the feature that does not fit."""
        return self.applied(decode_call(body, json_size, missing=True))

    def applied(self, call: Call) -> Call:
        """Returns the call with the model's inputs in place of the features."""
        try:
            columns = self._check.columns(call.inputs)
            if self._matrix is not None:
                datatype = self._matrix.datatype
                inputs = [InputTensor(self._matrix.name, datatype, as_matrix(columns, NUMPY_TYPES[datatype]))]
            else:
                targets = self._targets
                inputs = [
                    InputTensor(name, targets[name], exact(name, values, NUMPY_TYPES[targets[name]]))
                    for name, values in columns.items()
                ]
        except FeatureError as error:
            raise RequestError(400, str(error)) from None
        return Call(call.identifier, inputs, call.outputs, call.form)


def feature_inputs(file: Path, inputs: tuple[TensorSpec, ...], model_format: str) -> FeatureInputs:
    """Reads the schema and binds it to the model's inputs; raises `LoadError`."""
    try:
        schema = read_schema(file)
    except ValueError as error:
        raise LoadError("InvalidConfiguration", str(error)) from None
    # onnxruntime has no missing text.
    return FeatureInputs(schema, inputs, takes_missing_texts=model_format != "ONNX")


def _matrix_of(schema: FeatureSchema, inputs: tuple[TensorSpec, ...]) -> TensorSpec | None:
    if len(inputs) != 1 or len(inputs[0].shape) != 2 or inputs[0].name in schema.names:
        return None
    return inputs[0]


def _check_fit(encoder: Encoder, datatype: str, takes_missing_texts: bool) -> None:
    found, target = encoder.dtype, NUMPY_TYPES[datatype]
    kind = encoder.spec.type
    if found == target:
        if found.kind == "O" and encoder.may_be_missing and not takes_missing_texts:
            raise _misfit(
                encoder, datatype, "a text that is missing cannot be given to an ONNX graph: give it a default"
            )
        return
    if found.kind == "O":
        raise _misfit(encoder, datatype, "without categories it has no code: declare them, or let the model take BYTES")
    if target.kind == "O":
        raise _misfit(encoder, datatype, "only features of type String are texts")
    if target.kind == "f":
        if found.itemsize <= target.itemsize or found.kind in "bi" or kind is FeatureType.BOOLEAN:
            return
        raise _misfit(encoder, datatype, "it would lose digits: export the model with FP64, or declare it Float32")
    if found.kind == "f":
        why = "it may be missing: give it a default, or let" if encoder.may_be_missing else "it has fractions: let"
        raise _misfit(encoder, datatype, f"{why} the model take FP64")
    if found.kind == "b" and target.kind in "iu":
        return
    if found.kind == "i" and datatype in _WHOLE_SIZES:
        low, high = _bounds(encoder)
        signed = datatype.startswith("I")
        if high < 2 ** _WHOLE_SIZES[datatype] and low >= (-(2 ** _WHOLE_SIZES[datatype]) if signed else 0):
            return
    raise _misfit(encoder, datatype, "let the model take INT64")


def _bounds(encoder: Encoder) -> tuple[int, int]:
    if isinstance(encoder, TextEncoder):
        return (-1 if encoder.may_be_missing else 0), len(encoder.spec.categories)
    if isinstance(encoder, IntEncoder):
        return encoder.bounds
    return -(2**63), 2**63 - 1


def _misfit(encoder: Encoder, datatype: str, why: str) -> LoadError:
    return _mismatch(f"it takes the feature '{encoder.name}' ({encoder.spec.type}) as {datatype}; {why}")


def _mismatch(why: str) -> LoadError:
    return LoadError("SchemaMismatch", f"The model does not fit the FeatureSet: {why}.")


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    return ", ".join(found[:20]) + (f" and {len(found) - 20} more" if len(found) > 20 else "")
