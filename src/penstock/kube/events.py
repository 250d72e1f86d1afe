"""Records events.k8s.io Events about objects without ever holding up the caller."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from penstock.kube import errors
from penstock.kube.client import KubeClient
from penstock.kube.metrics import KubeMetrics
from penstock.kube.ratelimit import TokenBucket
from penstock.kube.resources import EVENTS, Json, micro_time, uid_of, version_of

logger = logging.getLogger(__name__)

EventType = Literal["Normal", "Warning"]
_Identity = tuple[str, str, str, str, str, str]
_NOTE_LIMIT = 1024  # bytes, the API's bound
_REMEMBERED = 4096
_YIELD_SECONDS = 30.0
_LOOK_SECONDS = 0.1


@dataclass(slots=True)
class _Series:
    """One Event on the server and how often the same thing happened."""

    event: Json
    last_seen: float
    count: int = 1
    stored_count: int = 0
    queued: bool = False


class EventRecorder:
    """Sends Events from a bounded queue; a full queue drops the new Event and counts it.

    The same event (object, type, reason, action, note) within ``window`` seconds of the last one raises the count of
    the first one's series instead of making another. ``controller`` is a qualified name, e.g. ``example.com/operator``,
    ``instance`` the process, e.g. the pod name.

    While ``work_waits`` an Event lets it go first, for at most half a minute and as long as half of the queue is free.
    """

    def __init__(
        self,
        client: KubeClient,
        controller: str,
        instance: str,
        *,
        window: float = 600.0,
        capacity: int = 1000,
        bucket: TokenBucket | None = None,
        work_waits: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
        metrics: KubeMetrics | None = None,
    ) -> None:
        self._client = client
        self._controller = controller
        self._instance = instance
        self._window = window
        self._bucket = bucket or TokenBucket(rate=5, burst=50)
        self._work_waits = work_waits
        self._draining = False
        self._clock = clock
        self._metrics = metrics or KubeMetrics()
        self._queue: asyncio.Queue[_Series] = asyncio.Queue(capacity)
        self._series: OrderedDict[_Identity, _Series] = OrderedDict()

    def record(
        self,
        regarding: Json,
        *,
        type: EventType,
        reason: str,
        action: str,
        note: str,
        related: Json | None = None,
    ) -> None:
        """Queues an Event about ``regarding``; returns at once and never raises for a server's refusal.

        ``reason`` and ``action`` are CamelCase words; ``note`` is a sentence, cut at 1,024 bytes.
        """
        now = self._clock()
        note = note.encode()[:_NOTE_LIMIT].decode(errors="ignore")
        identity = (uid_of(regarding), type, reason, action, note, uid_of(related) if related else "")
        self._expire(now)
        series = self._series.get(identity)
        if series is None:
            about = _reference(regarding)
            event: Json = {
                "apiVersion": EVENTS.api_version,
                "kind": EVENTS.kind,
                "metadata": {
                    "namespace": about.get("namespace") or "default",
                    "name": f"{about['name'][:230]}.{secrets.token_hex(8)}",
                },
                "eventTime": micro_time(),
                "type": type,
                "reason": reason,
                "action": action,
                "note": note,
                "regarding": about,
                "reportingController": self._controller,
                "reportingInstance": self._instance,
            }
            if related is not None:
                event["related"] = _reference(related)
            series = _Series(event, now)
            self._series[identity] = series
        else:
            series.count += 1
            series.last_seen = now
            self._series.move_to_end(identity)
            self._metrics.events.labels("repeated").inc()
        if series.queued:
            return
        try:
            self._queue.put_nowait(series)
        except asyncio.QueueFull:
            self._metrics.events.labels("dropped").inc()
            if series.stored_count == 0:
                self._series.pop(identity)
        else:
            series.queued = True

    async def run(self) -> None:
        """Sends what is queued until cancelled."""
        while True:
            series = await self._queue.get()
            try:
                await self._let_work_pass(series.last_seen + _YIELD_SECONDS)
                await self._bucket.take()
                await self._send(series)
            finally:
                self._queue.task_done()

    async def drain(self, timeout: float) -> None:
        """Waits until what is queued has been sent, at most ``timeout`` seconds; `run` must be running."""
        self._draining = True
        try:
            async with asyncio.timeout(timeout):
                await self._queue.join()
        except TimeoutError:
            logger.warning("%d events were not sent in time", self._queue.qsize())
        finally:
            self._draining = False

    async def _let_work_pass(self, until: float) -> None:
        half = self._queue.maxsize / 2

        def waits() -> bool:
            passes = self._work_waits() and not self._draining
            return passes and self._queue.qsize() < half and self._clock() < until

        while waits():  # noqa: ASYNC110 - nobody says when no work is left
            await asyncio.sleep(_LOOK_SECONDS)

    async def _send(self, series: _Series) -> None:
        series.queued = False
        count = series.count
        try:
            if series.stored_count == 0:
                stored = await self._client.create(EVENTS, series.event)
                # The rest is on the server: thousands of Events are remembered.
                series.event = {"metadata": {name: stored["metadata"][name] for name in ("namespace", "name")}}
            if count > max(1, series.stored_count):
                metadata = series.event["metadata"]
                patch = {"series": {"count": count, "lastObservedTime": micro_time()}}
                await self._client.patch_merge(EVENTS, metadata["namespace"], metadata["name"], patch)
        except errors.ApiError as error:
            # An Event is a courtesy: a lost one is counted, never retried against a struggling server.
            self._metrics.events.labels("failed").inc()
            logger.info("event about %s not sent: %s", series.event["metadata"]["name"], error)
            if isinstance(error, errors.TooManyRequests):
                self._bucket.pause(error.retry_after or 1.0)
            elif isinstance(error, errors.NotFound):
                series.last_seen = float("-inf")
        else:
            series.stored_count = count
            self._metrics.events.labels("sent").inc()

    def _expire(self, now: float) -> None:
        while self._series:
            identity, series = next(iter(self._series.items()))
            if len(self._series) <= _REMEMBERED and now - series.last_seen < self._window:
                return
            del self._series[identity]


def _reference(obj: Json) -> Json:
    metadata = obj["metadata"]
    fields = {
        "apiVersion": obj.get("apiVersion"),
        "kind": obj.get("kind"),
        "namespace": metadata.get("namespace"),
        "name": metadata["name"],
        "uid": uid_of(obj),
        "resourceVersion": version_of(obj),
    }
    return {name: value for name, value in fields.items() if value}
