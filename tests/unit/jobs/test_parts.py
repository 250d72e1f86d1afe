"""Single parts of the validation: footers, entity keys, conversions, samples, and the pandera schema as an oracle."""

import random
from itertools import pairwise
from pathlib import Path

import pandera.errors
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.api.v1alpha1.featureset import DatasetFormat, Feature, FeatureSetSpec, FeatureType
from penstock.artifact.digest import digest_file
from penstock.domain.data.task import task_of
from penstock.features.conversion import convert
from penstock.jobs.validate.checks.keys import UniqueKeys
from penstock.jobs.validate.checks.schema import pandera_schema
from penstock.jobs.validate.engine import validate
from penstock.jobs.validate.grids import EvenSample
from penstock.jobs.validate.limits import memory_limit
from penstock.jobs.validate.parquet import ParquetError, row_groups
from penstock.jobs.validate.sources import Dataset, LocalFile
from tests.unit.jobs.given import flights


def test_row_groups_are_read_from_the_footer(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    frame = pl.DataFrame({"a": range(2_500), "b": ["x" * 100] * 2_500, "c": [[1, 2]] * 2_500})
    frame.write_parquet(path, row_group_size=1_000)
    groups = row_groups(path)
    assert [group.rows for group in groups] == [1_000, 1_000, 500]
    only_a = row_groups(path, frozenset({"a"}))
    assert [group.unpacked_bytes for group in only_a] == [16_000, 16_000, 8_000]
    assert all(one.unpacked_bytes < other.unpacked_bytes for one, other in zip(only_a, groups, strict=True))


def test_a_damaged_footer_is_an_error_and_never_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "data.parquet"
    flights(300).write_parquet(path, row_group_size=100)
    content = path.read_bytes()
    chance = random.Random(5)
    outcomes = set()
    for _ in range(1_500):
        damaged = bytearray(content)
        for _ in range(chance.randint(1, 6)):
            damaged[-chance.randint(1, 2_500)] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            row_groups(path)
            outcomes.add("read")
        except ParquetError:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


@pytest.mark.parametrize("part_rows", [10, 100, 10_000])
def test_keys_are_told_apart_exactly_however_many_parts_there_are(tmp_path: Path, part_rows: int) -> None:
    chance = random.Random(3)
    rows = [(chance.randrange(400), chance.choice([None, "a", "b"])) for _ in range(1_000)]
    keys = UniqueKeys(["id", "kind"], tmp_path / "keys", len(rows), part_rows)
    for start in range(0, len(rows), 64):
        keys.add(pl.DataFrame(rows[start : start + 64], schema={"id": pl.Int64, "kind": pl.String}, orient="row"))
    result = keys.result()
    assert result.count == len(rows) - len(set(rows))
    repeated = {f"{number},{kind or ''}" for number, kind in rows if rows.count((number, kind)) > 1}
    assert len(result.keys) == 5
    assert set(result.keys) <= repeated
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("Int64", "5", 5),
        ("Int64", " 5.0 ", 5),
        ("Int64", "9223372036854775807", 9223372036854775807),
        ("Int64", "5.5", None),
        ("Int64", "NaN", None),
        ("Float64", "1e3", 1000.0),
        ("Float64", "1,5", None),
        ("Boolean", "True", True),
        ("Boolean", "0", False),
        ("Boolean", "yes", None),
        ("String", "5", "5"),
        ("Timestamp", "2013-01-01T00:00:00Z", 1_356_998_400),
        ("Timestamp", "2013-01-01 01:00:00.5+01:00", 1_356_998_400),
        ("Timestamp", "2013-01-01", 1_356_998_400),
        ("Timestamp", "1/1/2013", None),
    ],
)
def test_text_of_a_csv_becomes_a_value_or_is_wrong(kind: str, text: str, value: object) -> None:
    conversion = convert("x", FeatureType(kind), pl.String(), text=True)
    frame = pl.DataFrame({"x": [text, None]}).select(value=conversion.value, wrong=conversion.wrong)
    found = frame["value"][0]
    assert (int(found.timestamp()) if kind == "Timestamp" and found else found) == value
    assert frame["wrong"].to_list() == [value is None, False]


