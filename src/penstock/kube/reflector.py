"""Keeps up with one kind: lists it page by page, then watches, and starts over whenever the watch cannot go on."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from penstock.kube import errors
from penstock.kube.client import KubeClient
from penstock.kube.metrics import KubeMetrics
from penstock.kube.resources import Json, Resource, key_of, uid_of, version_of

logger = logging.getLogger(__name__)

SERVER_TIMEOUT = 290
SILENCE_SECONDS = 70.0
# A kind that the cluster does not have may be installed later.
ABSENT_SECONDS = 30.0
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 20.0
# A watch refused so often in a row is not resumed: a new list shows what is wrong, or that time went back.
_RESUMED = 3
_RETRIES = 10


class StateRewound(Exception):
    """The API server shows an older state than it did before, as after the restoration of a backup of etcd."""


@dataclass(frozen=True, slots=True)
class Source:
    """What is watched of one kind. ``optional``: a cluster without the kind counts as one without objects of it."""

    resource: Resource
    label_selector: str | None = None
    optional: bool = False


class Store(Protocol):
    """Where a reflector puts what it sees. ``live`` holds (namespace, name, uid)."""

    def observe(self, resource: Resource, event_type: str | None, obj: Json) -> None:
        """Take in one object: of a list if there is no event type."""

    def keep_only(self, resource: Resource, live: set[tuple[str, str, str]], resource_version: str) -> None:
        """Drop what a list of this resourceVersion did not show, unless it is newer."""


class Reflector:
    """Feeds a store with one source until cancelled.

    A failure of any sort, RBAC rights taken away included, is retried for ever with back-off; `trouble` says which.
    `run` ends only by StateRewound: everything held in memory is void then, and the process should start afresh.
    ``silence``: how many seconds without even a bookmark make a watch count as broken.
    """

    def __init__(
        self,
        client: KubeClient,
        source: Source,
        store: Store,
        *,
        silence: Callable[[], float] = lambda: SILENCE_SECONDS,
        rng: random.Random | None = None,
        metrics: KubeMetrics | None = None,
    ) -> None:
        self.source = source
        self.trouble = "has not been listed yet"
        self._client = client
        self._store = store
        self._silence = silence
        self._rng = rng or random.SystemRandom()
        self._metrics = metrics or KubeMetrics()
        self._listed = asyncio.Event()
        self._began = float("-inf")  # when the last complete list was begun
        self._version = ""  # where to resume the watch; empty: list first
        self._highest = 0
        self._failures = 0
        self._opened = float("inf")  # when the present watch began to stream

    async def run(self) -> None:
        """List and watch. Raises StateRewound."""
        while True:
            self._opened = float("inf")
            wanted_pause = 0.0
            try:
                if not self._version:
                    self._version = await self._list()
                await self._watch()
                why = "ended"
                self._failures = 0 if self._streamed() else self._failures + 1
            except errors.ApiError as error:
                why, wanted_pause = self._failed(error), error.retry_after or 0.0
            self._metrics.watch_ends.labels(str(self.source.resource), why).inc()
            await asyncio.sleep(ABSENT_SECONDS if why == "absent" else max(wanted_pause, self._back_off()))

    @property
    def has_listed(self) -> bool:
        """Whether the store has seen every object once."""
        return self._listed.is_set()

    async def listed(self) -> None:
        """Wait until the store has seen every object once."""
        await self._listed.wait()

    async def refresh(self, tolerated_age: float) -> None:
        """Return when the store has seen a list that was begun at most so many seconds ago, listing now if need be.

        Raises ApiError if that fails again and again.
        """
        await self._listed.wait()
        if time.monotonic() - self._began > tolerated_age:
            await self.read()

    async def read(self) -> None:
        """List once, with patience: in a storm of refusals, reading all kinds in one go would never succeed.

        Raises ApiError if it fails again and again.
        """
        for _ in range(_RETRIES - 1):
            try:
                await self._list()
            except errors.ApiError as error:
                if isinstance(error, errors.NotFound) and self.source.optional:
                    return
                logger.warning("cannot list %s, tries again: %s", self.source.resource, error)
                await asyncio.sleep(error.retry_after or 2 * _FIRST_PAUSE)
            else:
                return
        await self._list()

    async def _list(self) -> str:
        resource, began = self.source.resource, time.monotonic()
        try:
            live, version = await self._read_pages()
        except errors.NotFound:
            if not self.source.optional:
                raise
            self._taken(set(), "", began)
            raise
        self._advance(version, listed=True)
        self._taken(live, version, began)
        logger.debug("%s: listed %d at %s", resource, len(live), version)
        return version

    def _taken(self, live: set[tuple[str, str, str]], version: str, began: float) -> None:
        self._store.keep_only(self.source.resource, live, version)
        self._began = began
        self._listed.set()

    async def _read_pages(self) -> tuple[set[tuple[str, str, str]], str]:
        """Pass one whole list on, and return what is in it and its resourceVersion."""
        resource = self.source.resource

        def take(item: Json) -> tuple[str, str, str]:
            self._pass_on(None, item)
            key = key_of(resource, item)
            return key.namespace, key.name, uid_of(item)

        found, version = await self._client.collect(resource, take, label_selector=self.source.label_selector)
        return set(found), version

    async def _watch(self) -> None:
        """Pass events on until the server ends the stream. Raises ApiError, Gone if it cannot be resumed."""
        source = self.source
        async with self._client.watch(
            source.resource,
            self._version,
            label_selector=source.label_selector,
            server_timeout=round(SERVER_TIMEOUT * self._rng.uniform(0.8, 1.0)),
            silence=self._silence(),
        ) as events:
            self._opened = time.monotonic()
            self.trouble = ""
            async for event in events:
                kind, obj = event["type"], event["object"]
                if kind == "ERROR":
                    raise errors.from_status(obj)
                version = version_of(obj)
                if kind != "BOOKMARK":
                    self._pass_on(kind, obj)
                self._advance(version)
                self._version = version
                self._failures = 0

    def _advance(self, version: str, *, listed: bool = False) -> None:
        """Note how far the API server's state has come. A list is never behind what was seen before it."""
        number = int(version) if version.isdecimal() else 0
        if listed and 0 < number < self._highest:
            raise StateRewound(f"{self.source.resource}: went back from version {self._highest} to {number}")
        self._highest = max(self._highest, number)

    def _pass_on(self, event_type: str | None, obj: Json) -> None:
        try:
            self._store.observe(self.source.resource, event_type, obj)
        except Exception:
            # One object that cannot be understood must not hide all others.
            logger.exception("cannot take in %s", key_of(self.source.resource, obj))

    def _streamed(self) -> bool:
        """Whether the watch was open for some time, so that its end is nothing to worry about."""
        return time.monotonic() - self._opened >= 1

    def _failed(self, error: errors.ApiError) -> str:
        """Note a failure; return it in one word."""
        resource = self.source.resource
        if isinstance(error, errors.Unreachable) and self._streamed():
            logger.info("%s: %s", resource, error)
            self._failures = 0
            return "broken"
        self._failures += 1
        if isinstance(error, errors.NotFound) and self.source.optional:
            self._version, self.trouble = "", ""
            return "absent"
        if isinstance(error, errors.Gone):
            logger.info("%s: the watch cannot be resumed, lists again", resource)
            self._version = ""
            return "gone"
        if self._failures % _RESUMED == 0:
            self._version = ""
        self.trouble = str(error)
        logger.warning("cannot watch %s, tries again: %s", resource, error)
        return type(error).__name__

    def _back_off(self) -> float:
        if not self._failures:
            return self._rng.uniform(0, _FIRST_PAUSE)
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(self._failures, 16))
        return self._rng.uniform(longest / 2, longest)
