"""Everything that was ever stored in a namespace, in order: what the oracles look at."""

from __future__ import annotations

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from penstock.controllers.model import names
from penstock.controllers.resources import DECISIONRECORDS, MODELREVISIONS, MODELS
from penstock.kube.connection import load_connection
from penstock.kube.resources import DEPLOYMENTS, HTTPROUTES, SERVICES, Resource, uid_of, version_of
from penstock.routing.protocol import PREVIEW_HEADER

Json = dict[str, Any]
Key = tuple[Resource, str]

CHILDREN = (DEPLOYMENTS, SERVICES, HTTPROUTES)
OBSERVED = (MODELS, DECISIONRECORDS, MODELREVISIONS, *CHILDREN)
_LINE_LIMIT = 1 << 22
_TIME = re.compile(r'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"')
_INCIDENTAL = frozenset(
    {
        "uid",
        "resourceVersion",
        "creationTimestamp",
        "managedFields",
        "clusterIP",
        "clusterIPs",
        "hash",
        "previousHash",
        "head",
        # Which of two decisions orders an effect depends on what fails meanwhile; the oracles check that it may.
        names.SEQUENCE_ANNOTATION,
        # It may list what is missing in any order.
        "message",
    }
)


@dataclass(frozen=True, slots=True)
class Version:
    """An object as it was stored, or deleted, at one moment; `number` orders all moments of a cluster."""

    number: int
    type: str
    kind: Resource
    obj: Json = field(repr=False)

    @property
    def key(self) -> Key:
        """Which object."""
        return self.kind, self.obj["metadata"]["name"]


class History:
    """Watches a namespace that is empty at first."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self._versions: list[Version] = []
        self._now: dict[Key, Version] = {}
        self._watching = 0
        self._ready = asyncio.Event()

    async def run(self, kubeconfig: Path) -> None:
        """Go on until cancelled."""
        connection = await load_connection(kubeconfig, {})
        connector = aiohttp.TCPConnector(ssl=connection.ssl, limit=0)
        async with (
            aiohttp.ClientSession(connector=connector, read_bufsize=_LINE_LIMIT) as session,
            asyncio.TaskGroup() as group,
        ):
            for kind in OBSERVED:
                group.create_task(self._watch(session, connection.host + kind.path(self.namespace), kind))

    async def ready(self) -> None:
        """Wait until nothing can be missed."""
        await self._ready.wait()

    async def _watch(self, session: aiohttp.ClientSession, url: str, kind: Resource) -> None:
        async with session.get(url) as response:
            version = (await response.json())["metadata"]["resourceVersion"]
        while True:
            query = {"watch": "true", "resourceVersion": version}
            async with session.get(url, params=query, timeout=aiohttp.ClientTimeout()) as response:
                self._watching += 1
                if self._watching == len(OBSERVED):
                    self._ready.set()
                async for line in response.content:
                    event = orjson.loads(line)
                    found = Version(int(version_of(event["object"])), event["type"], kind, event["object"])
                    version = version_of(found.obj)
                    self._versions.append(found)
                    self._now[found.key] = found

    def timeline(self) -> Sequence[Version]:
        """All versions, the oldest first."""
        return sorted(self._versions, key=lambda version: version.number)

    def now(self) -> Mapping[Key, Json]:
        """What exists."""
        return {key: version.obj for key, version in self._now.items() if version.type != "DELETED"}

    # --- comparable with another run ---

    def state(self) -> dict[str, Json]:
        """What exists, without what differs from run to run."""
        mask = self._mask()
        return {mask.key(kind, name): mask(obj) for (kind, name), obj in self.now().items()}

    def counts(self) -> dict[str, tuple[int, int]]:
        """How often each object was created and deleted."""
        mask = self._mask()
        found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for version in self.timeline():
            if version.type != "MODIFIED":
                found[mask.key(*version.key)][version.type == "DELETED"] += 1
        return {key: (created, deleted) for key, (created, deleted) in found.items()}

    def courses(self) -> dict[str, list[Json]]:
        """Through which forms each object went, status and bookkeeping aside."""
        mask = self._mask()
        found: dict[str, list[Json]] = defaultdict(list)
        for version in self.timeline():
            form = mask(content(version.obj)) if version.type != "DELETED" else {}
            course = found[mask.key(*version.key)]
            if not course or course[-1] != form:
                course.append(form)
        return dict(found)

    def _mask(self) -> Mask:
        return Mask(
            self.namespace,
            [uid_of(version.obj) for version in self.timeline() if version.kind is MODELS and version.type == "ADDED"],
        )


class Mask:
    """Replaces what differs from run to run: the namespace, the uids of Models, times, counters of the API server."""

    def __init__(self, namespace: str, uids: Sequence[str]) -> None:
        self._replacements = [(namespace, "NAMESPACE")]
        for number, uid in enumerate(uids, start=1):
            self._replacements += [(uid, f"UID-{number}"), (names.uid8(uid), f"uid8-{number}")]

    def __call__(self, obj: Json) -> Json:
        """The object, masked."""
        masked: Json = json.loads(self.text(_TIME.sub('"TIME"', json.dumps(obj))))
        pruned: Json = _without_incidentals(masked)
        return pruned

    def key(self, kind: Resource, name: str) -> str:
        """How the object is called in a comparison."""
        return f"{kind.plural}/{self.text(name)}"

    def text(self, value: str) -> str:
        """The text, masked."""
        for old, new in self._replacements:
            value = value.replace(old, new)
        return value


def content(obj: Json) -> Json:
    """An object without status and what the API server counts: what somebody wanted it to be."""
    metadata = {
        name: obj["metadata"][name] for name in ("labels", "annotations", "ownerReferences") if name in obj["metadata"]
    }
    return {"metadata": metadata, "spec": obj.get("spec", {})}


def _without_incidentals(value: Any) -> Any:
    if isinstance(value, dict):
        if value.get("name") == PREVIEW_HEADER:  # its value is made from the uid
            return {"name": PREVIEW_HEADER}
        return {key: _without_incidentals(item) for key, item in value.items() if key not in _INCIDENTAL}
    if isinstance(value, list):
        return [_without_incidentals(item) for item in value]
    return value
