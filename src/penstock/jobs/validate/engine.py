"""Checks a dataset against its FeatureSet in one pass, batch by batch, and profiles it on the way."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from penstock.api.v1alpha1.featureset import Feature, FeatureType
from penstock.api.v1alpha1.featuresetstatus import SHOWN_KEYS, Verdict
from penstock.domain.data.task import ValidationTask
from penstock.domain.features.schema import FeatureSchema
from penstock.features.conversion import TYPES, accepts, convert
from penstock.jobs.validate.checks.keys import UniqueKeys
from penstock.jobs.validate.checks.result import CheckResult, shown_key
from penstock.jobs.validate.checks.schema import column_schema, schema_faults
from penstock.jobs.validate.checks.shift import shift_results, shifts_of
from penstock.jobs.validate.checks.values import ColumnValues, ValueCounter
from penstock.jobs.validate.grids import EvenSample, grids_of, types_of
from penstock.jobs.validate.limits import memory_limit
from penstock.jobs.validate.sources import Dataset
from penstock.jobs.validate.table import Table, TableFile, open_table
from penstock.jobs.validate.times import RowTimes, hours_of
from penstock.profile.profile import Profile, ProfileBuilder
from penstock.stats.blocks import BlockCounter, BlockCounts, blocking_of
from penstock.stats.decision import FeatureDrift
from penstock.stats.frames import frame_columns, series_cells
from penstock.stats.grid import CategoricalGrid, Grid

_CATEGORICAL = (FeatureType.STRING, FeatureType.BOOLEAN)
_TIME = "time"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found. `newest`: the newest row's time; `extra_columns`: columns of the files that nobody asked for.

    `profile` is None without rows and where a profile was not wanted.
    """

    verdict: Verdict
    rows: int
    checks: tuple[CheckResult, ...] = ()
    newest: datetime | None = None
    profile: Profile | None = None
    shifts: tuple[FeatureDrift, ...] = ()
    extra_columns: int = 0

    @property
    def failed(self) -> tuple[CheckResult, ...]:
        """The checks that did not pass, in the order in which they were made."""
        return tuple(item for item in self.checks if not item.passed)


def validate(
    dataset: Dataset,
    task: ValidationTask,
    *,
    scratch: Path,
    baseline: Profile | None = None,
    with_profile: bool = True,
    as_baseline: bool = False,
    memory_bytes: int | None = None,
) -> Outcome:
    """Check a dataset on this machine as `task` says and, with a baseline, measure how far it has shifted.

    `scratch`: a folder for what does not fit into memory. `baseline`: the profile to compare with; on its grids the
    dataset is counted. Without one the dataset is read twice, first for a sample to make grids from.
    `as_baseline`: the profile is to be a baseline; if rows have a time, one more pass counts them per block of days.
    `memory_bytes`: what the container may use; asked of the machine if None.
    Raises DatasetError (CorruptFile, DatasetTooLarge).
    """
    times = RowTimes(by_hour=as_baseline, blocking=baseline.blocks.blocking if baseline and baseline.blocks else None)
    run = _Run(dataset, task, scratch, memory_bytes or memory_limit(), times)
    if with_profile or baseline:
        run.profile_on(_usable_grids(task.features, baseline), dataset.digest)
    run.read()
    outcome = run.outcome(baseline)
    # A source that fails its checks does not become the baseline.
    if outcome.profile and as_baseline and (outcome.verdict is Verdict.PASS or not task.baseline_from_source):
        return replace(outcome, profile=replace(outcome.profile, blocks=run.blocks_of(outcome.profile)))
    return outcome


def profile_of(dataset: Dataset, task: ValidationTask, *, scratch: Path, memory_bytes: int | None = None) -> Outcome:
    """Profile a dataset that is a baseline: like `validate` of it, without a baseline of its own."""
    return validate(dataset, task, scratch=scratch, as_baseline=True, memory_bytes=memory_bytes)


def _usable_grids(features: Sequence[Feature], baseline: Profile | None) -> dict[str, Grid]:
    """The baseline's grids of the features that still have the type that they had there."""
    grids = baseline.grids if baseline else {}
    return {
        item.name: grids[item.name]
        for item in features
        if item.name in grids and isinstance(grids[item.name], CategoricalGrid) is (item.type in _CATEGORICAL)
    }


