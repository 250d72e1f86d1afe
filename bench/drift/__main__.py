"""Measures profiles and drift on 1M rows of 60 features beside raw Polars, scipy and evidently.

Every side runs in a process of its own; prints a table and, as the last line, the figures as JSON.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.drift import data
from bench.drift.null_alarms import false_alarm_rates
from bench.runtime.venvs import python_of

TARGETS = {
    "validate_vs_raw_polars": "<= 2",
    "validate_rss_mb": "<= 1500",
    "drift_cpu_seconds_1m_x_60": "<= 0.3",
    "null_false_alarm_rate": "<= 0.05",
}

Figures = dict[str, Any]


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="penstock-bench-", dir=options.folder) as name:
        folder = Path(name)
        data.write(folder, options.rows)
        figures = _measure(folder, options.rounds, evidently=not options.without_evidently)
    usual, p_value_alone = false_alarm_rates(options.windows)
    _say(f"false alarms in {options.windows} windows of 60 features: {usual:.3f}; by p-value alone {p_value_alone:.3f}")
    figures["null_false_alarm_rate"] = usual
    for key, value in figures.items():
        _say(f"{key:30} {_shown(value):>10}  {TARGETS.get(key, '')}")
    print(json.dumps(figures))


def _measure(folder: Path, rounds: int, *, evidently: bool) -> Figures:
    _side("store", folder)
    raw, ours, drift = [], [], []
    for _ in range(rounds):
        raw.append(_side("polars_checks", folder))
        ours.append(_side("one_pass", folder))
        _side("profile_only", folder)
        drift.append(_side("penstock", folder))
    cpu = statistics.median(figures["cpu"] for figures in drift)
    by_scipy = _side("scipy", folder)
    figures: Figures = {
        "validate_vs_raw_polars": round(
            statistics.median(o["wall"] / r["wall"] for o, r in zip(ours, raw, strict=True)), 2
        ),
        "validate_rss_mb": round(max(figures["rss_mb"] for figures in ours)),
        "drift_cpu_seconds_1m_x_60": round(cpu, 3),
        "vs_evidently": None,
        "vs_scipy": round(by_scipy["cpu"] / cpu, 1),
    }
    if evidently:
        script = Path(__file__).with_name("evidently_side.py")
        figures["vs_evidently"] = round(
            _run("evidently", [python_of("evidently", "bench-venvs", "drift"), script, folder])["cpu"] / cpu
        )
    return figures


def _side(name: str, folder: Path) -> Figures:
    return _run(name, [sys.executable, "-m", "bench.drift.sides", name, folder])


def _run(name: str, command: list[str | Path]) -> Figures:
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    _say(f"{name:14} " + "  ".join(f"{key} {_shown(value)}" for key, value in figures.items()))
    return figures


def _shown(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.drift", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3, help="of Penstock and Polars in turn; the median counts")
    parser.add_argument("--windows", type=int, default=200, help="drawn without drift")
    parser.add_argument("--without-evidently", action="store_true", help="which takes more than a minute")
    parser.add_argument("--folder", type=Path, help="where some 2.5 GB are put for the time of the run")
    return parser.parse_args()


if __name__ == "__main__":
    main()
