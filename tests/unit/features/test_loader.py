import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import yaml

from penstock.api.lineage import FILE_NAME, read_lineage
from penstock.artifact.digest import digest_path
from penstock.features import DatasetError, FeatureError, load, save_lineage, tables

FEATURE_SET: dict[str, Any] = {
    "apiVersion": "penstock.dev/v1alpha1",
    "kind": "FeatureSet",
    "metadata": {"name": "flights", "generation": 3},
    "spec": {
        "features": [
            {"name": "distance", "type": "Float64", "minimum": "0", "description": "In miles."},
            {"name": "carrier", "type": "String", "categories": ["UA", "AA"]},
            {"name": "seats", "type": "Int64", "default": "-1"},
        ],
        "entityKey": ["flight", "day"],
        "timestampField": "at",
        "label": {"name": "late", "type": "Boolean"},
        "source": {"uri": "s3://data/flights.parquet", "format": "Parquet"},
    },
}
TABLE: dict[str, list[Any]] = {
    "late": [True, False, False],
    "extra": [1, 2, 3],
    "seats": [None, 180, 90],
    "carrier": ["AA", "UA", "AA"],
    "distance": [100.5, 200.0, 300.0],
    "flight": ["a", "b", "c"],
    "day": [1, 2, 3],
    "at": ["2013-01-02T05:00:00Z", "2013-01-01T05:00:00Z", "2013-03-31T23:30:00Z"],
}


def with_table(**columns: Any) -> dict[str, Any]:
    return {**TABLE, **columns}


def test_pandas() -> None:
    data = load(FEATURE_SET, TABLE)
    expected = pd.DataFrame({"distance": [100.5, 200.0, 300.0], "carrier": [1, 0, 1], "seats": [-1, 180, 90]})
    pd.testing.assert_frame_equal(data.X, expected)
    assert data.y is not None
    assert data.y.tolist() == [True, False, False]
    assert list(data.keys) == ["flight", "day"]
    assert data.keys["flight"].tolist() == ["a", "b", "c"]
    assert data.timestamps is not None
    assert data.timestamps.astype(str).tolist()[0] == "2013-01-02T05:00:00.000000"
    assert data.schema.names == ("distance", "carrier", "seats")


def test_texts_in_place_of_codes() -> None:
    assert load(FEATURE_SET, TABLE, codes=False).X["carrier"].tolist() == ["AA", "UA", "AA"]
    found = load(FEATURE_SET, TABLE, codes=False, output="polars").X
    assert found.schema == {"distance": pl.Float64, "carrier": pl.String, "seats": pl.Int64}


def test_numpy() -> None:
    found = load(FEATURE_SET, TABLE, output="numpy").X
    np.testing.assert_array_equal(found, [[100.5, 1, -1], [200, 0, 180], [300, 1, 90]])
    with pytest.raises(FeatureError, match="'carrier' has texts"):
        load(FEATURE_SET, TABLE, output="numpy", codes=False)


def test_a_file_of_yaml(tmp_path: Path) -> None:
    file = tmp_path / "featureset.yaml"
    file.write_text(yaml.safe_dump_all([{"kind": "Namespace"}, FEATURE_SET]))
    assert load(file, TABLE).lineage == load(FEATURE_SET, TABLE).lineage
    file.write_text(yaml.safe_dump({"kind": "Model"}))
    with pytest.raises(DatasetError, match="exactly one object of kind FeatureSet; it holds 0"):
        load(file, TABLE)
    with pytest.raises(DatasetError, match="cannot be read: No such file"):
        load(tmp_path / "none.yaml", TABLE)
    with pytest.raises(DatasetError, match=r"not valid: spec: Field required"):
        load({"kind": "FeatureSet", "metadata": {"name": "x"}}, TABLE)


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_files(tmp_path: Path, suffix: str) -> None:
    frame = pl.DataFrame(TABLE)
    if suffix == "csv":
        frame.write_csv(tmp_path / "a.csv")
    else:
        frame.with_columns(pl.col("at").str.to_datetime(time_zone="UTC")).write_parquet(tmp_path / "a.parquet")
    file = tmp_path / f"a.{suffix}"
    data = load(FEATURE_SET, file)
    assert data.X.equals(load(FEATURE_SET, TABLE).X)
    assert data.lineage.dataset.digest == digest_path(file)
    assert load(FEATURE_SET, file.as_uri()).lineage == data.lineage
    twice = load(FEATURE_SET, [file, tmp_path / f"?.{suffix}"])
    assert len(twice.X) == 3
    folder = load(FEATURE_SET, tmp_path)
    assert folder.lineage.dataset.digest == digest_path(tmp_path)


