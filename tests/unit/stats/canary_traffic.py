"""Pods that count, for tests of the canary's statistics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from penstock.domain.canary.counters import PodCounts, Reading, UserCounts

START = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LONG_AGO = START - timedelta(days=1)
BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, math.inf)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@dataclass
class Pod:
    """One pod's cumulative counters."""

    started_at: datetime | None = LONG_AGO
    total: int = 0
    errors: int = 0
    slower: list[int] = field(default_factory=lambda: [0] * len(BUCKETS))

    def serve(self, requests: int, errors: int, slow: int = 0) -> None:
        """`slow`: of the requests, those that take between 0.05 and 0.1 s; the others take less than 0.02 s."""
        self.total += requests
        self.errors += errors
        for index, bound in enumerate(BUCKETS):
            self.slower[index] += slow if bound <= 0.05 else 0

    def counts(self) -> PodCounts:
        buckets = tuple((bound, self.total - slow) for bound, slow in zip(BUCKETS, self.slower, strict=True))
        return PodCounts(self.started_at, self.errors, self.total, buckets)


def reading(
    seconds: float, pods: Mapping[str, Pod], user: Mapping[str, Mapping[str, UserCounts]] | None = None
) -> Reading:
    return Reading(at(seconds), {name: pod.counts() for name, pod in pods.items()}, user or {})
