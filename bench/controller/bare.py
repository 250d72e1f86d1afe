"""A bare asyncio client of the API server: what any controller's writes cost at least."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, Self, TypeVar

import aiohttp
import orjson

from penstock.kube.connection import Connection, load_connection
from penstock.kube.resources import Json, Resource

T = TypeVar("T")
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
_METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


class BareClient:
    """Sends requests with the rights of a kubeconfig. Use it as an asynchronous context manager."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig
        self._connection: Connection
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self._connection = await load_connection(self._kubeconfig, {})
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._connection.ssl, limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            headers={"User-Agent": "bench"},
            read_bufsize=2**24,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        await self._connection.close()

    async def send(self, method: str, path: str, body: Json | None = None, kind: str = "application/json") -> bytes:
        """Send one request and return the answer's body; raises RuntimeError unless it is 2xx."""
        data = None if body is None else orjson.dumps(body)
        url = self._connection.host + path
        async with self._session.request(method, url, data=data, headers={"Content-Type": kind}) as response:
            answer = await response.read()
            if response.status >= 300:
                raise RuntimeError(f"{method} {path}: {response.status} {answer[:300].decode(errors='replace')}")
            return answer

    async def apply(self, resource: Resource, obj: Json, manager: str, subresource: str | None = None) -> bytes:
        """Server-side apply."""
        meta = obj["metadata"]
        path = resource.path(meta.get("namespace"), meta["name"], subresource)
        return await self.send("PATCH", f"{path}?fieldManager={manager}&force=true", obj, APPLY)

    async def create(self, resource: Resource, obj: Json) -> Json:
        """POST the object and return it as stored."""
        stored: Json = orjson.loads(await self.send("POST", resource.path(obj["metadata"].get("namespace")), obj))
        return stored

    async def list(self, resource: Resource) -> Json:
        """The list object of a kind in all namespaces."""
        found: Json = orjson.loads(await self.send("GET", resource.path()))
        return found

    async def watch(self, resource: Resource, version: str, *, metadata_only: bool = False) -> AsyncIterator[Json]:
        """The watch events of a kind in all namespaces, from a resourceVersion on, without end.

        An API server under load closes the streams of readers it finds too slow: each is taken up where it ended.
        """
        headers = {"Accept": _METADATA_ONLY} if metadata_only else {}
        while True:
            url = f"{self._connection.host}{resource.path()}?watch=1&resourceVersion={version}"
            async with self._session.get(url, headers=headers) as response:
                async for line in response.content:
                    event: Json = orjson.loads(line)
                    if event["type"] == "ERROR":
                        raise RuntimeError(f"watch of {resource}: {event['object']}")
                    version = event["object"]["metadata"]["resourceVersion"]
                    yield event


async def in_flight(limit: int, items: Iterable[T], work: Callable[[T], Awaitable[Any]]) -> None:
    """Do the work for every item, so many at a time."""
    left = iter(items)

    async def worker() -> None:
        for item in left:
            await work(item)

    async with asyncio.TaskGroup() as group:
        for _ in range(limit):
            group.create_task(worker())
