"""What becomes of the values of one feature: one encoder per type, each with its checks and its output's dtype."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NoReturn

import numpy as np

from penstock.api.v1alpha1.featureset import FeatureType
from penstock.domain.features.schema import FeatureSpec
from penstock.features.columns import Array, Mask, is_missing
from penstock.features.errors import FeatureError

EXACT_IN_FLOAT64 = 2**53
"""Whole numbers up to here are exact as float64."""
MISSING_CODE = -1
"""The code of a missing category."""
_INT64 = np.iinfo(np.int64)
_MICROSECONDS = np.dtype("datetime64[us]")


class Encoder:
    """One feature: `encode` checks values and gives the model's; missing ones become the default, else NaN, -1 or None.

    `dtype` is that of the result, whatever the data: whole numbers, booleans and timestamps that may still be missing
    are float64, because only there is room for NaN.
    """

    def __init__(self, spec: FeatureSpec, dtype: np.dtype[Any], missing: Any) -> None:
        self.spec, self.name, self.dtype = spec, spec.name, dtype
        self.has_default = spec.default is not None
        self.may_be_missing = spec.nullable and not self.has_default
        self._missing = self.default() if self.has_default else missing
        filler = np.array([self._missing if self.has_default else 0], dtype=dtype)
        if self.has_default and dtype.kind == "f" and not np.isfinite(filler).all():
            raise FeatureError(self.name, f"has the default {spec.default}, which is too large for {spec.type}")
        self._filler = filler

    def default(self) -> Any:
        """Return the default as a value of the result; raises FeatureError if it is none of the feature's type."""
        raise NotImplementedError

    def encode(self, values: Array, missing: Mask | None) -> Array:
        """Return the model's values, shape [n]; raises FeatureError."""
        raise NotImplementedError

    def absent(self, rows: int) -> Array:
        """Return what stands for a column that is not there at all; raises FeatureError without a default."""
        if not self.has_default:
            null = ", with null where its value is not known" if self.spec.nullable else ""
            raise FeatureError(self.name, f"is missing: give its values ({self.spec.type}){null}")
        return np.repeat(self._filler, rows)

    def _fill(self, values: Array, missing: Mask) -> Array:
        """Put the default, or what stands for a missing value, where it belongs; always a copy."""
        if not (self.has_default or self.spec.nullable):
            self.refuse(values, missing, "is null", "it is not nullable and has no default: give a value")
        filled = values.astype(self.dtype)
        filled[missing] = self._missing
        return filled

    def refuse(self, values: Array, wrong: Mask, what: str, right: str) -> NoReturn:
        """Raise FeatureError for the first wrong row; `what` may name its value as {}."""
        row = int(np.argmax(wrong))
        value = values[row].item() if isinstance(values[row], np.generic) else values[row]
        shown = what.replace("{}", repr(value)[:100])
        raise FeatureError(self.name, shown, right, row, is_only_row=len(values) == 1)

    def wrong_type(self, found: object) -> NoReturn:
        """Raise FeatureError for values of another type."""
        raise FeatureError(self.name, f"has values of type {found}: {_WANTED[self.spec.type]}")

    def _items(
        self, values: Array, missing: Mask | None, read: Callable[[Any], Any], filler: Any
    ) -> tuple[list[Any], Mask]:
        """Read objects one by one; `read` returns None for one of another type."""
        items = values.tolist()
        absent = np.fromiter(map(is_missing, items), dtype=np.bool_, count=len(items))
        if missing is not None:
            absent |= missing
        result = [filler if gone else read(item) for item, gone in zip(items, absent.tolist(), strict=True)]
        if None in result:
            self.refuse(values, np.arange(len(items)) == result.index(None), "is {}", _WANTED[self.spec.type])
        return result, absent


