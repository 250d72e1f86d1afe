"""Sees, by watches of metadata alone, when each Model's children appear and change."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Self

from bench.controller.bare import BareClient
from penstock.controllers.model import names
from penstock.controllers.resources import MODELS
from penstock.kube.resources import DEPLOYMENTS, SERVICES, Json, Resource

Key = tuple[str, str]


class Observer:
    """Notes times of events. Use it as an asynchronous context manager.

    Attributes:
        created: how many children of each kind a Model has.
        changes: how often a Model was stored anew (status included).
        patched: when a generation of a Model's Deployment was first seen, by monotonic clock.
        last: when anything was last seen.
    """

    def __init__(self, client: BareClient) -> None:
        self.created: defaultdict[Key, Counter[str]] = defaultdict(Counter)
        self.changes: Counter[Key] = Counter()
        self.patched: dict[tuple[Key, int], float] = {}
        self.last = 0.0
        self._client = client
        self._event = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        for kind in (MODELS, SERVICES, DEPLOYMENTS):
            version = (await self._client.list(kind))["metadata"]["resourceVersion"]
            self._tasks.append(asyncio.create_task(self._watch(kind, version)))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    def started(self, keys: list[Key]) -> bool:
        """Whether everything exists that a Model needs in Starting, and its status has been written."""
        return all(
            self.changes[key] >= 1
            and self.created[key][SERVICES.plural] >= 2
            and self.created[key][DEPLOYMENTS.plural] >= 1
            for key in keys
        )

    async def until(self, condition: Callable[[], bool], what: str, seconds: float) -> float:
        """Return the time of the event that made the condition true."""
        deadline = time.monotonic() + seconds
        while not condition():
            for task in self._tasks:
                if task.done():
                    await task  # a watch that has ended makes every answer wrong
            self._event.clear()
            try:
                await asyncio.wait_for(self._event.wait(), 1)
            except TimeoutError:
                if time.monotonic() > deadline:
                    raise SystemExit(f"After {seconds:.0f} s it was still not so that {what}.") from None
            await asyncio.sleep(0.05)
        return self.last

    async def _watch(self, kind: Resource, version: str) -> None:
        async for event in self._client.watch(kind, version, metadata_only=True):
            self._note(kind, event["type"], event["object"]["metadata"])

    def _note(self, kind: Resource, event: str, meta: Json) -> None:
        if kind is MODELS:
            if event == "MODIFIED":
                self.changes[meta["namespace"], meta["name"]] += 1
        else:
            key = (meta["namespace"], meta.get("labels", {}).get(names.MODEL_LABEL, ""))
            if event == "ADDED":
                self.created[key][kind.plural] += 1
            if kind is DEPLOYMENTS:
                self.patched.setdefault((key, meta["generation"]), time.monotonic())
        self.last = time.monotonic()
        self._event.set()
