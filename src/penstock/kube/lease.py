"""Leader election on a coordination.k8s.io Lease, by the local steady clock alone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from penstock.kube import errors
from penstock.kube.metrics import KubeMetrics
from penstock.kube.resources import LEASES, Json, Resource, micro_time, version_of

logger = logging.getLogger(__name__)


def steady_clock() -> float:
    """Seconds that never jump and, where the kernel can (Linux), go on while the machine is suspended."""
    boot_time = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot_time is None else time.clock_gettime(boot_time)


class LeadershipLost(Exception):
    """The lease could not be renewed in time, or somebody else took it. The leading work has been stopped.

    ``work_stopped`` is False if it did not end before the lease could expire: then only ending the process is safe.
    """

    def __init__(self, message: str, *, work_stopped: bool) -> None:
        super().__init__(message)
        self.work_stopped = work_stopped


class LeaseClient(Protocol):
    """What the elector needs of `penstock.kube.client.KubeClient`."""

    async def get(self, resource: Resource, namespace: str | None, name: str, *, timeout: float) -> Json:
        """Reads the Lease."""

    async def create(self, resource: Resource, obj: Json, *, timeout: float) -> Json:
        """Creates the Lease."""

    async def update(self, resource: Resource, obj: Json, subresource: str | None = None, *, timeout: float) -> Json:
        """Replaces the Lease, by compare-and-swap on its resourceVersion."""


@dataclass(frozen=True, slots=True)
class _Observed:
    """A state of the Lease and the local time at which we first saw it."""

    lease: Json
    since: float

    @property
    def holder(self) -> str:
        return str(self.lease.get("spec", {}).get("holderIdentity") or "")

    @property
    def duration(self) -> float:
        return float(self.lease.get("spec", {}).get("leaseDurationSeconds") or 0)


class LeaderElector:
    """Holds a Lease and runs the leading work only while it surely holds it.

    The lease counts as held for ``renew_deadline`` seconds from the moment the last successful renewal was *sent*; then
    the work is stopped, which must take less than ``duration - renew_deadline``. Others take over only after they have
    seen no change for ``duration`` seconds on their own clock, so skewed wall clocks do no harm.
    ``identity`` must be unique per process, not just per pod: a restarted container must not inherit a lease.
    """

    def __init__(
        self,
        client: LeaseClient,
        namespace: str,
        name: str,
        identity: str,
        *,
        duration: float = 15,
        renew_deadline: float = 10,
        retry: float = 2,
        clock: Callable[[], float] = steady_clock,
        rng: random.Random | None = None,
        metrics: KubeMetrics | None = None,
    ) -> None:
        if not duration > renew_deadline > retry > 0:
            raise ValueError("A lease needs duration > renew_deadline > retry > 0.")
        self._client = client
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._duration = duration
        self._renew_deadline = renew_deadline
        self._retry = retry
        self._clock = clock
        self._rng = rng or random.SystemRandom()
        self._gauge = (metrics or KubeMetrics()).leading.labels(name)
        self._observed: _Observed | None = None
        self._renewed_at: float | None = None
        self._gauge.set(0)

    @property
    def is_leader(self) -> bool:
        """Whether the lease surely is ours at this moment."""
        return self._renewed_at is not None and self._clock() < self._renewed_at + self._renew_deadline

    def is_leading(self) -> bool:
        """`is_leader` as a function, for callers that ask before each write."""
        return self.is_leader

    @property
    def holder(self) -> str:
        """Who held the lease when it was last seen; empty if nobody did."""
        return self._observed.holder if self._observed is not None else ""

    async def run(
        self, on_started: Callable[[], Awaitable[None]], on_stopped: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Waits for the lease, runs ``on_started()`` as a task while holding it, and ``on_stopped()`` afterwards.

        ``on_started`` may return early: the lease is still held. It is cancelled when the lease cannot be renewed
        (then LeadershipLost is raised) or when this call is cancelled (then the lease is released). If it raises, the
        lease is released and the exception passed on.
        """
        await self._acquire()
        logger.info("%s leads (lease %s/%s)", self._identity, self._namespace, self._name)
        self._gauge.set(1)
        work = asyncio.create_task(_as_coroutine(on_started()), name=f"leading-{self._name}")
        reason = ""
        try:
            reason = await self._hold(work)
        finally:
            stopped = await self._end(work, on_stopped)
            self._gauge.set(0)
            if stopped and not reason:
                await self._release()
            self._renewed_at = None
        if reason:
            raise LeadershipLost(reason, work_stopped=stopped)
        work.result()

    async def _acquire(self) -> None:
        while True:
            if await self._try(self._renew_deadline):
                return
            # A little jitter keeps waiting replicas from asking in step.
            await asyncio.sleep(self._retry * (1 + 0.2 * self._rng.random()))

    async def _hold(self, work: asyncio.Task[None]) -> str:
        """Renews until the work fails (returns an empty string) or the lease is lost (returns why)."""
        next_try = self._clock() + self._retry
        while True:
            if work.done() and not work.cancelled() and work.exception() is not None:
                return ""
            left = self._renewal_left()
            if left <= 0:
                return f"The lease {self._name} could not be renewed for {self._renew_deadline:g} s."
            wait = min(next_try - self._clock(), left)
            if wait > 0:
                await (asyncio.sleep(wait) if work.done() else asyncio.wait([work], timeout=wait))
                continue
            if not await self._try(left) and self.holder not in ("", self._identity):
                return f"The lease {self._name} was taken by {self.holder}."
            next_try = self._clock() + self._retry

    def _renewal_left(self) -> float:
        return -1.0 if self._renewed_at is None else self._renewed_at + self._renew_deadline - self._clock()

    async def _try(self, limit: float) -> bool:
        """One attempt to acquire or renew within ``limit`` seconds; False if it failed or the lease is another's."""
        try:
            async with asyncio.timeout(min(limit, self._renew_deadline)):
                return await self._acquire_or_renew()
        except (errors.ApiError, TimeoutError) as error:
            logger.warning("lease %s: attempt of %s failed: %s", self._name, self._identity, error or "timed out")
            return False

    async def _acquire_or_renew(self) -> bool:
        # While leading the last answer is the latest state, unless another writer got in between (then: Conflict).
        if self._renewed_at is None or self._observed is None:
            await self._look()
        observed = self._observed
        if observed is not None and observed.holder not in ("", self._identity):
            self._renewed_at = None
            if self._clock() < observed.since + observed.duration:
                return False
        sent_at = self._clock()
        try:
            lease = await self._store(observed)
        except (errors.Conflict, errors.AlreadyExists, errors.NotFound):
            await self._look()
            return False
        self._observed = _Observed(lease, self._clock())
        self._renewed_at = sent_at
        return True

    async def _look(self) -> None:
        try:
            lease = await self._client.get(LEASES, self._namespace, self._name, timeout=self._renew_deadline)
        except errors.NotFound:
            self._observed = None
            return
        if self._observed is None or version_of(self._observed.lease) != version_of(lease):
            self._observed = _Observed(lease, self._clock())

    async def _store(self, observed: _Observed | None) -> Json:
        now = micro_time()
        spec: Json = dict(observed.lease.get("spec", {})) if observed is not None else {}
        if spec.get("holderIdentity") != self._identity:
            spec["leaseTransitions"] = int(spec.get("leaseTransitions") or 0) + (observed is not None)
            spec["acquireTime"] = now
        spec |= {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(1, round(self._duration)),
            "renewTime": now,
        }
        return await self._write(observed, spec)

    async def _write(self, observed: _Observed | None, spec: Json) -> Json:
        timeout = self._renew_deadline
        if observed is None:
            metadata = {"namespace": self._namespace, "name": self._name}
            lease = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": metadata, "spec": spec}
            return await self._client.create(LEASES, lease, timeout=timeout)
        return await self._client.update(LEASES, {**observed.lease, "spec": spec}, timeout=timeout)

    async def _end(self, work: asyncio.Task[None], on_stopped: Callable[[], Awaitable[None]] | None) -> bool:
        """Stops the work and calls ``on_stopped``; False if that did not end while the lease was surely valid."""
        renewed_at = self._renewed_at if self._renewed_at is not None else self._clock() - self._renew_deadline
        work.cancel()
        ending = asyncio.create_task(self._finish(work, on_stopped))
        await asyncio.wait([ending], timeout=max(0.0, renewed_at + self._duration - self._clock()))
        if not ending.done():
            logger.critical("the leading work of %s did not stop before the lease could expire", self._identity)
            return False
        ending.result()
        return True

    async def _finish(self, work: asyncio.Task[None], on_stopped: Callable[[], Awaitable[None]] | None) -> None:
        await asyncio.wait([work])
        if on_stopped is not None:
            await on_stopped()

    async def _release(self) -> None:
        observed = self._observed
        if observed is None or not self.is_leader:
            return
        spec = {**observed.lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": micro_time()}
        with contextlib.suppress(errors.ApiError, TimeoutError):
            async with asyncio.timeout(max(0.0, self._renewal_left())):
                await self._write(observed, spec)


async def _as_coroutine(awaitable: Awaitable[None]) -> None:
    await awaitable
