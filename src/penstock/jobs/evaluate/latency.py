"""How long requests of one row take: one after the other, candidate and champion in turn."""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx
import numpy as np

from penstock.jobs.evaluate.endpoint import Endpoint
from penstock.stats.evaluation.estimate import Floats

WARM_UP = 20


@dataclass
class Timed:
    """A server, the requests that it is sent, and how many milliseconds each answered one took."""

    endpoint: Endpoint
    bodies: Sequence[bytes]
    milliseconds: list[float] = field(default_factory=list)
    failed: int = 0

    @property
    def values(self) -> Floats:
        """The times, [n]."""
        return np.array(self.milliseconds)


def measure(timed: Sequence[Timed], requests: int, *, request_seconds: float, budget_seconds: float) -> None:
    """Time `requests` per server after a warm-up, on connections that are kept; fewer if the budget is over.

    What is timed is the client's wait, from the call to the last byte: network and the client's own 0.3 ms or so too.
    Raises EvaluationError if another revision answers.
    """
    timed = [item for item in timed if item.bodies]
    if not timed or not requests:
        return
    started = time.monotonic()
    with httpx.Client(timeout=request_seconds, headers={"content-type": "application/json"}, trust_env=False) as client:
        collects = gc.isenabled()
        gc.disable()  # a pause of this process is none of the server's
        try:
            for index in range(-min(WARM_UP, requests), requests):
                if time.monotonic() - started > budget_seconds:
                    return
                for item in timed:
                    _one(client, item, index)
        finally:
            if collects:
                gc.enable()


def _one(client: httpx.Client, item: Timed, index: int) -> None:
    body = item.bodies[index % len(item.bodies)]
    begin = time.perf_counter()
    try:
        response = client.post(item.endpoint.infer_url, content=body)
    except httpx.TransportError:
        item.failed += index >= 0
        return
    took = (time.perf_counter() - begin) * 1000
    item.endpoint.check(response)
    if index < 0:
        return
    if response.status_code == 200:
        item.milliseconds.append(took)
    else:
        item.failed += 1
