"""Asks comparators what they counted, in the background. Never blocks a reconcile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp
import orjson

from penstock.controllers.shadow.job import CONTAINER, PORT
from penstock.domain.shadow.view import Counts, Reading
from penstock.kube.resources import controller_of, uid_of

Json = dict[str, Any]
ModelKey = tuple[str, str]
ASK_SECONDS = 5.0
# What was last heard so long ago is not the present any more.
STALE_SECONDS = 30.0
_TIMEOUT_SECONDS = 5.0
_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """Where a comparator answers, and about which revisions it has to."""

    job_uid: str
    address: str
    model: str
    champion: str
    candidate: str
    port: int = PORT


def address_of(job: Json, pods: Iterable[Json]) -> str:
    """Return the address of the running pod that the Job controller made for this Job; empty if there is none."""
    running = [
        pod
        for pod in pods
        if (controller_of(pod) or {}).get("uid") == uid_of(job)
        and not pod["metadata"].get("deletionTimestamp")
        and pod.get("status", {}).get("podIP")
        and any(
            container["name"] == CONTAINER and "running" in container.get("state", {})
            for container in pod["status"].get("containerStatuses", [])
        )
    ]
    newest = max(running, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")), default=None)
    return str(newest["status"]["podIP"]) if newest else ""


def parse(body: bytes, source: Source) -> Reading:
    """Read a comparator's answer. Raises ValueError if it is not one, or is about something else."""
    document = orjson.loads(body)
    try:
        about = (document["model"], document["champion"], document["candidate"])
        if about != (source.model, source.champion, source.candidate):
            raise ValueError(f"it is about {about}")
        return Reading(
            instance=str(document["instance"]),
            since=_moment(document["since"]),
            at=_moment(document["at"]),
            counts=Counts.from_json(document["counts"]),
            champion_pods=int(document["championPods"]),
            candidate_pods=int(document["candidatePods"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"it has no {error}") from None


@dataclass(slots=True)
class _Watched:
    source: Source
    asked_at: float = 0.0
    heard_at: float = 0.0
    reading: Reading | None = None
    problem: str = ""
    task: asyncio.Task[None] | None = None


class Comparators:
    """Keeps the last answer of each comparator, and asks again when it is looked at and the answer is old.

    `on_news` is called with the Model's key when there is a new answer, so that it is reconciled. Who looks has to come
    again after ASK_SECONDS.
    """

    def __init__(self, on_news: Callable[[ModelKey], None]) -> None:
        self._on_news = on_news
        self._watched: dict[ModelKey, _Watched] = {}
        self._session: aiohttp.ClientSession | None = None

    def reading(self, owner: ModelKey, source: Source) -> Reading | None:
        """Return what this comparator said last; None if that is long ago, or never. Ask it if it is time."""
        watched = self._watched.get(owner)
        if watched is None or watched.source != source:
            self._cancel(watched)
            watched = self._watched[owner] = _Watched(source)
        now = time.monotonic()
        if watched.task is None and (not watched.asked_at or now - watched.asked_at >= ASK_SECONDS):
            watched.asked_at = now
            watched.task = asyncio.get_running_loop().create_task(self._ask(owner, watched))
        return watched.reading if watched.heard_at and now - watched.heard_at < STALE_SECONDS else None

    def problem(self, owner: ModelKey) -> str:
        """Return why the last question got no answer; empty if it got one."""
        watched = self._watched.get(owner)
        return watched.problem if watched else ""

    def forget(self, owner: ModelKey) -> None:
        """Drop what is known about a shadow that is over."""
        self._cancel(self._watched.pop(owner, None))

    async def close(self) -> None:
        """Stop asking."""
        tasks = [watched.task for watched in self._watched.values() if watched.task]
        for task in tasks:
            task.cancel()
        self._watched.clear()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _ask(self, owner: ModelKey, watched: _Watched) -> None:
        source = watched.source
        try:
            reading = parse(await self._fetch(source), source)
            watched.heard_at, watched.problem = time.monotonic(), ""
            watched.reading = reading
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            watched.problem = f"the comparator at {source.address} does not answer: {error or type(error).__name__}"
        finally:
            watched.task = None
        self._on_news(owner)

    async def _fetch(self, source: Source) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS))
        host = f"[{source.address}]" if ":" in source.address else source.address
        async with self._session.get(f"http://{host}:{source.port}/comparison", allow_redirects=False) as response:
            if response.status != 200:
                raise ValueError(f"it answers {response.status}")
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > _MAX_BYTES:
                    raise ValueError("its answer is too long")
            return bytes(body)

    @staticmethod
    def _cancel(watched: _Watched | None) -> None:
        if watched is not None and watched.task is not None:
            watched.task.cancel()


def _moment(text: Any) -> datetime:
    return datetime.fromisoformat(str(text)).astimezone(UTC)
