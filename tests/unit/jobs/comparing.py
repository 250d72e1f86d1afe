"""A real comparator between real model servers, and clients whose requests it joins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from penstock.domain.shadow.agreement import AnswerRule, Measure
from penstock.domain.shadow.marking import HEADER
from penstock.domain.shadow.view import Tally
from tests.unit.runtime.server import REVISION, Server, free_port

CANDIDATE = "ba9876543210"
DEADLINE_SECONDS = 120.0
WINDOW_SECONDS = 2.0
DECISION = AnswerRule(Measure.DECISION)


@dataclass
class Comparator:
    """A running comparator."""

    process: subprocess.Popen[bytes]
    url: str
    client: httpx.Client = field(default_factory=httpx.Client)

    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = self.client.get(f"{self.url}/comparison").json()
        return document

    def tally(self) -> Tally:
        return Tally(**self.document()["counts"]["tally"])

    def wait(self, what: Callable[[Tally], bool]) -> Tally:
        """The tally as soon as it is so; a failed wait shows the last one."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not what(tally := self.tally()):
            assert time.monotonic() < deadline, tally
            time.sleep(0.05)
        return tally

    def wait_for_pods(self, champion: int, candidate: int) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while (seen := [self.document()[name] for name in ("championPods", "candidatePods")]) != [champion, candidate]:
            assert time.monotonic() < deadline, seen
            time.sleep(0.05)


def rings(server: Server) -> str:
    return urlsplit(server.metrics_url).netloc


@contextmanager
def comparing(
    folder: Path, champion: str, candidate: str, rule: AnswerRule = DECISION, **settings: str
) -> Iterator[Comparator]:
    """`champion` and `candidate`: the addresses of the rings."""
    port = free_port()
    variables = {
        **os.environ,
        "PENSTOCK_MODEL_NAME": "flight-delay",
        "PENSTOCK_CHAMPION_REVISION": REVISION,
        "PENSTOCK_CHAMPION_RINGS": champion,
        "PENSTOCK_CANDIDATE_REVISION": CANDIDATE,
        "PENSTOCK_CANDIDATE_RINGS": candidate,
        "PENSTOCK_RULE": json.dumps(rule.as_json()),
        "PENSTOCK_HOST": "127.0.0.1",
        "PENSTOCK_PORT": str(port),
        "PENSTOCK_WINDOW_SECONDS": str(WINDOW_SECONDS),
        "PENSTOCK_POLL_SECONDS": "0.1",
        **settings,
    }
    log = folder / "comparator.log"
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "penstock.jobs.compare"], env=variables, stderr=output)
    comparator = Comparator(process, f"http://127.0.0.1:{port}")
    try:
        _wait_until_it_answers(comparator, log)
        yield comparator
    finally:
        comparator.client.close()
        process.kill()
        process.wait()


def _wait_until_it_answers(comparator: Comparator, log: Path) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline and comparator.process.poll() is None:
        try:
            comparator.document()
            return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"the comparator does not answer:\n{log.read_text()}")


def marked() -> dict[str, str]:
    """The headers that a route which copies puts on both legs."""
    return {"x-request-id": str(uuid.uuid4()), HEADER: CANDIDATE}


def ask(server: Server, inputs: list[dict[str, Any]], headers: dict[str, str]) -> int:
    response = server.client.post("/v2/models/flight-delay/infer", json={"inputs": inputs}, headers=headers)
    assert response.headers["x-request-id"] == headers["x-request-id"]
    return response.status_code


def ask_both(champion: Server, candidate: Server, inputs: list[dict[str, Any]]) -> tuple[int, int]:
    """One request as a gateway that copies would send it."""
    headers = marked()
    return ask(champion, inputs, headers), ask(candidate, inputs, headers)


def numbers(values: Any) -> list[dict[str, Any]]:
    """A request of rows for the models of four numbers."""
    rows = [[float(value) for value in row] for row in values]
    data = [value for row in rows for value in row]
    return [{"name": "input", "datatype": "FP64", "shape": [len(rows), 4], "data": data}]
