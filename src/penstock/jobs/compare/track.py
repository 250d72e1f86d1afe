"""Reads the rings of all pods of one revision: who is there, what is new, and when something could not be seen."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx
import orjson

from penstock.jobs.compare.pairing import Answer
from penstock.jobs.compare.settings import TrackSettings
from penstock.jobs.compare.visibility import Visibility

_RESOLVE_SECONDS = 5.0
_TIMEOUT_SECONDS = 2.0
# In one round; a ring holds fewer.
_MAX_PAGES = 32
_MAX_BYTES = 16 << 20
_log = logging.getLogger(__name__)


class Take(Protocol):
    """Where answers go."""

    def __call__(self, answer: Answer, /) -> None:
        """Take one answer."""


@dataclass(slots=True)
class _Pod:
    """One address. `seen`: when everything up to then was known. `instances`: the processes that answered there."""

    seen: float
    cursor: str = ""
    instances: frozenset[str] = frozenset()
    answers: bool = False
    leaving: bool = False
    levels: int = 0


@dataclass(slots=True)
class Track:
    """The pods of one revision. Times are `time.monotonic()`."""

    settings: TrackSettings
    model: str
    client: httpx.AsyncClient
    started: float
    visibility: Visibility
    take: Take
    lost: Callable[[int], None]
    _pods: dict[str, _Pod] = field(default_factory=dict)
    _named: frozenset[str] = frozenset()
    _resolve_at: float = 0.0

    @property
    def pods(self) -> int:
        """How many pods answered in the last round."""
        return sum(pod.answers for pod in self._pods.values())

    async def poll(self) -> None:
        """One round: ask every pod for what is new."""
        await self._resolve()
        before = time.monotonic()
        await asyncio.gather(*(self._read(address, pod) for address, pod in self._pods.items()))
        now = time.monotonic()
        for address in [name for name, pod in self._pods.items() if not pod.answers and name not in self._named]:
            del self._pods[address]  # that it is blind since it was last seen is noted
        serving = [pod for pod in self._pods.values() if pod.answers and not pod.leaving]
        if not serving or len(serving) < len(self._pods):
            # Whoever is on its way gets no more copies, and the gateway may not yet know who gets them instead.
            self.visibility.blind(before, now)
        self.visibility.level(now, max((pod.levels for pod in self._pods.values()), default=0))
        self.visibility.forget(now)

    async def _resolve(self) -> None:
        """Look up who there is; those who are not named any more are read as long as they answer."""
        now = time.monotonic()
        if now < self._resolve_at:
            return
        self._resolve_at = now + _RESOLVE_SECONDS
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(self.settings.host, self.settings.port, type=socket.SOCK_STREAM)
        except OSError as error:
            if self._named:
                _log.info("%s cannot be looked up: %s", self.settings.host, error)
            found = []
            if not isinstance(error, socket.gaierror) or error.errno not in _NOBODY:
                return
        self._named = frozenset(str(item[4][0]) for item in found)
        for address in self._named - self._pods.keys():
            self._pods[address] = _Pod(seen=self.started)

    async def _read(self, address: str, pod: _Pod) -> None:
        """Read one pod to its end."""
        host = f"[{address}]" if ":" in address else address
        url = f"http://{host}:{self.settings.port}/ring"
        for _ in range(_MAX_PAGES):
            asked = time.monotonic()
            try:
                response = await self.client.get(url, params={"after": pod.cursor}, timeout=_TIMEOUT_SECONDS)
                if response.status_code != 200 or len(response.content) > _MAX_BYTES:
                    raise ValueError(f"it answers {response.status_code}")
                document = orjson.loads(response.content)
                is_full = self._take_all(document["rings"], pod)
                pod.cursor = str(document["cursor"])
            except (httpx.HTTPError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                if pod.answers:
                    _log.info("%s of %s does not answer: %s", address, self.settings.revision, error)
                pod.answers = False
                self.visibility.blind(pod.seen, time.monotonic())
                return
            pod.answers, pod.seen = True, asked
            if not is_full:
                return

    def _take_all(self, rings: Sequence[dict[str, Any]], pod: _Pod) -> bool:
        """Take the entries of one page; says whether there is more of them."""
        now = time.monotonic()
        for ring in rings:
            if (ring["model"], ring["revision"]) != (self.model, self.settings.revision):
                raise ValueError("it is another revision's")
        instances = frozenset(str(ring["instance"]) for ring in rings)
        if pod.instances and instances != pod.instances:
            self.visibility.blind(pod.seen, now)  # it was started again, and with the process went what was not read
        for ring in rings:
            # What was before was counted by the comparator before this one, but for the last of it: that is not counted
            # before its window is over, and answers of it may belong to what is new.
            oldest = self.started - self.visibility.slack
            entries = [(now - float(entry["age"]), entry) for entry in ring["entries"]]
            is_known = ring["instance"] in pod.instances
            if ring["lost"] and (is_known or not entries or entries[0][0] > oldest):
                self.lost(int(ring["lost"]))
                self.visibility.blind(max(pod.seen if is_known else now - float(ring["age"]), oldest), now)
            for at, entry in entries:
                if at >= oldest:
                    self.take(_answer(entry, at))
        pod.instances = instances
        pod.leaving = any(ring["leaving"] for ring in rings)
        pod.levels = max(int(ring["level"]) for ring in rings)
        return any(ring["more"] for ring in rings)


# The name is known, but no pod is ready (or the Service is gone).
_NOBODY = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


def _answer(entry: dict[str, Any], at: float) -> Answer:
    return Answer(str(entry["id"]), int(entry["status"]), float(entry["seconds"]), entry["outputs"], at)
