"""Requests that wait together share a call of the model, and nobody sees it in an answer."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from penstock.runtime.backends import Backend, load_backend
from penstock.runtime.calls import Call, InputTensor
from penstock.runtime.cost import Cost
from penstock.runtime.engine import Engine
from penstock.runtime.metadata import read_metadata
from penstock.runtime.tensors import Array, TensorSpec
from tests.unit.runtime import models

SHARES = Cost(0.001, 0.0)
SLOW = Cost(0.1, 0.0)


class Watched:
    """A real backend that keeps the number of rows of every call, and the inputs that its engine says it answered."""

    is_row_wise = True

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.inputs: tuple[TensorSpec, ...] = backend.inputs
        self.outputs: tuple[TensorSpec, ...] = backend.outputs
        self.rows: list[int] = []
        self.seen: list[dict[str, Array]] = []

    def seen_values(self, name: str) -> list[Any]:
        return sorted(row for inputs in self.seen for row in inputs[name].tolist())

    def predict(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        self.rows.append(len(next(iter(inputs.values()))))
        return self._backend.predict(inputs, outputs)


def watched_engine(folder: Path, monkeypatch: pytest.MonkeyPatch, cost: Cost = SHARES) -> tuple[Engine, Watched]:
    backend = Watched(load_backend("Skops", folder, read_metadata(folder)))
    monkeypatch.setattr("penstock.runtime.engine.cost_of_blank", lambda *_: cost)
    return Engine(backend, model_name="m", revision="0123456789ab", threads=2, seen=backend.seen.append), backend


def row_calls(values: Any, outputs: list[str] | None = None) -> list[Call]:
    return [Call(None, [InputTensor("input", "FP64", row.reshape(1, -1))], outputs) for row in values]


async def answers(engine: Engine, calls: list[Call]) -> list[dict[str, Array] | BaseException]:
    found = await asyncio.gather(*(engine.infer(call) for call in calls), return_exceptions=True)
    return [item if isinstance(item, BaseException) else item.outputs for item in found]


@pytest.mark.parametrize("cost", [SHARES, SLOW])
@pytest.mark.parametrize("train", [models.logistic, models.forest, models.boosted])
async def test_answers_are_those_of_single_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, train: Any, cost: Cost
) -> None:
    engine, backend = watched_engine(models.save_skops(tmp_path, train()), monkeypatch, cost)
    values, _ = models.numbers(150)
    together = await answers(engine, row_calls(values))
    assert max(backend.rows) == 64
    assert sum(backend.rows) == 150
    for row, found in zip(values, together, strict=True):
        alone = backend.predict({"input": row.reshape(1, -1)}, ["label", "probabilities"])
        assert isinstance(found, dict)
        assert found["label"] == alone["label"]
        np.testing.assert_allclose(found["probabilities"], alone["probabilities"], rtol=0, atol=1e-15)
    assert backend.seen_values("input") == sorted(values.tolist())


async def test_requests_of_several_rows_and_other_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, backend = watched_engine(models.save_skops(tmp_path, models.logistic()), monkeypatch)
    values, _ = models.numbers(40)
    parts = [values[:3], values[3:4], values[4:20]]
    calls = [Call(None, [InputTensor("input", "FP64", part)], ["label"]) for part in parts]
    calls += row_calls(values[20:22], ["probabilities"])
    found = await answers(engine, calls)
    assert backend.rows == [20, 2]
    assert [{name: len(array) for name, array in item.items()} for item in found if isinstance(item, dict)] == [
        {"label": 3},
        {"label": 1},
        {"label": 16},
        {"probabilities": 1},
        {"probabilities": 1},
    ]


async def test_a_lone_request_is_not_held_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, backend = watched_engine(models.save_skops(tmp_path, models.logistic()), monkeypatch)
    for row in models.numbers(3)[0]:
        await engine.infer(row_calls([row])[0])
    assert backend.rows == [1, 1, 1]


@pytest.mark.parametrize("cost", [SHARES, SLOW])
async def test_a_row_that_fails_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cost: Cost) -> None:
    folder = models.save_skops(tmp_path, models.flight_pipeline(strict=True), models.FLIGHT_INPUTS)
    engine, backend = watched_engine(folder, monkeypatch, cost)
    frame = models.flights(5)[0]
    frame.loc[2, "carrier"] = "nobody"

    def call(index: int) -> Call:
        one = frame.iloc[[index]]
        tensors = [
            InputTensor("carrier", "BYTES", one[["carrier"]].to_numpy(dtype=object)),
            InputTensor("distance", "FP64", one[["distance"]].to_numpy()),
            InputTensor("hour", "INT64", one[["hour"]].to_numpy()),
        ]
        return Call(None, tensors, None)

    found = await answers(engine, [call(index) for index in range(5)])
    assert [isinstance(item, ValueError) for item in found] == [False, False, True, False, False]
    assert backend.rows[0] == 5
    assert "nobody" in str(found[2])
    assert backend.seen_values("carrier") == sorted([carrier] for carrier in frame["carrier"].drop(2))


@pytest.mark.parametrize("cost", [Cost(0.0001, 0.0001), Cost(0.1, 0.1)])
async def test_what_is_answered_without_batches_is_seen_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cost: Cost
) -> None:
    engine, backend = watched_engine(models.save_skops(tmp_path, models.logistic()), monkeypatch, cost)
    values, _ = models.numbers(3)
    await answers(engine, row_calls(values))
    assert backend.rows == [1, 1, 1]
    assert backend.seen_values("input") == sorted(values.tolist())


async def test_more_requests_than_fit_in_one_batch_while_one_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, backend = watched_engine(models.save_skops(tmp_path, models.forest()), monkeypatch, SLOW)
    calls = row_calls(models.numbers(130)[0])
    waves = [asyncio.create_task(answers(engine, calls[index::13])) for index in range(13)]
    assert all(isinstance(item, dict) for wave in await asyncio.gather(*waves) for item in wave)
    assert sum(backend.rows) == 130
    assert max(backend.rows) <= 64


def test_what_a_start_measures(tmp_path: Path) -> None:
    def engine(folder: Path, model_format: str) -> Engine:
        backend = load_backend(model_format, folder, read_metadata(folder))
        return Engine(backend, model_name="m", revision="0123456789ab", threads=2)

    forest = engine(models.save_skops(tmp_path / "forest", models.forest()), "Skops")
    graph = engine(models.save_onnx(tmp_path / "graph", models.forest()), "ONNX")
    assert forest.cost.gains_by_batches
    forest.cost = Cost(0.05, 0.0)
    assert forest.requests_within(1.0) == pytest.approx(20 * 64)
    graph.cost = Cost(0.05, 0.0)
    assert graph.requests_within(1.0) == pytest.approx(20 * 2)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("last", [LogisticRegression(), RandomForestRegressor(5, random_state=1)])
def test_a_model_of_plain_numbers_needs_no_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: Any) -> None:
    frame, late = models.flights()
    numbers = frame[["distance", "hour"]]
    model = make_pipeline(StandardScaler(), last).fit(numbers, late)
    specs = [
        {"name": "hour", "datatype": "INT64", "shape": [-1, 1]},
        {"name": "distance", "datatype": "FP64", "shape": [-1, 1]},
    ]
    folder = models.save_skops(tmp_path, model, specs)
    backend = load_backend("Skops", folder, read_metadata(folder))
    monkeypatch.setattr("penstock.runtime.backends.skops.pd", None)
    inputs = {"hour": numbers[["hour"]].to_numpy(), "distance": numbers[["distance"]].to_numpy()}
    output = backend.outputs[0].name
    np.testing.assert_array_equal(backend.predict(inputs, [output])[output], model.predict(numbers))


def test_the_example_in_metadata_is_what_is_measured(tmp_path: Path) -> None:
    folder = models.save_skops(tmp_path, models.flight_pipeline(strict=True), models.FLIGHT_INPUTS)
    metadata = json.loads((folder / "metadata.json").read_text())
    backend = load_backend("Skops", folder, read_metadata(folder))
    without = Engine(backend, model_name="m", revision="0123456789ab", threads=1)
    arrays = {"carrier": np.array([["AA"]], dtype=object), "distance": np.array([[7.5]]), "hour": np.array([[3]])}
    tensors = [InputTensor(spec["name"], spec["datatype"], arrays[spec["name"]]) for spec in metadata["inputs"]]
    with_example = Engine(
        backend, model_name="m", revision="0123456789ab", threads=1, example=Call(None, tensors, None)
    )
    assert without.requests_within(1.0) == float("inf")
    assert with_example.cost.gains_by_batches
