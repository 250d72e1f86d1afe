"""A work queue with client-go's contract: keys, not events; each key handled by one worker at a time."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import logging
import random
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from penstock.kube.errors import ApiError
from penstock.kube.lanes import LaneQueue
from penstock.kube.metrics import Children, KubeMetrics

K = TypeVar("K", bound=Hashable)
logger = logging.getLogger(__name__)


class WorkQueue(Generic[K]):
    """Coalesces keys, handles each by at most one worker, and retries failures with exponential back-off.

    A key added while it is being handled is handled once more afterwards, so no change is ever missed, unless the
    handler says by `reads` that it has begun to read what is there only now. Keys are kept
    while nothing runs; `run` may be called again after `stop`. ``base`` and ``cap`` bound the back-off in seconds; the
    delay is drawn evenly between ``base`` and ``base * 2**failures`` (full jitter). Keys that are ``urgent`` when they
    are added go before the others, which still get every fourth turn. Use it from one event loop only.
    """

    def __init__(
        self,
        name: str = "queue",
        *,
        base: float = 0.05,
        cap: float = 60.0,
        rng: random.Random | None = None,
        metrics: KubeMetrics | None = None,
        urgent: Callable[[K], bool] = lambda _: False,
    ) -> None:
        self.name = name
        self._base = base
        self._cap = cap
        self._rng = rng or random.SystemRandom()
        metrics = metrics or KubeMetrics()
        self._reconciles = Children(metrics.reconciles)
        self._adds = metrics.queue_adds.labels(name)
        self._depth = metrics.queue_depth.labels(name)
        self._retries = metrics.queue_retries.labels(name)
        self._queue_seconds = metrics.queue_seconds.labels(name)
        self._work_seconds = metrics.work_seconds.labels(name)
        self._active = metrics.active_workers.labels(name)
        self._ready: asyncio.Queue[K] = LaneQueue(urgent)
        self._dirty: dict[K, float] = {}  # wanted, with the time since when
        self._processing: dict[K, float] = {}
        self._read: dict[K, float] = {}  # wanted while being handled, and dealt with by that if it ends well
        self._failures: dict[K, int] = {}
        self._delayed: list[tuple[float, int, K]] = []
        self._due: dict[K, float] = {}  # the valid entry of each key in the heap
        self._order = itertools.count()
        self._timer: asyncio.Handle | None = None
        self._timer_due = 0.0  # not asked of the timer: uvloop gives none for what is due at once
        self._workers: list[asyncio.Task[None]] = []
        self._draining = False
        self._idle = asyncio.Event()  # set while no key is being handled
        self._stopped = asyncio.Event()

    def add(self, key: K) -> None:
        """Wants the key handled as soon as a worker is free."""
        if key in self._dirty:
            return
        self._adds.inc()
        self._dirty[key] = _now()
        if key not in self._processing:
            self._ready.put_nowait(key)
        self._depth.set(self.depth)

    def add_after(self, key: K, seconds: float) -> None:
        """Wants the key handled in so many seconds; of several such wishes the earliest counts."""
        if seconds <= 0:
            self.add(key)
            return
        due = _now() + seconds
        if self._due.get(key, float("inf")) <= due:
            return
        self._due[key] = due
        heapq.heappush(self._delayed, (due, next(self._order), key))
        self._set_timer()

    def reads(self, key: K) -> None:
        """Says that the handling of the key reads all it looks at from now on, so that it deals with what was added."""
        if key in self._processing and key in self._dirty:
            self._read.setdefault(key, self._dirty.pop(key))

    def forget(self, key: K) -> None:
        """Ends the key's back-off: its next failure counts as the first."""
        self._failures.pop(key, None)

    @property
    def depth(self) -> int:
        """How many keys wait for a worker."""
        return self._ready.qsize()

    @property
    def delayed(self) -> int:
        """How many keys wait for their time."""
        return len(self._due)

    @property
    def oldest_age(self) -> float:
        """Seconds since the longest waiting key was wanted; 0 if none waits."""
        return _now() - min(self._dirty.values()) if self._dirty else 0.0

    @property
    def longest_running(self) -> float:
        """Seconds since the longest running handling began; 0 if none runs."""
        return _now() - min(self._processing.values()) if self._processing else 0.0

    async def run(self, workers: int, handler: Callable[[K], Awaitable[float | None]]) -> None:
        """Handles keys until `stop` or cancellation.

        The handler returns the seconds after which it wants the key again, or None. If it raises, the key is retried
        with back-off, not before an ApiError's ``retry_after``. A cancelled handling leaves its key wanted.
        """
        if self._workers:
            raise RuntimeError(f"The work queue {self.name!r} is running already.")
        self._draining = False
        self._stopped.clear()
        try:
            async with asyncio.TaskGroup() as group:
                self._workers = [
                    group.create_task(self._work(handler), name=f"{self.name}-{number}") for number in range(workers)
                ]
        finally:
            self._workers = []
            self._stopped.set()

    async def stop(self, grace: float = 0.0) -> None:
        """Takes no more keys, waits up to ``grace`` seconds for the running handlings, then cancels them."""
        if not self._workers:
            return
        self._draining = True
        if self._processing and grace > 0:
            self._idle.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), grace)
        for worker in self._workers:
            worker.cancel()
        await self._stopped.wait()

    async def _work(self, handler: Callable[[K], Awaitable[float | None]]) -> None:
        while True:
            key = await self._ready.get()
            if self._draining:
                self._ready.put_nowait(key)
                return
            wanted_at = self._dirty.pop(key)
            started = self._processing[key] = _now()
            self._depth.set(self.depth)
            self._queue_seconds.observe(started - wanted_at)
            try:
                with self._active.track_inprogress():
                    await self._handle(key, handler)
            except asyncio.CancelledError:
                self._dirty.setdefault(key, wanted_at)
                raise
            finally:
                self._read.pop(key, None)
                del self._processing[key]
                if not self._processing:
                    self._idle.set()
                self._work_seconds.observe(_now() - started)
                if key in self._dirty:
                    self._ready.put_nowait(key)

    async def _handle(self, key: K, handler: Callable[[K], Awaitable[float | None]]) -> None:
        result = "success"
        try:
            requeue_after = await handler(key)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Something inside the handler was cancelled, not this worker: it must live on.
            result = "error"
            self._retry(key, error)
        except Exception as error:
            result = "error"
            self._retry(key, error)
        else:
            self.forget(key)
            if requeue_after is not None:
                result = "requeue_after"
                self.add_after(key, requeue_after)
        self._reconciles(self.name, result).inc()

    def _retry(self, key: K, error: BaseException) -> None:
        if key in self._read:  # what it read has come to nothing
            self._dirty.setdefault(key, self._read.pop(key))
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        # The exponent is bounded so that a key that fails for days does not overflow the float.
        longest = min(self._cap, self._base * 2 ** min(failures, 32))
        delay = self._rng.uniform(self._base, longest)
        if isinstance(error, ApiError):
            delay = max(delay, error.retry_after or 0.0)
            logger.warning("%s: %s failed, again in %.2f s: %s", self.name, key, delay, error)
        else:
            logger.error("%s: %s failed, again in %.2f s", self.name, key, delay, exc_info=error)
        self._retries.inc()
        self.add_after(key, delay)

    def _set_timer(self) -> None:
        while self._delayed and self._due.get(self._delayed[0][2]) != self._delayed[0][0]:
            heapq.heappop(self._delayed)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._delayed:
            self._timer_due = self._delayed[0][0]
            self._timer = asyncio.get_running_loop().call_at(self._timer_due, self._fire)

    def _fire(self) -> None:
        # The loop may call a timer up to its clock's resolution early.
        while self._timer is not None and self._delayed and self._delayed[0][0] <= max(_now(), self._timer_due):
            due, _, key = heapq.heappop(self._delayed)
            if self._due.get(key) == due:
                del self._due[key]
                self.add(key)
        self._set_timer()


def _now() -> float:
    return asyncio.get_running_loop().time()
