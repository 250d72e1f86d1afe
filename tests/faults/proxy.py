"""Stands between one operator and the API server: logs what passes, and spoils it by plan.

The operator talks plain HTTP to it. Lists and watches of all namespaces are narrowed to one, so that several operators
can be tried side by side on one API server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

import aiohttp
import orjson
import yaml
from aiohttp import web

from penstock.kube.connection import load_connection

Json = dict[str, Any]

VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
# What the operator writes about itself, not about a Model.
HOUSEKEEPING = frozenset({"leases", "events"})
_LINE_LIMIT = 1 << 22
_HELD_SECONDS = 0.5
_NO_LIMIT = aiohttp.ClientTimeout(total=None, sock_connect=10)


class Mode(StrEnum):
    """What becomes of a request, beside the ordinary.

    BEFORE, AFTER, LOST: the operator is killed before the request is forwarded, after its answer was, or after it took
    effect but without an answer. CUT: as LOST, but the operator lives. REFUSED: the connection ends and nothing was
    forwarded. HANG: nothing is ever answered, and nothing forwarded. GONE: a watch is told that its resourceVersion is
    too old.
    """

    BEFORE = "before"
    AFTER = "after"
    LOST = "lost"
    CUT = "cut"
    REFUSED = "refused"
    HANG = "hang"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer in place of the API server's."""

    status: int
    reason: str
    retry_after: int | None = None

    def body(self) -> bytes:
        """The Status object that an API server sends."""
        return orjson.dumps(_status(self.status, self.reason))


@dataclass(slots=True)
class Call:
    """A request of the operator. `code` and `answer` are there once the API server has answered."""

    verb: str
    plural: str
    subresource: str
    name: str
    body: Json = field(repr=False)
    watch: bool = False
    number: int = 0
    code: int = 0
    answer: Json = field(default_factory=dict, repr=False)

    @property
    def is_write(self) -> bool:
        """Whether it is meant to change something of a Model."""
        return self.verb in VERBS.values() and self.plural not in HOUSEKEEPING

    @property
    def resource(self) -> str:
        """The plural, and the subresource if there is one."""
        return f"{self.plural}/{self.subresource}" if self.subresource else self.plural

    def __str__(self) -> str:
        return f"{self.verb} {self.resource} {self.name}"


@dataclass(frozen=True, slots=True)
class Heard:
    """A watch event on its way to the operator."""

    plural: str
    type: str
    name: str
    obj: Json = field(repr=False)


class _Stream:
    """An open watch: `flows` is cleared to stall it, `end` is set to close it."""

    def __init__(self, response: web.StreamResponse) -> None:
        self.response = response
        self.flows = asyncio.Event()
        self.flows.set()
        self.end = asyncio.Event()


Plan = Callable[[Call], Awaitable[Mode | Reply | None]]
Filter = Callable[[Heard], bool]


async def leave_alone(_: Call) -> Mode | Reply | None:
    """The plan of no fault."""
    return None


