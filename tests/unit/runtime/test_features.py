"""The model server with a feature schema: what it takes, fills in and refuses."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock.domain.features.schema import SCHEMA_VERSION, FeatureSchema
from penstock.runtime.errors import LoadError
from penstock.runtime.features import FeatureInputs, feature_inputs
from penstock.runtime.tensors import TensorSpec
from tests.unit.runtime import models
from tests.unit.runtime.server import Server, refusal, running

FEATURES = [
    {"name": "hour", "type": "Int64", "minimum": "0", "maximum": "23"},
    {"name": "carrier", "type": "String", "categories": ["AA", "BB", "CC"]},
    {"name": "distance", "type": "Float64", "minimum": "0", "default": "700.5"},
]
CARRIER = {"name": "carrier", "datatype": "BYTES", "shape": [1, 1], "data": ["AA"]}
DISTANCE = {"name": "distance", "datatype": "FP64", "shape": [1], "data": [700.5]}
HOUR = {"name": "hour", "datatype": "INT64", "shape": [1], "data": [18]}


def write_schema(folder: Path, features: Any = FEATURES) -> str:
    file = folder / "features.json"
    file.write_text(json.dumps({"version": SCHEMA_VERSION, "features": features}))
    return str(file)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("checked")
    models.save_skops(folder, models.flight_pipeline(strict=True), models.FLIGHT_INPUTS)
    grids = [{"input": "distance", "low": 0, "high": 3000, "cells": 3}]
    (folder / "profile.json").write_text(json.dumps({"features": grids}))
    with running(folder, "Skops", PENSTOCK_FEATURES=write_schema(folder)) as running_server:
        yield running_server


def test_metadata_names_the_features(server: Server) -> None:
    assert server.client.get("/v2/models/flight-delay").json()["inputs"] == [
        {"name": "hour", "datatype": "INT64", "shape": [-1, 1]},
        {"name": "carrier", "datatype": "BYTES", "shape": [-1, 1]},
        {"name": "distance", "datatype": "FP64", "shape": [-1, 1]},
    ]


def test_a_missing_input_gets_its_default(server: Server) -> None:
    whole = server.outputs([CARRIER, DISTANCE, HOUR])
    assert server.outputs([HOUR, CARRIER]) == whole
    assert server.outputs([HOUR, CARRIER, {**DISTANCE, "data": [None]}]) == whole


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ([HOUR, DISTANCE], "feature 'carrier' is missing: give its values (String)"),
        ([HOUR, {**CARRIER, "data": ["ZZ"]}], "feature 'carrier' is 'ZZ': its categories are 'AA', 'BB', 'CC'"),
        ([{**HOUR, "data": [24]}, CARRIER], "feature 'hour' is 24: its maximum is 23"),
        ([{**HOUR, "data": [None]}, CARRIER], "feature 'hour' is null: it is not nullable"),
        ([HOUR, CARRIER, {**DISTANCE, "data": [-1]}], "feature 'distance' is -1.0: its minimum is 0"),
        ([HOUR, CARRIER, {**DISTANCE, "datatype": "FP32"}], "feature 'distance' has the datatype FP32: give FP64"),
        ([HOUR, {**CARRIER, "datatype": "INT64", "data": [1]}], "feature 'carrier' has values of type int64"),
        ([HOUR, CARRIER, {**HOUR, "name": "minute"}], "feature 'minute' is not one of the model's: the features are"),
        ([HOUR, {**HOUR, "name": "a"}, {**HOUR, "name": "b"}], "feature 'a' is not one of the model's, nor are 'b'"),
        ([HOUR, HOUR, CARRIER], "feature 'hour' is given twice"),
        ([HOUR, {**CARRIER, "shape": [2, 1], "data": ["AA", "BB"]}], "feature 'carrier' has 2 rows, 'hour' has 1"),
        ([{**HOUR, "shape": [1, 2], "data": [1, 2]}], "feature 'hour' has the shape [1, 2]"),
        (
            [{"name": "input", "datatype": "FP64", "shape": [1, 3], "data": [1, 2, 3]}],
            "feature 'carrier' is of type String",
        ),
        ([], "feature 'hour' is missing, as is every other feature"),
    ],
)
def test_a_request_that_does_not_fit_is_refused(server: Server, inputs: list[dict[str, Any]], says: str) -> None:
    answer = server.infer(inputs)
    assert answer.status_code == 400, answer.text
    assert says in answer.json()["error"]


def test_one_tensor_per_feature_for_a_model_that_takes_a_matrix(tmp_path: Path) -> None:
    features = [
        {"name": "a", "type": "Float64"},
        {"name": "b", "type": "Int64"},
        {"name": "c", "type": "Boolean", "default": "true"},
        {"name": "d", "type": "Float64", "maximum": "9"},
    ]
    models.save_skops(tmp_path, models.logistic())
    with running(tmp_path, "Skops", PENSTOCK_FEATURES=write_schema(tmp_path, features)) as server:
        rows = [[0.25, 2, 1.5], [0.5, -3, -0.5]]
        single = [
            {"name": name, "datatype": "FP64", "shape": [2], "data": [row[index] for row in rows]}
            for index, name in enumerate("abd")
        ]
        expected = models.logistic().predict_proba([[0.25, 2, 1, 1.5], [0.5, -3, 1, -0.5]])
        found = server.outputs(single)["probabilities"]["data"]
        assert found == expected.ravel().tolist()
        assert "'c' is of type Boolean: give one tensor per feature" in server.infer(matrix([[1, 2, 1, 3]])).text


def matrix(rows: list[list[float]]) -> list[dict[str, Any]]:
    return [{"name": "input", "datatype": "FP64", "shape": [len(rows), len(rows[0])], "data": rows}]


def test_one_tensor_for_a_model_of_numbers(tmp_path: Path) -> None:
    features = [{"name": name, "type": "Float64", "maximum": "9", "nullable": name == "b"} for name in "abcd"]
    features[2]["default"] = "0.5"
    models.save_skops(tmp_path, models.boosted())  # trees take NaN
    with running(tmp_path, "Skops", PENSTOCK_FEATURES=write_schema(tmp_path, features)) as server:
        rows = [[0.25, 2.0, 1.0, 1.5], [0.5, None, None, -0.5]]
        expected = models.boosted().predict_proba([[0.25, 2.0, 1.0, 1.5], [0.5, np.nan, 0.5, -0.5]])
        found = server.outputs(matrix(rows))["probabilities"]["data"]  # type: ignore[arg-type]
        assert found == expected.ravel().tolist()
        assert "feature 'd' is 10.0 in row 1: its maximum" in server.infer(matrix([[1] * 4, [1, 1, 1, 10]])).text
        assert "the tensor has 3" in server.infer(matrix([[1, 2, 3]])).json()["error"]


def test_missing_numbers_are_counted_nowhere(tmp_path: Path) -> None:
    features = [{"name": name, "type": "Float64", "nullable": True} for name in "abcd"]
    models.save_skops(tmp_path, models.boosted())
    grids = [{"input": "input", "column": column, "low": 0, "high": 4, "cells": 2} for column in (0, 1)]
    (tmp_path / "profile.json").write_text(json.dumps({"features": grids}))
    with running(tmp_path, "Skops", PENSTOCK_FEATURES=write_schema(tmp_path, features)) as server:
        server.outputs(matrix([[1, None, 0, 0], [3, 9, 0, 0]]))  # type: ignore[list-item]
        page = server.client.get(server.metrics_url.replace("/metrics", "/capture")).json()
        counts = [(item["below"], item["counts"], item["above"]) for item in page["histograms"]]
        assert counts == [(0, [1, 1], 0), (0, [0, 0], 1)]


def test_without_a_schema_nothing_may_be_missing(flight_server: Server) -> None:
    assert flight_server.infer([CARRIER, HOUR, {**DISTANCE, "data": [None]}]).status_code == 400


def test_the_example_is_checked_like_a_request(tmp_path: Path) -> None:
    models.save_skops(tmp_path, models.flight_pipeline())
    document = {
        "inputs": models.FLIGHT_INPUTS,
        "parameters": {"example": {"inputs": [{**HOUR, "data": [99]}, CARRIER]}},
    }
    (tmp_path / "metadata.json").write_text(json.dumps(document))
    told = refusal(tmp_path, "Skops", PENSTOCK_FEATURES=write_schema(tmp_path))
    assert told["reason"] == "LoadFailed"
    assert "feature 'hour' is 99: its maximum is 23" in told["message"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is no JSON"),
        ("[]", "holds no features"),
        ('{"version": "penstock.dev/features/1", "features": []}', "holds no features"),
        ('{"version": "penstock.dev/features/9", "features": [{}]}', "has version 'penstock.dev/features/9'"),
        ('{"version": "penstock.dev/features/1", "features": [{"name": "a"}]}', "cannot be read"),
        ('{"version": "penstock.dev/features/1", "features": [{"name": "a", "type": "Text"}]}', "'Text'"),
        (
            '{"version": "penstock.dev/features/1", "features": [{"name": "a", "type": "Float64", "minimum": "low"}]}',
            "minimum",
        ),
    ],
)
def test_a_schema_that_cannot_be_read(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "features.json").write_text(content)
    with pytest.raises(LoadError) as caught:
        feature_inputs(tmp_path / "features.json", (column("FP64"),), "Skops")
    assert caught.value.reason == "InvalidConfiguration"
    assert says in caught.value.message


def test_a_server_with_such_a_schema_says_so_and_ends(tmp_path: Path) -> None:
    models.save_skops(tmp_path, models.logistic())
    (tmp_path / "features.json").write_text("{")
    told = refusal(tmp_path, "Skops", PENSTOCK_FEATURES=str(tmp_path / "features.json"))
    assert told["reason"] == "InvalidConfiguration"
    assert "is no JSON" in told["message"]


def bound(features: list[dict[str, Any]], *inputs: TensorSpec) -> FeatureInputs:
    schema = FeatureSchema.from_json({"version": SCHEMA_VERSION, "features": features})
    return FeatureInputs(schema, inputs, takes_missing_texts=False)


def column(datatype: str) -> TensorSpec:
    return TensorSpec("a", datatype, (-1, 1))


@pytest.mark.parametrize(
    ("feature", "datatype"),
    [
        ({"type": "Float64"}, "FP64"),
        ({"type": "Float32"}, "FP32"),
        ({"type": "Float32"}, "FP64"),
        ({"type": "Int64"}, "INT64"),
        ({"type": "Int64"}, "FP64"),
        ({"type": "Int64", "minimum": "-8", "maximum": "7"}, "INT16"),
        ({"type": "Int64", "nullable": True}, "FP64"),
        ({"type": "Boolean"}, "BOOL"),
        ({"type": "Boolean"}, "FP32"),
        ({"type": "Boolean", "nullable": True}, "FP32"),
        ({"type": "Boolean"}, "INT64"),
        ({"type": "String", "categories": ["x"]}, "INT32"),
        ({"type": "String", "categories": ["x"]}, "BYTES"),
        ({"type": "String", "categories": ["x"], "nullable": True}, "FP32"),
        ({"type": "String"}, "BYTES"),
        ({"type": "Timestamp"}, "INT64"),
    ],
)
def test_what_a_model_may_take(feature: dict[str, Any], datatype: str) -> None:
    bound([{"name": "a", **feature}], column(datatype))


@pytest.mark.parametrize(
    ("feature", "datatype", "says"),
    [
        ({"type": "Float64"}, "FP32", "it would lose digits"),
        ({"type": "Float64"}, "INT64", "it has fractions: let the model take FP64"),
        ({"type": "Float64"}, "BYTES", "only features of type String are texts"),
        ({"type": "Int64"}, "INT32", "let the model take INT64"),
        ({"type": "Int64", "nullable": True}, "INT64", "it may be missing: give it a default"),
        ({"type": "String"}, "INT64", "without categories it has no code"),
        ({"type": "String", "nullable": True}, "BYTES", "cannot be given to an ONNX graph"),
        ({"type": "String", "categories": ["x"], "nullable": True}, "UINT16", "let the model take INT64"),
    ],
)
def test_what_a_model_may_not_take(feature: dict[str, Any], datatype: str, says: str) -> None:
    with pytest.raises(LoadError) as caught:
        bound([{"name": "a", **feature}], column(datatype))
    assert caught.value.reason == "SchemaMismatch"
    assert says in caught.value.message


def test_a_model_of_other_columns() -> None:
    numbers = [{"name": name, "type": "Float64"} for name in "ab"]
    with pytest.raises(LoadError, match="it takes a, c, the features are a, b"):
        bound(numbers, column("FP64"), TensorSpec("c", "FP64", (-1, 1)))
    with pytest.raises(LoadError, match="it takes 3 columns, there are 2 features"):
        bound(numbers, TensorSpec("input", "FP64", (-1, 3)))
