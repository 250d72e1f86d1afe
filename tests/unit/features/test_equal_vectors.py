"""What a model was trained on and what it is asked are the same vectors, bit for bit."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from penstock.features import TrainingData, load
from penstock.features.columns import Array
from tests.unit.features import varied
from tests.unit.runtime.server import Server, running

ROWS = 10_000
BATCHES = [*((row, row + 1) for row in range(100, 160)), *((start, start + 100) for start in range(0, 400, 100))]
BATCHES += [(start, start + 800) for start in range(400, ROWS, 800)]


@pytest.fixture(scope="module")
def dataset() -> pl.DataFrame:
    return varied.rows(ROWS)


@pytest.fixture(scope="module")
def trained(dataset: pl.DataFrame) -> dict[str, Array]:
    """What a training script gets of the table in memory."""
    return load(varied.FEATURE_SET, dataset, output="polars", codes=varied.CODED).columns


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = varied.echo_model(tmp_path_factory.mktemp("echo"))
    with running(folder, "ONNX", PENSTOCK_FEATURES=str(folder / "features.json")) as server:
        yield server


def parquet(dataset: pl.DataFrame, folder: Path) -> TrainingData:
    for index, part in enumerate((dataset[:3000], dataset[3000:])):
        part.write_parquet(folder / f"part-{index}.parquet")
    return load(varied.FEATURE_SET, folder / "part-*.parquet", codes=varied.CODED)


def csv(dataset: pl.DataFrame, folder: Path) -> TrainingData:
    # Quoted, because an empty field of CSV is a missing value.
    dataset.write_csv(folder / "flights.csv", quote_style="non_numeric", float_precision=None)
    return load(varied.FEATURE_SET, folder / "flights.csv", codes=varied.CODED)


def pandas(dataset: pl.DataFrame, folder: Path) -> TrainingData:
    import pandas as pd

    frame = pd.DataFrame({name: dataset[name].to_list() for name in dataset.columns})
    for name in ("seats", "tail"):  # beyond 2**53 pandas has exact numbers in its own type only
        frame[name] = pd.array(dataset[name].to_list(), dtype="Int64")
    for name in ("visib", "gust"):
        frame[name] = frame[name].astype("float32")
    return load(varied.FEATURE_SET, frame, codes=varied.CODED)


def numpy(dataset: pl.DataFrame, folder: Path) -> TrainingData:
    columns = {name: np.array([*dataset[name].to_list(), None], dtype=object)[:-1] for name in dataset.columns}
    for name in ("distance", "hour", "holiday"):
        columns[name] = dataset[name].to_numpy()
    return load(varied.FEATURE_SET, columns, codes=varied.CODED)


@pytest.mark.parametrize("source", [parquet, csv, pandas, numpy])
def test_every_kind_of_table_gives_the_same(
    dataset: pl.DataFrame, trained: dict[str, Array], tmp_path: Path, source: "type[parquet]"
) -> None:
    found = source(dataset, tmp_path).columns
    assert list(found) == list(trained)
    for name, expected in trained.items():
        assert varied.bits(found[name]) == varied.bits(expected), name


@pytest.mark.parametrize("binary", [False, True], ids=["JSON", "binary"])
def test_the_model_server_gives_the_model_the_same(
    dataset: pl.DataFrame, trained: dict[str, Array], echo: Server, binary: bool
) -> None:
    for start, end in BATCHES:
        body, headers = varied.request(dataset[start:end], binary=binary)
        answer = echo.client.post("/v2/models/flight-delay/infer", content=body, headers=headers)
        assert answer.status_code == 200, answer.text
        found = varied.answered(answer.content, int(answer.headers["inference-header-content-length"]))
        assert set(found) == set(trained)
        for name, expected in trained.items():
            assert varied.bits(found[name]) == varied.bits(expected[start:end]), (name, start)


def test_the_rows_are_varied(dataset: pl.DataFrame, trained: dict[str, Array]) -> None:
    """Else equality would prove little."""
    assert {end - start for start, end in BATCHES} == {1, 100, 800}
    for feature in varied.FEATURES:
        name = feature["name"]
        may_be_missing = feature.get("nullable") or "default" in feature
        assert (dataset[name].null_count() > 1000) == bool(may_be_missing), name
        assert len({varied.bits(trained[name][row : row + 1]) for row in range(ROWS)}) > 1, name
    assert np.isnan(trained["dewp"]).sum() == dataset["dewp"].null_count()
    assert (trained["dest"] == -1).sum() == dataset["dest"].null_count()
    assert (trained["scheduled"] < 0).any()
