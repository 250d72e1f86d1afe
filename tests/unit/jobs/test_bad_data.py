"""Datasets as they come: each fault is named with its numbers, and nothing of a row's values is told."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from penstock.api.v1alpha1.featuresetstatus import Verdict
from tests.unit.jobs.given import Place, as_json, checks, failures, flights, spec


def test_good_data_pass(place: Place) -> None:
    place.write(flights())
    result = place.validate()
    assert (result.verdict, result.reason, result.rows) == (Verdict.PASS, "Valid", 5_000)
    assert result.failed == 0
    assert result.failed_checks == []
    assert result.newest == flights()["time_hour"].max()
    assert result.digest is not None
    assert result.profile_digest is None


def test_renamed_column(place: Place) -> None:
    place.write(flights().rename({"distance": "miles"}))
    result = place.validate()
    assert (result.verdict, result.reason) == (Verdict.FAIL, "ChecksFailed")
    assert list(failures(result)) == [("Column", "distance")]
    assert failures(result)["Column", "distance"].count == 5_000
    assert "distance" in result.message


@pytest.mark.parametrize("missing", ["flight_id", "time_hour", "late"])
def test_a_column_that_is_no_feature_is_missing(place: Place, missing: str) -> None:
    place.write(flights().drop(missing))
    assert list(failures(place.validate())) == [("Column", missing)]


def test_wrong_type_in_parquet(place: Place) -> None:
    place.write(flights(distance=pl.col("distance").cast(pl.String)))
    found = failures(place.validate())
    assert list(found) == [("Type", "distance")]
    assert found["Type", "distance"].count == 5_000
    assert found["Type", "distance"].keys == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    "values",
    [
        pl.Series([[1], [2], None], dtype=pl.List(pl.Int64)),
        pl.Series([{"a": 1}, {"a": 2}, None]),
        pl.Series([b"1", b"2", None]),
        pl.Series([True, False, None]),
        pl.Series(["1", "2", None], dtype=pl.Categorical),
    ],
    ids=["list", "struct", "binary", "boolean", "categorical"],
)
@pytest.mark.parametrize("kind", ["Int64", "Float32", "Timestamp"])
def test_a_column_of_an_odd_type(stored: Place, values: pl.Series, kind: str) -> None:
    stored.write(pl.DataFrame({"x": values}))
    definition = spec(
        features=[{"name": "x", "type": kind, "nullable": True}], entityKey=[], timestampField=None, label=None
    )
    found = failures(stored.validate(definition))
    assert list(found) == [("Type", "x")]
    assert (found["Type", "x"].count, found["Type", "x"].keys) == (2, ["row 1", "row 2"])


@pytest.mark.parametrize("kind", ["Int64", "Float64", "Boolean", "String", "Timestamp"])
def test_a_column_without_any_value(stored: Place, kind: str) -> None:
    stored.write(pl.DataFrame({"x": [None, None]}, schema={"x": pl.Null}))
    definition = spec(features=[{"name": "x", "type": kind}], entityKey=[], timestampField=None, label=None)
    assert list(failures(stored.validate(definition))) == [("NullFraction", "x")]


def test_text_in_a_numeric_column_of_a_csv(place: Place) -> None:
    seats = pl.when(pl.col("flight_id").is_in([3, 40, 500])).then(pl.lit("secret")).otherwise(pl.col("seats"))
    place.write(flights(seats=seats), "data.csv")
    result = place.validate(spec(source={"uri": "pvc://flights/data.csv", "format": "CSV"}))
    found = failures(result)
    assert list(found) == [("Type", "seats")]
    assert found["Type", "seats"].count == 3
    assert found["Type", "seats"].keys == ["3", "40", "500"]
    assert "secret" not in as_json(result)


def test_whole_numbers_in_a_column_of_floats_are_right(place: Place) -> None:
    seats = pl.when(pl.col("flight_id") > 9).then(pl.col("seats")).cast(pl.Float64)
    definition = spec()
    definition["features"][2]["nullable"] = True
    place.write(flights(seats=seats))
    assert place.validate(definition).verdict is Verdict.PASS
    place.write(flights(seats=seats + 0.5))
    found = failures(place.validate(definition))
    assert list(found) == [("Type", "seats")]
    assert found["Type", "seats"].count == 4_990


def test_thirty_percent_nulls(place: Place) -> None:
    place.write(flights(air_time=pl.when(pl.col("flight_id") % 10 >= 3).then(pl.col("air_time"))))
    found = failures(place.validate())
    assert list(found) == [("NullFraction", "air_time")]
    failed = found["NullFraction", "air_time"]
    assert (failed.count, Decimal(failed.value), failed.threshold) == (1_500, Decimal("0.3"), "0.05")
    assert failed.keys == ["0", "1", "2", "10", "11"]


def test_nulls_at_the_threshold_are_right_and_one_more_is_not(place: Place) -> None:
    place.write(flights(air_time=pl.when(pl.col("flight_id") >= 250).then(pl.col("air_time"))))
    assert place.validate().verdict is Verdict.PASS
    place.write(flights(air_time=pl.when(pl.col("flight_id") >= 251).then(pl.col("air_time"))))
    assert list(failures(place.validate())) == [("NullFraction", "air_time")]


@pytest.mark.parametrize(
    ("limits", "passes"), [({}, True), ({"maxNullFraction": "0.3"}, True), ({"maxNullFraction": "0.2"}, False)]
)
def test_the_limit_for_all_features(place: Place, limits: dict[str, str], passes: bool) -> None:
    definition = spec(validation=checks(**limits))
    del definition["features"][3]["maxNullFraction"]
    place.write(flights(air_time=pl.when(pl.col("flight_id") % 10 >= 3).then(pl.col("air_time"))))
    assert (place.validate(definition).verdict is Verdict.PASS) is passes


def test_a_new_carrier(place: Place) -> None:
    place.write(flights(carrier=pl.when(pl.col("flight_id") >= 4_990).then(pl.lit("ZZ")).otherwise(pl.col("carrier"))))
    result = place.validate()
    found = failures(result)
    assert list(found) == [("Category", "carrier")]
    assert found["Category", "carrier"].count == 10
    assert "ZZ" not in as_json(result)


def test_out_of_range(place: Place) -> None:
    place.write(flights(seats=pl.when(pl.col("flight_id") == 77).then(901).otherwise(pl.col("seats"))))
    found = failures(place.validate())
    assert list(found) == [("Range", "seats")]
    assert (found["Range", "seats"].count, found["Range", "seats"].keys) == (1, ["77"])


@pytest.mark.parametrize(("allowed", "passes"), [("0.002", True), ("0.0019", False)])
def test_a_share_of_invalid_rows_may_be_allowed(place: Place, allowed: str, passes: bool) -> None:
    place.write(flights(seats=pl.when(pl.col("flight_id") < 10).then(0).otherwise(pl.col("seats"))))
    result = place.validate(spec(validation=checks(maxInvalidFraction=allowed)))
    assert (result.verdict is Verdict.PASS) is passes


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_neither_a_range_nor_a_null(place: Place, value: float) -> None:
    place.write(flights(distance=pl.when(pl.col("flight_id") == 5).then(pl.lit(value)).otherwise(pl.col("distance"))))
    found = failures(place.validate())
    assert list(found) == [("Finite", "distance")]
    assert (found["Finite", "distance"].count, found["Finite", "distance"].keys) == (1, ["5"])


def test_duplicated_rows(place: Place) -> None:
    place.write(pl.concat([flights(), flights().head(120)]))
    found = failures(place.validate())
    assert list(found) == [("UniqueKey", None)]
    assert (found["UniqueKey", None].count, len(found["UniqueKey", None].keys)) == (120, 5)
    assert place.validate(spec(validation=checks(uniqueKeys=False))).verdict is Verdict.PASS


def test_rows_without_an_entity_key_are_named_by_their_number(place: Place) -> None:
    place.write(flights(seats=pl.when(pl.col("flight_id") == 77).then(901).otherwise(pl.col("seats"))))
    found = failures(place.validate(spec(entityKey=[])))
    assert found["Range", "seats"].keys == ["row 78"]


def test_one_bad_value_in_a_million_rows(place: Place) -> None:
    rows = 1_000_000
    place.write(
        flights(rows, seats=pl.when(pl.col("flight_id") == 765_432).then(-1).otherwise(pl.col("seats"))),
        row_group_size=50_000,
    )
    result = place.validate()
    assert result.rows == rows
    assert {key: (item.count, item.keys) for key, item in failures(result).items()} == {
        ("Range", "seats"): (1, ["765432"])
    }


@pytest.mark.parametrize("name", ["data.parquet", "data.csv"])
@pytest.mark.parametrize("content", ["nothing", "no rows"])
def test_without_rows_nothing_is_said(place: Place, name: str, content: str) -> None:
    path = place.write(flights().clear(), name)
    if content == "nothing":
        path.write_bytes(b"")
    source = {"uri": f"pvc://flights/{name}", "format": "CSV" if name.endswith("csv") else "Parquet"}
    result = place.validate(spec(source=source))
    assert (result.verdict, result.reason, result.rows) == (Verdict.NO_DATA, "EmptyDataset", 0)


@pytest.mark.parametrize("kept", [0.99, 0.5, 0.001])
def test_truncated_parquet(place: Place, kept: float) -> None:
    path = place.write(flights())
    content = path.read_bytes()
    path.write_bytes(content[: max(1, int(len(content) * kept))])
    result = place.validate()
    assert (result.verdict, result.reason) == (Verdict.ERROR, "CorruptFile")
    assert "data.parquet" in result.message


def test_damaged_pages(place: Place) -> None:
    path = place.write(flights())
    content = bytearray(path.read_bytes())
    content[4:400] = bytes(396)
    path.write_bytes(content)
    assert place.validate().reason == "CorruptFile"


def test_parquet_bomb(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = 20_000_000
    seats = pl.repeat(100, rows, dtype=pl.Int64, eager=True)
    path = place.write(pl.DataFrame({"seats": seats, "flight_id": seats}), row_group_size=rows)
    assert path.stat().st_size < 100_000
    monkeypatch.setattr("penstock.jobs.validate.engine.memory_limit", lambda: 1 << 30)
    result = place.validate()
    assert (result.verdict, result.reason) == (Verdict.ERROR, "DatasetTooLarge")
    assert "row group" in result.message
    # The same rows in small row groups are work, not a danger.
    place.write(pl.DataFrame({"seats": seats[:2_000_000]}), row_group_size=100_000)
    assert place.validate(spec(entityKey=[])).rows == 2_000_000


def test_csv_with_a_mark_and_quoted_newlines(place: Place) -> None:
    frame = flights(200, carrier=pl.lit('A\n"A",'))
    definition = spec(source={"uri": "pvc://flights/data.csv", "format": "CSV"})
    definition["features"][0]["categories"] = ['A\n"A",']
    path = place.write(frame, "data.csv", include_bom=True)
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    result = place.validate(definition)
    assert (result.verdict, result.rows) == (Verdict.PASS, 200), result
    path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    definition["features"][0]["categories"] = ['A\r\n"A",']
    assert place.validate(definition).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("content", "word"),
    [
        ("flight_id,carrier\n1,Zürich\n".encode("latin-1"), "UTF-8"),
        ("flight_id,cärrier\n1,AA\n".encode("latin-1"), "UTF-8"),
        ("flight_id,carrier\n1,AA\n".encode("utf-16"), "UTF-8"),
        (b"flight_id,carrier\n1,AA,surplus\n", "more fields"),
        (b'flight_id,carrier\n1,"AA\n', "quote"),
        (b"flight_id,flight_id\n1,2\n", "more than once"),
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00", "compressed"),
        (b"PAR1....", "Parquet"),
    ],
)
def test_csv_that_is_none(place: Place, content: bytes, word: str) -> None:
    (place.data / "data.csv").write_bytes(content)
    result = place.validate(spec(source={"uri": "pvc://flights/data.csv", "format": "CSV"}))
    assert (result.verdict, result.reason) == (Verdict.ERROR, "CorruptFile")
    assert word in result.message
    assert "rich" not in result.message


def test_csv_and_parquet_say_the_same(place: Place) -> None:
    faulty: dict[str, Any] = {
        "seats": pl.when(pl.col("flight_id") == 77).then(901).otherwise(pl.col("seats")),
        "air_time": pl.when(pl.col("flight_id") % 5 > 0).then(pl.col("air_time")),
        "carrier": pl.when(pl.col("flight_id") < 3).then(pl.lit("ZZ")).otherwise(pl.col("carrier")),
    }
    place.write(flights(**faulty))
    place.write(flights(**faulty), "data.csv")
    one = place.validate()
    other = place.validate(spec(source={"uri": "pvc://flights/data.csv", "format": "CSV"}))
    assert one.failed_checks == other.failed_checks
    assert len(one.failed_checks) == 3
    assert one.newest == other.newest


def test_several_files_are_one_dataset(place: Place) -> None:
    place.write(flights(3_000), "part-1.parquet")
    place.write(flights(2_000, first=2_999, seed=8).drop("night"), "part-2.parquet")
    (place.data / "_SUCCESS").write_bytes(b"")
    result = place.validate(spec(source={"uri": "pvc://flights/part-*.parquet", "format": "Parquet"}))
    assert result.rows == 5_000
    found = failures(result)
    assert set(found) == {("Column", "night"), ("UniqueKey", None)}
    assert found["Column", "night"].count == 2_000
    assert found["UniqueKey", None].keys == ["2999"]


def test_a_missing_month(place: Place) -> None:
    """The newest row is told, by which freshness is decided; the rows that are gone are a matter of rowCount."""
    without_march = flights().filter(pl.col("time_hour") < datetime(2013, 3, 1, tzinfo=UTC))
    place.write(without_march)
    result = place.validate(spec(validation=checks(rowCount={"min": 4_500})))
    found = failures(result)
    assert list(found) == [("RowCount", None)]
    assert (found["RowCount", None].value, found["RowCount", None].threshold) == (str(without_march.height), "4500..")
    assert result.newest is not None
    assert result.newest < datetime(2013, 3, 1, tzinfo=UTC)


def test_more_faults_than_the_message_holds(place: Place) -> None:
    names = [f"column_with_a_long_name_{index:03d}_{'x' * 80}" for index in range(60)]
    place.write(pl.DataFrame({name: [None] * 10 for name in names}, schema=dict.fromkeys(names, pl.Float64)))
    definition = spec(
        features=[{"name": name, "type": "Float64"} for name in names], entityKey=[], timestampField=None, label=None
    )
    process = place.start(definition)
    assert process.returncode == 0, process.stderr
    result = place.message
    assert result.failed == 60
    assert 0 < len(result.failed_checks) <= 12
    assert result.message.startswith("60 of")
