"""Asks what runs: fresh pods for a smoke prediction, the gateway for who answers. Never blocks a reconcile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
import orjson

from penstock.controllers.model import smoke
from penstock.domain.lifecycle.observed import Probe
from penstock.routing.protocol import PREVIEW_HEADER

ModelKey = tuple[str, str]
TIMEOUT_SECONDS = 5.0
RETRY_SECONDS = 1.0
# New connections in a row that must be answered by the revision before the data plane counts as switched.
ANSWERS_IN_A_ROW = 5
_PENDING = Probe(None, "not asked yet")


@dataclass(frozen=True, slots=True)
class SmokeTarget:
    """A pod to ask. `identified`: the server names its revision and digest in every answer."""

    model: str
    revision: str
    digest: str
    address: str
    port: int
    identified: bool


@dataclass(frozen=True, slots=True)
class ReachTarget:
    """A route to ask: the URL of the Model's server and the revision that has to answer.

    `preview`: the token that reaches a candidate which has no traffic yet; empty to ask as clients do.
    """

    model: str
    revision: str
    url: str
    host: str
    identified: bool
    preview: str = ""


class Asker(Protocol):
    """What actually sends the requests; tests without pods script it."""

    async def smoke(self, target: SmokeTarget) -> Probe:
        """Ask one pod for one prediction."""

    async def reach(self, target: ReachTarget) -> Probe:
        """Ask through the route who answers."""


@dataclass(slots=True)
class _Entry:
    owner: ModelKey
    probe: Probe
    asked_at: float
    task: asyncio.Task[None] | None


class Prober:
    """Keeps the last answer to each question and asks again, in the background, until it is yes.

    `on_answer` is called with the Model's key whenever an answer changes, so that it is
    reconciled. A question's identity (the `token`) includes what it is about, such as the
    generation of a route, so that an old answer is never taken for a new one.
    """

    def __init__(self, asker: Asker, on_answer: Callable[[ModelKey], None]) -> None:
        self._asker = asker
        self._on_answer = on_answer
        self._entries: dict[Hashable, _Entry] = {}

    def smoke(self, owner: ModelKey, token: Hashable, target: SmokeTarget) -> Probe:
        """Return what is known of a pod's prediction; ask if it is not known to be good."""
        return self._probe(owner, ("smoke", owner, token), lambda: self._asker.smoke(target))

    def reach(self, owner: ModelKey, token: Hashable, target: ReachTarget) -> Probe:
        """Return what is known of who answers through the route; ask if it is not the one expected."""
        return self._probe(owner, ("reach", owner, target.revision, token), lambda: self._asker.reach(target))

    def forget(self, owner: ModelKey) -> None:
        """Drop every question about a Model that is gone."""
        for token in [token for token, entry in self._entries.items() if entry.owner == owner]:
            self._cancel(self._entries.pop(token))

    async def close(self) -> None:
        """Stop asking."""
        for entry in self._entries.values():
            self._cancel(entry)
        tasks = [entry.task for entry in self._entries.values() if entry.task]
        self._entries.clear()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _probe(self, owner: ModelKey, token: Hashable, ask: Callable[[], Awaitable[Probe]]) -> Probe:
        entry = self._entries.setdefault(token, _Entry(owner, _PENDING, 0.0, None))
        due = time.monotonic() - entry.asked_at >= RETRY_SECONDS
        if entry.probe.passed is not True and entry.task is None and due:
            entry.task = asyncio.get_running_loop().create_task(self._ask(entry, ask))
        return entry.probe

    async def _ask(self, entry: _Entry, ask: Callable[[], Awaitable[Probe]]) -> None:
        before = entry.probe
        try:
            entry.probe = await ask()
        finally:
            entry.asked_at = time.monotonic()
            entry.task = None
        if entry.probe != before:
            self._on_answer(entry.owner)

    @staticmethod
    def _cancel(entry: _Entry) -> None:
        if entry.task is not None:
            entry.task.cancel()


class HttpAsker:
    """Asks over HTTP. A failure to connect is no answer, never a verdict on the model."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def smoke(self, target: SmokeTarget) -> Probe:
        """Ask one pod for its metadata, then for one prediction."""
        base = f"http://{target.address}:{target.port}/v2/models/{target.model}"
        try:
            status, headers, metadata = await self._fetch("GET", base)
            if status != 200 or not isinstance(metadata, dict):
                return Probe(None, f"the pod answers {status} to a question for the model's metadata")
            if target.identified and (wrong := smoke.identity_error(headers, target.revision, target.digest)):
                return Probe(False, wrong)
            request, real = smoke.request_for(metadata)
            status, _, body = await self._fetch("POST", base + "/infer", request)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Probe(None, f"the pod at {target.address} does not answer: {_text(error)}")
        if status in (429, 503):
            return Probe(None, f"the pod answers {status} to the smoke prediction")
        wrong = smoke.prediction_error(status, body, real_example=real)
        return Probe(False, wrong) if wrong else Probe(True, "predicted")

    async def reach(self, target: ReachTarget) -> Probe:
        """Ask through the route, on a new connection each time, until enough answers in a row are right."""
        headers = {"Host": target.host} if target.host else {}
        if target.preview:
            headers[PREVIEW_HEADER] = target.preview
        for _ in range(ANSWERS_IN_A_ROW):
            try:
                status, answer, _ = await self._fetch(
                    "GET", f"{target.url}/v2/models/{target.model}/ready", None, headers
                )
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                return Probe(None, f"{target.url} does not answer: {_text(error)}")
            if status != 200:
                return Probe(None, f"{target.url} answers {status}")
            answered = answer.get(smoke.REVISION_HEADER)
            if target.identified and answered != target.revision:
                return Probe(None, f"{target.url} still answers as revision {answered or 'unknown'}")
        return Probe(True, f"{ANSWERS_IN_A_ROW} answers in a row")

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _fetch(
        self, method: str, url: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], Any]:
        if self._session is None:
            # A connection for each question: a kept one could go on showing the old backend.
            connector = aiohttp.TCPConnector(force_close=True)
            self._session = aiohttp.ClientSession(
                connector=connector, timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
            )
        data = orjson.dumps(body) if body is not None else None
        sent = {"Content-Type": "application/json", **(headers or {})} if data else headers
        async with self._session.request(method, url, data=data, headers=sent, allow_redirects=False) as response:
            raw = await response.read()
            try:
                parsed = orjson.loads(raw)
            except orjson.JSONDecodeError:
                parsed = None
            return response.status, {key.lower(): value for key, value in response.headers.items()}, parsed


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
