"""A column as it comes - list, numpy array, pandas or Polars Series - to numpy and a mask of what is missing."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


def as_column(values: Any) -> tuple[Array, Mask | None]:
    """Return the values, shape [n], and which are missing (None: look at the values, NaN and None are missing).

    Polars tells a missing value from NaN: there NaN is a ValueError.
    A column of shape [n, 1] is taken as [n]; raises ValueError for any other shape.
    """
    if isinstance(values, np.ndarray):
        array, mask = values, None
    else:
        library = type(values).__module__.partition(".")[0]
        read = {"pandas": _from_pandas, "polars": _from_polars}.get(library, _from_sequence)
        array, mask = read(values)
    if array.ndim != 1:
        if array.ndim != 2 or array.shape[1] != 1:
            raise ValueError(f"has the shape {list(array.shape)}: give one value per row, as [n] or [n, 1]")
        array = array.reshape(-1)
    return (array.astype(object) if array.dtype.kind in "UT" else array), mask


def is_missing(value: Any) -> bool:
    """Whether one object stands for a missing value: None, NaN, NaT or pandas.NA."""
    if value is None:
        return True
    try:
        return bool(value != value)  # noqa: PLR0124 - true of NaN and NaT alone
    except TypeError:  # pandas.NA has no truth
        return True


def _from_sequence(values: Any) -> tuple[Array, Mask | None]:
    items = list(values)
    kinds = {type(item) for item in items}
    # numpy would make numbers of [True, 2] and texts of ["a", 1.5].
    return np.array(items, dtype=None if len(kinds) == 1 and kinds <= {int, float, bool} else object), None


def _from_pandas(series: Any) -> tuple[Array, Mask | None]:
    if isinstance(series.dtype, np.dtype):
        return series.to_numpy(), None
    mask: Mask = np.asarray(series.isna().to_numpy(), dtype=np.bool_)
    kind = series.dtype.kind
    if kind == "M":
        return series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy(), mask
    if kind in "iufb":
        dtype = series.dtype.numpy_dtype
        return series.to_numpy(dtype=dtype, na_value=dtype.type(0)), mask
    return series.astype(object).to_numpy(dtype=object, na_value=None), mask


def _from_polars(series: Any) -> tuple[Array, Mask | None]:
    mask: Mask | None = series.is_null().to_numpy() if series.null_count() else None
    dtype = series.dtype
    if dtype.is_float() and series.is_nan().any():
        raise ValueError("holds NaN, which is no number: write null where a value is missing")
    if dtype.is_numeric() and not dtype.is_decimal():
        return (series if mask is None else series.fill_null(0)).to_numpy(), mask
    name = str(dtype)
    if name == "Boolean":
        return (series if mask is None else series.fill_null(False)).to_numpy(), mask
    if name.startswith("Datetime"):
        if dtype.time_zone is not None:
            series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return series.to_numpy(), mask
    if name == "Date":
        return series.to_numpy(), mask
    if name.startswith(("Categorical", "Enum")):
        import polars  # noqa: PLC0415 - only where a Polars frame was given

        series = series.cast(polars.String)
    return np.array([*series.to_list(), None], dtype=object)[:-1], mask
