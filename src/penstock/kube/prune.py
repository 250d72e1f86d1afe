"""Finds what the watches missed, by listing the metadata of every kind now and then."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from penstock.kube import errors
from penstock.kube.cache import Cache
from penstock.kube.client import KubeClient
from penstock.kube.resources import Json, ObjectKey, Resource, key_of, uid_of, version_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Scope:
    """What the cache holds of one kind: of one namespace or all, with or without a label selector."""

    resource: Resource
    namespace: str | None = None
    label_selector: str | None = None


@dataclass(frozen=True, slots=True)
class Missed:
    """What one list showed that the cache did not know.

    ``removed``: dropped from the cache, deleted without an event. ``unseen``: exist, but in two passes in a
    row the cache had not heard of them, or only of an older version. ``rewound``: the list is older than what was seen
    before, so etcd was set back to a backup and every cached version is void: the process should start afresh.
    """

    scope: Scope
    removed: Sequence[Json] = field(default_factory=list)
    unseen: Sequence[ObjectKey] = field(default_factory=list)
    rewound: bool = False


class _Live(NamedTuple):
    """What is kept of an object in a list: with its managed fields it is a hundred times as large."""

    key: ObjectKey
    uid: str
    version: int


class Pruner:
    """Lists each scope every ``period`` seconds and reports to ``on_missed`` if something was missed."""

    def __init__(
        self,
        client: KubeClient,
        cache: Cache,
        scopes: Sequence[Scope],
        on_missed: Callable[[Missed], Awaitable[None] | None],
        *,
        period: float = 300.0,
        rng: random.Random | None = None,
    ) -> None:
        self._client = client
        self._cache = cache
        self._scopes = tuple(scopes)
        self._on_missed = on_missed
        self._period = period
        self._rng = rng or random.SystemRandom()
        self._behind: dict[Scope, dict[ObjectKey, int]] = {}

    async def run(self) -> None:
        """Goes on until cancelled; a scope that cannot be listed is tried again in the next round."""
        while True:
            for scope in self._scopes:
                # Spread over the period, so that the lists of all kinds and replicas do not come together.
                await asyncio.sleep(self._period / len(self._scopes) * self._rng.uniform(0.8, 1.2))
                await self.check(scope)

    async def check(self, scope: Scope) -> None:
        """Look at one scope now and report what was missed; that it cannot be listed is only logged."""
        try:
            missed = await self.prune(scope)
        except errors.ApiError as error:
            logger.warning("cannot list %s to check the cache: %s", scope.resource, error)
            return
        if missed.removed or missed.unseen or missed.rewound:
            outcome = self._on_missed(missed)
            if outcome is not None:
                await outcome

    async def prune(self, scope: Scope) -> Missed:
        """Lists one scope now and drops from the cache what is gone. Raises ApiError."""
        resource = scope.resource
        seen_before = self._cache.highest_version(resource)
        items, listed_at = await self._client.collect(
            resource,
            lambda item: _Live(key_of(resource, item), uid_of(item), _number(version_of(item))),
            scope.namespace,
            label_selector=scope.label_selector,
            metadata_only=True,
        )
        if listed_at.isdecimal() and int(listed_at) < seen_before:
            logger.error("%s went back from version %d to %s: restored?", resource, seen_before, listed_at)
            return Missed(scope, rewound=True)
        live = {(item.key.namespace, item.key.name, item.uid) for item in items}
        removed = self._cache.prune(resource, live, listed_at, namespace=scope.namespace)
        return Missed(scope, removed, self._unseen(scope, items))

    def _unseen(self, scope: Scope, items: Sequence[_Live]) -> list[ObjectKey]:
        """Objects whose cached version was behind the same live version in the last pass too: not just in flight."""
        behind = {item.key: item.version for item in items if item.version > self._held_version(item.key)}
        before = self._behind.get(scope, {})
        self._behind[scope] = behind
        return [key for key in behind if key in before and self._held_version(key) < before[key]]

    def _held_version(self, key: ObjectKey) -> int:
        held = self._cache.version(key)
        return held if held is not None else -1


def _number(resource_version: str) -> int:
    return int(resource_version) if resource_version.isdecimal() else -1
