"""etcd is restored to an older state under the running operator: traffic is kept, and the log says what it lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from penstock.domain.audit import broken_link
from penstock.domain.audit.again import differences
from penstock.kube.resources import HTTPROUTES
from tests.controller.world import digest
from tests.faults.arena import Json
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


async def end(arena: Restored) -> Json:
    """Number and hash of the newest decision."""
    newest = (await arena.records())[-1]["spec"]
    return {key: newest[key] for key in ("sequence", "hash")}


async def log_is_whole(arena: Restored, found: Json, lost: Json) -> None:
    """Check that one record names both ends, that no number is used twice, and that nothing else went wrong."""
    specs = [record["spec"] for record in await arena.records()]
    assert broken_link(specs) is None
    assert list(differences(specs)) == []
    (restored,) = [spec for spec in specs if spec["verdict"] == "Restored"]
    assert restored["inputs"]["heads"] == {"found": found, "lost": lost}
    assert restored["sequence"] == lost["sequence"] + 1
    assert restored["previousHash"] == found["hash"]
    # The process ends by what it holds to be the reason, and says so.
    assert tracebacks(arena.log(), "went back from version") == []


async def test_finished_rollout_is_forgotten(arena: Restored, server: RestorableServer) -> None:
    first = await arena.serving()
    found, copy = await end(arena), await snapshot(arena, server)
    await arena.serves(await arena.edit(artifact={"digest": digest("b")}))
    lost = await end(arena)

    await arena.while_down(lambda: server.restore(copy))

    await leads_again(arena)

    async def said() -> bool:
        return (await end(arena))["sequence"] > lost["sequence"]

    await arena.until(said, "the restoration is in the log")
    assert await route(arena) == {first: 100}
    third = await arena.edit(artifact={"digest": digest("c")})
    await arena.serves(third)
    assert await route(arena) == {third: 100}
    await log_is_whole(arena, found, lost)


async def test_edit_comes_before_the_restoration_is_noticed(arena: Restored, server: RestorableServer) -> None:
    await arena.serving()
    found, copy = await end(arena), await snapshot(arena, server)
    await arena.serves(await arena.edit(artifact={"digest": digest("b")}))
    lost = await end(arena)

    await arena.while_down(lambda: server.restore(copy))

    third = await arena.edit(artifact={"digest": digest("c")})
    await arena.serves(third)
    assert await route(arena) == {third: 100}
    await log_is_whole(arena, found, lost)


async def test_rollout_is_set_back_to_its_middle(arena: Restored, server: RestorableServer) -> None:
    await arena.serving()
    second = await arena.edit_to_come("b", STARTING)
    await arena.reaches("Starting")
    found, copy = await end(arena), await snapshot(arena, server)
    arena.set_pods(second, READY)
    await arena.serves(second)
    lost = await end(arena)

    await arena.while_down(lambda: server.restore(copy))

    await arena.serves(second)
    assert await route(arena) == {second: 100}
    await log_is_whole(arena, found, lost)
