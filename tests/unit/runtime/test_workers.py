"""Several processes behind one port."""

import os
import signal
import time
from pathlib import Path

import httpx
import pytest

from tests.unit.runtime import models
from tests.unit.runtime.server import DEADLINE_SECONDS, Server, refusal, running
from tests.unit.runtime.test_capture import captured, folder_with_profile
from tests.unit.runtime.test_process import accepts, leave_under_load

ROW = [{"name": "input", "datatype": "FP64", "shape": [1, 4], "data": [0.1, 0.2, 0.3, 0.4]}]


def workers(server: Server) -> list[int]:
    """The processes that serve, by the pid of their parent."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    return [int(pid) for pid in children if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]


def total(server: Server, start: str) -> float | None:
    """The sum of the samples that begin so; None while a worker cannot say."""
    answer = httpx.get(server.metrics_url, timeout=30)
    lines = [line for line in answer.text.splitlines() if line.startswith(start)]
    return sum(float(line.rpartition(" ")[2]) for line in lines) if answer.status_code == 200 else None


def wait_for_all(server: Server) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while total(server, "penstock_model_info") is None:
        assert time.monotonic() < deadline, "a worker did not get ready"
        time.sleep(0.05)


def test_numbers_of_all_workers_add_up(tmp_path: Path) -> None:
    with running(folder_with_profile(tmp_path), "Skops", PENSTOCK_WORKERS="2") as server:
        wait_for_all(server)
        assert len(workers(server)) == 2
        base = server.client.base_url
        for _ in range(20):  # a connection of its own each: any worker may take it
            assert httpx.post(f"{base}/v2/models/flight-delay/infer", json={"inputs": ROW}).status_code == 200
        assert total(server, "penstock_inference_requests_total{") == 20
        assert total(server, "penstock_inference_duration_seconds_count{") == 20
        assert total(server, "penstock_inference_in_flight{") == 0
        assert total(server, "penstock_model_info{") == 1
        document = captured(server)
        assert sum(document["histograms"][0]["counts"]) == 20
        assert len({answer["id"] for answer in document["answers"]}) == 20


def test_no_request_fails_while_all_workers_leave(tmp_path: Path) -> None:
    folder = models.save_skops(tmp_path, models.logistic())
    with running(folder, "Skops", PENSTOCK_WORKERS="2", PENSTOCK_DRAIN_SECONDS="3") as server:
        wait_for_all(server)
        leave_under_load(server, ROW, 4)
        assert not accepts(server)


def test_one_worker_that_ends_ends_all(tmp_path: Path) -> None:
    with running(models.save_skops(tmp_path, models.logistic()), "Skops", PENSTOCK_WORKERS="2") as server:
        wait_for_all(server)
        os.kill(workers(server)[0], signal.SIGKILL)
        assert server.process.wait(DEADLINE_SECONDS) not in (0, None)
        assert not accepts(server)


@pytest.mark.parametrize("model_format", ["ONNX", "Skops"])
def test_a_model_that_cannot_be_served_by_workers(tmp_path: Path, model_format: str) -> None:
    assert refusal(tmp_path, model_format, PENSTOCK_WORKERS="2")["reason"] == "LoadFailed"
