"""The right answers of rows, as numbers: 1 for yes and 0 for no, or the number itself for regression."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from penstock.api.v1alpha1.conditions import Reason
from penstock.jobs.evaluate.failure import EvaluationError
from penstock.stats.evaluation.estimate import Floats

_TRUE, _FALSE = ("1", "true"), ("0", "false")
_MOST_CLASSES = 1000


@dataclass(frozen=True)
class Classes:
    """The values that the label column has, as text in the order in which scikit-learn numbers classes.

    `positive`: the one that counts as yes.
    """

    names: tuple[str, ...]
    positive: str

    def column_of(self, count: int) -> int | None:
        """Which of `count` columns of scores is the positive class's; None if it cannot be told.

        A model of two classes may have been shown more of them than the held-out rows have: 0 and 1, false and true.
        """
        if count == 2 and set(self.names) <= {_TRUE[0], _FALSE[0]}:
            return int(self.positive == _TRUE[0])
        if count == 2 and set(self.names) <= {_TRUE[1], _FALSE[1]}:
            return int(self.positive == _TRUE[1])
        return self.names.index(self.positive) if count == len(self.names) else None


def text_of(column: pl.Series) -> pl.Series:
    """Values as text: whole numbers without a fraction, booleans as true and false, texts as they are."""
    if not column.dtype.is_float():
        return column.cast(pl.String)
    whole = column.is_finite() & (column == column.floor()) & (column.abs() < 2**53)
    numbers = column.cast(pl.Int64, strict=False).cast(pl.String)
    return pl.select(pl.when(whole).then(numbers).otherwise(column.cast(pl.String))).to_series()


def label_of(column: pl.Series) -> pl.Series:
    """Like `text_of`; what CSV files write for a number or a boolean is the same as the value itself."""
    found = text_of(column)
    if column.dtype != pl.String:
        return found
    plain = found.str.strip_chars()
    lower = plain.str.to_lowercase()
    return pl.select(
        pl.when(lower.is_in(["true", "false"]))
        .then(lower)
        .when(plain.str.contains(r"^-?[0-9]+\.0+$"))
        .then(plain.str.replace(r"\.0+$", ""))
        .otherwise(plain)
    ).to_series()


def classes_of(distinct: pl.Series, column: str, positive: str | None) -> Classes:
    """Read what a classifier's label column holds, from its different values; raises EvaluationError."""
    texts = label_of(distinct)
    if texts.null_count():
        raise EvaluationError(
            Reason.CORRUPT_FILE, f"Rows have no value in the label column '{column}': leave them out or fill them in."
        )
    found = set(texts.to_list())
    if len(found) > _MOST_CLASSES:
        raise EvaluationError(
            Reason.INVALID_SPEC,
            f"The label column '{column}' has {len(found)} different values, which are no classes: measure mae, rmse"
            " or r2, or name another column in spec.label.column.",
        )
    if positive is None:
        if not found <= set(_TRUE + _FALSE):
            raise EvaluationError(
                Reason.INVALID_SPEC,
                f"The label column '{column}' has other values than 0 and 1 or false and true: name the one that counts"
                " as yes in spec.label.positiveClass.",
            )
        positive = next((value for value in _TRUE if value in found), _TRUE["false" in found])
    else:
        positive = str(label_of(pl.Series([positive]))[0])
        if found and positive not in found:
            raise EvaluationError(
                Reason.INVALID_SPEC,
                f"No row has the value of spec.label.positiveClass in the label column '{column}': correct it.",
            )
    numeric = all(value.lstrip("-").isdigit() for value in found)
    return Classes(tuple(sorted(found, key=int) if numeric else sorted(found)), positive)


def decided(values: pl.Series, classes: Classes) -> Floats:
    """Return 1 for yes and 0 for no, [n]."""
    return (label_of(values) == classes.positive).cast(pl.Float64).to_numpy()


def measured(values: pl.Series, column: str) -> Floats:
    """Return the numbers of a regression's label column, [n]; raises EvaluationError."""
    numbers = values.cast(pl.Float64, strict=False)
    if numbers.null_count() or not numbers.is_finite().all():
        raise EvaluationError(
            Reason.CORRUPT_FILE,
            f"Rows have no finite number in the label column '{column}': leave them out or fill them in.",
        )
    return numbers.to_numpy()
