"""From a gate to all traffic, and what a gate can say against it."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.controllers.featureset.job import JOB_LABEL
from penstock.controllers.resources import EVALUATIONGATES
from penstock.domain.gates.task import encode, error
from penstock.kube.resources import DEPLOYMENTS, JOBS, uid_of
from tests.controller.release import FAILS, GATE, PASSES, UNDECIDED, ReleaseWorld, rollout
from tests.controller.world import digest, spec_of
from tests.support.cluster import Refused

Json = dict[str, Any]

ONLY_A_GATE: Json = {"canary": None, "approval": None}


async def test_gate_canary_and_approval_lead_to_all_traffic(release: ReleaseWorld) -> None:
    release.operator()
    release.jobs.results[GATE] = PASSES
    await release.gate()
    stable = await release.champion()
    new = await release.asks_for_approval()
    assert await release.weights() == {stable: 50, new: 50}
    status = await release.status()
    assert [(item["name"], item["verdict"]) for item in status["candidate"]["gates"]] == [(GATE, "Pass")]
    assert [(item["name"], item["verdict"]) for item in status["analysis"]] == [("errors", "Pass")]
    done = await release.became(await release.approve("ann", new))
    assert (done["state"], done["reason"]) == ("Done", "Promote")
    await release.serves(new)
    await release.shares({new: 100})
    way = [verdict.replace("/", " ").split() for verdict in (await release.verdicts())[3:]]
    assert [(stage, verdict) for stage, _, verdict in way] == [
        ("Idle", "Start"),
        ("Starting", "Advance"),
        ("Evaluating", "Advance"),
        ("Canary", "Applied"),
        ("Canary", "Advance"),
        ("Canary", "Applied"),
        ("Canary", "Await"),
        ("AwaitingApproval", "Promote"),
        ("Promoting", "Promoted"),
    ]
    assert await release.names(JOBS) == set()
    await release.log_is_sound()


async def test_what_fails_its_gate_is_out_and_stays_out(release: ReleaseWorld) -> None:
    release.operator()
    release.jobs.results[GATE] = FAILS
    await release.gate()
    stable = await release.champion(**ONLY_A_GATE)
    bad = await release.candidate()
    await release.says("CandidateRejected", "True", "GateFailed")
    assert await release.weights() == {stable: 100}
    assert await release.quarantined() == {bad: "GateFailed"}
    # Asking for it again, by way of the stable one, changes nothing, whatever the gate would say now.
    release.jobs.results[GATE] = PASSES
    await release.edit(artifact={"digest": digest("a")})
    await release.says("SpecServed", "True", "Serving")
    asked = len(await release.records())
    assert await release.edit(artifact={"digest": digest("b")}) == bad
    await release.says("CandidateRejected", "True", "GateFailed")
    assert [item["spec"]["verdict"] for item in (await release.records())[asked:]] == ["Reject"]
    assert (await release.status())["stable"]["revision"] == stable


async def test_a_first_revision_that_fails_its_gate_never_serves(release: ReleaseWorld) -> None:
    release.operator()
    release.jobs.results[GATE] = FAILS
    await release.gate()
    await release.deploy(spec_of(**rollout(**ONLY_A_GATE)))
    ready = await release.says("Ready", "False", "GateFailed")
    assert GATE in ready["message"]
    await release.says("Stalled", "True", "GateFailed")
    assert "stable" not in await release.status()
    # It is not needed any more, and nothing is routed to it.
    await release.until(lambda: _empty(release), "its pods are taken away")


async def _empty(release: ReleaseWorld) -> bool:
    return await release.names(DEPLOYMENTS) == set()


async def test_an_undecided_gate_holds_until_the_deadline(release: ReleaseWorld) -> None:
    release.operator()
    release.jobs.results[GATE] = UNDECIDED
    await release.gate()
    stable = await release.champion(**ONLY_A_GATE)
    await release.candidate()
    record = await release.decided("Proven")
    assert [item["verdict"] for item in record["inputs"]["proofs"]] == ["Inconclusive"]
    await release.reaches("Evaluating")
    await release.waits_for("gate holdout")
    await release.still()
    assert len(release.jobs.seen) == 1
    release.pass_time(3601)
    await release.says("CandidateRejected", "True", "DeadlineExceeded")
    assert await release.quarantined() == {}
    assert await release.weights() == {stable: 100}


async def test_an_undecided_gate_can_leave_it_to_people(release: ReleaseWorld) -> None:
    release.operator()
    release.jobs.results[GATE] = UNDECIDED
    await release.gate(onInconclusive="RequireApproval")
    await release.champion(**ONLY_A_GATE)
    new = await release.asks_for_approval()
    await release.approve("ann", new)
    await release.serves(new)


async def test_a_missing_gate_is_waited_for(release: ReleaseWorld) -> None:
    release.operator()
    release.jobs.results[GATE] = PASSES
    await release.champion(**ONLY_A_GATE)
    new = await release.candidate()
    await release.waits_for("EvaluationGate holdout")
    await release.still()
    await release.gate()
    await release.serves(new)


async def test_an_error_of_the_job_is_tried_again(release: ReleaseWorld) -> None:
    release.operator()
    release.jobs.results[GATE] = error("SourceUnavailable", "no answer")
    await release.gate()
    await release.champion(**ONLY_A_GATE)
    new = await release.candidate()
    await release.waits_for("no answer")
    release.jobs.results[GATE] = PASSES
    release.pass_time(600)
    await release.serves(new)
    assert len(release.jobs.seen) == 2


async def test_a_gate_edited_before_it_answers_is_asked_anew(release: ReleaseWorld) -> None:
    release.operator()
    await release.gate()
    await release.champion(**ONLY_A_GATE)
    new = await release.candidate()
    await release.waits_for("its Job is running")
    await release.edit_gate(metrics=[{"name": "roc_auc", "min": "0.7"}])
    record = await release.decided("Reconsider")
    assert record["inputs"]["old"]["gates"] != record["inputs"]["new"]["gates"]
    release.jobs.results[GATE] = PASSES
    await release.serves(new)


async def test_a_gate_made_stricter_in_the_canary_begins_again(release: ReleaseWorld) -> None:
    release.operator()
    release.jobs.results[GATE] = PASSES
    await release.gate()
    steps = [{"weight": 10, "minSeconds": 600}]
    stable = await release.champion(
        canary={"steps": steps, "analysis": [{"name": "errors", "type": "Errors", "margin": "0.05"}]}, approval=None
    )
    new = await release.candidate()
    await release.decided("Applied")
    await release.waits_for("600 s of this step")
    release.jobs.results[GATE] = FAILS
    # Less strict: nothing follows for the candidate under way.
    await release.edit_gate(metrics=[{"name": "roc_auc", "min": "0.6"}])
    await release.still()
    await release.reaches("Canary")
    await release.edit_gate(metrics=[{"name": "roc_auc", "min": "0.75"}])
    await release.says("CandidateRejected", "True", "GateFailed")
    assert (await release.decided("Reconsider"))["result"]["weights"] == {stable: 100}
    assert await release.quarantined() == {new: "GateFailed"}
    await release.shares({stable: 100})


async def test_a_gate_deleted_in_the_canary_changes_nothing_for_it(release: ReleaseWorld) -> None:
    release.operator()
    release.jobs.results[GATE] = PASSES
    await release.gate()
    await release.champion(approval=None)
    new = await release.candidate()
    await release.reaches("Canary")
    await release.client.delete(EVALUATIONGATES, release.namespace, GATE)
    await release.serves(new)


async def test_only_the_pod_of_the_job_itself_is_believed(release: ReleaseWorld) -> None:
    release.operator()
    await release.gate()
    await release.champion(**ONLY_A_GATE)
    await release.candidate()
    await release.waits_for("its Job is running")
    [job] = (await release.client.list(JOBS, release.namespace))[0]
    template = job["spec"]["template"]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": uid_of(job)}
    meta = {"name": "forged", "namespace": release.namespace, "ownerReferences": [owner | {"controller": True}]}
    spec = {"containers": [{"name": "evaluate", "image": "registry.example.com/forged"}], "restartPolicy": "Never"}
    forged = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
    bob = release.as_user("bob")
    with pytest.raises(Refused, match=r"Job controller"):
        bob.create({**forged, "metadata": meta | {"labels": template["metadata"]["labels"]}})
    labels = {key: value for key, value in template["metadata"]["labels"].items() if key != JOB_LABEL}
    bob.create({**forged, "metadata": meta | {"labels": labels}})
    said = {"exitCode": 0, "message": encode(PASSES(job)), "reason": "Completed"}
    status = {"name": "evaluate", "image": "x", "imageID": "", "ready": False, "restartCount": 0}
    release.cluster.merge(
        forged,
        {"status": {"phase": "Succeeded", "containerStatuses": [{**status, "state": {"terminated": said}}]}},
        "status",
    )
    release.jobs.results[GATE] = FAILS
    await release.says("CandidateRejected", "True", "GateFailed")