@dataclass
class _Run:
    dataset: Dataset
    task: ValidationTask
    scratch: Path
    memory_bytes: int
    times: RowTimes
    rows: int = 0
    _builder: ProfileBuilder | None = None
    _dataset_digest: str = ""
    _missing: dict[str, frozenset[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._features = [ColumnValues(item) for item in self.task.features]
        self._watched = [*self._features, *(ColumnValues(item, declared=False) for item in self._others())]
        self._needed = frozenset({item.feature.name for item in self._watched} | set(self.task.entity_key))
        self._table: Table = open_table(self.dataset, self._needed, memory_bytes=self.memory_bytes)
        self._schema = column_schema({item.feature.name: item.feature.type for item in self._watched})
        self._folder = self.scratch / f"keys-{uuid.uuid4().hex}"
        self._keys: UniqueKeys | None = None
        if self.task.entity_key and self.task.checks.unique_keys:
            self._keys = UniqueKeys(self.task.entity_key, self._folder, self._table.rows_at_most)
        self._key_rows_absent = 0
        extra = (
            set().union(*(file.columns for file in self._table.files)) - self._needed if self._table.files else set()
        )
        self._extra = len(extra)

    def _others(self) -> list[Feature]:
        """The columns that are needed beside the features."""
        declared = {item.name for item in self.task.features}
        others: list[Feature] = []
        if self.task.timestamp_field and self.task.timestamp_field not in declared:
            others.append(Feature(name=self.task.timestamp_field, type=FeatureType.TIMESTAMP, nullable=True))
            declared.add(self.task.timestamp_field)
        if self.task.label and self.task.label.name not in declared:
            others.append(Feature(name=self.task.label.name, type=self.task.label.type, nullable=True))
        return others

    def profile_on(self, known: dict[str, Grid], dataset_digest: str) -> None:
        """Have the pass count a profile; grids that are not known are made from a sample first."""
        wanted = [item for item in self.task.features if item.name not in known]
        if wanted:
            sample = EvenSample()
            for file in self._table.files:
                values = self._values(file, wanted)
                for batch in self._table.batches(file, self._columns_read(file)):
                    sample.add(batch.select(values))
            frame = sample.frame()
            if frame is None:
                return
            known = known | grids_of(wanted, frame)
        ordered = {item.name: known[item.name] for item in self.task.features}
        self._builder = ProfileBuilder(types_of(self.task.features), ordered)
        self._dataset_digest = dataset_digest

    def read(self) -> None:
        """The pass: every row of every file once."""
        for file in self._table.files:
            self._read_file(file)

    def _read_file(self, file: TableFile) -> None:
        present = self._present(file)
        counter = ValueCounter(self._watched, present, self._keys_of(file), text=self._is_text)
        values = self._values(file, self.task.features)
        has_keys = set(self.task.entity_key) <= set(file.columns)
        names = list(types_of(self.task.features))
        time = self._time(file)
        for batch in self._table.batches(file, self._columns_read(file)):
            counter.add(batch)
            if self._builder:
                self._builder.add(frame_columns(batch.select(values), names), batch.height)
            if self._keys and has_keys:
                self._keys.add(batch)
            if not has_keys:
                self._key_rows_absent += batch.height
            if time is not None:
                self.times.add(batch.select(time).to_series())
            self.rows += batch.height

    @property
    def _is_text(self) -> bool:
        return self.dataset.format == "CSV"

    def _columns_read(self, file: TableFile) -> list[str]:
        # Without any column of ours the rows are still counted, by whichever column comes first.
        return [name for name in file.columns if name in self._needed] or list(file.columns)[:1]

    def _present(self, file: TableFile) -> dict[str, pl.DataType]:
        """The file's columns that are watched, by the pandera schema; mistyped ones are noted."""
        converted = {
            item.feature.name: TYPES[item.feature.type]
            if accepts(item.feature.type, file.columns[item.feature.name], text=self._is_text)
            else file.columns[item.feature.name]
            for item in self._watched
            if item.feature.name in file.columns
        }
        faults = schema_faults(self._schema, converted)
        for item in self._watched:
            item.mistyped = item.mistyped or item.feature.name in faults.mistyped
        return {name: file.columns[name] for name in converted if name not in faults.missing}

    def _values(self, file: TableFile, features: Sequence[Feature]) -> list[pl.Expr]:
        # A literal alone would be one row high: the first column stands for the batch's height.
        height = pl.col(self._columns_read(file)[0])
        expressions = []
        for item in features:
            found = file.columns.get(item.name)
            value = convert(item.name, item.type, found, text=self._is_text).value
            if found is None or not accepts(item.type, found, text=self._is_text):
                value = pl.when(height.is_null()).then(value).otherwise(value)
            expressions.append(value.alias(item.name))
        return expressions

    def _keys_of(self, file: TableFile) -> Callable[[pl.DataFrame, pl.Series], list[str]]:
        keyed = bool(self.task.entity_key) and set(self.task.entity_key) <= set(file.columns)

        def keys_of(batch: pl.DataFrame, mask: pl.Series) -> list[str]:
            if keyed:
                chosen = batch.select(self.task.entity_key).filter(mask).head(SHOWN_KEYS)
                return [shown_key(row) for row in chosen.rows()]
            return [f"row {self.rows + index + 1}" for index in mask.arg_true().head(SHOWN_KEYS).to_list()]

        return keys_of

    def _time(self, file: TableFile) -> pl.Expr | None:
        """The rows' times; None without a timestampField, or in a file without it."""
        name = self.task.timestamp_field
        if name is None or name not in file.columns:
            return None
        return convert(name, FeatureType.TIMESTAMP, file.columns[name], text=self._is_text).value.alias(_TIME)

    def blocks_of(self, profile: Profile) -> BlockCounts | None:
        """Another pass: the profile's rows per block of days; None where rows have no time. Rows without one are in no
        block.
        """
        blocking = blocking_of(self.times.hours, len(profile.features))
        if blocking is None:
            return None
        counter = BlockCounter(blocking, profile.histograms)
        for file in self._table.files:
            time = self._time(file)
            if time is None:
                continue
            values = self._values(file, self.task.features)
            for batch in self._table.batches(file, self._columns_read(file)):
                places = counter.places(hours_of(_tall(batch.select(time).to_series(), batch.height)))
                columns = batch.select(values)
                for name, grid in profile.grids.items():
                    counter.add(name, places, series_cells(columns[name], grid))
        return counter.counts()

    def outcome(self, baseline: Profile | None) -> Outcome:
        """What the counts say."""
        if not self.rows:
            return Outcome(Verdict.NO_DATA, 0)
        checks = [result for item in self._watched for result in item.results(self.task.checks)]
        checks += self._key_results()
        checks.append(self._row_count())
        profile, shifts = None, list[FeatureDrift]()
        if self._builder:
            schema_digest = FeatureSchema.of(self.task.features).digest
            made = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            profile = self._builder.profile(
                schema_digest=schema_digest, dataset_digest=self._dataset_digest, created_at=made
            )
            if baseline:
                shifts = shifts_of(profile, baseline, self.task.checks.max_psi, self.times.blocks)
                checks += shift_results(shifts, self.task.checks.max_psi)
        verdict = Verdict.PASS if all(item.passed for item in checks) else Verdict.FAIL
        return Outcome(verdict, self.rows, tuple(checks), self.times.newest, profile, tuple(shifts), self._extra)

    def _key_results(self) -> list[CheckResult]:
        if not self.task.entity_key:
            return []
        watched = {item.feature.name for item in self._watched}
        absent = sorted(
            name
            for name in self.task.entity_key
            if name not in watched and any(name not in file.columns for file in self._table.files)
        )
        results = [CheckResult("Column", False, name, self._key_rows_absent) for name in absent]
        if self._keys and not self._key_rows_absent:
            results.append(self._keys.result())
        return results

    def _row_count(self) -> CheckResult:
        wanted = self.task.checks.row_count
        enough = self.rows >= wanted.min and (wanted.max is None or self.rows <= wanted.max)
        threshold = f"{wanted.min}..{'' if wanted.max is None else wanted.max}"
        return CheckResult("RowCount", enough, value=str(self.rows), threshold=threshold)


def _tall(values: pl.Series, height: int) -> pl.Series:
    """A literal's series is one row high: as many as the batch has."""
    return values if len(values) == height else values.new_from_index(0, height)
