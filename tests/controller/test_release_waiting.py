"""A candidate that waits: for the rollouts of others, and too long."""

from __future__ import annotations

from penstock.kube.resources import EVENTS
from tests.controller.release import ReleaseWorld
from tests.controller.world import spec_of
from tests.support.kubelet import STARTING


async def test_a_rollout_waits_for_a_free_slot(release: ReleaseWorld) -> None:
    release.config = {"maxRollouts": 1}
    release.operator()
    await release.serving(spec_of("a"))
    first = release.name
    release.name = "second"
    await release.serving(spec_of("b"))
    release.name = first
    under_way = await release.edit_to_come("c", STARTING)
    await release.reaches("Starting")
    release.name = "second"
    waiting = await release.edit(artifact=spec_of("d")["artifact"])
    await release.reaches("Pending")
    said = await release.says("Progressing", "Unknown", "NoFreeSlot")
    assert "1 rollout is under way, as many as maxRollouts of the operator allows" in said["message"]
    release.name = first
    release.set_pods(under_way)
    await release.serves(under_way)
    release.name = "second"
    await release.serves(waiting)


async def test_people_hear_of_a_stage_at_half_of_its_time(release: ReleaseWorld) -> None:
    release.operator()
    await release.serving(spec_of("a", rollout={"stageDeadlineSeconds": 1000}))
    await release.edit_to_come("b", STARTING)
    await release.reaches("Starting")

    async def reminders() -> list[str]:
        found, _ = await release.client.list(EVENTS, release.namespace)
        return [event["note"] for event in found if event["reason"] == "DeadlineNear"]

    assert await reminders() == []
    release.pass_time(501)

    async def reminded() -> bool:
        return bool(await reminders())

    await release.until(reminded, "there is an Event at half of the time")
    (note,) = await reminders()
    assert "Starting ends " in note
    assert "0 of 1 pods are ready" in note
