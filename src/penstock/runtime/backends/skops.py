"""scikit-learn models from skops files."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import skops.io
from sklearn.base import is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from skops.io.exceptions import UntrustedTypesFoundException

from penstock.runtime.backends import Backend
from penstock.runtime.backends.tree_bounds import check_trees, estimators_of
from penstock.runtime.backends.trusted_types import TRUSTED_TYPES
from penstock.runtime.errors import LoadError, RequestError
from penstock.runtime.metadata import Metadata
from penstock.runtime.tensors import NUMPY_TYPES, Array, TensorSpec, datatype_of

LABEL, PROBABILITIES, PREDICTION = "label", "probabilities", "prediction"
MATRIX = "input"
_log = logging.getLogger(__name__)


class SkopsBackend:
    """An estimator: a classifier answers `label` and `probabilities`, everything else `prediction`."""

    # predict and predict_proba of scikit-learn take samples, one row each.
    is_row_wise = True

    def __init__(self, model: Any, metadata: Metadata) -> None:
        self._model = model
        self._features = [str(name) for name in getattr(model, "feature_names_in_", ())]
        self.inputs = _inputs(model, self._features, metadata)
        self._is_matrix = len(self.inputs) == 1 and len(self.inputs[0].shape) == 2 and self.inputs[0].shape[1] != 1
        _check_columns(self.inputs, self._features, self._is_matrix, getattr(model, "n_features_in_", None))
        self.outputs = _outputs(model)
        if metadata.outputs and {(s.name, s.datatype) for s in metadata.outputs} != {
            (s.name, s.datatype) for s in self.outputs
        }:
            found = ", ".join(f"{spec.name} {spec.datatype}" for spec in self.outputs)
            raise LoadError("SchemaMismatch", f"The outputs in metadata.json are not those of the model: {found}.")
        has_steps = type(model) is Pipeline and len(model.steps) > 1
        self._first_steps: Any = model[:-1] if has_steps else None
        self._last_step: Any = model[-1] if has_steps else None
        self._needs_frame = bool(self._features) and not _forget_names(model, self.inputs)

    def predict(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        """Calls predict and predict_proba as far as their outputs are asked for; see `Backend.predict`."""
        table = self._table(inputs)
        if len(outputs) == 1 or self._last_step is None:
            return {name: self._output(self._model, name, table) for name in outputs}
        # What Pipeline.predict and Pipeline.predict_proba both begin with, once.
        table = self._first_steps.transform(table)
        return {name: self._output(self._last_step, name, table) for name in outputs}

    def _output(self, model: Any, name: str, table: Any) -> Array:
        if name == PROBABILITIES:
            return np.asarray(model.predict_proba(table))
        values = np.asarray(model.predict(table))
        return values.astype(NUMPY_TYPES[self.outputs[0].datatype], copy=False) if name == PREDICTION else values

    def _table(self, inputs: Mapping[str, Array]) -> Any:
        if self._is_matrix:
            matrix = inputs[self.inputs[0].name]
            return pd.DataFrame(matrix, columns=self._features) if self._needs_frame else matrix
        columns = {spec.name: inputs[spec.name].reshape(-1) for spec in self.inputs}
        if len({len(column) for column in columns.values()}) > 1:
            raise RequestError(400, "the inputs must all have the same number of rows")
        if self._needs_frame:
            return pd.DataFrame({name: columns[name] for name in self._features})
        return np.column_stack([columns[name] for name in self._features] if self._features else list(columns.values()))


def load(file: Path, metadata: Metadata) -> Backend:
    """Loads an estimator of allow-listed types; raises `LoadError` (UnsafeFormat for any other type)."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = skops.io.load(file, trusted=list(TRUSTED_TYPES))
    except UntrustedTypesFoundException as error:
        # The exception's first line lists the types; the rest is advice to trust them.
        raise LoadError("UnsafeFormat", f"{file.name} is refused: {str(error).splitlines()[0][:600]}") from None
    except Exception as error:  # a damaged file fails in the zip, JSON, numpy or scikit-learn
        raise LoadError("LoadFailed", f"{file.name} cannot be loaded: {_first_line(error)}.") from error
    # Mostly: the file was written by another version of scikit-learn.
    for message in sorted({_first_line(warning.message) for warning in caught}):
        _log.warning("%s: %s", file.name, message)
    check_trees(model)
    if not hasattr(model, "predict"):
        raise LoadError("LoadFailed", f"{file.name} holds a {type(model).__name__}, which cannot predict.")
    _use_one_thread(model)
    return SkopsBackend(model, metadata)


