"""A share of live traffic: what is measured on it, what stops it, and what it does not write."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from penstock.kube.resources import HTTPROUTES
from tests.controller.release import BADLY, CANARY, WELL, ReleaseWorld, rollout
from tests.controller.traffic import Load
from tests.controller.world import digest, revision_of, spec_of
from tests.support.kubelet import READY, STARTING

Json = dict[str, Any]

ALONE: Json = {"gates": None, "approval": None}
# A first step that does not end while a test looks at it.
LONG: Json = {**CANARY, "steps": [{"weight": 10, "minSeconds": 600}, {"weight": 50}]}
ALWAYS: Json = {"schedule": "* * * * *", "durationSeconds": 3600}


async def in_the_first_step(release: ReleaseWorld, load: Load = WELL, **parts: Any) -> tuple[str, str]:
    """Have a candidate that gets 10 % of the traffic and stays there; the champion and the candidate."""
    stable = await release.champion(**{**ALONE, "canary": LONG, **parts})
    new = await release.candidate(load=load)
    await release.decided("Applied")
    await release.shares({stable: 90, new: 10})
    return stable, new


async def test_a_candidate_that_fails_requests_is_taken_back(release: ReleaseWorld) -> None:
    release.operator()
    stable, new = await in_the_first_step(release)
    await release.waits_for("600 s of this step")
    release.traffic.loads[new] = BADLY
    rejected = await release.says("CandidateRejected", "True", "CanaryHarm")
    assert "errors: worse than the champion by" in rejected["message"]
    await release.shares({stable: 100})
    assert await release.quarantined() == {new: "CanaryHarm"}
    record = await release.decided("RollBack")
    (shown,) = record["inputs"]["analysis"]
    assert (shown["name"], shown["verdict"]) == ("errors", "Fail")
    assert record["result"]["weights"] == {stable: 100}
    await release.says("Ready", "True", "Serving")
    await release.log_is_sound()


async def test_errors_of_both_are_nobodys_fault(release: ReleaseWorld) -> None:
    release.operator()
    stable = await release.champion(**ALONE)
    release.traffic.loads[stable] = Load(200, errors=10)
    new = await release.candidate(load=Load(200, errors=10))
    await release.serves(new)
    assert "RollBack" not in {record["spec"]["verdict"] for record in await release.records()}


async def test_a_pod_that_crashes_under_traffic_is_harm(release: ReleaseWorld) -> None:
    release.operator()
    stable, new = await in_the_first_step(release)
    release.pass_time(2)  # the kubelet knows whole seconds
    release.set_pods(new, replace(READY, crashed=release.clock()))
    rejected = await release.says("CandidateRejected", "True", "CanaryHarm")
    assert "OOMKilled" in rejected["message"]
    await release.shares({stable: 100})
    assert await release.quarantined() == {new: "CanaryHarm"}


async def test_a_pod_that_crashed_before_it_had_traffic_is_not(release: ReleaseWorld) -> None:
    release.operator()
    stable = await release.champion(**ALONE)
    crashed = release.clock() - timedelta(seconds=5)  # the kubelet knows whole seconds
    new = await release.edit_to_come("b", replace(READY, crashed=crashed))
    release.traffic.loads[new] = WELL
    await release.serves(new)
    await release.shares({new: 100})
    assert stable != new


async def test_a_drained_pod_costs_the_traffic_but_not_the_stage(release: ReleaseWorld) -> None:
    release.operator()
    stable, new = await in_the_first_step(release)
    release.set_pods(new, replace(STARTING, disrupted=True))
    await release.shares({stable: 100})
    held = await release.says("Progressing", "Unknown", "Held")
    assert "0 of the 1 pods are ready" in held["message"]
    await release.still()
    release.set_pods(new, READY)
    await release.shares({stable: 90, new: 10})
    await release.waits_for("600 s of this step")
    assert [record["spec"]["verdict"] for record in await release.records()][-3:] == ["Hold", "Release", "Applied"]
    release.pass_time(601)
    await release.serves(new)


async def test_without_numbers_nothing_goes_on(release: ReleaseWorld) -> None:
    release.operator()
    stable, new = await in_the_first_step(release)
    await release.silence(new)
    release.pass_time(31)
    missing = await release.says("Progressing", "Unknown", "EvidenceMissing")
    assert "errors" in missing["message"]
    release.pass_time(601)
    await release.still()
    assert await release.weights() == {stable: 90, new: 10}
    release.traffic.silent.clear()
    await release.decided("Release")
    await release.serves(new)


async def test_numbers_that_do_not_come_back_end_it_without_blame(release: ReleaseWorld) -> None:
    release.operator()
    stable, new = await in_the_first_step(release)
    await release.silence(stable)
    release.pass_time(31)
    await release.says("Progressing", "Unknown", "EvidenceMissing")
    release.pass_time(3601)  # the deadline, which stands still for as long again
    await release.still()
    release.pass_time(3601)
    await release.says("CandidateRejected", "True", "EvidenceMissing")
    await release.shares({stable: 100})
    assert await release.quarantined() == {}
    assert new


async def test_missing_numbers_may_be_a_reason_to_go_back(release: ReleaseWorld) -> None:
    release.operator()
    stable, new = await in_the_first_step(release, onMissingEvidence="Rollback")
    await release.silence(new)
    release.pass_time(31)
    await release.says("CandidateRejected", "True", "EvidenceMissing")
    await release.shares({stable: 100})


async def test_what_is_lacking_is_said(release: ReleaseWorld) -> None:
    release.operator()
    canary = {**CANARY, "steps": [{"weight": 10, "minRequests": 1_000_000}]}
    _, new = await in_the_first_step(release, canary=canary)
    await release.waits_for("of 1000000 requests")
    eta = (await release.status())["candidate"].get("eta")
    release.pass_time(31)
    assert eta is None or eta > "2"
    release.pass_time(3601)
    await release.says("CandidateRejected", "True", "DeadlineExceeded")
    assert await release.quarantined() == {}
    assert new


@pytest.mark.parametrize(
    ("still", "reason"), [({"suspend": True}, "Suspended"), ({"rollout": {"freeze": [ALWAYS]}}, "Frozen")]
)
async def test_a_pause_stops_the_clock_and_keeps_the_traffic(release: ReleaseWorld, still: Json, reason: str) -> None:
    release.operator()
    stable, new = await in_the_first_step(release)
    await release.edit(**still)
    await release.says("Progressing", "Unknown", reason)
    release.pass_time(7300)  # more than the stage may take
    await release.still()
    assert await release.weights() == {stable: 90, new: 10}
    await release.edit(suspend=False, rollout={"freeze": []})
    await release.decided("Resume")
    await release.waits_for("600 s of this step")
    release.pass_time(601)
    await release.serves(new)


@pytest.mark.parametrize("still", [{"suspend": True}, {"rollout": {"freeze": [ALWAYS]}}], ids=["suspend", "freeze"])
async def test_a_pause_does_not_protect_a_bad_candidate(release: ReleaseWorld, still: Json) -> None:
    release.operator()
    stable, new = await in_the_first_step(release)
    await release.edit(**still)
    await release.decided("Pause")
    release.traffic.loads[new] = BADLY
    await release.decided("RolledBack")
    await release.shares({stable: 100})
    assert await release.quarantined() == {new: "CanaryHarm"}


async def test_going_back_in_git_ends_a_canary(release: ReleaseWorld) -> None:
    release.operator()
    stable, _ = await in_the_first_step(release)
    assert await release.edit(artifact={"digest": digest("a")}) == stable
    await release.serves(stable)
    await release.shares({stable: 100})
    assert await release.quarantined() == {}
    assert (await release.status())["history"][0]["outcome"] == "Superseded"


async def test_a_third_revision_gets_its_turn_after_the_champion(release: ReleaseWorld) -> None:
    release.operator()
    stable, second = await in_the_first_step(release)
    third = await release.candidate("c")
    await release.shares({stable: 90, third: 10})
    verdicts = [(record["spec"]["verdict"], record["spec"]["result"]["weights"]) for record in await release.records()]
    assert ("RollBack", {stable: 100}) in verdicts
    assert all(set(weights) != {second, third} for _, weights in verdicts)
    await release.waits_for("600 s of this step")
    assert (await release.status())["tests"]["revision"] == third


async def test_going_back_in_git_after_the_promotion_takes_the_short_way(release: ReleaseWorld) -> None:
    release.operator()
    stable = await release.champion(**ALONE)
    new = await release.candidate()
    await release.serves(new)
    before = len(await release.records())
    assert await release.edit(artifact={"digest": digest("a")}) == stable
    await release.serves(stable)
    fresh = (await release.records())[before:]
    assert [record["spec"]["verdict"] for record in fresh] == ["Start", "Promote", "Promoted"]
    assert fresh[0]["spec"]["inputs"]["reliesOn"] > 0


async def test_errors_while_people_are_asked_take_it_back(release: ReleaseWorld) -> None:
    release.operator()
    stable = await release.champion(gates=None)
    new = await release.asks_for_approval()
    release.traffic.loads[new] = BADLY
    await release.says("CandidateRejected", "True", "CanaryHarm")
    await release.shares({stable: 100})


async def test_a_canary_that_has_nothing_to_do_writes_nothing(release: ReleaseWorld) -> None:
    release.operator()
    stable = await release.champion(**ALONE)
    await release.still()
    assert [str(call) for call in await release.quiet()] == []
    # What is known of the stable revision's traffic is kept four times an hour, if there was any.
    release.pass_time(901)
    await release.until(lambda: _knows(release, {}), "the stable revision's traffic is known a little")
    known = (await release.status())["burstiness"]
    assert [str(call) for call in await release.quiet(1)] == []
    release.pass_time(901)
    await release.until(lambda: _knows(release, known), "more is known of it")
    del release.traffic.loads[stable]

    async def nothing_is_left_to_keep() -> bool:
        release.pass_time(901)  # for what came in by then
        return [str(call) for call in await release.quiet(1)] == []

    await release.until(nothing_is_left_to_keep, "what is known of the last traffic has been kept")
    release.pass_time(901)
    assert [str(call) for call in await release.quiet()] == []


async def _knows(release: ReleaseWorld, before: Json) -> bool:
    return (await release.status()).get("burstiness", before) != before


async def test_numbers_alone_are_written_every_half_minute_at_most(release: ReleaseWorld) -> None:
    release.operator()
    await in_the_first_step(release)
    await release.waits_for("600 s of this step")
    written = [str(call) for call in await release.quiet(4)]
    assert written in ([], ["patch models/status/flight 200"])


def own_server(content: str) -> Json:
    """The spec of a server of the owner's own."""
    artifact = {"uri": "https://example.com/m.bin", "digest": digest(content), "format": "Custom"}
    image = f"registry.example.com/their/server@sha256:{'cd' * 32}"
    return {"artifact": artifact, "serving": {"runtime": "Custom", "custom": {"image": image, "port": 9000}}}