class FloatEncoder(Encoder):
    """Float64 and Float32: finite, within minimum and maximum; NaN is a missing value."""

    def __init__(self, spec: FeatureSpec) -> None:
        self._type: Any = np.float32 if spec.type is FeatureType.FLOAT32 else np.float64
        super().__init__(spec, np.dtype(self._type), math.nan)
        # The largest finite number stands for no bound: infinity is then out of range.
        largest = float(np.finfo(self._type).max)
        self._low = -largest if spec.minimum is None else self._number(spec.minimum)
        self._high = largest if spec.maximum is None else self._number(spec.maximum)

    def _number(self, text: str) -> float:
        return float(self._type(text))

    def default(self) -> float:
        """See Encoder."""
        with np.errstate(over="ignore"):
            return self._number(str(self.spec.default))

    def encode(self, values: Array, missing: Mask | None) -> Array:
        """See Encoder."""
        if values.dtype != self.dtype:
            values, missing = self._floats(values, missing)
        if missing is not None and missing.any():
            values = values.copy()
            values[missing] = math.nan
        if values.size == 1:
            low = high = values.item()
        elif values.size:
            low, high = values.min(), values.max()
        else:
            return values
        if low != low:  # noqa: PLR0124 - NaN, which min() hands on
            absent = np.isnan(values)
            present = values[~absent]
            if present.size and not (self._low <= present.min() and present.max() <= self._high):
                self._refuse_range(values)
            return self._fill(values, absent)
        if not (self._low <= low and high <= self._high):
            self._refuse_range(values)
        return values

    def _refuse_range(self, values: Array) -> NoReturn:
        if (infinite := np.isinf(values)).any():
            self.refuse(values, infinite, "is infinite or too large", f"give a finite number of type {self.spec.type}")
        if (below := values < self._low).any():
            self.refuse(values, below, "is {}", f"its minimum is {self.spec.minimum}")
        self.refuse(values, values > self._high, "is {}", f"its maximum is {self.spec.maximum}")

    def _floats(self, values: Array, missing: Mask | None) -> tuple[Array, Mask | None]:
        kind = values.dtype.kind
        if kind == "O":
            numbers, missing = self._items(values, missing, _as_float, 0.0)
            values = np.array(numbers, dtype=np.float64)
        elif kind not in "iuf":
            self.wrong_type(values.dtype)
        with np.errstate(over="ignore", invalid="ignore"):
            return values.astype(self.dtype), missing


class IntEncoder(Encoder):
    """Int64: whole numbers within minimum and maximum; floats that are whole are taken, NaN is a missing value."""

    def __init__(self, spec: FeatureSpec) -> None:
        may_be_missing = spec.nullable and spec.default is None
        super().__init__(spec, np.dtype(np.float64 if may_be_missing else np.int64), math.nan)
        widest = EXACT_IN_FLOAT64 if may_be_missing else _INT64.max
        least = -widest if may_be_missing else _INT64.min
        self._low = least if spec.minimum is None else max(least, math.ceil(Decimal(spec.minimum)))
        self._high = widest if spec.maximum is None else min(widest, math.floor(Decimal(spec.maximum)))

    @property
    def bounds(self) -> tuple[int, int]:
        """The smallest and the largest value."""
        return self._low, self._high

    def default(self) -> int:
        """See Encoder."""
        try:
            value = int(str(self.spec.default))
        except ValueError:
            raise FeatureError(self.name, f"has the default {self.spec.default!r}, which is no whole number") from None
        if not _INT64.min <= value <= _INT64.max:
            raise FeatureError(self.name, f"has the default {value}, which is too large for Int64")
        return value

    def encode(self, values: Array, missing: Mask | None) -> Array:
        """See Encoder."""
        if values.dtype != np.int64:
            values, missing = self._whole(values, missing)
        if missing is not None and missing.any():
            self._check(values, ~missing)
            return self._fill(values, missing)
        self._check(values, None)
        return values.astype(self.dtype, copy=False)

    def _check(self, values: Array, present: Mask | None) -> None:
        given = values if present is None else values[present]
        if given.size == 1:
            low = high = given.item()
        elif given.size:
            low, high = given.min(), given.max()
        else:
            return
        if low < self._low:
            wrong = values < self._low
            right = f"its minimum is {self.spec.minimum or self._low}"
            self.refuse(values, wrong if present is None else wrong & present, "is {}", right)
        if high > self._high:
            wrong = values > self._high
            right = f"its maximum is {self.spec.maximum or self._high}"
            self.refuse(values, wrong if present is None else wrong & present, "is {}", right)

    def _whole(self, values: Array, missing: Mask | None) -> tuple[Array, Mask | None]:
        kind = values.dtype.kind
        if kind == "O":
            numbers, missing = self._items(values, missing, _as_whole, 0)
            for row, number in enumerate(numbers):
                if not _INT64.min <= number <= _INT64.max:
                    wrong = np.arange(len(numbers)) == row
                    self.refuse(values, wrong, "is {}", "that is more than Int64 holds")
            return np.array(numbers, dtype=np.int64), missing
        if kind == "u":
            if values.size and int(values.max()) > self._high:
                self.refuse(values, values > self._high, "is {}", f"its maximum is {self.spec.maximum or self._high}")
        elif kind == "f":
            absent = np.isnan(values)
            missing = absent if missing is None else missing | absent
            values = np.where(missing, 0, values)
            # A float at 2**63 and beyond has no int64.
            wrong = (np.floor(values) != values) | (np.abs(values) >= 2.0**63)
            if wrong.any():
                self.refuse(values, wrong, "is {}", "give whole numbers (Int64)")
        elif kind != "i":
            self.wrong_type(values.dtype)
        return values.astype(np.int64), missing


