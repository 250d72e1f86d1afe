"""Where the archiver says how far each log is outside: a ConfigMap in the operator's namespace.

Who may write it could as well write the operator's configuration, which lies beside it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import orjson

from penstock.domain.audit.heads import KnownHead
from penstock.kube.client import KubeClient
from penstock.kube.resources import CONFIG_MAPS


class Board:
    """The ConfigMap. Methods raise ApiError; the chart has made it, it is never created here."""

    def __init__(self, client: KubeClient, namespace: str, name: str) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._said: dict[str, str] = {}

    async def open(self, uids: Collection[str]) -> None:
        """Read what was said before, and take away what is about logs that are none of these: nobody asks any more."""
        self._said = dict((await self._client.get(CONFIG_MAPS, self._namespace, self._name)).get("data") or {})
        if gone := {uid: None for uid in self._said if uid not in uids}:
            await self._write(gone)

    async def say(self, uid: str, head: KnownHead) -> None:
        """Say how far the log of a Model is outside, unless that was said already."""
        written = orjson.dumps(head.as_json()).decode()
        if self._said.get(uid) != written:
            await self._write({uid: written})
            self._said[uid] = written

    async def _write(self, data: dict[str, Any]) -> None:
        await self._client.patch_merge(CONFIG_MAPS, self._namespace, self._name, {"data": data})
