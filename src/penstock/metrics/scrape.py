"""The built-in source: asks each pod for its own counters."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus

from prometheus_client.parser import text_string_to_metric_families

from penstock.domain.canary.counters import PodCounts, Reading
from penstock.metrics import runtime
from penstock.metrics.http import HttpClient, Request
from penstock.metrics.problems import ConnectionRefused, Problem, SourceUnavailable
from penstock.metrics.provider import TrackQuery

SECONDS = 2.0
MOST_BYTES = 1024 * 1024
_AT_ONCE = 16
# What says no word about the page.
_LATER = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS})


def _now() -> datetime:
    return datetime.now(UTC)


class Scrape:
    """Reads /metrics of the model servers. A custom server that counts nothing of the sort is no source."""

    label = "runtime"

    def __init__(self, client: HttpClient, now: Callable[[], datetime] = _now) -> None:
        self._client = client
        self._now = now
        self._gate = asyncio.Semaphore(_AT_ONCE)

    async def read(self, query: TrackQuery) -> Reading:
        """See `MetricProvider`; `at` is when the last pod had answered."""
        results = await asyncio.gather(
            *(self._pod(pod, address, query.metrics_port) for pod, address in query.pods.items())
        )
        at = self._now()
        answers = dict(zip(query.pods, results, strict=True))
        counted = {pod: answer for pod, answer in answers.items() if isinstance(answer, PodCounts)}
        problems = {pod: answer for pod, answer in answers.items() if isinstance(answer, SourceUnavailable)}
        uncounted = {pod: problem.message for pod, problem in problems.items() if _counts_nothing(problem)}
        if counted:
            return Reading(at, counted, uncounted=uncounted)
        # A server that was asked and counts nothing never will; one that is silent may speak again.
        without = [problem for problem in problems.values() if problem.reason is Problem.NO_METRIC_SOURCE]
        gravest = next(iter([*without, *problems.values()]), None)
        if gravest is None:
            raise SourceUnavailable(Problem.NO_DATA, "there is no pod to ask")
        raise SourceUnavailable(gravest.reason, gravest.message, uncounted) from gravest

    async def _pod(self, pod: str, address: str, port: int) -> PodCounts | SourceUnavailable:
        try:
            async with self._gate:
                ip = ipaddress.ip_address(address)
                host = f"[{ip}]" if ip.version == 6 else str(ip)
                status, body = await self._client.fetch(
                    Request(url=f"http://{host}:{port}/metrics", seconds=SECONDS, most_bytes=MOST_BYTES)
                )
            if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.INTERNAL_SERVER_ERROR and status not in _LATER:
                return SourceUnavailable(
                    Problem.NO_METRIC_SOURCE, f"the server of pod {pod} shows no counters: /metrics answers {status}"
                )
            if status != HTTPStatus.OK:
                return SourceUnavailable(Problem.UNREACHABLE, f"pod {pod} answers {status} when asked for its counters")
            counts = runtime.counts(_samples(body, pod), pod)
        except SourceUnavailable as problem:
            return problem
        if counts is None:
            return SourceUnavailable(Problem.NO_METRIC_SOURCE, f"the server of pod {pod} has no {runtime.REQUESTS}")
        return counts


def _counts_nothing(problem: SourceUnavailable) -> bool:
    return problem.reason is Problem.NO_METRIC_SOURCE or isinstance(problem, ConnectionRefused)


def _samples(body: bytes, pod: str) -> list[runtime.Sample]:
    """The samples that matter. All other lines are left unparsed: a server may show anything beside them."""
    try:
        lines = [line for line in body.decode().split("\n") if line.startswith(runtime.NAMES)]
        families = list(text_string_to_metric_families("\n".join(lines) + "\n"))
    except (ValueError, UnicodeDecodeError, KeyError, IndexError) as error:
        raise SourceUnavailable(Problem.BAD_ANSWER, f"the page of pod {pod} is not in Prometheus' form") from error
    return [
        (sample.name, sample.labels, repr(sample.value))
        for family in families
        for sample in family.samples
        if sample.name in runtime.NAMES
    ]
