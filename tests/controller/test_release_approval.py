"""What people can say about a revision, when it counts, and in which words it is refused."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.api.v1alpha1.modelaction import ActionType
from tests.controller.release import BADLY, CANARY, FAILS, GATE, PASSES, ReleaseWorld, measured, rollout
from tests.controller.world import digest, spec_of
from tests.support.cluster import Refused
from tests.support.kubelet import READY, STARTING

Json = dict[str, Any]

ONLY_PEOPLE: Json = {"gates": None, "canary": None}
OTHER = "sha256:" + "1" * 64
REQUESTER = "penstock.dev/requested-by"


async def test_only_who_has_the_verb_can_approve(release: ReleaseWorld) -> None:
    release.operator()
    await release.champion(**ONLY_PEOPLE)
    new = await release.asks_for_approval()
    with pytest.raises(Refused, match="bob may not approve model flight"):
        await release.approve("bob", new)
    with pytest.raises(Refused, match=r"spec\.user must be ann"):
        release.command("ann", ActionType.APPROVE, new, evidenceDigest=OTHER, signed="bob")
    await release.still()
    await release.reaches("AwaitingApproval")


async def test_a_command_about_no_model_is_answered(release: ReleaseWorld) -> None:
    release.operator()
    await release.refused(release.command("cat", ActionType.ROLLBACK, None), "ModelMissing", "There is no such Model")


async def test_what_does_not_fit_is_refused_with_its_sentence(release: ReleaseWorld) -> None:
    release.operator()
    stable = await release.champion(**ONLY_PEOPLE)
    too_early = release.command("ann", ActionType.APPROVE, stable, evidenceDigest=OTHER)
    await release.refused(too_early, "NoCandidate", "No revision is under way.")
    new = await release.asks_for_approval()
    await release.refused(await release.approve("ann", stable), "WrongRevision", f"revision {new} is under way")
    await release.refused(
        await release.approve("ann", new, OTHER), "EvidenceChanged", f"There is other evidence about revision {new} now"
    )
    future = release.command("ann", ActionType.REJECT, new, sequence=1000)
    await release.refused(future, "UnknownSequence", "There is no decision 1000")
    stale = release.command("cat", ActionType.REJECT, new, sequence=1)
    await release.refused(stale, "Stale", "was started again by decision")
    await release.refused(release.command("cat", ActionType.PROMOTE, new), "ApprovalNeeded", "has to be approved first")
    await release.refused(release.command("cat", ActionType.RETRY, new), "NotRejected", "was not rejected")
    await release.refused(
        release.command("cat", ActionType.RELEASE_QUARANTINE, new), "NotQuarantined", "is not quarantined"
    )
    await release.refused(
        release.command("cat", ActionType.ROLLBACK, "0123456789ab"), "NeverStable", "is not known to have served"
    )
    await release.refused(release.command("cat", ActionType.ROLLBACK, stable), "AlreadyStable", "serves")
    # None of them has changed anything; the log names each.
    assert (await release.status())["candidate"]["stage"] == "AwaitingApproval"
    refusals = [record["spec"] for record in await release.records() if record["spec"]["verdict"] == "Refuse"]
    assert len(refusals) == 10
    assert {record["actor"] for record in refusals} == {"ann", "cat"}
    await release.approve("ann", new)
    await release.serves(new)


async def test_the_quorum_counts_people(release: ReleaseWorld) -> None:
    release.operator()
    await release.champion(**ONLY_PEOPLE, approval={"required": True, "quorum": 2})
    new = await release.asks_for_approval()
    first = await release.became(await release.approve("ann", new))
    assert (first["state"], first["reason"]) == ("Done", "Approve")
    await release.waits_for("1 of 2 approvals (ann)")
    await release.refused(await release.approve("ann", new), "AlreadyApproved", "counts once")
    last = await release.became(await release.approve("eve", new))
    assert last["reason"] == "Promote"
    await release.serves(new)
    promoted = await release.decided("Promote")
    assert (promoted["actor"], promoted["inputs"]["approvals"]) == ("eve", 2)


async def separated(release: ReleaseWorld) -> str:
    """A Model with separation of duties, whose present revision ann asked for, and which serves."""
    approval = {"required": True, "separationOfDuties": True}
    meta = {"name": release.name, "namespace": release.namespace, "annotations": {REQUESTER: "ann"}}
    spec = spec_of(**rollout(**ONLY_PEOPLE, approval=approval))
    model = {"apiVersion": "penstock.dev/v1alpha1", "kind": "Model", "metadata": meta, "spec": spec}
    release.as_user("ann").create(model)
    await release.reaches("AwaitingApproval")
    revision: str = (await release.status())["candidate"]["revision"]
    return revision


async def test_who_asked_does_not_approve(release: ReleaseWorld) -> None:
    release.operator()
    first = await separated(release)
    await release.refused(await release.approve("ann", first), "OwnRequest", "ann asked for revision")
    await release.approve("eve", first)
    await release.serves(first)
    # Nor does who had it tried again.
    change = {"spec": {"artifact": {"digest": digest("b")}}, "metadata": {"annotations": {REQUESTER: "bob"}}}
    model = await release.model()
    release.as_user("bob").merge(model, change)
    await release.reaches("AwaitingApproval")
    new = (await release.status())["candidate"]["revision"]
    release.pass_time(604_801)
    await release.says("CandidateRejected", "True", "NotApproved")
    assert await release.quarantined() == {}
    retry = await release.became(release.command("dan", ActionType.RETRY, new))
    assert retry["state"] == "Done"
    await release.reaches("AwaitingApproval")
    candidate = (await release.records())[-1]["spec"]["result"]["candidate"]
    assert candidate["requesters"] == ["bob", "dan"]
    # The one who approves it now says so by the operator's clock, which the API server's is behind.
    await release.approve("eve", new)
    await release.serves(new)


async def test_one_no_is_enough(release: ReleaseWorld) -> None:
    release.operator()
    stable = await release.champion(gates=None)
    new = await release.asks_for_approval()
    assert await release.weights() == {stable: 50, new: 50}
    seen = (await release.status())["candidate"]["evidenceDigest"]
    command = release.command("ann", ActionType.REJECT, new, evidenceDigest=seen, reason="not on Fridays")
    assert (await release.became(command))["state"] == "Done"
    rejected = await release.says("CandidateRejected", "True", "Rejected")
    assert "ann: not on Fridays" in rejected["message"]
    await release.shares({stable: 100})
    assert await release.quarantined() == {new: "Rejected"}
    await release.refused(release.command("cat", ActionType.RETRY, new), "Quarantined", "release it first")


async def test_promote_skips_waiting_but_no_verdict(release: ReleaseWorld) -> None:
    release.operator()
    release.jobs.results[GATE] = PASSES
    await release.gate()
    steps = [{"weight": 10, "minSeconds": 3000}]
    stable = await release.champion(canary={**CANARY, "steps": steps}, approval=None)
    release.traffic.loads[stable] = release.traffic.loads[stable].__class__(0)
    new = await release.candidate(load=release.traffic.loads[stable])
    await release.decided("Applied")
    command = release.command("cat", ActionType.PROMOTE, new)
    await release.refused(command, "EvidenceMissing", "There is no verdict about revision")
    with pytest.raises(Refused, match="cat may not promote model flight with bypass"):
        release.command("cat", ActionType.PROMOTE, new, bypass=True)
    done = await release.became(release.command("dan", ActionType.PROMOTE, new, bypass=True))
    assert (done["state"], done["reason"]) == ("Done", "Promote")
    await release.serves(new)
    record = await release.decided("Promote")
    assert (record["actor"], record["inputs"]["bypass"]) == ("dan", ["analysis errors"])
    assert record["result"]["candidate"]["bypassed"] is True


async def test_nobody_can_skip_an_approval(release: ReleaseWorld) -> None:
    release.operator()
    steps = [{"weight": 10, "minSeconds": 3000}]
    await release.champion(gates=None, canary={**CANARY, "steps": steps})
    new = await release.candidate()
    await release.decided("Applied")
    done = await release.became(release.command("dan", ActionType.PROMOTE, new, bypass=True))
    assert done["reason"] == "Await"
    await release.reaches("AwaitingApproval")
    again = release.command("dan", ActionType.PROMOTE, new, bypass=True)
    await release.refused(again, "ApprovalNeeded", "has to be approved first")
    await release.approve("eve", new)
    await release.serves(new)


async def test_rollback_quarantines_what_is_left(release: ReleaseWorld) -> None:
    release.operator()
    stable = await release.champion(gates=None, canary=None, approval=None)
    new = await release.candidate()
    await release.serves(new)
    done = await release.became(release.command("cat", ActionType.ROLLBACK, None, reason="customers complain"))
    assert done["state"] == "Done"
    await release.serves(stable)
    await release.shares({stable: 100})
    assert await release.quarantined() == {new: "RolledBack"}
    not_served = await release.says("SpecServed", "False", "RolledBack")
    assert new in not_served["message"] or "spec asks for another" in not_served["message"]
    await release.still()
    # Released, it may come back, but only if it is asked for.
    assert (await release.became(release.command("cat", ActionType.RELEASE_QUARANTINE, new)))["state"] == "Done"
    assert await release.quarantined() == {}
    await release.still()
    await release.edit(artifact={"digest": digest("a")})
    await release.says("SpecServed", "True", "Serving")
    await release.edit(artifact={"digest": digest("b")})
    await release.serves(new)


async def test_rollback_to_a_named_revision_during_a_canary(release: ReleaseWorld) -> None:
    release.operator()
    first = await release.champion(gates=None, canary=None, approval=None)
    second = await release.candidate("b")
    await release.serves(second)
    await release.edit(rollout={"canary": {**CANARY, "steps": [{"weight": 10, "minSeconds": 600}]}})
    third = await release.candidate("c")
    await release.shares({second: 90, third: 10})
    assert (await release.became(release.command("cat", ActionType.ROLLBACK, first)))["state"] == "Done"
    await release.serves(first)
    await release.shares({first: 100})
    assert second in await release.quarantined()


async def test_a_released_revision_that_is_still_asked_for_begins_anew(release: ReleaseWorld) -> None:
    release.operator()
    release.jobs.results[GATE] = FAILS
    await release.gate()
    await release.champion(canary=None, approval=None)
    bad = await release.candidate()
    await release.says("CandidateRejected", "True", "GateFailed")
    release.jobs.results[GATE] = PASSES
    done = await release.became(release.command("cat", ActionType.RELEASE_QUARANTINE, bad, reason="wrong rows"))
    assert (done["state"], done["reason"]) == ("Done", "Release")
    await release.serves(bad)
    assert await release.quarantined() == {}


async def test_a_retry_after_a_deadline(release: ReleaseWorld) -> None:
    release.operator()
    await release.champion(gates=None, canary=None, approval=None)
    new = await release.edit_to_come("b", STARTING)
    await release.reaches("Starting")
    release.pass_time(3601)
    await release.says("CandidateRejected", "True", "DeadlineExceeded")
    release.set_pods(new, READY)
    assert (await release.became(release.command("cat", ActionType.RETRY, new)))["state"] == "Done"
    await release.serves(new)


async def test_gates_are_asked_again_on_demand(release: ReleaseWorld) -> None:
    release.operator()
    release.jobs.results[GATE] = PASSES
    await release.gate()
    stable = await release.champion(canary=None)
    new = await release.asks_for_approval()
    seen = (await release.status())["candidate"]["evidenceDigest"]
    release.jobs.results[GATE] = FAILS
    assert (await release.became(release.command("cat", ActionType.EVALUATE, new)))["state"] == "Done"
    await release.says("CandidateRejected", "True", "GateFailed")
    assert await release.weights() == {stable: 100}
    assert len(release.jobs.seen) == 2
    assert seen


async def test_new_evidence_voids_what_was_approved(release: ReleaseWorld) -> None:
    release.operator()
    release.jobs.results[GATE] = PASSES
    await release.gate()
    await release.champion(canary=None, approval={"required": True, "quorum": 2})
    new = await release.asks_for_approval()
    seen = (await release.status())["candidate"]["evidenceDigest"]
    await release.became(await release.approve("ann", new))
    release.jobs.results[GATE] = measured(0.81, 0.89)
    await release.became(release.command("cat", ActionType.EVALUATE, new))

    async def asked_anew() -> bool:
        return (await release.status())["candidate"].get("evidenceDigest") not in (None, seen)

    await release.until(asked_anew, "there is other evidence")
    await release.waits_for("0 of 2 approvals")
    await release.refused(await release.approve("eve", new, seen), "EvidenceChanged", "Look at it and decide again")
    await release.approve("ann", new)
    await release.approve("eve", new)
    await release.serves(new)


async def test_while_suspended_only_ways_back_are_taken(release: ReleaseWorld) -> None:
    release.operator()
    stable = await release.champion(**ONLY_PEOPLE)
    new = await release.asks_for_approval()
    await release.edit(suspend=True)
    await release.decided("Pause")
    seen = (await release.status())["candidate"]["evidenceDigest"]
    await release.refused(await release.approve("ann", new, seen), "Suspended", "only Reject and Rollback")
    assert (await release.became(release.command("cat", ActionType.REJECT, new)))["state"] == "Done"
    await release.until(lambda: _alone(release), "nothing is under way")
    assert await release.weights() == {stable: 100}


async def _alone(release: ReleaseWorld) -> bool:
    return "candidate" not in await release.status()


async def test_approval_before_any_traffic(release: ReleaseWorld) -> None:
    release.operator()
    release.jobs.results[GATE] = PASSES
    await release.gate()
    stable = await release.champion(approval={"required": True, "before": "Rollout"})
    new = await release.asks_for_approval()
    assert await release.weights() == {stable: 100}
    await release.approve("ann", new)
    await release.shares({stable: 90, new: 10})
    await release.serves(new)


async def test_without_the_policies_nobody_is_believed(release: ReleaseWorld) -> None:
    release.operator()
    await release.champion(**ONLY_PEOPLE)
    new = await release.asks_for_approval()
    seen = (await release.status())["candidate"]["evidenceDigest"]
    for operator in release.operators:
        await operator.stop()
    path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/penstock-actions"
    binding = release.cluster.request("GET", path)
    release.cluster.request("DELETE", path)
    try:
        release.operator()
        await release.says("PolicyMissing", "True", "PolicyMissing")
        await release.refused(await release.approve("ann", new, seen), "PolicyMissing", "nobody knows who asked")
    finally:
        kept = {key: binding["metadata"][key] for key in ("name", "labels") if key in binding["metadata"]}
        release.cluster.create({**binding, "metadata": kept})


async def test_harm_after_the_question_beats_the_approval(release: ReleaseWorld) -> None:
    release.operator()
    stable = await release.champion(gates=None, approval={"required": True, "quorum": 2})
    new = await release.asks_for_approval()
    await release.became(await release.approve("ann", new))
    release.traffic.loads[new] = BADLY
    await release.decided("RolledBack")
    await release.refused(await release.approve("eve", new, OTHER), "NoCandidate", "No revision is under way")
    await release.shares({stable: 100})
