"""What is counted and kept of the traffic."""

import itertools
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_strategies

from penstock.runtime.calls import Answer
from penstock.runtime.capture import Capture, Grid, merged
from tests.unit.runtime import models
from tests.unit.runtime.server import REVISION, Server, refusal, running

FEATURES = [
    {"input": "input", "column": 0, "low": -1, "high": 1, "cells": 4},
    {"input": "input", "column": 3, "low": 0.0, "high": 0.5, "cells": 2},
]


def captured(server: Server) -> dict[str, Any]:
    answer = httpx.get(server.metrics_url.replace("/metrics", "/capture"))
    assert answer.headers["content-type"] == "application/json"
    document: dict[str, Any] = answer.json()
    return document


def folder_with_profile(folder: Path, features: Any = FEATURES) -> Path:
    models.save_skops(folder, models.logistic())
    (folder / "profile.json").write_text(json.dumps({"features": features}))
    return folder


finite = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=100, deadline=None)
@given(
    np_strategies.arrays(
        np.float64,
        st.tuples(st.integers(1, 300), st.just(2)),
        elements=st.floats(allow_nan=False, allow_infinity=False),
    ),
    st.integers(1, 50),
)
def test_every_value_is_counted_where_it_belongs(values: Any, cells: int) -> None:
    grids = (Grid("x", -2.0, 6.0, cells, column=1), Grid("x", 0.0, 1.0, 3))
    capture = Capture(grids, REVISION)
    for part in np.array_split(values, 7):
        if len(part):
            capture.count({"x": part})
    for grid, found in zip(grids, capture.as_json()["histograms"], strict=True):
        column = values[:, grid.column]
        assert found["below"] + sum(found["counts"]) + found["above"] == len(values)
        assert found["below"] == (column < grid.low).sum()
        assert len(found["counts"]) == grid.cells
        # The upper edge of a grid is outside of it.
        assert found["above"] == (column >= grid.high).sum()


def test_the_last_answers_are_kept() -> None:
    hundredths = itertools.count()
    capture = Capture((Grid("x", 0.0, 1.0, 1),), REVISION, lambda: next(hundredths) / 100)
    outputs = {"label": np.array(["a", "b"], dtype=object), "scores": np.arange(20.0).reshape(2, 10)}
    for index in range(1500):
        capture.note(Answer("m", REVISION, {"x": np.zeros((2, 1))}, outputs), str(index), 0.25)
    answers = capture.as_json()["answers"]
    assert [answers[0]["id"], answers[-1]["id"], len(answers)] == ["476", "1499", 1024]
    assert answers[-1] == {
        "id": "1499",
        "revision": REVISION,
        "rows": 2,
        "seconds": 0.25,
        "outputs": {"label": ["a", "b"], "scores": [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]},
    }


def test_of_many_answers_a_hundred_per_second_are_kept() -> None:
    moments = itertools.count()
    capture = Capture((Grid("x", 0.0, 1.0, 1),), REVISION, lambda: next(moments) / 1000)
    for index in range(500):
        capture.note(Answer("m", REVISION, {"x": np.zeros((1, 1))}, {"label": np.zeros(1)}), str(index), 0.25)
    identifiers = [int(answer["id"]) for answer in capture.as_json()["answers"]]
    assert len(identifiers) == 50
    assert min(np.diff(identifiers)) >= 10


def test_captures_add_up() -> None:
    def one(value: float, identifier: str) -> dict[str, Any]:
        inputs = {"x": np.array([[value]])}
        capture = Capture((Grid("x", 0.0, 1.0, 2),), REVISION)
        capture.count(inputs)
        capture.note(Answer("m", REVISION, inputs, {"y": np.array([1])}), identifier, 0.0)
        return capture.as_json()

    total = merged([one(0.1, "a"), one(0.7, "b"), one(-5.0, "c")])
    (histogram,) = total["histograms"]
    assert (histogram["below"], histogram["counts"], histogram["above"]) == (1, [1, 1], 0)
    assert [answer["id"] for answer in total["answers"]] == ["a", "b", "c"]


def test_over_http(tmp_path: Path) -> None:
    with running(folder_with_profile(tmp_path), "Skops") as server:
        row = {"name": "input", "datatype": "FP64", "shape": [2, 4], "data": [0.6, 0, 0, 0.2, -7, 0, 0, 0.5]}
        assert server.infer([row], id="mine").status_code == 200
        assert server.infer([{**row, "shape": [1, 4]}]).status_code == 400
        document = captured(server)
        assert document["histograms"] == [
            {**FEATURES[0], "low": -1.0, "high": 1.0, "below": 1, "counts": [0, 0, 0, 1], "above": 0},
            {**FEATURES[1], "below": 0, "counts": [1, 0], "above": 1},
        ]
        (answer,) = document["answers"]
        assert (answer["id"], answer["revision"], answer["rows"]) == ("mine", REVISION, 2)
        assert list(answer["outputs"]) == ["label", "probabilities"]
        assert answer["seconds"] > 0


def test_without_a_profile_nothing_is_kept(flight_server: Server) -> None:
    assert captured(flight_server) == {"histograms": [], "answers": []}
    assert httpx.get(flight_server.metrics_url.replace("/metrics", "/other")).status_code == 404


@pytest.mark.parametrize(
    ("features", "reason", "says"),
    [
        ("none", "LoadFailed", "profile.json is not valid"),
        ([], "LoadFailed", "profile.json is not valid"),
        ([{**FEATURES[0], "cells": 5000}], "LoadFailed", "profile.json is not valid"),
        ([{**FEATURES[0], "low": 1}], "LoadFailed", "low below its high"),
        ([{**FEATURES[0], "column": 4}], "SchemaMismatch", "no column 4"),
        ([{**FEATURES[0], "input": "age"}], "SchemaMismatch", "no input of numbers 'age'"),
    ],
)
def test_a_profile_that_does_not_fit(tmp_path: Path, features: Any, reason: str, says: str) -> None:
    told = refusal(folder_with_profile(tmp_path, features), "Skops")
    assert told["reason"] == reason
    assert says in told["message"]
