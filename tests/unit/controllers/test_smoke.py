"""The smoke prediction: what is asked, and what counts as an answer."""

from __future__ import annotations

import math
from typing import Any

import pytest

from penstock.controllers.model import smoke


def test_example_of_the_model_is_sent_if_there_is_one() -> None:
    inputs = [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1.5, 2.5]}]
    assert smoke.request_for({"parameters": {"example": {"inputs": inputs}}, "inputs": []}) == (
        {"inputs": inputs},
        True,
    )


def test_without_an_example_zeros_of_the_right_shape_are_sent() -> None:
    metadata = {
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [-1, 3]},
            {"name": "carrier", "datatype": "BYTES", "shape": [-1, 1]},
            {"name": "delayed", "datatype": "BOOL", "shape": [-1]},
            {"name": "hour", "datatype": "INT64", "shape": [2]},
        ]
    }
    request, real = smoke.request_for(metadata)
    assert not real
    assert {item["name"]: (item["shape"], item["data"]) for item in request["inputs"]} == {
        "x": ([1, 3], [0.0, 0.0, 0.0]),
        "carrier": ([1, 1], [""]),
        "delayed": ([1], [False]),
        "hour": ([2], [0, 0]),
    }


@pytest.mark.parametrize(
    ("headers", "wrong"),
    [
        ({smoke.REVISION_HEADER: "aaaaaaaaaaaa", smoke.DIGEST_HEADER: "sha256:1"}, None),
        ({smoke.REVISION_HEADER: "bbbbbbbbbbbb", smoke.DIGEST_HEADER: "sha256:1"}, "revision bbbbbbbbbbbb"),
        ({smoke.REVISION_HEADER: "aaaaaaaaaaaa"}, "unknown artifact"),
        ({}, "revision unknown"),
    ],
)
def test_identity_of_the_answering_pod(headers: dict[str, str], wrong: str | None) -> None:
    error = smoke.identity_error(headers, "aaaaaaaaaaaa", "sha256:1")
    assert error is None if wrong is None else wrong in (error or "")


def outputs(*data: Any) -> dict[str, Any]:
    return {"outputs": [{"name": "y", "data": list(data)}]}


@pytest.mark.parametrize(
    ("status", "body", "real", "wrong"),
    [
        (200, outputs(0.5), True, None),
        (200, outputs([0.5], [1, "a"]), True, None),
        (200, outputs(math.nan), True, "not a finite number"),
        (200, outputs([[math.inf]]), True, "not a finite number"),
        (200, {"outputs": []}, True, "no outputs"),
        (200, None, True, "no outputs"),
        (400, {"error": "unknown category"}, False, None),
        (400, {"error": "unknown category"}, True, "400: unknown category"),
        (500, {"error": "boom"}, False, "500: boom"),
        (502, None, True, "502"),
    ],
)
def test_what_counts_as_a_prediction(status: int, body: Any, real: bool, wrong: str | None) -> None:
    error = smoke.prediction_error(status, body, real_example=real)
    assert error is None if wrong is None else wrong in (error or "")
