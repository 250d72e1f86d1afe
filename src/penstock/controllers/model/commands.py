"""The commands that people gave about a Model: read from the cache, answered in their status."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from penstock.api.v1alpha1.base import API_VERSION
from penstock.api.v1alpha1.checkpoint import Checkpoint
from penstock.api.v1alpha1.modelaction import ActionState, ModelActionStatus
from penstock.controllers.model.log import DecisionLog, Identity
from penstock.controllers.resources import MODELACTIONS
from penstock.domain.approval import Action, refusal
from penstock.domain.lifecycle.stages import Verdict
from penstock.kube.applier import Applier
from penstock.kube.cache import Cache
from penstock.kube.errors import NotFound

Json = dict[str, Any]
logger = logging.getLogger(__name__)
_OPEN = frozenset({ActionState.PENDING.value, ActionState.ACCEPTED.value})


class Commands:
    """Reads commands and says what became of them. What was decided stands in the log, status only shows it."""

    def __init__(self, cache: Cache, applier: Applier, log: DecisionLog) -> None:
        self._cache = cache
        self._applier = applier
        self._log = log

    def about(self, model: Identity) -> list[Action]:
        """Return the commands about a Model that exist, the oldest first."""
        found = [action for obj in self._objects(model.namespace, model.name) if (action := _read(obj)) is not None]
        return sorted(found, key=lambda action: (action.created, action.uid))

    async def refuse(self, namespace: str, name: str, now: datetime) -> None:
        """Answer the commands about a Model that does not exist: no log of it can say what became of them."""
        for obj in self._objects(namespace, name):
            action = _read(obj)
            if action is None or not _is_open(obj):
                continue
            refused = refusal(action, None)
            if refused is not None:
                status = ModelActionStatus(
                    state=ActionState.REFUSED, reason=refused.reason, message=refused.sentence, observed_at=now
                )
                await self._show(obj, status)

    async def answer(self, model: Identity, state: Checkpoint, now: datetime) -> None:
        """Show in the status of each command what the log says became of it."""
        told: dict[str, Json] | None = None
        for obj in self._objects(model.namespace, model.name):
            if not _is_open(obj):
                continue
            uid = obj["metadata"]["uid"]
            if uid not in state.handled:
                if _shown(obj) == ActionState.PENDING.value:
                    status = ModelActionStatus(
                        state=ActionState.ACCEPTED, message="It takes effect as soon as it can.", observed_at=now
                    )
                    await self._show(obj, status)
                continue
            if told is None:
                told = _by_action(await self._log.read(model))
            if uid in told:
                await self._show(obj, _status(told[uid], now))

    def _objects(self, namespace: str, name: str) -> list[Json]:
        return [
            obj
            for obj in self._cache.list(MODELACTIONS, namespace)
            if obj["spec"].get("modelRef", {}).get("name") == name and not obj["metadata"].get("deletionTimestamp")
        ]

    async def _show(self, obj: Json, status: ModelActionStatus) -> None:
        meta = obj["metadata"]
        body = {
            "apiVersion": API_VERSION,
            "kind": MODELACTIONS.kind,
            "metadata": {"name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]},
            "status": status.as_json(),
        }
        try:
            self._cache.take_answer(MODELACTIONS, await self._applier.apply_status(MODELACTIONS, body))
        except NotFound:
            return


def _read(obj: Json) -> Action | None:
    try:
        return Action.of(obj)
    except (ValidationError, ValueError) as error:
        logger.warning("ModelAction %s cannot be read: %s", obj["metadata"]["name"], error)
        return None


def _shown(obj: Json) -> str:
    return str(obj.get("status", {}).get("state", ActionState.PENDING.value))


def _is_open(obj: Json) -> bool:
    return _shown(obj) in _OPEN


def _by_action(records: Iterable[Json]) -> dict[str, Json]:
    found = {}
    for record in records:
        uid = record.get("inputs", {}).get("action", {}).get("uid")
        if uid:
            found[uid] = record
    return found


def _status(record: Json, now: datetime) -> ModelActionStatus:
    inputs = record.get("inputs", {})
    refused = record["verdict"] == Verdict.REFUSE.value
    return ModelActionStatus(
        state=ActionState.REFUSED if refused else ActionState.DONE,
        reason=inputs.get("refused") if refused else record["verdict"],
        message=inputs.get("message"),
        sequence=record["sequence"],
        observed_at=now,
    )
