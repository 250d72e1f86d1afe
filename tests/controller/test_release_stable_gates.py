"""Evaluate about the stable revision: the answer is written down and shown, and nothing follows from it."""

from __future__ import annotations

import json
from typing import Any

from penstock.api.v1alpha1.modelaction import ActionType
from penstock.controllers.featureset.job import TASK_ANNOTATION
from penstock.controllers.resources import DECISIONRECORDS
from penstock.domain.audit.again import differences
from penstock.domain.gates.task import error
from penstock.kube.resources import EVENTS, JOBS
from tests.controller.release import FAILS, GATE, PASSES, ReleaseWorld
from tests.controller.replica import Operator

Json = dict[str, Any]

ONLY_A_GATE: Json = {"canary": None, "approval": None}
METRICS = [{"name": "roc_auc", "min": "0.72", "versusChampion": {"maxRegression": "0.01"}}]


async def gates_of_the_stable(release: ReleaseWorld) -> dict[str, str]:
    """What status says of the stable revision, by gate."""
    return {item["name"]: item["verdict"] for item in (await release.status())["stable"].get("gates", [])}


async def shown(release: ReleaseWorld, verdict: str) -> None:
    """Wait until status shows what the gate says of the stable revision."""

    async def there() -> bool:
        return await gates_of_the_stable(release) == {GATE: verdict}

    await release.until(there, f"status shows {verdict} of the stable revision")


async def nothing_runs(release: ReleaseWorld) -> None:
    async def gone() -> bool:
        return await release.names(JOBS) == set()

    await release.until(gone, "no evaluation Job is left")


async def replays(release: ReleaseWorld) -> None:
    """Check that the whole log comes out again as it was written."""
    assert list(differences([record["spec"] for record in await release.records()])) == []


async def test_its_failure_is_said_and_moves_nothing(release: ReleaseWorld) -> None:
    release.operator()
    await release.gate(metrics=METRICS)
    stable = await release.champion(**ONLY_A_GATE)
    before = (await release.records())[-1]["spec"]["result"]
    release.jobs.results[GATE] = FAILS
    command = release.command("cat", ActionType.EVALUATE, stable)
    done = await release.became(command)
    ordered = await release.decided("Noted")
    assert (done["state"], done["sequence"]) == ("Done", ordered["sequence"])
    assert (ordered["actor"], ordered["inputs"]["gates"]) == ("cat", [GATE])
    failed = await release.decided("StableFailed")
    [proof] = failed["inputs"]["proofs"]
    assert (proof["gate"], proof["verdict"], proof["revision"]) == (GATE, "Fail", stable)
    assert {item["id"]: item["verdict"] for item in proof["numbers"]} == {
        "roc_auc": "Fail",
        "roc_auc/champion": "NotApplicable",
    }
    await shown(release, "Fail")
    status = await release.status()
    assert status["stable"]["evaluated"]
    assert "candidate" not in status
    assert await release.weights() == {stable: 100}
    after = failed["result"]
    assert {key: after[key] for key in after if key not in ("evaluation", "handled")} == {
        key: before[key] for key in before if key != "handled"
    }
    [job] = release.jobs.seen.values()
    task = json.loads(job["spec"]["template"]["metadata"]["annotations"][TASK_ANNOTATION])
    assert (task["revision"], task.get("championUrl")) == (stable, None)
    events = [item for item in (await release.client.list(EVENTS, release.namespace))[0] if "fails" in item["note"]]
    assert [(item["type"], item["reason"]) for item in events] == [("Warning", "StableFailed")]
    await nothing_runs(release)
    await release.says("Ready", "True", "Serving")
    # Asked again, it is another attempt, and what is shown is the newest answer.
    release.jobs.results[GATE] = PASSES
    await release.became(release.command("cat", ActionType.EVALUATE, stable))
    await shown(release, "Pass")
    assert len(release.jobs.seen) == 2
    await nothing_runs(release)
    await release.still()
    await release.log_is_sound()
    await replays(release)


