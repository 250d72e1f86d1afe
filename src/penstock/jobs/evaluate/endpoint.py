"""One model server over HTTP: requests are tried again where trying helps, and every answer says whose it is."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

from penstock.api.v1alpha1.conditions import Reason
from penstock.api.v1alpha1.serving import Runtime
from penstock.jobs.evaluate.failure import EvaluationError

REVISION_HEADER, DIGEST_HEADER = "x-penstock-revision", "x-penstock-digest"
_BUSY = frozenset({429, 502, 503, 504})
_PAUSES_SECONDS = (0.1, 0.3, 1.0, 2.0, 4.0, 8.0)
_CONNECTIONS = 8
WINDOW = 4
"""So many requests are under way at a time to each server."""
_LATE, _BUSY_TRIES = "no answer in time", "tried again after status 503"
_MOST_LATE = 20
"""A server that hangs is not waited for once per request."""


class Unreachable(Exception):
    """The server gave no answer however often it was asked; the message says what came instead."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; `status` 0: none within the time that a request may take."""

    status: int
    content: bytes


@dataclass
class Endpoint:
    """A server that serves one revision of a model.

    `who`: candidate or champion. `runtime`: Penstock's own server must say which revision it is, others need not.
    `answered` and `digest`: what it said it is; `trouble`: how many requests went how wrong.
    """

    who: str
    url: str
    model: str
    revision: str | None
    runtime: Runtime
    request_seconds: float
    retry_seconds: float
    answered: str | None = None
    digest: str | None = None
    trouble: Counter[str] = field(default_factory=Counter)
    _width: int = WINDOW
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(WINDOW))

    @property
    def infer_url(self) -> str:
        """Where predictions are asked for."""
        return f"{self.url.rstrip('/')}/v2/models/{self.model}/infer"

    async def metadata(self, client: httpx.AsyncClient) -> dict[str, Any]:
        """Return the model's metadata; raises Unreachable, and EvaluationError if it is not what was expected."""
        reply = await self._ask(client, "GET", f"{self.url.rstrip('/')}/v2/models/{self.model}", None)
        if reply.status != 200:
            raise Unreachable(f"its metadata was answered with status {reply.status}")
        try:
            found = orjson.loads(reply.content)
        except orjson.JSONDecodeError:
            found = None
        if not isinstance(found, dict):
            raise Unreachable("its metadata is no JSON object")
        return found

    async def infer(self, client: httpx.AsyncClient, body: bytes) -> Reply:
        """Ask for predictions; raises Unreachable, and EvaluationError if another revision answers."""
        return await self._ask(client, "POST", self.infer_url, body)

    async def _ask(self, client: httpx.AsyncClient, method: str, url: str, body: bytes | None) -> Reply:
        await self._slots.acquire()
        busy = self.trouble[_BUSY_TRIES]
        try:
            return await self._patiently(client, method, url, body)
        finally:
            # A server with too much to do is asked less at a time from now on: this place is not given back.
            if self.trouble[_BUSY_TRIES] > busy and self._width > 1:
                self._width -= 1
            else:
                self._slots.release()

    async def _patiently(self, client: httpx.AsyncClient, method: str, url: str, body: bytes | None) -> Reply:
        waited, cause = 0.0, ""
        for pause in (*_PAUSES_SECONDS, None):
            try:
                response = await client.request(method, url, content=body)
            except (httpx.ReadTimeout, httpx.WriteTimeout):
                self.trouble[_LATE] += 1
                if self.trouble[_LATE] > _MOST_LATE:
                    raise Unreachable(_LATE) from None
                return Reply(0, b"")
            except httpx.TransportError as error:
                cause = f"no connection ({type(error).__name__})"
            except httpx.InvalidURL:
                raise Unreachable("its address is no URL") from None
            else:
                if response.status_code not in _BUSY:
                    self.check(response)
                    if response.status_code != 200:
                        self.trouble[f"status {response.status_code}"] += 1
                    return Reply(response.status_code, response.content)
                cause = f"status {response.status_code}"
            if pause is None or waited + pause > self.retry_seconds:
                break
            self.trouble[_BUSY_TRIES if cause == "status 503" else f"tried again after {cause}"] += 1
            await asyncio.sleep(pause)
            waited += pause
        raise Unreachable(cause)

    def check(self, response: httpx.Response) -> None:
        """Note who answered; raises EvaluationError (WrongRevision) if it is not the one that was to be asked."""
        said = response.headers.get(REVISION_HEADER)
        if said is None and self.runtime is Runtime.CUSTOM:
            return
        # What stands between, such as a proxy of the mesh, answers errors without a name.
        if said is None and response.status_code != 200:
            return
        if self.revision is not None and said != self.revision:
            raise EvaluationError(
                Reason.WRONG_REVISION,
                f"The {self.who}'s server answers as revision {(said or 'unknown')[:64]} instead of {self.revision}:"
                " it is tried again.",
            )
        self.answered = said
        self.digest = response.headers.get(DIGEST_HEADER, self.digest)


def client(request_seconds: float) -> httpx.AsyncClient:
    """A client that keeps its connections and goes through no proxy: both servers are in the cluster."""
    return httpx.AsyncClient(
        timeout=httpx.Timeout(request_seconds, connect=min(5.0, request_seconds)),
        limits=httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS),
        headers={"content-type": "application/json"},
        trust_env=False,
    )
