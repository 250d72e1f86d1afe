"""Real flights: days chosen at random are no shift, another season is one."""

from pathlib import Path
from types import ModuleType

import polars as pl

from penstock.api.v1alpha1.featureset import DatasetFormat
from penstock.artifact.digest import digest_bytes
from penstock.domain.data.task import task_of
from penstock.features.schema_file import read_feature_set
from penstock.jobs.validate.engine import profile_of, validate
from penstock.jobs.validate.sources import Dataset, LocalFile
from penstock.profile.serial import dump_profile, load_profile
from penstock.stats.decision import FeatureDrift, Independence, Reason
from tests.support.flights import EXAMPLE

CACHE = Path.home() / ".cache" / "penstock" / "data"
SPLITS = 12


def dataset(frame: pl.DataFrame, path: Path) -> Dataset:
    frame.write_parquet(path)
    digest = digest_bytes(path.read_bytes())
    return Dataset((LocalFile(path.name, path.stat().st_size, digest, path),), digest, DatasetFormat.PARQUET)


def shifted(shifts: tuple[FeatureDrift, ...]) -> set[str]:
    return {item.feature for item in shifts if item.reason is Reason.SHIFT}


def test_days_of_the_same_quarter_have_not_shifted_and_june_has(features: ModuleType, tmp_path: Path) -> None:
    table = features.flights_with_weather(CACHE)
    spec = read_feature_set(EXAMPLE / "featureset.yaml").spec
    task = task_of(spec, baseline_profile=None, store=None)
    alarms = 0
    for seed in range(SPLITS):
        parts = features.split(table, seed=seed)
        made = profile_of(dataset(parts["baseline"], tmp_path / "baseline"), task, scratch=tmp_path).profile
        assert made is not None
        baseline = load_profile(dump_profile(made))
        holdout, june = (
            validate(dataset(parts[name], tmp_path / name), task, scratch=tmp_path, baseline=baseline)
            for name in ("holdout", "june")
        )
        assert all(item.measures.independence is Independence.BLOCKS for item in holdout.shifts)
        assert {item.measures.blocks_reference for item in holdout.shifts} == {72}
        assert {item.measures.blocks_current for item in holdout.shifts} == {18}
        alarms += bool(shifted(holdout.shifts))
        assert {"temp", "dewp"} <= shifted(june.shifts)
    assert alarms <= 1