class BooleanEncoder(Encoder):
    """Boolean: true and false, as bool; float64 if it may be missing."""

    def __init__(self, spec: FeatureSpec) -> None:
        may_be_missing = spec.nullable and spec.default is None
        super().__init__(spec, np.dtype(np.float64 if may_be_missing else np.bool_), math.nan)

    def default(self) -> bool:
        """See Encoder."""
        if self.spec.default not in ("true", "false"):
            raise FeatureError(self.name, f"has the default {self.spec.default!r}: it is true or false")
        return self.spec.default == "true"

    def encode(self, values: Array, missing: Mask | None) -> Array:
        """See Encoder."""
        if values.dtype.kind == "O":
            items, missing = self._items(values, missing, _as_bool, False)
            values = np.array(items, dtype=np.bool_)
        elif values.dtype.kind != "b":
            self.wrong_type(values.dtype)
        if missing is not None and missing.any():
            return self._fill(values, missing)
        return values.astype(self.dtype, copy=False)


class TextEncoder(Encoder):
    """String: codes of the categories in their declared order (int64, missing -1), or the texts themselves (object)."""

    def __init__(self, spec: FeatureSpec, *, codes: bool) -> None:
        self.gives_codes = codes and bool(spec.categories)
        self._codes: dict[Any, Any] = {
            name: code if self.gives_codes else name for code, name in enumerate(spec.categories)
        }
        dtype = np.dtype(np.int64 if self.gives_codes else object)
        super().__init__(spec, dtype, MISSING_CODE if self.gives_codes else None)

    def default(self) -> Any:
        """See Encoder."""
        if self._codes and self.spec.default not in self._codes:
            raise FeatureError(self.name, f"has the default {self.spec.default!r}, which is not one of its categories")
        return self._codes[self.spec.default] if self._codes else self.spec.default

    def encode(self, values: Array, missing: Mask | None) -> Array:
        """See Encoder."""
        if values.dtype.kind != "O":
            if values.size == 0:
                return values.astype(self.dtype)
            if values.dtype.kind == "f" and np.isnan(values).all():  # a column without any text, as pandas reads it
                return self._fill(np.zeros(len(values), dtype=np.int64), np.ones(len(values), dtype=np.bool_))
            self.wrong_type(values.dtype)
        items = values.tolist()
        if missing is None:
            try:
                if self._codes:
                    return self._array([self._codes[item] for item in items])
                if all(type(item) is str for item in items):
                    return values
            except (KeyError, TypeError):
                pass
        texts, absent = self._items(values, missing, _as_text, "")
        if self._codes:
            wrong = np.array([text not in self._codes for text in texts], dtype=np.bool_) & ~absent
            if wrong.any():
                self.refuse(values, wrong, "is {}", f"its categories are {_shown(self.spec.categories)}")
            texts = [self._codes.get(text, MISSING_CODE) for text in texts]
        array = self._array(texts)
        return self._fill(array, absent) if absent.any() else array

    def _array(self, items: list[Any]) -> Array:
        array = np.empty(len(items), dtype=self.dtype)
        array[:] = items
        return array


