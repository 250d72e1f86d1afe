"""A reflector against a real API server, with a proxy between them that spoils what passes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hack.cluster.apiserver import ApiServer
from penstock.kube.cache import Cache
from penstock.kube.client import KubeClient
from penstock.kube.reflector import Reflector, Source
from penstock.kube.resources import CONFIG_MAPS, Resource
from tests.faults.proxy import Call, Heard, Mode, Proxy, Reply
from tests.support.cluster import Cluster, until

Json = dict[str, Any]

DEADLINE = 20.0
OURS = "test.example.com/ours=yes"
ABSENT = Resource("absent.example.com", "v1", "things", "Thing")


@dataclass
class Store:
    """What the reflector has told, and the cache that is kept by it."""

    cache: Cache = field(default_factory=Cache)
    told: list[tuple[str | None, str]] = field(default_factory=list)

    def observe(self, resource: Resource, event_type: str | None, obj: Json) -> None:
        """Take in an object."""
        meta = obj["metadata"]
        self.told.append((event_type, meta["name"]))
        if event_type == "DELETED":
            self.cache.remove(resource, meta["namespace"], meta["name"], meta["uid"], meta["resourceVersion"])
        else:
            self.cache.upsert(resource, obj)

    def keep_only(self, resource: Resource, live: set[tuple[str, str, str]], resource_version: str) -> None:
        """Drop what a list did not show."""
        self.cache.prune(resource, live, resource_version)


@dataclass
class Watched:
    """A namespace, its ConfigMaps as the test's own client changes them and as a reflector behind a proxy sees them."""

    client: KubeClient
    proxy: Proxy
    namespace: str
    store: Store
    reflector: Reflector
    silence: float = 60.0

    def seen(self) -> dict[str, str]:
        """What the store holds: names and content."""
        held = self.store.cache.list(CONFIG_MAPS, self.namespace)
        return {obj["metadata"]["name"]: obj["data"]["is"] for obj in held}

    async def put(self, name: str, content: str) -> None:
        """Create or change a ConfigMap."""
        await self.client.apply(CONFIG_MAPS, config_map(self.namespace, name, content), field_manager="test")

    async def drop(self, name: str) -> None:
        """Delete a ConfigMap."""
        await self.client.delete(CONFIG_MAPS, self.namespace, name)

    async def shows(self, **expected: str) -> None:
        """Wait until the store holds exactly that."""
        await until(lambda: self.seen() == expected, lambda: f"the store holds {expected}, not {self.seen()}")


def config_map(namespace: str, name: str, content: str) -> Json:
    label, value = OURS.split("=")
    metadata = {"namespace": namespace, "name": name, "labels": {label: value}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"is": content}}


@contextlib.asynccontextmanager
async def watching(
    kubeconfig: Path, client: KubeClient, namespace: str, folder: Path, *, silence: float = 60.0
) -> AsyncIterator[Watched]:
    """Run a reflector of the namespace's ConfigMaps, with the rights of a kubeconfig."""
    async with Proxy(kubeconfig, namespace, frozenset({"configmaps"})) as proxy:
        seen_by = proxy.write_kubeconfig(folder / "proxied")
        async with await KubeClient.connect(kubeconfig=seen_by) as proxied:
            store = Store()
            reflector = Reflector(proxied, Source(CONFIG_MAPS, OURS), store, silence=lambda: silence)
            task = asyncio.create_task(reflector.run())
            try:
                yield Watched(client, proxy, namespace, store, reflector)
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


@pytest.fixture
async def client(api_server: ApiServer) -> AsyncIterator[KubeClient]:
    async with await KubeClient.connect(kubeconfig=api_server.kubeconfig, user_agent="test") as connected:
        yield connected


@pytest.fixture
async def watched(api_server: ApiServer, client: KubeClient, namespace: str, tmp_path: Path) -> AsyncIterator[Watched]:
    async with watching(api_server.kubeconfig, client, namespace, tmp_path) as ready:
        yield ready


async def test_what_is_there_is_listed_and_what_happens_is_told(watched: Watched) -> None:
    await watched.put("a", "1")
    await watched.shows(a="1")
    await watched.put("b", "1")
    await watched.put("a", "2")
    await watched.shows(a="2", b="1")
    await watched.drop("a")
    await watched.shows(b="1")
    assert watched.reflector.has_listed
    assert watched.reflector.trouble == ""


async def test_a_watch_that_cannot_be_resumed_is_replaced_by_a_list_that_shows_what_is_gone(watched: Watched) -> None:
    await watched.put("a", "1")
    await watched.put("b", "1")
    await watched.shows(a="1", b="1")
    refused = 0

    async def plan(call: Call) -> Mode | None:
        nonlocal refused
        if not call.watch or refused:
            return None
        refused += 1
        return Mode.GONE

    await watched.proxy.stall()
    watched.proxy.plan = plan
    await watched.drop("a")
    await watched.put("c", "1")
    watched.proxy.end_streams()
    await watched.shows(b="1", c="1")
    assert ("DELETED", "a") not in watched.store.told
    await watched.put("b", "2")
    await watched.shows(b="2", c="1")