def _inputs(model: Any, features: list[str], metadata: Metadata) -> tuple[TensorSpec, ...]:
    if metadata.inputs:
        return metadata.inputs
    if features:
        return tuple(TensorSpec(name, "FP64", (-1, 1)) for name in features)
    count = getattr(model, "n_features_in_", None)
    if count is None:
        raise LoadError("LoadFailed", "The model does not say what its inputs are: add a metadata.json.")
    return (TensorSpec(MATRIX, "FP64", (-1, int(count))),)


def _check_columns(inputs: tuple[TensorSpec, ...], features: list[str], is_matrix: bool, count: int | None) -> None:
    if is_matrix:
        if count is not None and inputs[0].shape[1] != count:
            raise LoadError(
                "SchemaMismatch", f"The model has {count} features, metadata.json gives {inputs[0].shape[1]}."
            )
        return
    for spec in inputs:
        if spec.shape not in ((-1,), (-1, 1)):
            raise LoadError("SchemaMismatch", f"metadata.json: the column '{spec.name}' must have the shape [-1, 1].")
    names = [spec.name for spec in inputs]
    if (features and sorted(names) != sorted(features)) or (count is not None and len(names) != count):
        expected = ", ".join(features) if features else f"{count} columns"
        raise LoadError("SchemaMismatch", f"metadata.json does not name the columns of the model: {expected}.")


def _outputs(model: Any) -> tuple[TensorSpec, ...]:
    classes = getattr(model, "classes_", None)
    if classes is None:
        # Clusterers and outlier detectors answer whole numbers.
        return (TensorSpec(PREDICTION, "FP64" if is_regressor(model) else "INT64", (-1,)),)
    if not isinstance(classes, np.ndarray):
        raise LoadError("LoadFailed", "Classifiers with more than one output cannot be served.")
    label = TensorSpec(LABEL, datatype_of(classes), (-1,))
    if not hasattr(model, "predict_proba"):
        return (label,)
    return (label, TensorSpec(PROBABILITIES, "FP64", (-1, len(classes))))


def _forget_names(model: Any, inputs: tuple[TensorSpec, ...]) -> bool:
    """Makes a model of plain numbers take arrays, if none of its parts asks for columns by name.

    Building a DataFrame and comparing its names costs more than most predictions; without the names of the training
    scikit-learn does neither, nor warns.
    """
    datatypes = {spec.datatype for spec in inputs}
    # What a DataFrame of these becomes inside scikit-learn is what numpy makes of them too.
    is_plain = datatypes <= {"FP64", "INT64", "INT32"} and (len(datatypes) == 1 or "FP64" in datatypes)
    parts = list(estimators_of(model))
    if not is_plain or any(
        isinstance(part, ColumnTransformer | FunctionTransformer) or hasattr(part, "_sklearn_output_config")
        for part in parts
    ):
        return False
    for part in parts:
        vars(part).pop("feature_names_in_", None)
    return True


def _use_one_thread(model: Any) -> None:
    """Requests run beside each other already; worker pools inside one prediction only add latency."""
    names = [name for name in model.get_params() if name == "n_jobs" or name.endswith("__n_jobs")]
    model.set_params(**dict.fromkeys(names, 1))


def _first_line(error: Exception | str) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
