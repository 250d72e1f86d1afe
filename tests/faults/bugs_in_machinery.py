"""Bugs in requests, the decision log, queue and cache. Each is a plausible slip."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from penstock.api.v1alpha1.modelstatus import ModelStatus
from penstock.controllers.model import status
from penstock.controllers.model.controller import ModelController
from penstock.controllers.model.log import DecisionLog
from penstock.controllers.model.pace import Pace
from penstock.controllers.resources import DECISIONRECORDS
from penstock.kube import applier, prune, queue
from penstock.kube.applier import Applier
from penstock.kube.client import KubeClient
from penstock.kube.errors import AlreadyExists, Unreachable
from penstock.kube.resources import Json, Resource
from tests.faults.planting import bug, do_nothing, replace

# --- single requests ---


@bug
def uid_not_checked() -> None:
    """An apply no longer says which object it means."""

    def make(body: Any) -> Any:
        def changed(self: Applier, *args: Any) -> Json:
            made: Json = body(self, *args)
            made["metadata"].pop("uid", None)
            return made

        return changed

    replace(Applier, "_body", make)


@bug
def create_takes_over() -> None:
    """The first apply of a child is an apply like any other, and nobody looks whose the object is."""
    replace(applier, "_CREATE_ONLY", lambda _: None)


@bug
def ownership_not_checked() -> None:
    """After a conflict, whatever has the name counts as ours."""
    replace(applier, "_is_owned_by", lambda _: lambda obj, owner_uid: True)


@bug
def deleted_by_name() -> None:
    """A deletion no longer says which object it means."""

    def make(delete: Any) -> Any:
        async def changed(self: KubeClient, *args: Any, uid: str | None = None, **options: Any) -> Json:
            answer: Json = await delete(self, *args, **options)
            return answer

        return changed

    replace(KubeClient, "delete", make)


@bug
def status_of_any_uid() -> None:
    """A status is written to whatever Model has that name by now."""

    def make(apply: Any) -> Any:
        async def changed(self: KubeClient, resource: Resource, obj: Json, **options: Any) -> Json:
            if options.get("subresource") == "status":
                metadata = {name: value for name, value in obj["metadata"].items() if name != "uid"}
                obj = {**obj, "metadata": metadata}
            answer: Json = await apply(self, resource, obj, **options)
            return answer

        return changed

    replace(KubeClient, "apply", make)


@bug
def writes_without_timeout() -> None:
    """A write waits for its answer as long as it takes."""

    def make(send: Any) -> Any:
        async def changed(self: KubeClient, *args: Any, timeout: float, **options: Any) -> bytes:
            answer: bytes = await send(self, *args, timeout=3600.0, **options)
            return answer

        return changed

    replace(KubeClient, "_send", make)


# --- the decision log ---


@bug
def record_after_effect() -> None:
    """A decision takes effect first and is written down a moment later."""

    def make(create: Any) -> Any:
        async def changed(self: KubeClient, resource: Resource, obj: Json, **options: Any) -> Json:
            if resource is not DECISIONRECORDS:
                answer: Json = await create(self, resource, obj, **options)
                return answer

            async def later() -> None:
                await asyncio.sleep(0.5)
                await create(self, resource, obj, **options)

            _LATER.append(asyncio.create_task(later()))
            return obj

        return changed

    replace(KubeClient, "create", make)


_LATER: list[asyncio.Task[None]] = []


@bug
def any_record_is_ours() -> None:
    """A record that exists counts as written, whatever it says."""

    def make(append: Any) -> Any:
        async def changed(self: DecisionLog, *args: Any) -> bool:
            create = self._client.create

            async def forgiving(resource: Resource, obj: Json, **options: Any) -> Json:
                try:
                    return await create(resource, obj, **options)
                except AlreadyExists:
                    return obj

            self._client.create = forgiving  # type: ignore[method-assign]
            try:
                written: bool = await append(self, *args)
                return written
            finally:
                self._client.create = create  # type: ignore[method-assign]

        return changed

    replace(DecisionLog, "append", make)


@bug
def fence_is_open() -> None:
    """A later decision's effect is overwritten."""
    replace(Applier, "_check_fence", lambda _: lambda self, key, observed, desired: None)


# --- the machinery ---


@bug
def failures_are_not_retried() -> None:
    """A Model whose handling failed is left alone until something happens to it."""
    replace(queue.WorkQueue, "_retry", lambda _: lambda self, key, error: None)


@bug
def events_are_lost_while_working() -> None:
    """What happens to a Model while it is handled is forgotten, and there is no second look."""

    def make(add: Any) -> Any:
        def changed(self: queue.WorkQueue[Any], key: Any) -> None:
            if key not in self._processing:
                add(self, key)

        return changed

    replace(queue.WorkQueue, "add", make)
    replace(queue.WorkQueue, "add_after", lambda _: lambda self, key, seconds: None)


@bug
def nothing_is_pruned() -> None:
    """Deletions that no event told of are never noticed."""
    replace(prune.Pruner, "run", lambda _: do_nothing)


@bug
def drift_is_not_seen() -> None:
    """What was applied once counts as applied for ever."""

    def make(is_applied: Any) -> Any:
        def changed(self: Applier, key: Any, desired: Json, intent: bytes, observed: Json) -> bool:
            memo = self._memos.get(key)
            return bool((memo and memo.intent == intent) or is_applied(self, key, desired, intent, observed))

        return changed

    replace(Applier, "_is_applied", make)


@bug
def status_never_settles() -> None:
    """Status holds the time of the last look, and is written at each."""

    def make(build: Any) -> Any:
        def changed(*args: Any) -> ModelStatus:
            built: ModelStatus = build(*args)
            now = f"Looked at {datetime.now(UTC)}."
            conditions = [item.model_copy(update={"message": now}) for item in built.conditions]
            return built.model_copy(update={"conditions": conditions})

        return changed

    def soon(next_look: Any) -> Any:
        return lambda *args, **options: 0.3

    replace(status, "build", make)
    replace(Pace, "hold", lambda _: lambda *args: 0.0)
    replace(ModelController, "_next_look", soon)


@bug
def time_out_is_success() -> None:
    """A write whose answer was lost counts as done."""

    def make(apply: Any) -> Any:
        async def changed(self: KubeClient, resource: Resource, obj: Json, **options: Any) -> Json:
            try:
                answer: Json = await apply(self, resource, obj, **options)
            except Unreachable:
                version = {"resourceVersion": str(2**60), "uid": obj["metadata"].get("uid", "unknown")}
                return {**obj, "metadata": {**obj["metadata"], **version}}
            return answer

        return changed

    replace(KubeClient, "apply", make)
