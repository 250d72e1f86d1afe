"""One measured side of the bench in its own process: `python -m bench.drift.sides NAME FOLDER` prints JSON."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from bench.drift.data import CATEGORIES, LABELS, NUMBERS, Sample, read
from bench.drift.one_pass import raw_polars, types, validated_and_profiled
from penstock.jobs.validate.checks.schema import column_schema, schema_faults
from penstock.profile.parquet import parquet_grids, profile_parquet
from penstock.profile.serial import dump_profile, load_profile
from penstock.stats.columns import Coded, Column, Numeric, count_columns
from penstock.stats.decision import decide
from penstock.stats.drift import measure

STORED = "reference.profile"
_GROUPS = 32

Figures = dict[str, Any]


def store(folder: Path) -> Callable[[], Figures]:
    """Makes the reference's profile, grids and all."""

    def run() -> Figures:
        paths = [folder / "reference.parquet"]
        content = dump_profile(profile_parquet(paths, types(), parquet_grids(paths, types())))
        (folder / STORED).write_bytes(content)
        return {"profile_bytes": len(content)}

    return run


def one_pass(folder: Path) -> Callable[[], Figures]:
    baseline = load_profile((folder / STORED).read_bytes())
    # pandera imports its back end with the first schema that it checks; no side's imports are timed.
    schema_faults(column_schema({}), {})

    def run() -> Figures:
        outcome = validated_and_profiled(folder / "current.parquet", baseline)
        return {"rows": outcome.rows, "shifted": sum(shift.drifted is True for shift in outcome.shifts)}

    return run


def profile_only(folder: Path) -> Callable[[], Figures]:
    grids = load_profile((folder / STORED).read_bytes()).grids
    return lambda: {"rows": profile_parquet([folder / "current.parquet"], types(), grids).rows}


def polars_checks(folder: Path) -> Callable[[], Figures]:
    return lambda: {"violations": sum(raw_polars([folder / "current.parquet"]).values())}


def penstock(folder: Path) -> Callable[[], Figures]:
    """Drift of the current sample, in memory, against the stored profile."""
    current = read(folder, "current")
    stored = load_profile((folder / STORED).read_bytes())
    columns: dict[str, Column] = {name: Numeric(current.numbers[index]) for index, name in enumerate(NUMBERS)}
    columns |= {name: Coded(current.codes[index], LABELS) for index, name in enumerate(CATEGORIES)}

    def run() -> Figures:
        counted = count_columns(stored.grids, columns)
        found = decide([measure(name, histogram, counted[name]) for name, histogram in stored.histograms.items()])
        return {"drifted": sum(drift.drifted is True for drift in found)}

    return run


def scipy(folder: Path) -> Callable[[], Figures]:
    """The same by scipy and NumPy on the values of both samples: KS, PSI over quantiles, chi-square."""
    reference, current = read(folder, "reference"), read(folder, "current")
    return lambda: _by_scipy(reference, current)


def _by_scipy(reference: Sample, current: Sample) -> Figures:
    drifted = 0
    for old, new in zip(reference.numbers, current.numbers, strict=True):
        stats.ks_2samp(old, new, method="asymp")
        inner = np.unique(np.quantile(old, np.linspace(0, 1, _GROUPS + 1)[1:-1]))
        edges = np.concatenate([[-np.inf], inner, [np.inf]])
        p, q = (np.maximum(np.histogram(values, edges)[0], 0.5) / len(values) for values in (old, new))
        drifted += bool(((q - p) * np.log(q / p)).sum() >= 0.1)
    for old, new in zip(reference.codes, current.codes, strict=True):
        table = np.stack([np.bincount(codes, minlength=len(LABELS)) for codes in (old, new)])
        stats.chi2_contingency(table)
        p, q = np.maximum(table, 0.5) / table.sum(1, keepdims=True)
        drifted += bool(((q - p) * np.log(q / p)).sum() >= 0.1)
    return {"drifted": drifted}


SIDES: dict[str, Callable[[Path], Callable[[], Figures]]] = {
    "store": store,
    "one_pass": one_pass,
    "profile_only": profile_only,
    "polars_checks": polars_checks,
    "penstock": penstock,
    "scipy": scipy,
}


def peak_mb() -> float:
    """This process's highest memory; `getrusage` would count its parent's from before the exec too."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main(name: str, folder: Path) -> None:
    run = SIDES[name](folder)
    wall, cpu = time.perf_counter(), time.process_time()
    figures = run()
    figures |= {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    figures["rss_mb"] = peak_mb()
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
