"""The example in metadata.json: a real row that the model is tried with before it is ready."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.runtime import models
from tests.unit.runtime.server import refusal, running
from tests.unit.runtime.test_protocol import ROW


def save(folder: Path, example: Any, *, strict: bool = False) -> Path:
    """Saves the flight pipeline with an example."""
    models.save_skops(folder, models.flight_pipeline(strict=strict))
    document = {"inputs": models.FLIGHT_INPUTS, "parameters": {"example": example}}
    (folder / "metadata.json").write_text(json.dumps(document))
    return folder


def test_example_is_shown_and_can_be_sent_back(tmp_path: Path) -> None:
    with running(save(tmp_path, {"inputs": ROW}, strict=True), "Skops") as server:
        metadata = server.client.get("/v2/models/flight-delay").json()
        assert metadata["parameters"]["example"] == {"inputs": ROW}
        assert server.infer(metadata["parameters"]["example"]["inputs"]).status_code == 200


@pytest.mark.parametrize(
    ("example", "says"),
    [
        ("not a request", "The example in metadata.json is wrong"),
        ({"inputs": ROW[:2]}, "does not fit: the request lacks"),
        ({"inputs": [{**ROW[0], "data": ["an airline nobody knows"]}, *ROW[1:]]}, "The model fails on the example"),
    ],
)
def test_model_that_fails_its_own_example_is_not_served(tmp_path: Path, example: Any, says: str) -> None:
    told = refusal(save(tmp_path, example, strict=True), "Skops")
    assert told["reason"] == "LoadFailed"
    assert says in told["message"]
