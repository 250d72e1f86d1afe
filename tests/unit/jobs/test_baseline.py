"""Comparison with a baseline, and what is kept in the artifact store, against a real registry."""

import json
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from penstock.api.v1alpha1.featuresetstatus import Verdict
from penstock.domain.data.task import ValidationResult
from penstock.jobs.validate.store import Store
from penstock.profile.serial import load_profile
from tests.unit.jobs.given import Place, checks, failures, flights, spec

BASELINE = {"dataset": {"uri": "pvc://flights/baseline.parquet", "format": "Parquet"}}


def store_of(place: Place) -> Store:
    assert place.registry
    repository = f"{place.registry}/team/flights"
    return Store(repository, docker_config=None, insecure_registries=[place.registry], retry_seconds=5)


def fetched(place: Place, digest: str | None) -> bytes:
    assert digest is not None
    content = store_of(place).fetch(digest)
    assert content is not None
    return content


def with_baseline(place: Place, **validation: object) -> ValidationResult:
    return place.validate(spec(baseline=BASELINE, validation={"checks": validation}))


def test_the_same_distribution_has_not_shifted(place: Place) -> None:
    place.write(flights(seed=1), "baseline.parquet")
    place.write(flights(seed=2))
    result = with_baseline(place)
    assert (result.verdict, result.baseline) == (Verdict.PASS, None)
    assert result.checked == place.validate().checked + 5


def test_shifted_distances(place: Place) -> None:
    place.write(flights(seed=1), "baseline.parquet")
    place.write(flights(seed=2, distance=(pl.col("distance") * 1.7).clip(upper_bound=4_900)))
    found = failures(with_baseline(place))
    assert list(found) == [("Shift", "distance")]
    assert float(found["Shift", "distance"].value) > 0.25
    assert found["Shift", "distance"].threshold == "0.25"
    assert with_baseline(place, maxPSI="5").verdict is Verdict.PASS


def test_a_missing_month_shifts_what_goes_with_the_season(place: Place) -> None:
    """Whoever wants a hole to be seen declares a feature that follows time, or rowCount."""
    season = pl.col("time_hour").dt.month().cast(pl.Float64) * 1_000
    place.write(flights(seed=1, distance=season), "baseline.parquet")
    place.write(flights(seed=2, distance=season).filter(pl.col("time_hour") < datetime(2013, 3, 1, tzinfo=UTC)))
    assert list(failures(with_baseline(place))) == [("Shift", "distance")]


def test_too_few_rows_say_nothing_about_a_shift(place: Place) -> None:
    place.write(flights(seed=1), "baseline.parquet")
    place.write(flights(400, seed=2, distance=pl.col("distance") + 3_000).filter(pl.col("distance") < 5_000))
    assert with_baseline(place).verdict is Verdict.PASS


def test_values_that_went_missing(place: Place) -> None:
    definition = spec(baseline=BASELINE)
    del definition["features"][3]["maxNullFraction"]
    place.write(flights(seed=1), "baseline.parquet")
    place.write(flights(seed=2, air_time=pl.when(pl.col("flight_id") % 10 >= 3).then(pl.col("air_time"))))
    found = failures(place.validate(definition))
    assert list(found) == [("NullShift", "air_time")]
    assert (found["NullShift", "air_time"].value, found["NullShift", "air_time"].threshold) == ("0.3", "0.05")


def test_profile_and_report_are_kept_by_digest(stored: Place) -> None:
    stored.write(flights(surplus=1))
    result = stored.validate()
    assert result.verdict is Verdict.PASS
    profile = load_profile(fetched(stored, result.profile_digest))
    assert profile.rows == 5_000
    assert profile.dataset_digest == result.digest
    report = json.loads(fetched(stored, result.report_digest))
    assert report["profileDigest"] == result.profile_digest
    assert report["extraColumns"] == 1
    assert len(report["checks"]) == result.checked
    assert [file["name"] for file in report["dataset"]["files"]] == ["data.parquet"]


def test_a_baseline_is_made_once_and_then_read_from_the_store(stored: Place) -> None:
    stored.write(flights(seed=1), "baseline.parquet")
    stored.write(flights(seed=2, distance=(pl.col("distance") * 1.7).clip(upper_bound=4_900)))
    first = with_baseline(stored)
    assert first.verdict is Verdict.FAIL
    assert first.baseline is not None
    assert first.baseline.rows == 5_000
    (stored.data / "baseline.parquet").unlink()
    second = stored.validate(spec(baseline=BASELINE), baseline_profile=first.baseline.profile_digest)
    assert second.baseline is None
    assert second.failed_checks == first.failed_checks
    report = json.loads(fetched(stored, second.report_digest))
    assert report["baselineProfileDigest"] == first.baseline.profile_digest
    shift = {item["feature"]: item for item in report["shifts"]}["distance"]
    assert {"psi", "psiCorrected", "jensenShannon", "ks", "pAdjusted"} <= set(shift)


def test_the_source_becomes_the_baseline_only_if_it_passes(stored: Place) -> None:
    definition = spec(baseline={"fromSource": True})
    stored.write(flights(seats=0))
    failed = stored.validate(definition)
    assert (failed.verdict, failed.baseline) == (Verdict.FAIL, None)
    stored.write(flights())
    passed = stored.validate(definition)
    assert passed.baseline is not None
    assert passed.baseline.digest == passed.digest
    assert passed.baseline.profile_digest == passed.profile_digest
    again = stored.validate(definition, baseline_profile=passed.baseline.profile_digest)
    assert (again.verdict, again.baseline) == (Verdict.PASS, None)