def test_times_of_every_kind_are_the_same_moment() -> None:
    naive = pl.datetime_range(pl.datetime(2013, 1, 1), pl.datetime(2013, 1, 3), "1d", eager=True, time_unit="ms")
    columns = {
        "naive": naive,
        "paris": naive.dt.replace_time_zone("UTC")
        .dt.convert_time_zone("Europe/Paris")
        .cast(pl.Datetime("ns", "Europe/Paris")),
        "day": naive.cast(pl.Date),
    }
    frame = pl.DataFrame(columns)
    for name, series in columns.items():
        conversion = convert(name, FeatureType.TIMESTAMP, series.dtype, text=False)
        values = frame.select(conversion.value).to_series()
        assert values.to_physical().to_list() == naive.cast(pl.Datetime("us")).to_physical().to_list(), name
        assert not frame.select(conversion.wrong).to_series().any()


@given(sizes=st.lists(st.integers(0, 50), max_size=40), wanted=st.integers(1, 40))
def test_a_sample_does_not_depend_on_the_batches(sizes: list[int], wanted: int) -> None:
    rows = pl.DataFrame({"x": range(sum(sizes))})
    one, other = EvenSample(wanted), EvenSample(wanted)
    start = 0
    for size in sizes:
        one.add(rows.slice(start, size))
        start += size
    other.add(rows)
    found = one.frame()
    assert (found is None) == (rows.height == 0)
    if found is not None:
        kept = found["x"].to_list()
        assert len(kept) < 2 * wanted
        assert kept == other.frame()["x"].to_list()  # type: ignore[index]
        assert len({b - a for a, b in pairwise(kept)}) <= 1


def test_the_memory_limit_is_the_containers(tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    limit.write_text("104857600\n")
    assert memory_limit((tmp_path / "none", limit)) == 104_857_600
    limit.write_text("max\n")
    assert memory_limit((limit,)) > 1 << 28


FEATURES = [
    Feature(name="number", type=FeatureType.FLOAT64, nullable=True, minimum="-1.5", maximum="2"),
    Feature(name="whole", type=FeatureType.INT64, minimum="0"),
    Feature(name="word", type=FeatureType.STRING, categories=["a", "b"]),
    Feature(name="truth", type=FeatureType.BOOLEAN, nullable=True),
]


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from([None, -1.5, 0.0, 2.0, 2.5, -9.0]),
            st.sampled_from([0, 1, 7, 7, 7, -1, None]),
            st.sampled_from(["a", "b", "a", "c", None]),
            st.sampled_from([True, False, None]),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_pandera_comes_to_the_same_verdict(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[object, ...]]
) -> None:
    names = [item.name for item in FEATURES]
    frame = pl.DataFrame(
        rows, schema=dict(zip(names, [pl.Float64, pl.Int64, pl.String, pl.Boolean], strict=True)), orient="row"
    )
    try:
        pandera_schema(FEATURES).validate(frame, lazy=True)
        wanted = set()
    except pandera.errors.SchemaErrors as errors:
        wanted = {str(fault.schema.name) for fault in errors.schema_errors}
    folder = tmp_path_factory.mktemp("oracle")
    path = folder / "data.parquet"
    frame.write_parquet(path)
    digest = digest_file(path)
    dataset = Dataset((LocalFile("data.parquet", path.stat().st_size, digest, path),), digest, DatasetFormat.PARQUET)
    spec = FeatureSetSpec.model_validate(
        {
            "features": [item.model_dump(by_alias=True, exclude_none=True) for item in FEATURES],
            "source": {"uri": "pvc://claim/data.parquet", "format": "Parquet"},
        }
    )
    outcome = validate(dataset, task_of(spec, baseline_profile=None, store=None), scratch=folder, with_profile=False)
    assert {item.feature for item in outcome.failed} == wanted
