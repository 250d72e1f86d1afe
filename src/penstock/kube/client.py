"""A thin asyncio client for the Kubernetes API: plain dicts in and out, no typed models."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import aiohttp
import orjson
from yarl import URL

from penstock.kube import errors
from penstock.kube.connection import Connection, load_connection
from penstock.kube.metrics import Children, KubeMetrics
from penstock.kube.resources import Json, Resource

T = TypeVar("T")
_JSON = "application/json"
_APPLY = "application/apply-patch+yaml"  # JSON is YAML; the API server knows no apply-patch+json
_MERGE = "application/merge-patch+json"
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
WRITE_TIMEOUT = 4.0
READ_TIMEOUT = 10.0
LIST_TIMEOUT = 30.0
# One page is in memory at a time, as Python objects with all that is thrown away: ten times its size on the wire.
PAGE_SIZE = 100


class KubeClient:
    """Talks to one API server. Every method raises a subclass of `penstock.kube.errors.ApiError` on failure.

    Nothing is retried here: the caller's queue owns retries and back-off. ``calls`` counts what was sent, by
    ``(verb, plural)`` with the verbs of RBAC.
    """

    def __init__(
        self, connection: Connection, *, user_agent: str = "penstock", metrics: KubeMetrics | None = None
    ) -> None:
        self.calls: Counter[tuple[str, str]] = Counter()
        self._connection = connection
        metrics = metrics or KubeMetrics()
        self._requests = Children(metrics.requests)
        self._request_seconds = Children(metrics.request_seconds)
        self._session = aiohttp.ClientSession(
            # A handshake costs more than the request after it; the API server keeps an idle connection for 90 s.
            connector=aiohttp.TCPConnector(ssl=connection.ssl, limit=100, keepalive_timeout=60),
            headers={"User-Agent": user_agent, "Accept": _JSON, "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=connection.proxy,
        )

    @classmethod
    async def connect(
        cls, *, kubeconfig: Path | None = None, user_agent: str = "penstock", metrics: KubeMetrics | None = None
    ) -> KubeClient:
        """Opens a client by ``kubeconfig``, else $KUBECONFIG, else the pod's service account, else ~/.kube/config."""
        return cls(await load_connection(kubeconfig, os.environ), user_agent=user_agent, metrics=metrics)

    async def __aenter__(self) -> KubeClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connections. The client cannot be used afterwards."""
        await self._connection.close()
        await self._session.close()

    async def get(self, resource: Resource, namespace: str | None, name: str, *, timeout: float = READ_TIMEOUT) -> Json:
        """Reads one object, live (never from a cache of the API server)."""
        return await self._call("get", resource, "GET", resource.path(namespace, name), timeout=timeout)

    async def page(
        self,
        resource: Resource,
        namespace: str | None = None,
        token: str = "",
        *,
        limit: int = PAGE_SIZE,
        label_selector: str | None = None,
        metadata_only: bool = False,
    ) -> tuple[list[Json], str, str]:
        """Reads one page of a list, the one that ``token`` stands for; ``limit`` 0: all in one.

        Returns the objects, the resourceVersion, and the token of the next page, empty if there is none. Raises Gone
        if the token has become too old.
        """
        given = {"limit": str(limit or ""), "continue": token, "labelSelector": label_selector or ""}
        answer = await self._call(
            "list",
            resource,
            "GET",
            resource.path(namespace),
            query={name: value for name, value in given.items() if value},
            accept=_METADATA_LIST if metadata_only else _JSON,
            timeout=LIST_TIMEOUT,
        )
        metadata = answer.get("metadata") or {}
        version = str(metadata.get("resourceVersion") or "")
        return answer.get("items") or [], version, str(metadata.get("continue") or "")

    async def collect(
        self,
        resource: Resource,
        take: Callable[[Json], T],
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        metadata_only: bool = False,
        page_size: int = PAGE_SIZE,
    ) -> tuple[list[T], str]:
        """Reads all objects of a kind, page by page, from one consistent snapshot; one page is held at a time.

        Returns what ``take`` makes of each object, and the snapshot's resourceVersion. Items lack apiVersion and kind,
        as on the wire. If the snapshot is compacted meanwhile all is read again: ``take`` may get an object twice.
        """
        items: list[T] = []
        version, token, limit = "", "", page_size
        while True:
            try:
                found, listed_at, token = await self.page(
                    resource, namespace, token, limit=limit, label_selector=label_selector, metadata_only=metadata_only
                )
            except errors.Gone:
                if not token:
                    raise
                # The snapshot was compacted while we paged: only an unpaged list is consistent for sure.
                items, version, token, limit = [], "", "", 0
                continue
            version = version or listed_at
            items.extend(map(take, found))
            if not token:
                return items, version

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        metadata_only: bool = False,
        page_size: int = PAGE_SIZE,
    ) -> tuple[list[Json], str]:
        """Reads all objects of a kind, as `collect`; returns them and the snapshot's resourceVersion."""
        return await self.collect(
            resource,
            lambda item: item,
            namespace,
            label_selector=label_selector,
            metadata_only=metadata_only,
            page_size=page_size,
        )

    @contextlib.asynccontextmanager
    async def watch(
        self,
        resource: Resource,
        resource_version: str,
        *,
        label_selector: str | None = None,
        server_timeout: int = 290,
        silence: float = 70.0,
    ) -> AsyncIterator[AsyncIterator[Json]]:
        """Opens a watch of all namespaces from a resourceVersion on; yields an iterator of its events as they are.

        Bookmarks are asked for, so a stream that says nothing for ``silence`` seconds is broken: the iterator then
        raises Unreachable. It ends when the server ends the stream, at the latest after ``server_timeout`` seconds.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(server_timeout),
        }
        if label_selector:
            query["labelSelector"] = label_selector
        path = resource.path()
        timeout = aiohttp.ClientTimeout(sock_connect=WRITE_TIMEOUT, sock_read=silence)
        try:
            async with await self._request("GET", path, timeout, query=query) as response:
                if response.status >= 300:
                    raise _refused(response, await response.read())
                yield _events(response.content)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unreachable("GET", f"{path} (watch)", silence, error) from error
        except orjson.JSONDecodeError as error:
            raise errors.ServerError(200, "BadAnswer", f"GET {path} (watch) sent something that is no JSON.") from error

    async def create(self, resource: Resource, obj: Json, *, timeout: float = WRITE_TIMEOUT) -> Json:
        """Creates an object; AlreadyExists if its name is taken."""
        path = resource.path(_namespace(obj))
        return await self._call("create", resource, "POST", path, body=obj, timeout=timeout)

    async def apply(
        self,
        resource: Resource,
        obj: Json,
        *,
        field_manager: str,
        force: bool = True,
        subresource: str | None = None,
        timeout: float = WRITE_TIMEOUT,
    ) -> Json:
        """Server-side apply: creates or updates ``obj``, which names its kind, namespace and name."""
        path = resource.path(_namespace(obj), obj["metadata"]["name"], subresource)
        query = {"fieldManager": field_manager, "force": "true" if force else "false"}
        return await self._call(
            "patch", resource, "PATCH", path, query=query, body=obj, content_type=_APPLY, timeout=timeout
        )

    async def update(
        self, resource: Resource, obj: Json, subresource: str | None = None, *, timeout: float = WRITE_TIMEOUT
    ) -> Json:
        """Replaces an object; with its resourceVersion set, Conflict if it has changed meanwhile."""
        path = resource.path(_namespace(obj), obj["metadata"]["name"], subresource)
        return await self._call("update", resource, "PUT", path, body=obj, timeout=timeout)

    async def patch_merge(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        patch: Json,
        subresource: str | None = None,
        *,
        timeout: float = WRITE_TIMEOUT,
    ) -> Json:
        """JSON merge patch (RFC 7386): null removes a field, lists are replaced."""
        path = resource.path(namespace, name, subresource)
        return await self._call("patch", resource, "PATCH", path, body=patch, content_type=_MERGE, timeout=timeout)

    async def delete(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        propagation: str = "Background",
        timeout: float = WRITE_TIMEOUT,
    ) -> Json:
        """Deletes an object; Conflict if it is not the one of that uid and resourceVersion."""
        wanted = {"uid": uid, "resourceVersion": resource_version}
        options: Json = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        if preconditions := {key: value for key, value in wanted.items() if value}:
            options["preconditions"] = preconditions
        path = resource.path(namespace, name)
        return await self._call("delete", resource, "DELETE", path, body=options, timeout=timeout)

    async def raw_get(self, path: str, *, timeout: float = READ_TIMEOUT) -> bytes:
        """Reads any path of the API server, e.g. ``/readyz`` or ``/version``, and returns the body as it is."""
        self.calls["get", path] += 1
        return await self._send("GET", path, accept="*/*", timeout=timeout)

    async def _call(
        self,
        verb: str,
        resource: Resource,
        method: str,
        path: str,
        *,
        timeout: float,
        query: Mapping[str, str] | None = None,
        body: Json | None = None,
        content_type: str = _JSON,
        accept: str = _JSON,
    ) -> Json:
        self.calls[verb, resource.plural] += 1
        data = None if body is None else orjson.dumps(body)
        started = time.perf_counter()
        try:
            raw = await self._send(
                method, path, query=query, data=data, content_type=content_type, accept=accept, timeout=timeout
            )
        finally:
            elapsed = time.perf_counter() - started
            self._request_seconds(verb, resource).observe(elapsed)
        try:
            answer = orjson.loads(raw)
        except orjson.JSONDecodeError:
            answer = None
        if not isinstance(answer, dict):
            raise errors.ServerError(200, "BadAnswer", f"{method} {path} was answered by something that is no object.")
        return answer

    async def _send(
        self,
        method: str,
        path: str,
        *,
        timeout: float,
        query: Mapping[str, str] | None = None,
        data: bytes | None = None,
        content_type: str = _JSON,
        accept: str = _JSON,
    ) -> bytes:
        limits = _limits(timeout)
        code = "<error>"
        try:
            async with await self._request(
                method, path, limits, query=query, data=data, content_type=content_type, accept=accept
            ) as response:
                code = str(response.status)
                body = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unreachable(method, path, timeout, error) from error
        finally:
            self._requests(code, method).inc()
        if response.status >= 300:
            raise _refused(response, body)
        return body

    async def _request(
        self,
        method: str,
        path: str,
        timeout: aiohttp.ClientTimeout,
        *,
        query: Mapping[str, str] | None = None,
        data: bytes | None = None,
        content_type: str = _JSON,
        accept: str = _JSON,
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": accept}
        if data is not None:
            headers["Content-Type"] = content_type
        if authorization := await self._connection.authorization():
            headers["Authorization"] = authorization
        options: dict[str, Any] = {}
        if self._connection.server_name:
            options["server_hostname"] = self._connection.server_name
        return await self._session.request(
            method,
            URL(
                f"{self._connection.host}{path}?{urlencode(query)}" if query else self._connection.host + path,
                encoded=True,
            ),
            data=data,
            headers=headers,
            timeout=timeout,
            allow_redirects=False,
            **options,
        )


async def _events(content: aiohttp.StreamReader) -> AsyncIterator[Json]:
    """Split a stream into lines and parse them: an object is larger than what a buffered readline allows."""
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if line:
                yield orjson.loads(line)


@lru_cache(maxsize=32)
def _limits(timeout: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=timeout, sock_connect=min(timeout, WRITE_TIMEOUT))


def _refused(response: aiohttp.ClientResponse, body: bytes) -> errors.ApiError:
    return errors.from_response(response.status, body, response.headers.get("Retry-After"))


def _namespace(obj: Json) -> str | None:
    namespace: str | None = obj["metadata"].get("namespace")
    return namespace


def _unreachable(method: str, path: str, timeout: float, error: Exception) -> errors.Unreachable:
    never_sent = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    if isinstance(error, TimeoutError) and not never_sent:
        text = f"{method} {path} got no answer within {timeout:g} s."
    else:
        text = f"{method} {path} failed: the API server cannot be reached ({type(error).__name__}: {error})."
    return errors.Unreachable(text, outcome_unknown=method != "GET" and not never_sent)
