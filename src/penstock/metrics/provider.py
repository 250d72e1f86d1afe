"""What is asked of a source of request counts, and what every source is."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from penstock.domain.canary.counters import Reading, pod_of

RUNTIME_METRICS_PORT = 9090


@dataclass(frozen=True, slots=True)
class TrackQuery:
    """The pods of a Model whose requests are counted, of all tracks at once.

    Attributes:
        namespace: the Model's.
        model: its name, which is that of its route.
        pods: name of the pod -> its IP address.
        ports: name of the pod -> where it serves requests: a server of the owner's own has a port of its own.
        since: samples from before this moment say nothing; None takes any that is young enough.
        metrics_port: where the built-in model server shows its counters.
    """

    namespace: str
    model: str
    pods: Mapping[str, str]
    ports: Mapping[str, int]
    since: datetime | None = None
    metrics_port: int = RUNTIME_METRICS_PORT


class MetricProvider(Protocol):
    """A source of cumulative counts per pod."""

    @property
    def label(self) -> str:
        """Say in a word or two what counted, for status and log."""

    async def read(self, query: TrackQuery) -> Reading:
        """Return the counts of the pods that have any; a pod without is absent, never zero.

        A pod may have several keys (`domain.canary.counters.part`): one for each proxy that counts its requests. They
        are counters of their own that begin anew on their own, and the pod's counts are their sum.
        `at` is when the newest of them was taken. Raises SourceUnavailable if no pod has any.
        """


def of_track(reading: Reading, pods: Collection[str]) -> Reading:
    """Return the part of a reading that is about these pods."""
    return Reading(reading.at, {key: counts for key, counts in reading.pods.items() if pod_of(key) in pods})