async def test_an_error_in_the_stream_does_not_end_the_watching(watched: Watched) -> None:
    await watched.put("a", "1")
    await watched.shows(a="1")
    for number in range(4):
        await watched.proxy.send_error(500, "InternalError")
        await watched.put("a", f"after {number}")
        await watched.shows(a=f"after {number}")


async def test_a_connection_that_has_fallen_silent_is_replaced(
    api_server: ApiServer, client: KubeClient, namespace: str, tmp_path: Path
) -> None:
    async with watching(api_server.kubeconfig, client, namespace, tmp_path, silence=1.0) as watched:
        await watched.put("a", "1")
        await watched.shows(a="1")
        await watched.proxy.stall()
        await watched.put("a", "2")
        await watched.put("b", "1")
        await watched.shows(a="2", b="1")


async def test_a_refresh_finds_what_no_event_told(watched: Watched) -> None:
    def lost(heard: Heard) -> bool:
        return heard.name == "told"

    await watched.put("a", "1")
    await watched.put("b", "1")
    await watched.shows(a="1", b="1")
    watched.proxy.passes = lost
    await watched.drop("a")
    await watched.put("b", "2")
    await watched.put("told", "1")
    await watched.shows(a="1", b="1", told="1")
    await watched.reflector.refresh(tolerated_age=3600)
    assert watched.seen() == {"a": "1", "b": "1", "told": "1"}
    await watched.reflector.refresh(tolerated_age=0)
    assert watched.seen() == {"b": "2", "told": "1"}


async def test_refusals_of_an_overloaded_server_are_waited_out(
    api_server: ApiServer, client: KubeClient, namespace: str, tmp_path: Path
) -> None:
    async with watching(api_server.kubeconfig, client, namespace, tmp_path) as watched:
        answers: list[Mode | Reply | None] = [
            Reply(503, "ServiceUnavailable"),
            Mode.REFUSED,
            Reply(429, "TooManyRequests", 1),
            None,
            Reply(500, "I"),
        ]

        async def plan(_: Call) -> Mode | Reply | None:
            return answers.pop(0) if answers else None

        watched.proxy.plan = plan
        await watched.put("a", "1")
        await watched.shows(a="1")
        await until(lambda: not watched.reflector.trouble, lambda: f"no trouble is left: {watched.reflector.trouble}")
        assert answers == []


async def test_rights_that_are_taken_away_and_given_back(
    api_server: ApiServer, cluster: Cluster, client: KubeClient, namespace: str, tmp_path: Path
) -> None:
    name = f"reflector-{namespace}"
    rule: Json = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch"]}
    role: Json = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": name, "namespace": namespace}}
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    cluster.request("POST", f"{rbac}/roles", {**role, "rules": [rule]})
    binding: Json = {
        **role,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}],
    }
    bindings = f"{rbac}/rolebindings"
    async with watching(api_server.client_kubeconfig(name, []), client, namespace, tmp_path) as watched:
        await watched.put("a", "1")
        await until(lambda: "forbidden" in watched.reflector.trouble, lambda: "the list is refused")
        cluster.request("POST", bindings, binding)
        await watched.shows(a="1")
        cluster.request("DELETE", f"{bindings}/{name}")
        await watched.proxy.stall()
        await watched.drop("a")
        await watched.put("b", "1")
        watched.proxy.end_streams()
        await until(lambda: "forbidden" in watched.reflector.trouble, lambda: "the watch is refused")
        assert watched.seen() == {"a": "1"}, "what cannot be looked at is not gone"
        cluster.request("POST", bindings, binding)
        await watched.shows(b="1")


async def test_an_optional_kind_that_the_cluster_does_not_have_counts_as_listed(
    api_server: ApiServer, client: KubeClient
) -> None:
    reflector = Reflector(client, Source(ABSENT, optional=True), Store())
    task = asyncio.create_task(reflector.run())
    await asyncio.wait_for(reflector.listed(), DEADLINE)
    assert reflector.trouble == ""
    task.cancel()
    await asyncio.wait([task])


async def test_a_kind_that_must_be_there_is_waited_for(api_server: ApiServer, client: KubeClient) -> None:
    reflector = Reflector(client, Source(ABSENT), Store())
    task = asyncio.create_task(reflector.run())
    await until(lambda: "not found" in reflector.trouble or "could not find" in reflector.trouble, lambda: "it is said")
    assert not reflector.has_listed
    task.cancel()
    await asyncio.wait([task])
