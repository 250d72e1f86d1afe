"""Clients written by others, each in an environment of its own, talk to the server."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.runtime.venvs import python_of
from tests.unit.runtime import models
from tests.unit.runtime.server import DEADLINE_SECONDS, Server, running

SCRIPTS = Path(__file__).parents[1] / "unit" / "runtime" / "clients"
ROWS = [
    {"name": "carrier", "datatype": "BYTES", "shape": [2, 1], "data": ["AA", "BB"]},
    {"name": "distance", "datatype": "FP64", "shape": [2, 1], "data": [700.5, 2100.0]},
    {"name": "hour", "datatype": "INT64", "shape": [2, 1], "data": [18, 3]},
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = models.save_skops(
        tmp_path_factory.mktemp("flight-delay"), models.flight_pipeline(strict=True), models.FLIGHT_INPUTS
    )
    with running(folder, "Skops") as server:
        yield server


def seen_by(client: str, server: Server) -> dict[str, Any]:
    url = server.client.base_url
    done = subprocess.run(
        [python_of(client, "test-venvs"), SCRIPTS / f"{client}_client.py", f"{url.host}:{url.port}"],
        capture_output=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def expected(server: Server) -> dict[str, Any]:
    outputs = server.outputs(ROWS)
    flat = outputs["probabilities"]["data"]
    return {"label": outputs["label"]["data"], "probabilities": [flat[:2], flat[2:]]}


def test_triton_client(server: Server) -> None:
    seen, answer = seen_by("triton", server), expected(server)
    assert seen["ready"] == [True, True, True]
    assert seen["extensions"] == ["binary_tensor_data"]
    assert seen["inputs"] == models.FLIGHT_INPUTS
    assert seen["binary both ways"] == seen["binary output"] == seen["mixed"] == answer
    assert seen["binary input"] == {"label": answer["label"]}
    assert "the request lacks distance, hour" in seen["refused"]


def test_kserve_client(server: Server) -> None:
    seen, answer = seen_by("kserve", server), expected(server)
    assert seen["ready"] == [True, True, True]
    for form in ("plain", "binary both ways", "binary input", "binary output", "mixed"):
        assert seen[form] == answer, form
