"""What is known of decision logs beside the logs: how far they were exported, and what a former process remembers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from penstock.api.v1alpha1.decisionrecord import DecisionRecordSpec
from penstock.domain.audit.heads import KnownHead, lost_head
from penstock.domain.lifecycle.observed import LostHead
from penstock.kube.client import KubeClient
from penstock.kube.errors import ApiError, NotFound
from penstock.kube.resources import CONFIG_MAPS, version_of

logger = logging.getLogger(__name__)
# The archiver runs every quarter of an hour; after it has, nobody should wait long.
CHECK_SECONDS = 30.0
MEMORY, EXPORT = "memory", "export"


class Recall:
    """Reads the archiver's ConfigMap now and then; without an archiver nothing is exported and nothing is asked."""

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        config_map: str,
        remembered: Mapping[str, KnownHead],
        on_change: Callable[[], None],
        *,
        check_seconds: float = CHECK_SECONDS,
    ) -> None:
        """`config_map`: its name in the operator's own namespace, empty where there is no archiver."""
        self.remembered = remembered
        self._client = client
        self._namespace = namespace
        self._config_map = config_map
        self._on_change = on_change
        self._check_seconds = check_seconds
        self._exported: dict[str, KnownHead] = {}
        self._version = ""

    def exported(self, uid: str) -> int | None:
        """Return the number of the last decision that is outside the cluster; None where there is no archiver."""
        if not self._config_map:
            return None
        found = self._exported.get(uid)
        return found.sequence if found is not None else 0

    def lost(self, uid: str, head: DecisionRecordSpec | None) -> LostHead | None:
        """Return the newest decision that is known of, if the log ends before it."""
        known = {MEMORY: self.remembered.get(uid), EXPORT: self._exported.get(uid)}
        return lost_head(head.sequence if head else 0, head.hash if head else "", known)

    async def check(self) -> None:
        """Look once. Raises ApiError if it cannot be told how far export has come."""
        if not self._config_map:
            return
        try:
            found = await self._client.get(CONFIG_MAPS, self._namespace, self._config_map)
        except NotFound:
            logger.warning("ConfigMap %s/%s is missing: install the chart again", self._namespace, self._config_map)
            found = {}
        if self._version and version_of(found) == self._version:
            return
        before, self._exported, self._version = self._exported, dict(_heads(found)), version_of(found)
        if self._exported != before:
            self._on_change()

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while self._config_map:
            await asyncio.sleep(self._check_seconds)
            try:
                await self.check()
            except ApiError as error:
                logger.warning("cannot see how far decision logs are exported: %s", error)


def _heads(config_map: Mapping[str, Any]) -> Mapping[str, KnownHead]:
    """Return how far each log is exported; what cannot be read counts as not exported."""
    found = {}
    for uid, written in (config_map.get("data") or {}).items():
        try:
            found[uid] = KnownHead.model_validate_json(written)
        except ValidationError:
            logger.warning("the archiver's word about the log of %s cannot be read", uid)
    return found
