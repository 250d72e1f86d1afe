"""Finding missed changes with a real API server."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from hack.cluster.apiserver import ApiServer
from penstock.kube.cache import Cache
from penstock.kube.client import KubeClient
from penstock.kube.prune import Missed, Pruner, Scope
from penstock.kube.resources import CONFIG_MAPS, NAMESPACES

DEADLINE = 30


@pytest.fixture
async def client(api_server: ApiServer) -> AsyncIterator[KubeClient]:
    async with await KubeClient.connect(kubeconfig=api_server.kubeconfig) as connected:
        yield connected


@pytest.fixture
async def namespace(client: KubeClient) -> str:
    created = await client.create(NAMESPACES, {"metadata": {"generateName": "prune-"}})
    name: str = created["metadata"]["name"]
    return name


def names(missed: Missed) -> set[str]:
    return {obj["metadata"]["name"] for obj in missed.removed}


async def test_a_deletion_without_an_event_is_found_and_nothing_else_is_touched(
    client: KubeClient, namespace: str
) -> None:
    cache = Cache()
    for name in ("stays", "goes", "is-replaced"):
        body = {"metadata": {"namespace": namespace, "name": name}}
        cache.upsert(CONFIG_MAPS, await client.create(CONFIG_MAPS, body))
    await client.delete(CONFIG_MAPS, namespace, "goes")
    await client.delete(CONFIG_MAPS, namespace, "is-replaced")
    await client.create(CONFIG_MAPS, {"metadata": {"namespace": namespace, "name": "is-replaced"}})

    found: asyncio.Queue[Missed] = asyncio.Queue()
    pruner = Pruner(client, cache, [Scope(CONFIG_MAPS, namespace)], found.put_nowait, period=0.05)
    task = asyncio.create_task(pruner.run())
    async with asyncio.timeout(DEADLINE):
        missed = await found.get()
        assert names(missed) == {"goes", "is-replaced"}
        assert cache.get(CONFIG_MAPS, namespace, "stays") is not None
        later = await found.get()
    assert names(later) == set()
    assert [key.name for key in later.unseen] == ["is-replaced"]
    task.cancel()
    await asyncio.wait([task])


async def test_an_object_in_flight_is_no_unseen_one(client: KubeClient, namespace: str) -> None:
    cache = Cache()
    pruner = Pruner(client, cache, [], lambda _: None)
    scope = Scope(CONFIG_MAPS, namespace)
    created = await client.create(CONFIG_MAPS, {"metadata": {"namespace": namespace, "name": "new"}})
    assert (await pruner.prune(scope)).unseen == []
    cache.upsert(CONFIG_MAPS, created)
    assert (await pruner.prune(scope)).unseen == []


async def test_a_server_behind_what_was_seen_is_reported_and_the_cache_left_alone(
    client: KubeClient, namespace: str
) -> None:
    cache = Cache()
    created = await client.create(CONFIG_MAPS, {"metadata": {"namespace": namespace, "name": "from-the-future"}})
    created["metadata"]["resourceVersion"] = str(10**12)
    cache.upsert(CONFIG_MAPS, created)
    missed = await Pruner(client, cache, [], lambda _: None).prune(Scope(CONFIG_MAPS, namespace))
    assert missed.rewound
    assert cache.get(CONFIG_MAPS, namespace, "from-the-future") is not None
