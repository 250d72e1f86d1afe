"""A release survives its operator: whatever was known goes on, nothing is done twice."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from penstock.controllers.resources import DECISIONRECORDS, MODELS
from penstock.kube.resources import HTTPROUTES, JOBS
from tests.controller.release import CANARY, GATE, PASSES, ReleaseWorld
from tests.controller.world import digest
from tests.support.kubelet import READY, STARTING, Routes

Json = dict[str, Any]

LONG: Json = {**CANARY, "steps": [{"weight": 10, "minSeconds": 600}, {"weight": 50}]}
FULL_WAY = [
    "Start",
    "Advance",
    "Advance",
    "Applied",
    "Advance",
    "Applied",
    "Await",
    "Promote",
    "Promoted",
]


async def verdicts(release: ReleaseWorld) -> list[str]:
    """What was decided since the first revision served."""
    return [record["spec"]["verdict"] for record in await release.records()][3:]


async def killed(release: ReleaseWorld) -> None:
    """The operator is killed, and another one starts."""
    await release.operators[-1].kill()
    await release.free_lease()
    release.operator()


async def test_killed_in_every_stage(release: ReleaseWorld) -> None:
    release.operator()
    await release.gate()
    stable = await release.champion(canary=LONG)
    new = await release.edit_to_come("b", STARTING)
    release.traffic.loads[new] = release.traffic.loads[stable]
    await release.reaches("Starting")
    await killed(release)
    release.set_pods(new, READY)
    await release.waits_for("its Job is running")
    await killed(release)
    release.jobs.results[GATE] = PASSES
    await release.reaches("Canary")
    await release.waits_for("600 s of this step")
    before = (await release.status())["tests"]["session"]
    await killed(release)
    release.pass_time(601)
    await release.reaches("AwaitingApproval")
    await killed(release)
    await release.until(lambda: _numbers(release), "the comparison goes on")
    after = (await release.status())["tests"]["session"]
    assert after["began"] == before["began"]
    evidence = (await release.status())["candidate"]["evidenceDigest"]
    await release.approve("ann", new, evidence)
    await release.decided("Promote")
    await killed(release)
    await release.serves(new)
    assert await verdicts(release) == FULL_WAY
    assert len(release.jobs.seen) == 1
    await release.log_is_sound()


async def _numbers(release: ReleaseWorld) -> bool:
    return bool((await release.status()).get("analysis"))


async def test_death_after_any_decision_of_a_release(release: ReleaseWorld) -> None:
    release.jobs.results[GATE] = PASSES
    release.operator()
    await release.gate()
    await release.champion()
    await release.operators[-1].stop()
    new = await release.candidate()
    approved, deaths = False, 0

    async def over() -> bool:
        asked = not approved and await _waits_for_people(release)
        return release.operators[-1].is_dead or asked or await _is_stable(release, new)

    while not await _is_stable(release, new):
        release.operator(dies_after=lambda kind, _: kind is DECISIONRECORDS)
        await release.until(over, "the operator dies, or nothing is left to do")
        if not approved and await _waits_for_people(release):
            await release.approve("ann", new)
            approved = True
            await release.until(over, "the approval has its effect")
        deaths += release.operators[-1].is_dead
        await release.operators[-1].stop()
        await release.free_lease()
    assert deaths == len(FULL_WAY)
    release.operator()
    await release.still()
    assert await verdicts(release) == FULL_WAY
    assert len(release.jobs.seen) == 1
    assert await release.weights() == {new: 100}
    await release.log_is_sound()


async def _waits_for_people(release: ReleaseWorld) -> bool:
    candidate = (await release.status()).get("candidate", {})
    return candidate.get("stage") == "AwaitingApproval" and "evidenceDigest" in candidate


async def _is_stable(release: ReleaseWorld, revision: str) -> bool:
    status = await release.status()
    return status.get("stable", {}).get("revision") == revision and "candidate" not in status


async def test_a_wiped_status_is_rebuilt_in_the_canary(release: ReleaseWorld) -> None:
    release.operator()
    stable = await release.champion(gates=None, canary=LONG)
    new = await release.candidate()
    await release.waits_for("600 s of this step")
    before = await release.status()
    await release.wipe_status()
    await release.waits_for("600 s of this step")
    after = await release.status()
    for field in ("wanted", "traffic", "sequence", "head", "history"):
        assert copy.deepcopy(after.get(field)) == before.get(field)
    assert (after["stable"]["revision"], after["candidate"]["revision"]) == (stable, new)
    assert after["tests"]["session"]["began"] == before["tests"]["session"]["began"]
    await release.still()


async def test_a_wiped_status_while_no_operator_runs_begins_the_comparison_where_the_log_left_it(
    release: ReleaseWorld,
) -> None:
    operator = release.operator()
    await release.champion(gates=None, canary={**CANARY, "steps": [{"weight": 10}, {"weight": 50, "minSeconds": 600}]})
    await release.candidate()
    await release.waits_for("600 s of this step")
    await operator.stop()
    logged = (await release.records())[-1]["spec"]["result"]["candidate"]["tests"]["session"]
    await release.wipe_status()
    release.operator()
    await release.waits_for("600 s of this step")
    assert (await release.status())["tests"]["session"]["began"] == logged["began"]


@pytest.mark.parametrize("stage", ["Starting", "Evaluating", "Canary", "AwaitingApproval", "Promoting"])
async def test_a_third_revision_in_every_stage(release: ReleaseWorld, stage: str) -> None:
    release.operator()
    await release.gate()
    stable = await release.champion(canary=LONG)
    second = await _brought_to(release, stage)
    release.set_routes(Routes())
    release.jobs.results[GATE] = PASSES
    third = await release.candidate("c")
    release.set_pods(third, READY)
    await release.shares({stable: 90, third: 10})
    await release.until(lambda: _superseded(release, second), "the second one is superseded")
    assert await release.quarantined() == {}
    for record in await release.records():
        assert set(record["spec"]["result"]["weights"]) != {second, third}


@pytest.mark.parametrize("stage", ["Starting", "Evaluating", "AwaitingApproval", "Promoting"])
async def test_back_in_git_in_every_stage(release: ReleaseWorld, stage: str) -> None:
    release.operator()
    await release.gate()
    stable = await release.champion(canary=LONG)
    second = await _brought_to(release, stage)
    release.set_routes(Routes())
    await release.edit(artifact={"digest": digest("a")})
    await release.serves(stable)
    await release.shares({stable: 100})
    await release.until(lambda: _superseded(release, second), "the second one is superseded")
    assert await release.quarantined() == {}


@pytest.mark.parametrize("stage", ["Starting", "Evaluating", "AwaitingApproval"])
async def test_suspended_in_every_stage(release: ReleaseWorld, stage: str) -> None:
    release.operator()
    await release.gate()
    stable = await release.champion(canary=LONG)
    second = await _brought_to(release, stage)
    before = await release.weights()
    await release.edit(suspend=True)
    await release.decided("Pause")
    release.jobs.results[GATE] = PASSES
    release.set_pods(second, READY)
    release.pass_time(700_000)
    await release.still()
    assert await release.weights() == before
    assert (await release.status())["candidate"]["stage"] == stage
    await release.edit(suspend=False)
    await release.decided("Resume")
    assert stable in await release.weights()


async def _brought_to(release: ReleaseWorld, stage: str) -> str:
    """A second revision that stays in that stage."""
    if stage == "Starting":
        second = await release.edit_to_come("b", STARTING)
    else:
        second = await release.candidate()
    if stage not in ("Starting", "Evaluating"):
        release.jobs.results[GATE] = PASSES
    if stage == "Evaluating":
        await release.waits_for("its Job is running")
    if stage in ("AwaitingApproval", "Promoting"):
        await release.waits_for("600 s of this step")
        release.pass_time(601)
        await release.reaches("AwaitingApproval")
    if stage == "Promoting":
        release.set_routes(Routes(answers=False, previews=False))
        await release.approve("ann", second)
    await release.reaches(stage)
    return second


async def _superseded(release: ReleaseWorld, revision: str) -> bool:
    history = (await release.status()).get("history", [])
    return any((item["revision"], item["outcome"]) == (revision, "Superseded") for item in history)


async def test_nothing_of_a_release_is_left_when_the_model_goes(release: ReleaseWorld) -> None:
    release.operator()
    await release.gate()
    await release.champion(canary=LONG)
    await release.candidate()
    await release.waits_for("its Job is running")
    await release.client.delete(MODELS, release.namespace, release.name)

    async def gone() -> bool:
        return await release.names(HTTPROUTES) == set()

    await release.until(gone, "the route is gone")
    asked = len(release.writes())
    await release.quiet()
    # The gate alone says that nobody uses it any more.
    assert {str(call) for call in release.writes()[asked:]} <= {f"patch evaluationgates/status/{GATE} 200"}
    assert await release.names(JOBS) == set()
