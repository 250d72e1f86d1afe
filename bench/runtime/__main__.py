"""`python -m bench.runtime`: Penstock's model server beside others, one after the other, and in overload."""

import argparse
import json
import statistics
import tempfile
from dataclasses import fields
from pathlib import Path

from bench.runtime import capture_cost, closed_loop, models, overload
from bench.runtime.closed_loop import Closed
from bench.runtime.servers import CONTENDERS, started

_OVERLOADED = ("penstock onnx", "penstock sklearn")
_WARM_UP_SECONDS = 2


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.runtime")
    parser.add_argument("--rounds", type=int, default=3, help="rounds; every round starts every server once")
    parser.add_argument("--seconds", type=int, default=5, help="measured seconds per server and round")
    arguments = parser.parse_args()
    closed_loop.require_wrk()
    with tempfile.TemporaryDirectory(prefix="bench-runtime-") as name:
        _measure(Path(name), arguments.rounds, arguments.seconds)


def _measure(folder: Path, rounds: int, seconds: int) -> None:
    row = models.save(folder)
    runs: dict[str, list[Closed]] = {name: [] for name in CONTENDERS}
    memory: dict[str, float] = {}
    for number in range(rounds):
        for name, contender in CONTENDERS.items():
            body = contender.request(row)
            with started(contender, folder, body) as server:
                closed_loop.run(server, body, _WARM_UP_SECONDS, folder)
                runs[name].append(closed_loop.run(server, body, seconds, folder))
                memory[name] = server.memory_mib()
                print(f"round {number + 1} {name}: {runs[name][-1]}", flush=True)
    overloads = {name: overload.measured(CONTENDERS[name], folder, row) for name in _OVERLOADED}
    capture = capture_cost.measured(folder, row)
    middle = {name: _median(found) for name, found in runs.items()}
    print(f"\n{'server':32}{'req/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'CPU us/req':>12}{'RSS MiB':>9}")
    for name, median in middle.items():
        print(
            f"{name:32}{median.per_second:9.0f}{median.p50_ms:9.2f}{median.p99_ms:9.2f}"
            f"{median.cpu_us:12.0f}{memory[name]:9.0f}"
        )
    for name, found in overloads.items():
        print(f"twice the capacity of {name}, {found.capacity:.0f}/s:")
        for run in found.runs:
            print(f"  {run}")
    print(f"capture, quartiles of pairs in percent: {capture}")

    def ratio(one: str, other: str) -> float:
        """Of throughputs, round by round: what slows the machine for a while slows both."""
        pairs = zip(runs[one], runs[other], strict=True)
        return round(statistics.median(a.per_second / b.per_second for a, b in pairs), 3)

    print(
        json.dumps(
            {
                "sklearn_vs_mlserver": ratio("penstock sklearn", "mlserver"),
                "sklearn_vs_kserve": ratio("penstock sklearn", "kserve"),
                "onnx_vs_their_sklearn": ratio("penstock onnx", "mlserver"),
                "noop_ratio": ratio("penstock sklearn", "noop"),
                "overload_p99_ms": round(overloads["penstock sklearn"].longest.p99_ms, 1),
                "capture_overhead_percent": capture.throughput_loss[1],
            }
        )
    )


def _median(runs: list[Closed]) -> Closed:
    return Closed(
        **{field.name: statistics.median(getattr(run, field.name) for run in runs) for field in fields(Closed)}
    )


if __name__ == "__main__":
    main()
