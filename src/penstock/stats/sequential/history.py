"""What is known of the champion before a canary: how its events clump, its usual shares, and its latencies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from penstock.domain.canary.analysis import Analysis, Kind
from penstock.domain.canary.counters import (
    Baseline,
    Counted,
    Number,
    Reading,
    Values,
    advance,
    milliseconds,
    per_pod,
)
from penstock.stats.sequential import latency
from penstock.stats.sequential.dispersion import (
    BLOCK_SECONDS,
    FADE_SECONDS,
    OpenBlock,
    Sums,
    at_most,
    dispersion,
    split,
    sums_as_json,
    sums_from_json,
)
from penstock.stats.sequential.project import streams

Pods = Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Stream:
    """One analysis' share in the champion, decayed: requests, events, seconds with traffic, and sums by block length.

    `alone`: the seconds in which it had one pod. Of an outage's events only so many count in `x` as might be usual.
    Open blocks and the block before (for a champion of one pod) are not kept over a restart: a gap is unobserved time.
    """

    n: float = 0.0
    x: float = 0.0
    seconds: float = 0.0
    alone: float = 0.0
    sums: Mapping[int, Sums] = field(default_factory=dict)
    open: Mapping[int, OpenBlock] = field(default_factory=dict)
    before: Mapping[int, Pods] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return decimal strings: a fixed number of them."""
        return {
            "n": f"{self.n:.9g}",
            "x": f"{self.x:.9g}",
            "seconds": f"{self.seconds:.9g}",
            "alone": f"{self.alone:.9g}",
            "sums": sums_as_json(self.sums),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Stream:
        """Return the stream that `as_json` was called on, to nine digits and without its open blocks."""
        sums = sums_from_json(value["sums"])
        n, x, seconds, alone = (float(value[key]) for key in ("n", "x", "seconds", "alone"))
        return cls(n, x, seconds, alone, sums)


@dataclass(frozen=True, slots=True)
class History:
    """Fixed-size sums over the last six hours or so of a Stable champion; fed with one reading after the other."""

    analyses: tuple[Analysis, ...] = ()
    at: int | None = None
    streams: Mapping[str, Stream] = field(default_factory=dict)
    histogram: tuple[tuple[float, float], ...] = ()
    bounds: Mapping[str, latency.Bounds] = field(default_factory=dict)
    baselines: Mapping[str, Baseline] = field(default_factory=dict)

    @classmethod
    def begin(cls, analyses: tuple[Analysis, ...]) -> History:
        """Return a history that knows nothing yet. Guardrails need none."""
        return cls(analyses=analyses)

    def observe(self, champion: Reading, now: datetime, interval: float = 0) -> History:
        """Return the history with one more reading of the champion; one that is not newer adds nothing.

        `interval`: seconds between two numbers of the source, 0 if each reading is new.
        """
        moment = milliseconds(now)
        if self.at is not None and moment <= self.at:
            return self
        passed = 0.0 if self.at is None else (moment - self.at) / 1000
        fade = math.exp(-passed / FADE_SECONDS)
        histogram, bounds, baselines = self._latencies(champion, fade)
        known: dict[str, Stream] = {}
        for analysis in self.analyses:
            if analysis.kind in (Kind.GUARDRAIL, Kind.MEAN):
                continue
            cut = bounds.get(analysis.name)
            stream = self.streams.get(analysis.name, Stream())
            if cut != self.bounds.get(analysis.name):
                # Another bound is another event; what was known of the old one does not apply.
                stream = Stream()
            pods = streams(analysis, champion, cut)
            if pods is None:
                known[analysis.name] = _faded(stream, fade)
                continue
            source = analysis.name
            baseline = baselines.get(source, Baseline(moment))
            baselines[source], counted = advance(baseline, champion.at, pods)
            if analysis.kind is not Kind.PROPORTION:  # whose series are the owner's, not one of each proxy
                counted = per_pod(counted, pods)
            known[analysis.name] = _grown(_faded(stream, fade), counted, moment, interval)
        return replace(self, at=moment, streams=known, histogram=histogram, bounds=bounds, baselines=baselines)

    def dispersion(self, name: str) -> tuple[float, bool]:
        """Return the factor to deflate an analysis' evidence by, and whether it was measured."""
        stream = self.streams.get(name, Stream())
        return dispersion(stream.sums, stream.seconds, one_pod=stream.alone > stream.seconds / 2)

    def usual(self, name: str) -> tuple[float, float]:
        """Return (requests, events) of the champion, decayed."""
        stream = self.streams.get(name, Stream())
        return stream.n, stream.x

    def _latencies(
        self, champion: Reading, fade: float
    ) -> tuple[tuple[tuple[float, float], ...], dict[str, latency.Bounds], dict[str, Baseline]]:
        """Return the decayed histogram with this reading, the bounds to test at by it, and the baselines."""
        baselines = dict(self.baselines)
        wanted = [analysis for analysis in self.analyses if analysis.kind is Kind.LATENCY]
        bounds = dict(self.bounds)
        histogram = tuple((bound, count * fade) for bound, count in self.histogram)
        if not wanted:
            return histogram, bounds, baselines
        # The count that others are part of comes first: infinity.
        pods: dict[str, tuple[datetime | None, Values]] = {
            name: (pod.started_at, tuple(count for _, count in reversed(latency.cumulative(pod))))
            for name, pod in champion.pods.items()
            if pod.buckets
        }
        first = next((pod for pod in champion.pods.values() if pod.buckets), None)
        names = [] if first is None else [bound for bound, _ in latency.cumulative(first)]
        pods = {name: pod for name, pod in pods.items() if len(pod[1]) == len(names)}
        baselines["/buckets"], counted = advance(
            baselines.get("/buckets", Baseline(milliseconds(champion.at))), champion.at, pods
        )
        if names and names != [bound for bound, _ in histogram]:
            histogram = tuple((bound, 0.0) for bound in names)
        added: tuple[Number, ...] = counted.summed(len(names))[::-1]
        if names:
            histogram = tuple((bound, count + more) for (bound, count), more in zip(histogram, added, strict=True))
        for analysis in wanted:
            if not _still_fits(histogram, bounds.get(analysis.name), analysis.quantile):
                chosen = latency.choose(histogram, analysis.quantile, analysis.margin)
                if chosen is not None:
                    bounds[analysis.name] = chosen
        return histogram, bounds, baselines

    def as_json(self) -> dict[str, Any]:
        """Return what is kept over a restart, as plain JSON values of fixed size."""
        return {
            "at": self.at,
            "streams": {name: stream.as_json() for name, stream in self.streams.items()},
            "histogram": [[repr(bound), f"{count:.9g}"] for bound, count in self.histogram],
            "bounds": {name: _bounds_json(cut) for name, cut in self.bounds.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], analyses: tuple[Analysis, ...]) -> History:
        """Return the history that `as_json` was called on, for the analyses wanted now."""
        names = {analysis.name for analysis in analyses}
        return cls(
            analyses=analyses,
            at=value.get("at"),
            streams={n: Stream.from_json(s) for n, s in value.get("streams", {}).items() if n in names},
            histogram=tuple((float(bound), float(count)) for bound, count in value.get("histogram", [])),
            bounds={n: bounds_from_json(b) for n, b in value.get("bounds", {}).items() if n in names},
        )


def _faded(stream: Stream, fade: float) -> Stream:
    return replace(
        stream,
        n=stream.n * fade,
        x=stream.x * fade,
        seconds=stream.seconds * fade,
        alone=stream.alone * fade,
        sums={length: sums.faded(fade) for length, sums in stream.sums.items()},
    )


def _grown(stream: Stream, counted: Counted, moment: int, interval: float) -> Stream:
    """Return the stream with what was counted since the last reading."""
    pods: dict[str, tuple[int, int]] = {
        key: (round(values[0]), round(values[1])) for key, values in counted.pods.items()
    }
    requests, events = counted.summed(2)
    if counted.gap(interval) or counted.seconds is None:
        return replace(stream, open={}, before={})
    usual = stream.x / stream.seconds if stream.seconds else 0.0
    events = min(events, at_most(usual * counted.seconds))
    seconds = counted.seconds if requests else 0.0
    alone = seconds if len(pods) == 1 else 0.0
    grown = replace(
        stream,
        n=stream.n + requests,
        x=stream.x + events,
        seconds=stream.seconds + seconds,
        alone=stream.alone + alone,
    )
    since = moment - round(counted.seconds * 1000)
    sums, opened, before = dict(grown.sums), dict(grown.open), dict(grown.before)
    for length in BLOCK_SECONDS:
        block = opened.get(length, OpenBlock(since, {})).plus(pods)
        lasted = (moment - block.since) / 1000
        # Readings are not on the second: a block ends at the one nearest to its length.
        if lasted + counted.seconds / 2 <= length:
            opened[length] = block
            continue
        opened.pop(length, None)
        if lasted <= length * 2:
            sums[length], before[length] = _closed(sums.get(length, Sums()), block, before.get(length), usual * length)
    return replace(grown, sums=sums, open=opened, before=before)


def _closed(sums: Sums, block: OpenBlock, before: Pods | None, usual: float) -> tuple[Sums, Pods]:
    parts = dict(block.pods)
    if len(parts) == 1:
        (only,) = parts
        parts = {"now": parts[only]} | ({"before": before[only]} if before and only in before else {})
    found = split([n for n, _ in parts.values()], [x for _, x in parts.values()], usual)
    return (sums if found is None else sums.plus(found)), block.pods


def _still_fits(histogram: tuple[tuple[float, float], ...], cut: latency.Bounds | None, quantile: float) -> bool:
    """Return whether the bound chosen once still has a share near 1 - quantile, so that its sums can be kept."""
    if cut is None:
        return False
    counts = dict(histogram)
    if cut.at not in counts:
        return False
    total = counts[histogram[-1][0]]
    share = (total - counts[cut.at] + 0.5) / (total + 1)
    return total < latency.LEAST_REQUESTS or (1 - quantile) / 8 < share < (1 - quantile) * 8


def _bounds_json(cut: latency.Bounds) -> list[str]:
    return [repr(value) for value in (cut.below, cut.at, cut.above, cut.margin)]


def bounds_from_json(value: list[str]) -> latency.Bounds:
    """Return the bounds that stood in JSON."""
    return latency.Bounds(*(float(item) for item in value))
