"""From raw cumulative counters of pods to what was counted between two readings. Never a rate.

Counters of a pod that restarts begin at 0 again, pods come and go, and readings are missed. The rules:

- a pod that is known: what was added since its last reading; if its count went down, or it started since then, all of
  what it shows now (what it had counted between its last reading and its end is lost);
- a pod that is new: nothing, its first reading is where counting begins, unless it started after both the test and
  the time for which pods that are gone are remembered: then it cannot have been counted before, and all of it counts;
- a pod that is gone is remembered for `REMEMBERED_SECONDS`: one missed scrape must not count its past twice.

What several proxies counted of a pod are counters of their own, each under a key of its own (`part`): one that starts
anew begins at 0, the others go on. What was counted is put together behind that (`per_pod`), never before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

REMEMBERED_SECONDS = 300
"""How long the counts of a pod that shows none are kept."""
GAP_SECONDS = 12
"""Readings further apart leave time unobserved between them, if the source always has new numbers."""
MISSED_INTERVALS = 2.4
"""Of a source with numbers of its own pace only: one of them may be missed."""

_SEPARATOR = "@"

Number = int | float
Values = tuple[Number, ...]
"""Cumulative counts of one pod; the first one counts what the others are part of and never goes down."""


@dataclass(frozen=True, slots=True)
class PodCounts:
    """What one pod has counted since it started: requests, those that failed, and latency as `le` buckets.

    `buckets`: (upper bound in seconds, requests that took at most that long), ascending; infinity may be left out.
    `durations_only`: requests and errors are counted elsewhere, and 0 here means nothing.
    """

    started_at: datetime | None
    errors: int
    total: int
    buckets: tuple[tuple[float, int], ...] = ()
    durations_only: bool = False


@dataclass(frozen=True, slots=True)
class UserCounts:
    """What one series of a user's metric shows, cumulative since it started.

    Proportion: `values` = (total, events). Mean: (count, sum, sum of squares). Guardrail: (the gauge,).
    """

    started_at: datetime | None
    values: Values


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at all pods of a track. `user`: by the name of the analysis, then by pod or series.

    `uncounted`: by the name of the pod, why it is not among `pods`: it was asked, and its server shows no counters.
    """

    at: datetime
    pods: Mapping[str, PodCounts]
    user: Mapping[str, Mapping[str, UserCounts]] = field(default_factory=dict)
    uncounted: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pod:
    """What a pod has counted at the last reading that showed it; `missing_since` in ms, None if that was the last."""

    values: Values
    missing_since: int | None = None


@dataclass(frozen=True, slots=True)
class Baseline:
    """Where counting goes on from: the last reading's time (ms) and each pod's counts, by the hash of its name."""

    began: int
    at: int | None = None
    pods: Mapping[str, Pod] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values: per pod its counts, and behind them since when it has been missing."""
        pods = {
            key: [_stored(pod.values)] + ([pod.missing_since] if pod.missing_since is not None else [])
            for key, pod in self.pods.items()
        }
        return {"began": self.began, "at": self.at, "pods": pods}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Baseline:
        """Return the baseline that `as_json` was called on."""
        pods = {
            key: Pod(tuple(_number(item) for item in stored[0]), stored[1] if len(stored) > 1 else None)
            for key, stored in value["pods"].items()
        }
        return cls(value["began"], value["at"], pods)


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted between two readings, per pod that could be compared; `seconds` None before the second one."""

    pods: Mapping[str, Values]
    seconds: float | None

    def gap(self, interval: float = 0) -> bool:
        """Whether part of the time between the readings may be unobserved; `interval`: seconds between numbers."""
        return self.seconds is None or self.seconds > max(GAP_SECONDS, MISSED_INTERVALS * interval)

    def summed(self, width: int) -> Values:
        """Return the first `width` counts, of all pods together."""
        sums: list[Number] = [0] * width
        for values in self.pods.values():
            for index, value in enumerate(values[:width]):
                sums[index] += value
        return tuple(sums)


def advance(
    baseline: Baseline, at: datetime, pods: Mapping[str, tuple[datetime | None, Values]]
) -> tuple[Baseline, Counted]:
    """Return where the next reading goes on from, and what was counted up to this one.

    `pods`: when each started, if known, and its cumulative counts. A reading that is not newer counts nothing.
    """
    now = milliseconds(at)
    if baseline.at is not None and now <= baseline.at:
        return baseline, Counted({}, 0.0)
    counted: dict[str, Values] = {}
    kept: dict[str, Pod] = {}
    for name, (started_at, values) in pods.items():
        key = pod_key(name)
        started = None if started_at is None else milliseconds(started_at)
        added = _added(baseline, baseline.pods.get(key), started, values)
        kept[key] = Pod(values)
        if added is not None:
            counted[key] = added
    for key, pod in baseline.pods.items():
        since = now if pod.missing_since is None else pod.missing_since
        if key not in kept and now - since <= REMEMBERED_SECONDS * 1000:
            kept[key] = Pod(pod.values, since)
    seconds = None if baseline.at is None else (now - baseline.at) / 1000
    return Baseline(baseline.began, now, kept), Counted(counted, seconds)


def _added(baseline: Baseline, pod: Pod | None, started: int | None, values: Values) -> Values | None:
    """Return what a pod has added; None if this reading is where its counting begins."""
    if pod is None:
        unseen = baseline.began if baseline.at is None else max(baseline.began, baseline.at - REMEMBERED_SECONDS * 1000)
        return values if started is not None and started >= unseen else None
    if len(pod.values) != len(values):
        return None
    seen = baseline.at if pod.missing_since is None else pod.missing_since
    restarted = started is not None and seen is not None and started > seen
    went_down = values[0] < pod.values[0] or any(
        isinstance(new, int) and new < old for new, old in zip(values, pod.values, strict=True)
    )
    if restarted or went_down:
        return values
    return tuple(new - old for new, old in zip(values, pod.values, strict=True))


def part(pod: str, counter: str) -> str:
    """Return the key of what `counter`, such as one of several proxies, counted of a pod."""
    return f"{pod}{_SEPARATOR}{counter}"


def pod_of(key: str) -> str:
    """Return the pod that a key of a Reading is about; a pod's name has no @."""
    return key.partition(_SEPARATOR)[0]


def per_pod(counted: Counted, keys: Iterable[str]) -> Counted:
    """Return the counts with what several counters have of a pod put together; `keys`: those that were advanced."""
    pods = {pod_key(key): pod_key(pod_of(key)) for key in keys}
    sums: dict[str, Values] = {}
    for key, values in counted.pods.items():
        before = sums.get(pods[key])
        sums[pods[key]] = (
            values if before is None else tuple(one + more for one, more in zip(before, values, strict=True))
        )
    return Counted(sums, counted.seconds)


def pod_key(name: str) -> str:
    """Return a short name of bounded length: states are kept in status."""
    return sha256(name.encode()).hexdigest()[:10]


def milliseconds(moment: datetime) -> int:
    """Return the time since 1970 in whole milliseconds."""
    return round(moment.astimezone(UTC).timestamp() * 1000)


def _stored(values: Values) -> list[int | str]:
    return [value if isinstance(value, int) else repr(value) for value in values]


def _number(value: int | str) -> Number:
    return value if isinstance(value, int) else float(value)
