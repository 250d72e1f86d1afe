"""Checks of values: types, missing values, ranges, categories and finiteness, counted batch by batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from typing import Any

import polars as pl

from penstock.api.v1alpha1.featureset import Checks, Feature, FeatureType
from penstock.api.v1alpha1.featuresetstatus import SHOWN_KEYS
from penstock.features.conversion import TYPES, convert
from penstock.jobs.validate.checks.result import CheckResult, first_keys, share, within
from penstock.jobs.validate.checks.schema import limit

_FLOATS = frozenset({FeatureType.FLOAT64, FeatureType.FLOAT32})
KeysOf = Callable[[pl.DataFrame, pl.Series], list[str]]
"""The entity keys of the rows that a mask chooses of a batch: at most five."""


@dataclass
class _Tally:
    """Rows that were found wrong so far, and the keys of the first."""

    count: int = 0
    keys: tuple[str, ...] = ()


@dataclass
class ColumnValues:
    """One column's values: the declared feature and what was counted of it."""

    feature: Feature
    declared: bool = True
    """False for a column that is only needed (a label, a time): its type is checked and nothing else."""
    rows: int = 0
    absent: int = 0
    nulls: _Tally = field(default_factory=_Tally)
    wrong: _Tally = field(default_factory=_Tally)
    infinite: _Tally = field(default_factory=_Tally)
    out_of_range: _Tally = field(default_factory=_Tally)
    unknown: _Tally = field(default_factory=_Tally)
    mistyped: bool = False

    def expressions(self, found: pl.DataType, *, text: bool) -> dict[str, pl.Expr]:
        """Masks of wrong rows by tally, over a batch of a file in which the column has this type."""
        name, kind = self.feature.name, self.feature.type
        conversion = convert(name, kind, found, text=text)
        value = conversion.value
        masks = {"wrong": conversion.wrong}
        if not self.declared:
            return masks
        masks["nulls"] = pl.col(name).is_null()
        if kind in _FLOATS:
            masks["infinite"] = ~value.is_finite()
        minimum, maximum = limit(self.feature.minimum), limit(self.feature.maximum)
        out: list[pl.Expr] = []
        if minimum is not None:
            out.append(value < minimum)
        if maximum is not None:
            out.append(value > maximum)
        if out:
            outside = pl.any_horizontal(out)
            masks["out_of_range"] = outside & value.is_finite() if kind in _FLOATS else outside
        if self.feature.categories:
            masks["unknown"] = ~value.is_in(self.feature.categories)
        return masks

    def suspicion(self, found: pl.DataType) -> pl.Expr | None:
        """Whether a batch may have a value that is wrong: cheaper than the masks, and never False if there is one.

        None for a column that has to be converted: its masks are needed at once.
        """
        kind = self.feature.type
        if found != TYPES[kind]:
            return None
        value, signs = pl.col(self.feature.name), [pl.lit(value=False)]
        if not self.declared:
            return signs[0]
        if kind in _FLOATS:
            # Also where only the sum is too large: the masks then find nothing.
            signs.append(~value.sum().is_finite())
        minimum, maximum = limit(self.feature.minimum), limit(self.feature.maximum)
        if minimum is not None:
            signs.append(value.min() < minimum)
        if maximum is not None:
            signs.append(value.max() > maximum)
        if self.feature.categories:
            signs.append(~value.is_in(self.feature.categories).all())
        return pl.any_horizontal(signs)

    def add(self, tally: str, count: int, keys: Callable[[], list[str]]) -> None:
        """Count wrong rows of a batch; `keys` is asked only while fewer than five are known."""
        if not count:
            return
        found: _Tally = getattr(self, tally)
        found.count += count
        if len(found.keys) < SHOWN_KEYS:
            found.keys = first_keys(found.keys, keys())

    def results(self, checks: Checks) -> list[CheckResult]:
        """What the counts say. `rows` are those of files that have the column, `absent` those of files without it."""
        name = self.feature.name
        results = [CheckResult("Column", not self.absent, name, self.absent or None)]
        if not self.rows:
            return results
        allowed = Decimal(checks.max_invalid_fraction or "0")
        results.append(self._of("Type", self.wrong, allowed, passed=None if not self.mistyped else False))
        if not self.declared:
            return results
        results.append(self._of("NullFraction", self.nulls, self._allowed_nulls(checks)))
        if self.feature.type in _FLOATS:
            results.append(self._of("Finite", self.infinite, Decimal(0)))
        if self.feature.minimum is not None or self.feature.maximum is not None:
            results.append(self._of("Range", self.out_of_range, allowed))
        if self.feature.categories:
            results.append(self._of("Category", self.unknown, allowed))
        return results

    def _allowed_nulls(self, checks: Checks) -> Decimal:
        if self.feature.max_null_fraction is not None:
            return Decimal(self.feature.max_null_fraction)
        if not self.feature.nullable:
            return Decimal(0)
        return Decimal(checks.max_null_fraction or "1")

    def _of(self, check: str, tally: _Tally, allowed: Decimal, passed: bool | None = None) -> CheckResult:
        fine = within(tally.count, self.rows, allowed) if passed is None else passed
        return CheckResult(
            check=check,
            passed=fine,
            feature=self.feature.name,
            count=tally.count,
            value=share(tally.count, self.rows),
            threshold=f"{allowed.normalize():f}",
            keys=() if fine else tally.keys,
        )


