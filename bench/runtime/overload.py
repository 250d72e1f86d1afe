"""Twice as many requests as the server can answer: how many it refuses, and how long everybody waits."""

from dataclasses import dataclass
from pathlib import Path

from bench.runtime import closed_loop, models, open_loop
from bench.runtime.open_loop import Open
from bench.runtime.servers import Contender, started

_FACTOR = 2
# Enough for the largest batches, not enough for a refusal.
_CONNECTIONS = 64
_CAPACITY_SECONDS = 4
_SECONDS = (4, 12)


@dataclass(frozen=True)
class Overload:
    """The most the server answers in a second, and what became of twice as many: for a short and for a longer time."""

    capacity: float
    runs: tuple[Open, ...]

    @property
    def longest(self) -> Open:
        """The longer one: a queue that grows shows in it."""
        return self.runs[-1]


def measured(contender: Contender, folder: Path, row: list[float]) -> Overload:
    """Measures the capacity, then twice that."""
    body = contender.request(row)
    with started(contender, folder, body) as server:
        closed_loop.run(server, body, 2, folder)
        capacity = closed_loop.run(server, body, _CAPACITY_SECONDS, folder, connections=_CONNECTIONS).per_second
        runs = tuple(open_loop.run(server, models.PATH, body, _FACTOR * capacity, seconds) for seconds in _SECONDS)
    return Overload(capacity, runs)