def test_large_tables_are_read_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = load(FEATURE_SET, TABLE)
    monkeypatch.setattr(tables, "SLICE_ROWS", 2)
    sliced = load(FEATURE_SET, TABLE)
    assert sliced.X.equals(whole.X)
    assert sliced.lineage == whole.lineage
    with pytest.raises(FeatureError, match=r"'distance' is -1\.0 in row 2: its minimum is 0") as caught:
        load(FEATURE_SET, with_table(distance=[1.0, 2.0, -1.0], seats=[1, 2, 3]))
    assert caught.value.row == 2


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (with_table(carrier=["AA", "ZZ", "UA"]), "feature 'carrier' is 'ZZ' in row 1: its categories are 'UA', 'AA'"),
        (with_table(late=[True, None, False]), "feature 'late' is null in row 1"),
        (with_table(at=["2013-01-01", None, "2013-01-01"]), "feature 'at' is null in row 1"),
        (with_table(day=[1]), "do not have the same number of rows"),
        ({name: values for name, values in TABLE.items() if name != "seats"}, "the table lacks the columns 'seats'"),
        (pl.DataFrame(TABLE).with_columns(pl.lit(None).alias("flight")), "'flight' is null in row 0: every row needs"),
        (7, "not int"),
        ("nowhere.parquet", "There is no file or folder"),
        ("s3://data/flights.parquet", "is not on this machine"),
    ],
)
def test_what_is_wrong_is_said(data: Any, says: str) -> None:
    with pytest.raises((FeatureError, DatasetError)) as caught:
        load(FEATURE_SET, data)
    assert says in str(caught.value)


def test_files_that_are_wrong(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"no parquet")
    with pytest.raises(DatasetError, match=r"a\.parquet cannot be read"):
        load(FEATURE_SET, tmp_path / "a.parquet")
    frame = pl.DataFrame(TABLE).with_columns(pl.Series("seats", ["many", "few", "0"]))
    frame.write_csv(tmp_path / "b.csv")
    with pytest.raises(FeatureError, match=r"'seats' is no Int64 \(String in b\.csv\) in row 0"):
        load(FEATURE_SET, tmp_path / "b.csv")
    frame.drop("late").write_csv(tmp_path / "c.csv")
    with pytest.raises(DatasetError, match=r"c\.csv lacks the columns 'late'"):
        load(FEATURE_SET, tmp_path / "c.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="names no Parquet or CSV file"):
        load(FEATURE_SET, tmp_path / "empty")


def test_lineage(tmp_path: Path) -> None:
    data = load(FEATURE_SET, TABLE, name="Q1", digest="sha256:" + "a" * 64)
    file = data.write_lineage(tmp_path / "model", parameters={"depth": 3, "fast": True}, seed=7, code="v1.2", job="j")
    assert file == tmp_path / "model" / FILE_NAME
    found = read_lineage(file.read_bytes()).as_json()
    assert found == {
        "version": 1,
        "dataset": {
            "name": "Q1",
            "uri": "s3://data/flights.parquet",
            "digest": "sha256:" + "a" * 64,
            "rows": 3,
            "window": {"from": "2013-01-01T05:00:00Z", "to": "2013-03-31T23:30:00Z"},
        },
        "featureSet": {
            "name": "flights",
            "generation": 3,
            "schemaDigest": data.schema.digest,
            "features": found["featureSet"]["features"],
        },
        "training": {"code": "v1.2", "job": "j", "parameters": {"depth": "3", "fast": "true"}, "seed": 7},
    }
    assert [feature["name"] for feature in found["featureSet"]["features"]] == list(data.schema.names)
    with pytest.raises(DatasetError, match="parameters"):
        save_lineage(data.lineage, tmp_path, parameters={"p": "x" * 257})


def test_the_code_is_the_commit_or_what_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lineage = load(FEATURE_SET, TABLE).lineage
    monkeypatch.delenv("PENSTOCK_CODE", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    def code() -> str | None:
        return read_lineage(save_lineage(lineage, tmp_path / "model").read_bytes()).training.code

    assert code() is None
    for command in ("init -q", "-c user.name=a -c user.email=a@b commit -q --allow-empty -m first"):
        subprocess.run(["git", *command.split()], check=True, cwd=tmp_path)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert code() == f"git:{commit}"
    monkeypatch.setenv("PENSTOCK_CODE", "registry.example.com/train@sha256:1")
    assert code() == "registry.example.com/train@sha256:1"
