"""The held-out rows: which of them are used, and their columns batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from penstock.api.v1alpha1.conditions import Reason
from penstock.api.v1alpha1.featureset import FeatureType
from penstock.features.conversion import convert
from penstock.jobs.evaluate.failure import EvaluationError
from penstock.jobs.evaluate.labels import text_of
from penstock.jobs.validate.limits import memory_limit
from penstock.jobs.validate.sources import Dataset
from penstock.jobs.validate.table import Table, TableFile, open_table
from penstock.stats.evaluation.estimate import Bools, Ints

MOST_VALUES = 10_000
"""So many values may a column have that rows are sliced or grouped by."""
MISSING = "(missing)"
_LABEL, _ROW = "\0label", "\0group "
_MOST_DIFFERENT = 100_000


@dataclass
class Groups:
    """A column that rows are sliced or grouped by: its values in the order in which they came, and each row's."""

    column: str
    names: list[str] = field(default_factory=list)
    _places: dict[str, int] = field(default_factory=dict)
    _codes: list[Ints] = field(default_factory=list)

    def add(self, values: pl.Series) -> None:
        """Take the values of a batch; raises EvaluationError for a column with too many different ones."""
        texts = text_of(values).fill_null(MISSING)
        for name in texts.unique(maintain_order=True).to_list():
            if name not in self._places:
                self._places[name] = len(self.names)
                self.names.append(name)
        if len(self.names) > MOST_VALUES:
            raise EvaluationError(
                Reason.INVALID_SPEC,
                f"The column '{self.column}' has more than {MOST_VALUES} different values: slice or group by another.",
            )
        codes = texts.replace_strict(self.names, range(len(self.names)), return_dtype=pl.Int32)
        self._codes.append(codes.to_numpy().astype(np.int64))

    @property
    def codes(self) -> Ints:
        """Each row's value as an index into `names`, [n]."""
        return np.concatenate(self._codes) if self._codes else np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Batch:
    """Rows with the columns to send to each server, their labels, and the columns they are grouped by."""

    inputs: tuple[pl.DataFrame, ...]
    labels: pl.Series
    groups: dict[str, pl.Series]


class Holdout:
    """A dataset on this machine, of which some columns are read."""

    def __init__(
        self,
        dataset: Dataset,
        label: str,
        label_type: FeatureType | None,
        types: Sequence[Mapping[str, FeatureType]],
    ) -> None:
        """`types`: the columns to send to each server. Raises DatasetError: CorruptFile, DatasetTooLarge."""
        self._label, self._label_type, self._types = label, label_type, [dict(item) for item in types]
        self._is_text = dataset.format == "CSV"
        needed = frozenset({label, *(name for item in types for name in item)})
        self._table: Table = open_table(dataset, needed, memory_bytes=memory_limit())

    def lacks(self, column: str) -> bool:
        """Whether any file is without this column."""
        return any(column not in file.columns for file in self._table.files)

    def expect(self, columns: Iterable[str]) -> None:
        """Raise EvaluationError (ColumnMissing) for the first that a file lacks, the label's included."""
        for column in (self._label, *columns):
            for file in self._table.files:
                if column not in file.columns:
                    raise EvaluationError(
                        Reason.COLUMN_MISSING,
                        f"The held-out file '{file.name[:128]}' has no column '{column}': bring it, or correct the"
                        " gate's label or the FeatureSet.",
                    )

    def survey(self, *, with_values: bool) -> tuple[int, pl.Series]:
        """Return how many rows there are and, `with_values`, the different ones of the label; a pass over that column.

        Raises DatasetError.
        """
        rows, different = 0, pl.Series(_LABEL, [], dtype=pl.Null)
        for file in self._table.files:
            for batch in self._table.batches(file, [self._label]):
                rows += batch.height
                if not with_values:
                    continue
                found = batch.select(self._label_of(file)).to_series().unique()
                if len(different) <= _MOST_DIFFERENT:
                    different = pl.concat([different.cast(found.dtype), found]).unique() if len(different) else found
        return rows, different

    def batches(self, chosen: Bools | None, groups: Sequence[str]) -> Iterator[Batch]:
        """Yield the rows that are chosen, in order; `chosen`: [rows], all if None. Raises DatasetError."""
        start = 0
        for file in self._table.files:
            sent = [[name for name in types if name in file.columns] for types in self._types]
            conversions = [
                (f"{index}\0{name}", name, convert(name, types[name], file.columns[name], text=self._is_text))
                for index, types in enumerate(self._types)
                for name in sent[index]
            ]
            expressions = [
                self._label_of(file),
                *(item.value.alias(alias) for alias, _, item in conversions),
                *(item.wrong.alias(f"\0wrong {alias}") for alias, _, item in conversions),
                *(pl.col(name).alias(_ROW + name) for name in groups),
            ]
            needed = list(dict.fromkeys([self._label, *(name for names in sent for name in names), *groups]))
            for piece in self._table.batches(file, needed):
                rows = piece
                if chosen is not None:
                    rows = piece.filter(pl.Series(chosen[start : start + piece.height]))
                start += piece.height
                if not rows.height:
                    continue
                frame = rows.select(expressions)
                for alias, name, _ in conversions:
                    if frame[f"\0wrong {alias}"].any():
                        raise _wrong(file, name)
                inputs = tuple(
                    frame.select(pl.col(f"{index}\0{name}").alias(name) for name in names)
                    for index, names in enumerate(sent)
                )
                yield Batch(inputs, frame[_LABEL], {name: frame[_ROW + name] for name in groups})

    def _label_of(self, file: TableFile) -> pl.Expr:
        if self._label_type is None:
            return pl.col(self._label).alias(_LABEL)
        return convert(self._label, self._label_type, file.columns[self._label], text=self._is_text).value.alias(_LABEL)


def _wrong(file: TableFile, column: str) -> EvaluationError:
    return EvaluationError(
        Reason.CORRUPT_FILE,
        f"'{file.name[:128]}' has values in the column '{column}' that are not of the feature's type: write it again.",
    )


def drawn(rows: int, most: int | None, seed: int) -> Bools | None:
    """Choose `most` of `rows` at random, [rows]; None for all of them."""
    if most is None or rows <= most:
        return None
    chosen = np.zeros(rows, dtype=np.bool_)
    chosen[np.random.default_rng([seed, 1]).choice(rows, size=most, replace=False, shuffle=False)] = True
    return chosen
