"""etcd is restored to an older state under the running operator: traffic is kept, and the log stays whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from penstock.domain.audit import broken_link
from penstock.kube.resources import HTTPROUTES
from tests.controller.world import digest
from tests.faults.oracles import tracebacks, weights
from tests.faults.process import warm_up
from tests.faults.restore import RestorableServer, Restored
from tests.faults.stage import install_gateway_api
from tests.support.cluster import Cluster
from tests.support.kubelet import READY, STARTING

PRUNE_SECONDS = 2.0


@pytest.fixture(scope="module")
def server() -> Iterator[RestorableServer]:
    """An API server of its own: its past is not for others to lose."""
    with RestorableServer() as started:
        with Cluster(started.kubeconfig) as cluster:
            cluster.install_crds()
            install_gateway_api(cluster)
        warm_up()
        yield started


@pytest.fixture
async def arena(server: RestorableServer) -> AsyncIterator[Restored]:
    """A namespace with a running operator."""
    with Cluster(server.kubeconfig) as cluster:
        namespace = cluster.create_namespace()
        async with Restored(server, cluster, namespace, prune_seconds=PRUNE_SECONDS, patience=90) as ready:
            ready.begin()
            yield ready


async def snapshot(arena: Restored, server: RestorableServer) -> Path:
    """What is stored now."""
    copy = await arena.while_down(server.snapshot)
    assert isinstance(copy, Path)
    return copy


async def route(arena: Restored) -> dict[str, int]:
    """The weights that the route has."""
    found = await arena.get(HTTPROUTES, arena.name)
    assert found is not None
    return weights(found)


async def leads_again(arena: Restored) -> None:
    """Wait until the operator has renewed its lease twice since now."""
    await arena.late_writes()


async def log_is_whole(arena: Restored) -> None:
    """Check the chain, and that nothing went wrong unexpectedly."""
    assert broken_link([record["spec"] for record in await arena.records()]) is None
    # The process ends by what it holds to be the reason, and says so.
    assert tracebacks(arena.log(), "went back from version") == []


async def test_finished_rollout_is_forgotten(arena: Restored, server: RestorableServer) -> None:
    first = await arena.serving()
    copy = await snapshot(arena, server)
    await arena.serves(await arena.edit(artifact={"digest": digest("b")}))

    await arena.while_down(lambda: server.restore(copy))

    await leads_again(arena)
    assert await route(arena) == {first: 100}
    third = await arena.edit(artifact={"digest": digest("c")})
    await arena.serves(third)
    assert await route(arena) == {third: 100}
    await log_is_whole(arena)


async def test_edit_comes_before_the_restoration_is_noticed(arena: Restored, server: RestorableServer) -> None:
    await arena.serving()
    copy = await snapshot(arena, server)
    await arena.serves(await arena.edit(artifact={"digest": digest("b")}))

    await arena.while_down(lambda: server.restore(copy))

    third = await arena.edit(artifact={"digest": digest("c")})
    await arena.serves(third)
    assert await route(arena) == {third: 100}
    await log_is_whole(arena)


async def test_rollout_is_set_back_to_its_middle(arena: Restored, server: RestorableServer) -> None:
    await arena.serving()
    second = await arena.edit_to_come("b", STARTING)
    await arena.reaches("Starting")
    copy = await snapshot(arena, server)
    arena.set_pods(second, READY)
    await arena.serves(second)

    await arena.while_down(lambda: server.restore(copy))

    await arena.serves(second)
    assert await route(arena) == {second: 100}
    await log_is_whole(arena)