async def test_a_restart_in_the_middle_loses_and_doubles_nothing(release: ReleaseWorld) -> None:
    release.operator()
    await release.gate()
    stable = await release.champion(**ONLY_A_GATE)
    await release.became(release.command("cat", ActionType.EVALUATE, stable))
    await shown(release, "Pending")
    await release.until(lambda: _one_job(release), "its Job runs")
    await release.operators[-1].kill()
    release.jobs.results[GATE] = PASSES
    await release.free_lease()
    release.operator()
    await shown(release, "Pass")
    await nothing_runs(release)
    verdicts = [record["spec"]["verdict"] for record in await release.records()]
    assert verdicts[3:] == ["Noted", "Proven"]
    assert len(release.jobs.seen) == 1
    await replays(release)


async def test_death_after_any_of_its_decisions(release: ReleaseWorld) -> None:
    release.jobs.results[GATE] = PASSES
    release.operator()
    await release.gate()
    stable = await release.champion(**ONLY_A_GATE)
    await release.operators[-1].stop()
    command = release.command("cat", ActionType.EVALUATE, stable)
    for _ in range(2):
        await release.free_lease()
        dying = release.operator(dies_after=lambda kind, _: kind is DECISIONRECORDS)
        await release.until(lambda operator=dying: _is_dead(operator), "the operator dies of its decision")
        await dying.stop()
    await release.free_lease()
    release.operator()
    await shown(release, "Pass")
    assert (await release.became(command))["state"] == "Done"
    await nothing_runs(release)
    assert [record["spec"]["verdict"] for record in await release.records()][3:] == ["Noted", "Proven"]
    assert len(release.jobs.seen) == 1
    await replays(release)


async def _is_dead(operator: Operator) -> bool:
    return operator.is_dead


async def _one_job(release: ReleaseWorld) -> bool:
    return len(release.jobs.seen) == 1 and len(await release.names(JOBS)) == 1


async def test_another_revision_goes_first(release: ReleaseWorld) -> None:
    release.operator()
    await release.gate()
    stable = await release.champion(canary=None)
    await release.became(release.command("cat", ActionType.EVALUATE, stable))
    await shown(release, "Pending")
    new = await release.candidate()
    await shown(release, "NoData")
    [gate] = (await release.status())["stable"]["gates"]
    assert gate["message"] == f"Given up: revision {new} is under way."
    await release.refused(
        release.command("cat", ActionType.EVALUATE, stable), "CandidateUnderWay", f"Revision {new} is under way"
    )
    release.jobs.results[GATE] = PASSES
    await release.reaches("AwaitingApproval")
    await release.approve("ann", new)
    await release.serves(new)
    assert "gates" not in (await release.status())["stable"]
    await nothing_runs(release)
    await replays(release)


async def test_without_an_answer_it_is_given_up(release: ReleaseWorld) -> None:
    release.operator()
    release.jobs.results[GATE] = error("SourceUnavailable", "no answer")
    await release.gate()
    stable = await release.champion(**ONLY_A_GATE)
    await release.became(release.command("cat", ActionType.EVALUATE, stable))
    await release.until(lambda: _says(release, "no answer"), "status says what it waits for")
    release.pass_time(3601)
    await shown(release, "NoData")
    assert await _says(release, "No answer within 3600 s")
    await nothing_runs(release)


async def _says(release: ReleaseWorld, words: str) -> bool:
    gates = (await release.status())["stable"].get("gates", [])
    return any(words in item.get("message", "") for item in gates)


async def test_what_gates_say_of_a_candidate_is_shown_while_suspended(release: ReleaseWorld) -> None:
    release.operator()
    await release.gate()
    await release.champion(**ONLY_A_GATE)
    new = await release.candidate()
    await release.waits_for("its Job is running")
    await release.edit(suspend=True)
    await release.decided("Pause")
    release.jobs.results[GATE] = PASSES

    async def known() -> bool:
        gates = (await release.status())["candidate"]["gates"]
        return [(item["name"], item["verdict"]) for item in gates] == [(GATE, "Pass")]

    await release.until(known, "status shows what the gate says")
    assert (await release.records())[-1]["spec"]["verdict"] == "Pause"
    await release.edit(suspend=False)
    await release.serves(new)