class ValueCounter:
    """Counts all columns of one file's batches in one look at each batch."""

    def __init__(
        self, watched: Sequence[ColumnValues], columns: Mapping[str, pl.DataType], keys_of: KeysOf, *, text: bool
    ) -> None:
        self._watched = watched
        self._keys_of = keys_of
        self._present = frozenset(columns)
        self._masks: dict[int, dict[str, pl.Expr]] = {}
        self._first: dict[str, pl.Expr] = {}
        self._at_once: list[int] = []
        for index, item in enumerate(watched):
            name = item.feature.name
            if name not in columns:
                continue
            self._masks[index] = item.expressions(columns[name], text=text)
            suspicion = None if text else item.suspicion(columns[name])
            if suspicion is None:
                self._at_once.append(index)
                continue
            self._first[f"{index} suspect"] = suspicion
            if self._masks[index].pop("nulls", None) is not None:
                self._first[f"{index} nulls"] = pl.col(name).null_count()

    def add(self, batch: pl.DataFrame) -> None:
        """Count a batch as it lies in the file."""
        for item in self._watched:
            if item.feature.name in self._present:
                item.rows += batch.height
            else:
                item.absent += batch.height
        if not self._masks:
            return
        first = _scalars(batch, self._first)
        masks = {(index, tally): mask for index in self._at_once for tally, mask in self._masks[index].items()}
        for name, found in first.items():
            place, _, what = name.partition(" ")
            index = int(place)
            if what == "nulls" and found:
                masks[index, what] = pl.col(self._watched[index].feature.name).is_null()
            elif what == "suspect" and found is not False:
                masks |= {(index, tally): mask for tally, mask in self._masks[index].items()}
        counts = _scalars(batch, {f"{index} {tally}": mask.sum() for (index, tally), mask in masks.items()})
        for (index, tally), mask in masks.items():
            keys = partial(self._keys, batch, mask)
            self._watched[index].add(tally, counts[f"{index} {tally}"] or 0, keys)

    def _keys(self, batch: pl.DataFrame, mask: pl.Expr) -> list[str]:
        return self._keys_of(batch, batch.select(mask.fill_null(value=False).alias("mask")).to_series())


def _scalars(batch: pl.DataFrame, expressions: Mapping[str, pl.Expr]) -> dict[str, Any]:
    if not expressions:
        return {}
    return batch.select(value.alias(name) for name, value in expressions.items()).row(0, named=True)