@pytest.mark.parametrize("content", [None, flights(0)])
def test_a_baseline_that_cannot_be_read(place: Place, content: pl.DataFrame | None) -> None:
    if content is not None:
        place.write(content, "baseline.parquet")
    place.write(flights())
    result = with_baseline(place)
    assert (result.verdict, result.reason) == (Verdict.ERROR, "BaselineUnavailable")
    assert "baseline" in result.message


def test_a_profile_that_the_store_does_not_hold(stored: Place) -> None:
    stored.write(flights())
    result = stored.validate(spec(baseline=BASELINE), baseline_profile="sha256:" + "0" * 64)
    assert result.reason == "BaselineUnavailable"


def test_a_store_that_is_down(tmp_path: Path) -> None:
    place = Place(tmp_path, registry="127.0.0.1:9")
    place.write(flights())
    result = place.validate()
    assert (result.verdict, result.reason) == (Verdict.ERROR, "StoreUnavailable")
    assert result.digest is not None


def test_a_feature_that_is_new_since_the_baseline_is_only_profiled(stored: Place) -> None:
    stored.write(flights())
    definition = spec(baseline={"fromSource": True})
    first = stored.validate(definition)
    assert first.baseline is not None
    definition["features"].append({"name": "flight_id", "type": "Int64"})
    again = stored.validate(definition, baseline_profile=first.baseline.profile_digest)
    assert again.verdict is Verdict.PASS
    assert set(load_profile(fetched(stored, again.profile_digest)).by_name) >= {"flight_id", "carrier"}


def test_the_same_data_in_other_files_have_the_same_profile(stored: Place) -> None:
    frame = flights(20_000)
    stored.write(frame)
    whole = load_profile(fetched(stored, stored.validate().profile_digest))
    for index, part in enumerate(frame.iter_slices(7_001)):
        stored.write(part, f"part-{index}.csv")
    definition = spec(source={"uri": "pvc://flights/part-*.csv", "format": "CSV"}, validation=checks(maxPSI="0.1"))
    parts = load_profile(fetched(stored, stored.validate(definition).profile_digest))
    assert parts.grids == whole.grids
    for name, histogram in whole.histograms.items():
        assert histogram.counts.tolist() == parts.histograms[name].counts.tolist()


def without_night(frame: pl.DataFrame) -> pl.DataFrame:
    """Nobody flies from two to six; whole days share their distance, as flights of a day share their weather."""
    hour = pl.col("time_hour").dt.hour()
    alike = (pl.col("time_hour").dt.ordinal_day() * 7 % 11).cast(pl.Float64) * 100
    return frame.filter((hour < 2) | (hour >= 6)).with_columns(distance=alike)


def shifts(place: Place, result: ValidationResult) -> dict[str, dict[str, object]]:
    return {item["feature"]: item for item in json.loads(fetched(place, result.report_digest))["shifts"]}


def test_days_are_compared_where_rows_have_a_time(stored: Place) -> None:
    stored.write(without_night(flights(seed=1)))
    definition = spec(baseline={"fromSource": True})
    first = stored.validate(definition)
    assert first.baseline is not None
    profile = load_profile(fetched(stored, first.baseline.profile_digest))
    assert profile.blocks is not None
    assert profile.blocks.blocking.days == 1
    assert {int(table.counts.sum()) for table in profile.blocks.tables.values()} == {profile.rows}
    # Six days of eleven kinds: far from the baseline by rows, nothing new by days.
    stored.write(without_night(flights(12_000, seed=2)).filter(pl.col("time_hour") < datetime(2013, 1, 7, tzinfo=UTC)))
    by_days = stored.validate(definition, baseline_profile=first.baseline.profile_digest)
    assert by_days.verdict is Verdict.PASS
    found = shifts(stored, by_days)["distance"]
    assert (found["independence"], found["blocks"]) == ("blocks", 7)
    assert found["blocksBaseline"] == profile.blocks.blocks
    assert float(str(found["psiCorrected"])) > 0.25
    assert float(str(found["p"])) > 0.01
    again = stored.validate(definition, baseline_profile=first.baseline.profile_digest)
    assert shifts(stored, again) == shifts(stored, by_days)


def test_rows_are_taken_to_be_independent_without_a_time(stored: Place) -> None:
    definition = spec(baseline={"fromSource": True})
    del definition["timestampField"]
    stored.write(flights(seed=1))
    first = stored.validate(definition)
    assert first.baseline is not None
    assert load_profile(fetched(stored, first.baseline.profile_digest)).blocks is None
    again = stored.validate(definition, baseline_profile=first.baseline.profile_digest)
    assert {item["independence"] for item in shifts(stored, again).values()} == {"assumed"}


def test_rows_without_a_time_are_in_no_block(stored: Place) -> None:
    timed = pl.when(pl.col("flight_id") % 4 > 0).then(pl.col("time_hour"))
    stored.write(flights(seed=1, time_hour=timed), "data.csv")
    definition = spec(
        baseline={"fromSource": True}, source={"uri": "pvc://flights/data.csv", "format": "CSV"}, entityKey=[]
    )
    first = stored.validate(definition)
    profile = load_profile(fetched(stored, first.profile_digest))
    assert profile.blocks is not None
    assert {int(table.counts.sum()) for table in profile.blocks.tables.values()} == {3_750}
