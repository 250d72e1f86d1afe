"""An API server that does not serve the operator for some time, and takes its time."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from tests.faults.arena import Arena
from tests.faults.proxy import Call, Mode, Reply

OUTAGE_SECONDS = 90.0
BUSY_SECONDS = 20.0
FORBIDDEN_SECONDS = 20.0


def slow(arena: Arena) -> None:
    """Each request takes two seconds longer."""

    async def plan(call: Call) -> Mode | Reply | None:
        if arena.armed and not call.watch:
            await asyncio.sleep(2.0)
        return None

    arena.proxy.plan = plan


def unavailable_for_long(arena: Arena) -> None:
    """Every request is answered with 503 for longer than kopf's own patience; watches end at its beginning."""
    _answer(arena, Reply(503, "ServiceUnavailable"), OUTAGE_SECONDS)


def too_busy(arena: Arena) -> None:
    """Every request is answered with 429 and the wish to come back after two seconds; watches end at its beginning."""
    _answer(arena, Reply(429, "TooManyRequests", 2), BUSY_SECONDS)


def forbidden_for_a_while(arena: Arena) -> None:
    """The operator's rights are taken away by RBAC, and given back."""
    user = f"operator-in-{arena.namespace}"
    binding: dict[str, Any] = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": user},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }
    arena.cluster.create(binding)
    arena.proxy.user = user

    async def revoke() -> None:
        arena.cluster.delete(binding)
        arena.proxy.end_streams()
        arena.later_do(FORBIDDEN_SECONDS, restore)

    async def restore() -> None:
        arena.cluster.create(binding)

    arena.on_armed = revoke


def _answer(arena: Arena, reply: Reply, seconds: float) -> None:
    """Answer everything with the same, so many seconds from when faults may begin."""
    until = 0.0

    async def plan(_: Call) -> Mode | Reply | None:
        return reply if time.monotonic() < until else None

    async def begin() -> None:
        nonlocal until
        until = time.monotonic() + seconds
        arena.proxy.end_streams()

    arena.proxy.plan = plan
    arena.on_armed = begin
