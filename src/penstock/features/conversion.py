"""From a column as it lies in a file to values of a feature's type: an expression, and which rows are wrong."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from penstock.api.v1alpha1.featureset import FeatureType

MOMENT = pl.Datetime("us", "UTC")
TYPES: dict[FeatureType, pl.DataType] = {
    FeatureType.FLOAT64: pl.Float64(),
    FeatureType.FLOAT32: pl.Float32(),
    FeatureType.INT64: pl.Int64(),
    FeatureType.BOOLEAN: pl.Boolean(),
    FeatureType.STRING: pl.String(),
    FeatureType.TIMESTAMP: MOMENT,
}
_LARGEST_WHOLE = 2.0**53
_TRUE, _FALSE = ("true", "1"), ("false", "0")
_MOMENT_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d")


@dataclass(frozen=True, slots=True)
class Conversion:
    """`value`: the column in the feature's type, null where there is none. `wrong`: rows that hold something else."""

    value: pl.Expr
    wrong: pl.Expr


def accepts(kind: FeatureType, found: pl.DataType, *, text: bool) -> bool:
    """Whether a column of this type can be the feature's; `text`: a CSV file, in which everything is text."""
    if found == pl.Null or text:
        return True
    if kind in (FeatureType.FLOAT64, FeatureType.FLOAT32, FeatureType.INT64):
        return found.is_numeric()
    if kind == FeatureType.STRING:
        return found in (pl.String, pl.Categorical) or isinstance(found, pl.Enum)
    if kind == FeatureType.BOOLEAN:
        return found == pl.Boolean
    return found == pl.Date or isinstance(found, pl.Datetime)


def convert(name: str, kind: FeatureType, found: pl.DataType | None, *, text: bool) -> Conversion:
    """The conversion of a column of type `found`; of a type that cannot be the feature's every value is wrong.

    None: the file has no such column; all values are missing and none is wrong. `text`: a CSV file, in which
    everything is text. Whole numbers may lie in a column of floats, as pandas writes them where values are missing.
    Times without a zone are UTC.
    """
    target = TYPES[kind]
    if found is None:
        return Conversion(pl.lit(None, target), pl.lit(False))
    column = pl.col(name)
    if text and kind != FeatureType.STRING:
        value = _from_text(column, kind)
    elif not accepts(kind, found, text=False):
        value = pl.lit(None, target)
    elif kind == FeatureType.INT64 and (found.is_float() or found.is_decimal()):
        value = _whole(column.cast(pl.Float64))
    elif kind == FeatureType.TIMESTAMP and isinstance(found, pl.Datetime) and found.time_zone is not None:
        value = column.dt.convert_time_zone("UTC").cast(target)
    elif kind == FeatureType.TIMESTAMP:
        value = column.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    else:
        value = column.cast(target, strict=False)
    return Conversion(value, column.is_not_null() & value.is_null())


def _from_text(column: pl.Expr, kind: FeatureType) -> pl.Expr:
    text = column.str.strip_chars()
    if kind == FeatureType.INT64:
        return pl.coalesce(text.cast(pl.Int64, strict=False), _whole(text.cast(pl.Float64, strict=False)))
    if kind == FeatureType.BOOLEAN:
        lower = text.str.to_lowercase()
        return pl.when(lower.is_in(_TRUE)).then(True).when(lower.is_in(_FALSE)).then(False)
    if kind == FeatureType.TIMESTAMP:
        return _moment(text)
    return text.cast(TYPES[kind], strict=False)


def _whole(number: pl.Expr) -> pl.Expr:
    fits = (number == number.floor()) & (number.abs() <= _LARGEST_WHOLE)
    return pl.when(fits).then(number).cast(pl.Int64, strict=False)


def _moment(text: pl.Expr) -> pl.Expr:
    """ISO 8601 with T or a space; without a zone it is UTC."""
    text = text.str.replace(" ", "T", literal=True).str.replace("[Zz]$", "+00:00")
    zoned = text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%:z", time_unit="us", strict=False).dt.convert_time_zone("UTC")
    plain = [text.str.to_datetime(form, time_unit="us", strict=False) for form in _MOMENT_FORMATS[:2]]
    day = text.str.to_date(_MOMENT_FORMATS[2], strict=False).cast(pl.Datetime("us"))
    return pl.coalesce(zoned, *(moment.dt.replace_time_zone("UTC") for moment in (*plain, day)))
