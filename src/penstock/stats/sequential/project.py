"""What an analysis looks at in a reading: per pod one tuple of counts, the first being what the others are part of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from penstock.domain.canary.analysis import Analysis, Kind
from penstock.domain.canary.counters import Reading, Values
from penstock.stats.sequential.latency import Bounds, slower_than

Series = Mapping[str, tuple[datetime | None, Values]]


def streams(analysis: Analysis, reading: Reading, cut: Bounds | None) -> Series | None:
    """Return (started at, counts) by pod: (requests, events), for a Mean (count, sum, sum of squares).

    For Latency (requests, slower than the bound, than the one below, than the one above). None if the reading has no
    numbers for this analysis, or no bound was chosen yet.
    """
    if analysis.kind is Kind.ERRORS:
        counted = {name: pod for name, pod in reading.pods.items() if not pod.durations_only}
        return {name: (pod.started_at, (pod.total, pod.errors)) for name, pod in counted.items()} or None
    if analysis.kind is Kind.LATENCY:
        return None if cut is None else _slow(reading, cut) or None
    series = reading.user.get(analysis.name)
    if not series:
        return None
    if analysis.kind is Kind.PROPORTION:
        return {
            name: (counts.started_at, (round(counts.values[0]), round(counts.values[1])))
            for name, counts in series.items()
        }
    return {name: (counts.started_at, counts.values) for name, counts in series.items()}


def _slow(reading: Reading, cut: Bounds) -> dict[str, tuple[datetime | None, Values]]:
    found: dict[str, tuple[datetime | None, Values]] = {}
    for name, pod in reading.pods.items():
        counts = slower_than(pod, (cut.at, cut.below, cut.above))
        if counts is not None:
            found[name] = (pod.started_at, counts)
    return found
