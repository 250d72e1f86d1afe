"""The decision log is the truth: status is rebuilt from it, a lost one stops everything but the traffic."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from penstock.api.v1alpha1.decisionrecord import content_hash
from penstock.controllers.resources import DECISIONRECORDS, MODELS
from penstock.domain.audit import broken_link
from penstock.kube.resources import DEPLOYMENTS, HTTPROUTES, SERVICES, Resource, version_of
from tests.controller.world import World, digest

Json = dict[str, Any]


def timeless(status: Json) -> Json:
    """A status without the times at which conditions changed: they are not in the log."""
    bare = copy.deepcopy(status)
    for condition in bare["conditions"]:
        del condition["lastTransitionTime"]
    return bare


async def children(world: World) -> dict[str, str]:
    """The versions of everything that the Model owns."""
    found: dict[str, str] = {}
    for kind in (DEPLOYMENTS, SERVICES, HTTPROUTES):
        objects, _ = await world.client.list(kind, world.namespace)
        found |= {f"{kind}/{obj['metadata']['name']}": version_of(obj) for obj in objects}
    return found


@pytest.mark.parametrize("running", [True, False], ids=["operator runs", "operator is down"])
async def test_wiped_status_is_rebuilt_from_the_log(world: World, running: bool) -> None:
    operator = world.operator()
    await world.serving()
    await world.serves(await world.edit(artifact={"digest": digest("b")}))
    before = await world.status()
    records = await world.records()
    if not running:
        await operator.stop()
    await world.client.patch_merge(MODELS, world.namespace, "flight", {"status": None}, "status")
    if not running:
        world.operator()

    async def rebuilt() -> bool:
        return timeless(await world.status()) == timeless(before)

    await world.until(rebuilt, "status is as it was")
    assert await world.records() == records


async def lose(world: World, records: list[Json]) -> None:
    """Delete those records while no operator runs, then start one and wait for what it says."""
    for operator in world.operators:
        await operator.stop()
    for record in records:
        await world.client.delete(DECISIONRECORDS, world.namespace, record["metadata"]["name"])
    world.operator()
    await world.says("Stalled", "True", "StateLost")


async def test_lost_log_keeps_the_traffic_and_stops_everything_else(world: World) -> None:
    world.operator()
    revision = await world.serving()
    before, records = await children(world), await world.records()
    await lose(world, records)
    await world.edit(artifact={"digest": digest("b")})
    await world.still()
    assert await children(world) == before
    assert await world.records() == []

    for record in records:
        metadata = {key: record["metadata"][key] for key in ("name", "namespace", "labels")}
        restored = {**record, "metadata": metadata}
        await world.client.create(DECISIONRECORDS, restored)
    new = (await world.model())["spec"]["artifact"]["digest"]
    assert new == digest("b")

    async def resumed() -> bool:
        return (await world.status()).get("stable", {}).get("digest") == digest("b")

    await world.until(resumed, "the restored log is used again")
    assert revision in {item["revision"] for item in (await world.status())["history"]}
    assert await world.condition("Stalled") == {}


async def test_lost_head_is_never_written_a_second_time(world: World) -> None:
    world.operator()
    await world.serving()
    before, records = await children(world), await world.records()
    await lose(world, records[-1:])
    await world.still()
    assert await world.records() == records[:-1]
    assert await children(world) == before
    assert (await world.condition("Stalled"))["reason"] == "StateLost"
    assert (await world.status())["sequence"] == 3


async def test_gap_in_the_log_is_seen(world: World) -> None:
    world.operator()
    await world.serving()
    records = await world.records()
    await lose(world, records[1:])
    assert "the log ends at 1" in (await world.condition("Stalled"))["message"]


@pytest.mark.parametrize("same", [True, False], ids=["same content", "other content"])
async def test_record_that_somebody_else_wrote_first_is_the_truth(world: World, same: bool) -> None:
    written: list[Json] = []

    def rival(kind: Resource, obj: Json) -> Json | None:
        if kind is not DECISIONRECORDS or obj["spec"]["sequence"] != 4 or written:
            return None
        faster = copy.deepcopy(obj)
        if not same:
            faster["spec"]["actor"] = "somebody"
            del faster["spec"]["result"]["candidate"]
            faster["spec"]["hash"] = content_hash(faster["spec"])
        written.append(faster)
        return faster

    world.tampered = not same
    world.operator(rival=rival)
    old = await world.serving()
    new = await world.edit(artifact={"digest": digest("b")})
    if same:
        await world.serves(new)
    else:

        async def seen() -> bool:
            return (await world.status())["sequence"] == 4

        await world.until(seen, "status shows the other record")
        await world.still()
        assert (await world.status())["stable"]["revision"] == old
        assert await world.names(DEPLOYMENTS) == {f"flight-{old}"}
        await world.serves(await world.edit(artifact={"digest": digest("c")}))
    records = await world.records()
    assert records[3]["spec"] == written[0]["spec"]
    assert broken_link([record["spec"] for record in records]) is None