@pytest.mark.parametrize("before", ["own server", "built-in server"])
async def test_a_server_that_counts_nothing_is_not_kept_in_a_canary(release: ReleaseWorld, before: str) -> None:
    release.operator()
    stable = await release.serving(own_server("a") if before == "own server" else spec_of())
    own = own_server("b")
    new = revision_of(own)
    release.traffic.bare |= {new, stable} if before == "own server" else {new}
    release.traffic.loads |= {stable: WELL, new: WELL}
    await release.edit(**own, **rollout(**{**ALONE, "canary": LONG}))
    await release.decided("Applied")

    async def is_heard() -> bool:
        return release.traffic.turned_away[new] >= 3

    await release.until(is_heard, "the operator has heard that nothing is counted")
    release.pass_time(31)
    rejected = await release.says("CandidateRejected", "True", "NoMetricSource")
    assert "/metrics answers 404" in rejected["message"]
    await release.shares({stable: 100})
    assert await release.quarantined() == {}
    await release.log_is_sound()


async def test_without_a_gateway_a_canary_is_refused(release: ReleaseWorld) -> None:
    release.operator(gateway=False)
    stable = await release.champion(**ALONE)
    await release.candidate()
    await release.says("Progressing", "Unknown", "RoutingUnsupported")
    assert (await release.status())["stable"]["revision"] == stable
    assert await release.names(HTTPROUTES) == set()