class Proxy:
    """One operator's way to the API server, as an asynchronous context manager.

    `plan`: looks at each request before it is forwarded, and may take its time; `on_call` only looks.
    `passes`: looks at each watch event; those that do not pass are dropped. `repeats`: how often an event is delivered.
    `holds`: whether an event is kept back until the next one of that watch is
    through, half a second at most. `on_kill`: ends the operator at
    once. `user`: as whom the operator's requests are made, of those that RBAC knows; by default nothing is forbidden.
    """

    def __init__(self, kubeconfig: Path, namespace: str, narrowed: frozenset[str]) -> None:
        self.plan: Plan = leave_alone
        self.on_call: Callable[[Call], None] = lambda _: None
        self.passes: Filter = lambda _: True
        self.holds: Filter = lambda _: False
        self.repeats = 1
        self.user = ""
        self.on_kill: Callable[[], None] = lambda: None
        self.calls: list[Call] = []
        self.heard: list[Heard] = []
        self.renewals = 0
        self._upstream_config = kubeconfig
        self._namespace = namespace
        self._narrowed = narrowed
        self._generation = 0
        self._streams: list[_Stream] = []
        self._delivering: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        connection = await load_connection(self._upstream_config, {})
        self._host = connection.host
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=connection.ssl, limit=0),
            auto_decompress=False,
            read_bufsize=_LINE_LIMIT,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self._runner = web.ServerRunner(web.Server(self._handle, handler_cancellation=True), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.end_streams()
        await self._runner.cleanup()
        await self._session.close()

    def write_kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig that leads through the proxy."""
        context = {"name": "faults", "context": {"cluster": "faults", "user": "faults"}}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "faults", "cluster": {"server": self.url}}],
            "users": [{"name": "faults", "user": {}}],
            "contexts": [context],
            "current-context": "faults",
        }
        path.write_text(yaml.safe_dump(config))
        return path

    def writes(self) -> list[Call]:
        """What the operator wrote, or tried to write, about Models."""
        return [call for call in self.calls if call.is_write]

    def kill(self) -> None:
        """End the operator at once; whatever it has sent and was not forwarded is lost."""
        self._generation += 1
        self.on_kill()
        self.end_streams()

    def end_streams(self) -> None:
        """Close all watches without a word."""
        for stream in self._streams:
            stream.end.set()

    async def stall(self) -> None:
        """As `stall_all`, to be waited for."""
        self.stall_all()

    def stall_all(self) -> None:
        """Leave the open watches open and deliver nothing more through them, as a half-open connection does."""
        for stream in self._streams:
            stream.flows.clear()

    async def send_error(self, code: int, reason: str) -> None:
        """Put an ERROR event into every open watch and close it."""
        for stream in list(self._streams):
            with contextlib.suppress(ConnectionError):
                await stream.response.write(_error_event(code, reason))
            stream.end.set()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        generation = self._generation
        body = await request.read()
        call = self._call(request, body)
        if call.plural == "leases" and call.verb == "update":
            self.renewals += 1
        if call.is_write:
            call.number = len(self.writes())
            self.calls.append(call)
        self.on_call(call)
        action = await self.plan(call)
        if generation != self._generation:
            return _abort(request)
        if isinstance(action, Reply):
            call.code = action.status
            headers = {"Retry-After": str(action.retry_after)} if action.retry_after is not None else {}
            return web.Response(
                status=action.status, body=action.body(), content_type="application/json", headers=headers
            )
        if action is Mode.BEFORE:
            self.kill()
        if action in (Mode.BEFORE, Mode.REFUSED):
            return _abort(request)
        if action is Mode.HANG:
            await asyncio.Event().wait()
        try:
            return await (
                self._stream(request, call, action) if call.watch else self._forward(request, call, body, action)
            )
        except aiohttp.ClientError:  # the API server is not there
            return _abort(request)

    async def _forward(
        self, request: web.BaseRequest, call: Call, body: bytes, action: Mode | None
    ) -> web.StreamResponse:
        async with self._ask(request, call, body) as upstream:
            content = await upstream.read()
            call.code = upstream.status
            if call.is_write:
                call.answer = json.loads(content)
            response = web.Response(status=upstream.status, body=content, headers=_kept(upstream.headers))
        if action is Mode.LOST:
            self.kill()
        if action in (Mode.LOST, Mode.CUT):
            return _abort(request)
        if action is Mode.AFTER:
            await response.prepare(request)
            await response.write_eof()
            self.kill()
        return response

    async def _stream(self, request: web.BaseRequest, call: Call, action: Mode | None) -> web.StreamResponse:
        async with self._ask(request, call, b"") as upstream:
            stream = _Stream(web.StreamResponse(status=upstream.status, headers=_kept(upstream.headers)))
            with contextlib.suppress(ConnectionError):  # who asked may be dead by now
                await stream.response.prepare(request)
                if action is Mode.GONE:
                    await stream.response.write(_error_event(410, "Expired"))
                    return stream.response
            self._streams.append(stream)
            tasks = [asyncio.create_task(self._copy(call, upstream, stream)), asyncio.create_task(stream.end.wait())]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._streams.remove(stream)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        return stream.response

    async def _copy(self, call: Call, upstream: aiohttp.ClientResponse, stream: _Stream) -> None:
        held: list[bytes] = []
        async for line in upstream.content:
            event = orjson.loads(line)
            obj = event["object"]
            heard = Heard(call.plural, event["type"], obj.get("metadata", {}).get("name", ""), obj)
            await stream.flows.wait()
            if not self.passes(heard):
                continue
            self.heard.append(heard)
            if not held and self.holds(heard):
                held += [line] * self.repeats
                asyncio.get_running_loop().call_later(_HELD_SECONDS, self._deliver, stream, held)
                continue
            held[:0] = [line] * self.repeats
            await _write(stream, held)

    def _deliver(self, stream: _Stream, held: list[bytes]) -> None:
        task = asyncio.create_task(_write(stream, held))
        self._delivering.add(task)
        task.add_done_callback(self._delivering.discard)

    @contextlib.asynccontextmanager
    async def _ask(self, request: web.BaseRequest, call: Call, body: bytes) -> AsyncIterator[aiohttp.ClientResponse]:
        kept = ("Accept", "Content-Type", "User-Agent")
        headers = {name: request.headers[name] for name in kept if name in request.headers}
        path = request.raw_path
        if call.verb == "get" and not call.name and call.plural in self._narrowed and "/namespaces/" not in path:
            path = path.replace(f"/{call.plural}", f"/namespaces/{self._namespace}/{call.plural}", 1)
        headers["Accept-Encoding"] = "identity"
        if self.user:
            headers["Impersonate-User"] = self.user
        async with self._session.request(
            request.method, self._host + path, data=body or None, headers=headers, timeout=_NO_LIMIT
        ) as upstream:
            yield upstream

    @staticmethod
    def _call(request: web.BaseRequest, body: bytes) -> Call:
        parts = request.path.strip("/").split("/")
        parts = parts[2:] if parts[0] == "api" else parts[3:]
        if parts[:1] == ["namespaces"] and len(parts) > 2:
            parts = parts[2:]
        plural, name, subresource = [*parts, "", "", ""][:3]
        content = orjson.loads(body) if body else {}
        return Call(
            verb=VERBS.get(request.method, "get"),
            plural=plural,
            subresource=subresource,
            name=name or content.get("metadata", {}).get("name", ""),
            body=content,
            watch=request.query.get("watch") in ("true", "1"),
        )


async def _write(stream: _Stream, lines: list[bytes]) -> None:
    """Deliver what is held back, if it has not been by now."""
    content = b"".join(lines)
    lines.clear()
    with contextlib.suppress(ConnectionError):
        await stream.response.write(content)


def _error_event(code: int, reason: str) -> bytes:
    return orjson.dumps({"type": "ERROR", "object": _status(code, reason)}) + b"\n"


def _status(code: int, reason: str) -> Json:
    """A Status of the API server that says that something failed."""
    message = f"{reason} on purpose"
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: headers[name] for name in ("Content-Type", "Retry-After") if name in headers}


def _abort(request: web.BaseRequest) -> web.StreamResponse:
    """Break the connection; what is returned goes nowhere."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
