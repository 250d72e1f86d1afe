"""What capture costs: one server, with and without it by turns, loaded for a short while each time."""

import statistics
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from bench.runtime import closed_loop
from bench.runtime.capture_server import OFF, ON
from bench.runtime.closed_loop import Closed
from bench.runtime.servers import Contender, Running, penstock_with, started

_PAIRS = 50
_SECONDS = 1
_CONNECTIONS = 64
SWITCHED = Contender(
    "penstock sklearn, capture switched",
    penstock_with("bench.runtime.capture_server", "captured", "Skops"),
    "FP64",
    "label",
)


@dataclass(frozen=True)
class CaptureCost:
    """How much less is answered and how much more CPU time a request takes, in percent: quartiles over the pairs."""

    throughput_loss: tuple[float, float, float]
    cpu_increase: tuple[float, float, float]


def measured(folder: Path, row: list[float]) -> CaptureCost:
    """Loads the server in pairs of turns, of which with and without capture come first in turn."""
    body = SWITCHED.request(row)
    pairs: list[dict[str, Closed]] = []
    with started(SWITCHED, folder, body) as server:
        closed_loop.run(server, body, _SECONDS, folder)
        for number in range(_PAIRS):
            order = (ON, OFF) if number % 2 else (OFF, ON)
            pairs.append({how: _loaded(server, how, body, folder) for how in order})
    return CaptureCost(
        throughput_loss=_quartiles([(1 - pair[ON].per_second / pair[OFF].per_second) * 100 for pair in pairs]),
        cpu_increase=_quartiles([(pair[ON].cpu_us / pair[OFF].cpu_us - 1) * 100 for pair in pairs]),
    )


def _loaded(server: Running, how: str, body: bytes, folder: Path) -> Closed:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{server.port}{how}", timeout=10).close()
    except urllib.error.HTTPError as error:  # there is nothing at that path; it is heard all the same
        error.close()
    return closed_loop.run(server, body, _SECONDS, folder, connections=_CONNECTIONS)


def _quartiles(values: list[float]) -> tuple[float, float, float]:
    low, middle, high = statistics.quantiles(values, n=4)
    return round(low, 1), round(middle, 1), round(high, 1)