class TimestampEncoder(Encoder):
    """Timestamp: microseconds since 1970 in UTC, int64 (float64 if it may be missing). No offset means UTC."""

    def __init__(self, spec: FeatureSpec) -> None:
        may_be_missing = spec.nullable and spec.default is None
        super().__init__(spec, np.dtype(np.float64 if may_be_missing else np.int64), math.nan)

    def default(self) -> Any:
        """See Encoder."""
        raise FeatureError(self.name, "has a default: a feature of type Timestamp has none")

    def encode(self, values: Array, missing: Mask | None) -> Array:
        """See Encoder."""
        if values.dtype.kind == "O":
            moments, missing = self._items(values, missing, _as_microseconds, 0)
            microseconds = np.array(moments, dtype=np.int64)
        elif values.dtype.kind == "M":
            absent = np.isnat(values)
            missing = absent if missing is None else missing | absent
            microseconds = values.astype(_MICROSECONDS).astype(np.int64)
        else:
            self.wrong_type(values.dtype)
        if missing.any():
            return self._fill(microseconds, missing)
        return microseconds.astype(self.dtype, copy=False)


def encoder_of(spec: FeatureSpec, *, codes: bool) -> Encoder:
    """Return the encoder of a feature; raises FeatureError if its schema contradicts itself."""
    try:
        return _encoder_of(spec, codes=codes)
    except FeatureError:
        raise
    except (ValueError, TypeError, ArithmeticError):
        raise FeatureError(spec.name, "has a minimum, maximum or default that is no number") from None


def _encoder_of(spec: FeatureSpec, *, codes: bool) -> Encoder:
    if spec.type in (FeatureType.FLOAT64, FeatureType.FLOAT32):
        return FloatEncoder(spec)
    if spec.type is FeatureType.INT64:
        return IntEncoder(spec)
    if spec.type is FeatureType.BOOLEAN:
        return BooleanEncoder(spec)
    return TextEncoder(spec, codes=codes) if spec.type is FeatureType.STRING else TimestampEncoder(spec)


_WANTED = {
    FeatureType.FLOAT64: "give numbers (Float64)",
    FeatureType.FLOAT32: "give numbers (Float32)",
    FeatureType.INT64: "give whole numbers (Int64)",
    FeatureType.BOOLEAN: "give true or false (Boolean)",
    FeatureType.STRING: "give texts (String)",
    FeatureType.TIMESTAMP: "give timestamps such as 2013-01-31T12:00:00Z (Timestamp)",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _as_float(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _as_whole(value: Any) -> int | None:
    if isinstance(value, float | np.floating):
        return int(value) if float(value).is_integer() else None
    return int(value) if isinstance(value, int | np.integer) and not isinstance(value, bool) else None


def _as_bool(value: Any) -> bool | None:
    return bool(value) if isinstance(value, bool | np.bool_) else None


def _as_text(value: Any) -> str | None:
    return str(value) if isinstance(value, str) else None


def _as_microseconds(value: Any) -> int | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    since = (value if value.tzinfo else value.replace(tzinfo=UTC)) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _shown(categories: tuple[str, ...]) -> str:
    shown = ", ".join(repr(name) for name in categories[:20])
    return shown if len(categories) <= 20 else f"{shown} and {len(categories) - 20} more"
