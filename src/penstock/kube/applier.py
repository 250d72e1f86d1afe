"""Server-side apply that never takes over what is not ours, and does not write what is already there."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import orjson

from penstock.kube import errors
from penstock.kube.client import KubeClient
from penstock.kube.metrics import Children, KubeMetrics
from penstock.kube.ownership import applied_fields, first_difference
from penstock.kube.ratelimit import TokenBucket
from penstock.kube.resources import Json, ObjectKey, Resource, controller_of, key_of, uid_of, version_of

logger = logging.getLogger(__name__)

# An apply with this resourceVersion creates a missing object and is refused (409) for an existing one.
_CREATE_ONLY = "1"
_ATTEMPTS = 3


class OwnerConflict(Exception):
    """The name is taken by an object that is not ours. ``owner`` is its controller owner reference, or None."""

    def __init__(self, resource: Resource, name: str, owner: Json | None) -> None:
        whose = f"{owner.get('kind')} {owner.get('name')} ({owner.get('uid')})" if owner else "no controller"
        super().__init__(f"{resource.kind} {name} exists and belongs to {whose}. Rename or delete it.")
        self.resource = resource
        self.name = name
        self.owner = owner


class SequenceFenced(Exception):
    """The live object was last written by a later decision than the one being applied: our knowledge is old."""

    def __init__(self, key: ObjectKey, live: int, desired: int) -> None:
        super().__init__(f"{key} carries sequence {live}, newer than {desired}: list the decisions again.")
        self.key = key
        self.live = live
        self.desired = desired


class WriteRefused(Exception):
    """This process may not write now, because it does not (or no longer surely) lead."""


class Known(Protocol):
    """What the applier needs of the cache."""

    def get(self, resource: Resource, namespace: str | None, name: str) -> Json | None:
        """The object as the API server last showed it, by a watch or as an answer."""

    def owned_fields(self, resource: Resource, namespace: str | None, name: str) -> Json | None:
        """The fields our manager owns on it."""

    def upsert(self, resource: Resource, obj: Json) -> bool:
        """Takes in what the API server answered, unless something newer is known."""

    def remove(self, resource: Resource, namespace: str | None, name: str, uid: str | None = None) -> Json | None:
        """Takes in that the object with that uid is gone."""


@dataclass(frozen=True, slots=True)
class Applied:
    """``changed``: whether the API server stored something new. ``obj``: the object as it is now, as far as known."""

    changed: bool
    obj: Json


@dataclass(slots=True)
class _Memo:
    """What we applied last: the hash of the intent, and the hash of what the server made of it."""

    intent: bytes
    content: bytes
    version: str


class Applier:
    """Applies children of an owner as one field manager.

    ``known`` is usually the `Cache`; it is told every answer, so that who reads it reads its own writes without waiting
    for a watch. ``may_write``, usually `LeaderElector.is_leading`, is asked before each write.
    Not for concurrent use on the same object: the owner's key in the work queue serialises that.
    """

    def __init__(
        self,
        client: KubeClient,
        known: Known,
        bucket: TokenBucket,
        field_manager: str = "penstock",
        *,
        sequence_annotation: str = "penstock.dev/sequence",
        may_write: Callable[[], bool] = lambda: True,
        metrics: KubeMetrics | None = None,
    ) -> None:
        self._client = client
        self._known = known
        self._bucket = bucket
        self._field_manager = field_manager
        self._sequence_annotation = sequence_annotation
        self._may_write = may_write
        self._applies = Children((metrics or KubeMetrics()).applies)
        self._memos: dict[ObjectKey, _Memo] = {}

    async def apply(
        self, resource: Resource, desired: Json, *, owner_uid: str, precondition: str | None = None
    ) -> Applied:
        """Brings the object to ``desired``, which must name ``owner_uid`` as its controller.

        ``precondition`` is the resourceVersion the decision was based on; Conflict if the object has another one.
        Raises OwnerConflict, SequenceFenced, WriteRefused or ApiError.
        """
        if (owner := controller_of(desired)) is None or owner.get("uid") != owner_uid:
            raise ValueError(f"{resource.kind} {desired['metadata']['name']} must have {owner_uid} as its controller.")
        key = key_of(resource, desired)
        intent = _digest(desired)
        observed = self._observed(key, owner_uid)
        if observed is None and precondition is not None:
            # An apply with a resourceVersion would create a missing object, which is not what was decided on.
            observed = await self._live(key, owner_uid)
            if observed is None:
                raise errors.Conflict(409, "Conflict", f"{key} is gone, so it is not at version {precondition}.")
        if observed is not None:
            self._check_fence(key, observed, desired)
            if self._is_applied(key, desired, intent, observed):
                return self._done(key, "skipped", observed, changed=False)
        return await self._write(key, desired, intent, observed, owner_uid=owner_uid, precondition=precondition)

    def holds(self, resource: Resource, desired: Json, *, owner_uid: str) -> bool:
        """Whether the object is known to be there, ours, and as desired, so that there is nothing to apply."""
        key = key_of(resource, desired)
        observed = self._observed(key, owner_uid)
        if observed is None or not self._is_applied(key, desired, _digest(desired), observed):
            return False
        self._done(key, "skipped", observed, changed=False)
        return True

    async def delete(self, resource: Resource, namespace: str | None, name: str, *, uid: str) -> bool:
        """Deletes that very object; False if it is gone already (also if another one has its name now)."""
        await self.permit()
        self.forget(resource, namespace, name)
        try:
            answer = await self._client.delete(resource, namespace, name, uid=uid)
        except (errors.NotFound, errors.Conflict):
            self._known.remove(resource, namespace, name, uid)  # the event that says so is late or lost
            return False
        except errors.TooManyRequests as error:
            self._back_off(error)
            raise
        if uid_of(answer) == uid:  # somebody's finalizer keeps it for a while
            self._known.upsert(resource, answer)
        else:
            self._known.remove(resource, namespace, name, uid)
        return True

    def forget(self, resource: Resource, namespace: str | None, name: str) -> None:
        """Drops what is remembered of an object; the next apply compares again. Call it when the object is gone."""
        self._memos.pop(ObjectKey(resource, namespace or "", name), None)

    def _observed(self, key: ObjectKey, owner_uid: str) -> Json | None:
        """Our object as last seen; None if not known to be there and ours."""
        seen = self._known.get(key.resource, key.namespace, key.name)
        # A cached object of another owner may be long gone; only the API server can tell, by refusing a create.
        return seen if seen is not None and _is_owned_by(seen, owner_uid) else None

    def _is_applied(self, key: ObjectKey, desired: Json, intent: bytes, observed: Json) -> bool:
        memo = self._memos.get(key)
        if memo is not None and memo.intent == intent:
            if memo.version == version_of(observed):
                return True
            # Somebody else wrote, most often a status: what matters is whether the content is still what we left.
            if memo.content == _content_digest(observed):
                memo.version = version_of(observed)
                return True
        owned = applied_fields(observed, self._field_manager)
        if owned is None:  # the cache keeps ownership apart from the object
            owned = self._known.owned_fields(key.resource, key.namespace, key.name)
        difference = first_difference(desired, observed, owned)
        if difference is not None:
            logger.debug("%s differs at %s", key, difference)
            return False
        self._remember(key, intent, observed)
        return True

    async def _write(
        self,
        key: ObjectKey,
        desired: Json,
        intent: bytes,
        observed: Json | None,
        *,
        owner_uid: str,
        precondition: str | None,
    ) -> Applied:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                obj = await self._send(key.resource, self._body(desired, observed, precondition))
            except (errors.Conflict, errors.AlreadyExists, errors.Invalid) as error:
                if isinstance(error, errors.Invalid) and not error.has_cause(field="metadata.uid"):
                    raise
                self._memos.pop(key, None)
                if precondition is not None or attempt == _ATTEMPTS:
                    raise
            else:
                changed = observed is None or version_of(obj) != version_of(observed)
                self._known.upsert(key.resource, obj)
                self._remember(key, intent, obj)
                return self._done(key, "written" if changed else "unchanged", obj, changed=changed)
            observed = await self._live(key, owner_uid)
            if observed is not None:
                self._check_fence(key, observed, desired)
                if first_difference(desired, observed, applied_fields(observed, self._field_manager)) is None:
                    self._remember(key, intent, observed)
                    return self._done(key, "skipped", observed, changed=False)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _body(self, desired: Json, observed: Json | None, precondition: str | None) -> Json:
        metadata = dict(desired["metadata"])
        if observed is None:
            metadata["resourceVersion"] = _CREATE_ONLY
        else:
            metadata["uid"] = uid_of(observed)
            # A fenced object is written by compare-and-swap: else a later decision could slip in after our check.
            if precondition or self._sequence(desired) is not None:
                metadata["resourceVersion"] = precondition or version_of(observed)
        return {**desired, "metadata": metadata}

    async def _send(self, resource: Resource, body: Json) -> Json:
        await self.permit()
        try:
            return await self._client.apply(resource, body, field_manager=self._field_manager)
        except errors.TooManyRequests as error:
            self._back_off(error)
            raise
        except (errors.Unreachable, errors.ServerError):
            # Written or not: nobody knows. Without a memory the next apply finds out.
            self._memos.pop(key_of(resource, body), None)
            raise

    async def apply_status(self, resource: Resource, body: Json) -> Json:
        """Writes the status of an object, which `body` names by its uid; returns the object. Raises as `permit`.

        Whether there is anything to write is for the caller to see.
        """
        await self.permit()
        return await self._client.apply(
            resource, body, field_manager=f"{self._field_manager}-status", subresource="status"
        )

    async def permit(self) -> None:
        """Waits until one more write may be sent; raises WriteRefused for who does not lead any more."""
        await self._bucket.take()
        if not self._may_write():
            raise WriteRefused("This process does not hold the leader lease, so it does not write.")

    def _back_off(self, error: errors.TooManyRequests) -> None:
        self._bucket.pause(error.retry_after or 1.0)

    async def _live(self, key: ObjectKey, owner_uid: str) -> Json | None:
        try:
            obj = await self._client.get(key.resource, key.namespace, key.name)
        except errors.NotFound:
            return None
        if not _is_owned_by(obj, owner_uid):
            raise OwnerConflict(key.resource, key.name, controller_of(obj))
        self._known.upsert(key.resource, obj)
        return obj

    def _check_fence(self, key: ObjectKey, observed: Json, desired: Json) -> None:
        live, wanted = self._sequence(observed), self._sequence(desired)
        if live is not None and wanted is not None and live > wanted:
            raise SequenceFenced(key, live, wanted)

    def _sequence(self, obj: Json) -> int | None:
        text = str((obj["metadata"].get("annotations") or {}).get(self._sequence_annotation, ""))
        return int(text) if text.isdecimal() else None

    def _remember(self, key: ObjectKey, intent: bytes, obj: Json) -> None:
        self._memos[key] = _Memo(intent, _content_digest(obj), version_of(obj))

    def _done(self, key: ObjectKey, result: str, obj: Json, *, changed: bool) -> Applied:
        self._applies(key.resource, result).inc()
        return Applied(changed, obj)


def _is_owned_by(obj: Json, owner_uid: str) -> bool:
    owner = controller_of(obj)
    return owner is not None and owner.get("uid") == owner_uid


def _digest(obj: object) -> bytes:
    return hashlib.blake2b(orjson.dumps(obj, option=orjson.OPT_SORT_KEYS), digest_size=16).digest()


def _content_digest(obj: Json) -> bytes:
    """Hash of everything but the status and what the API server counts by itself."""
    bookkeeping = ("resourceVersion", "generation", "managedFields")
    metadata = {name: value for name, value in obj["metadata"].items() if name not in bookkeeping}
    content = {name: value for name, value in obj.items() if name not in ("status", "apiVersion", "kind")}
    return _digest({**content, "metadata": metadata})
