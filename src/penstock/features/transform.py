"""The one code that makes a model's inputs of columns, by the FeatureSet's schema: in training and in serving."""

from collections.abc import Container, Mapping
from typing import Any

import numpy as np

from penstock.domain.features.schema import FeatureSchema, FeatureSpec
from penstock.features.columns import Array, Mask, as_column
from penstock.features.encoders import EXACT_IN_FLOAT64, Encoder, encoder_of
from penstock.features.errors import FeatureError


class Transform:
    """A schema, ready to be applied; keep it, building one costs more than applying it."""

    def __init__(self, schema: FeatureSchema, *, codes: bool | Container[str] = True) -> None:
        """`codes`: whether categories become int64 codes in their declared order, else texts; or which features' do.

        Raises FeatureError for a schema that contradicts itself.
        """
        self.schema = schema
        self.encoders: dict[str, Encoder] = {
            spec.name: encoder_of(spec, codes=codes if isinstance(codes, bool) else spec.name in codes)
            for spec in schema.features
        }
        if len(self.encoders) != len(schema.features):
            names = list(schema.names)
            twice = next(name for name in names if names.count(name) > 1)
            raise FeatureError(twice, "is in the schema twice: every feature needs a name of its own")

    def apply(self, columns: Mapping[str, Any]) -> dict[str, Array]:
        """Return one array [n] per feature in the schema's order; columns that are no features are left out.

        A column is a list, a numpy array, or a Series of pandas or Polars. Raises FeatureError.
        """
        read = {name: _read(name, columns[name]) for name in self.encoders if name in columns}
        return self.encode(read)

    def encode(self, columns: Mapping[str, tuple[Array, Mask | None]]) -> dict[str, Array]:
        """Like `apply`, of columns that `as_column` has read; all have as many rows as the first."""
        if not columns:
            raise FeatureError(next(iter(self.encoders)), "is missing, as is every other feature: give their values")
        first, (values, _) = next(iter(columns.items()))
        rows = len(values)
        result = {}
        for name, encoder in self.encoders.items():
            column = columns.get(name)
            if column is None:
                result[name] = encoder.absent(rows)
                continue
            if len(column[0]) != rows:
                raise FeatureError(name, f"has {len(column[0])} rows, {first!r} has {rows}: give every feature as many")
            result[name] = encoder.encode(*column)
        return result


def transform(columns: Mapping[str, Any], schema: FeatureSchema, *, codes: bool = True) -> dict[str, Array]:
    """Apply a schema once; see `Transform`."""
    return Transform(schema, codes=codes).apply(columns)


def as_matrix(columns: Mapping[str, Array], dtype: Any = np.float64) -> Array:
    """Return the columns side by side, [n, features]; raises FeatureError for what the dtype cannot hold exactly."""
    target = np.dtype(dtype)
    matrix = np.empty((len(next(iter(columns.values()))), len(columns)), dtype=target)
    for index, (name, values) in enumerate(columns.items()):
        matrix[:, index] = exact(name, values, target)
    return matrix


def exact(name: str, values: Array, target: np.dtype[Any]) -> Array:
    """Return the values in another dtype; raises FeatureError where they would not be the same numbers."""
    if values.dtype == target:
        return values
    if values.dtype.kind not in "bif":
        raise FeatureError(name, "has texts, which are no numbers: declare its categories, or take a table")
    if values.dtype == np.float64 and target == np.float32:
        rounded = values.astype(target)
        if not np.array_equal(rounded, values, equal_nan=True):
            raise FeatureError(name, "would lose digits as float32: declare it as Float32")
        return rounded
    most = EXACT_IN_FLOAT64 if target == np.float64 else 2**24
    if values.dtype == np.int64 and target.kind == "f" and values.size and max(values.max(), -values.min()) > most:
        raise FeatureError(name, f"has whole numbers beyond {most}, which {target} cannot hold exactly")
    return values.astype(target)


def label_of(spec: FeatureSpec, values: Any) -> Array:
    """Return a label's values [n] as their own type; raises FeatureError."""
    return encoder_of(spec, codes=False).encode(*_read(spec.name, values))


def _read(name: str, values: Any) -> tuple[Array, Mask | None]:
    try:
        return as_column(values)
    except ValueError as error:
        raise FeatureError(name, str(error)) from None
