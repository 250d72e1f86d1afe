"""What the Model controller is told about gates, and which Jobs that needs."""

from datetime import timedelta
from typing import Any

import pytest

from penstock.api.v1alpha1.evaluationgatestatus import EvaluationGateStatus, Holdout
from penstock.controllers.gates import job as jobs
from penstock.controllers.gates import outcome as outcomes
from penstock.controllers.gates.view import Evaluations
from penstock.controllers.resources import EVALUATIONGATES
from penstock.domain.gates.runs import Target
from penstock.domain.gates.task import encode, error
from penstock.domain.gates.verdict import Verdict
from penstock.kube.resources import JOBS
from tests.unit.controllers.gates_given import (
    BAD,
    COMPLETE,
    CONFIG,
    GOOD,
    NOW,
    UID,
    World,
    gate,
    order,
    pod,
    proof,
    task_of,
    told,
)
from tests.unit.domain.gates_given import CHAMPION, DIGEST, OTHER, REVISION, metric, result


class TestView:
    async def test_a_job_is_made_once_and_waited_for(self) -> None:
        world = World()
        looked = await world.look()
        assert (looked.views[0].running, looked.views[0].attempt, looked.delete) == (True, 1, ())
        world.runs(looked.apply[0])
        again = await world.look()
        assert (again.apply, again.delete, again.views[0].running) == ((), (), True)
        assert again.views[0].verdict is None

    async def test_its_numbers_are_judged_and_the_job_stays_until_they_are_in_the_log(self) -> None:
        world = World()
        world.runs(await world.started(), told(GOOD), conditions=COMPLETE)
        looked = await world.look()
        [view] = looked.views
        assert (view.verdict, view.reason, view.fresh, view.running) == (Verdict.PASS, "GatePassed", True, False)
        assert (view.dataset_digest, view.report_digest) == (DIGEST, OTHER)
        assert view.expected_disagreement == {"n": 1000, "labelFlips": 34, "p95": "0.1"}
        assert (looked.apply, looked.delete) == ((), ())
        logged = await world.look(proofs=[proof(view)])
        assert [job["metadata"]["name"] for job in logged.delete] == [
            obj["metadata"]["name"] for obj in world.cache.list(JOBS)
        ]
        assert (logged.views[0].verdict, logged.views[0].reused) == (Verdict.PASS, True)

    async def test_a_forged_pod_changes_nothing(self) -> None:
        world = World()
        forged = pod("z", label="validate", terminated={"exitCode": 0, "message": encode(GOOD)})
        world.runs(await world.started(), forged, told(BAD), conditions=COMPLETE)
        assert (await world.look()).views[0].verdict is Verdict.FAIL

    async def test_a_job_of_somebody_elses_is_not_looked_at(self) -> None:
        world = World()
        job = await world.started()
        job["metadata"]["ownerReferences"][0]["uid"] = "another-model"
        world.runs(job, told(GOOD), conditions=COMPLETE)
        looked = await world.look()
        assert looked.views[0].verdict is None
        assert looked.delete == ()

    async def test_the_last_words_of_a_pod_are_asked_for_before_it_counts_as_silent(self) -> None:
        world = World()
        world.server.pods = [told(GOOD)]
        world.runs(await world.started(), conditions=COMPLETE)
        assert (await world.look()).views[0].verdict is Verdict.PASS
        assert world.server.asked == 1

    async def test_an_error_is_tried_again_after_a_pause_under_the_next_number(self) -> None:
        world = World()
        world.runs(await world.started(), told(error("SourceUnavailable", "no answer")), conditions=COMPLETE)
        looked = await world.look(NOW + timedelta(seconds=5))
        [view] = looked.views
        assert (view.verdict, view.retry_at, looked.again) == (Verdict.ERROR, *[NOW + timedelta(seconds=10)] * 2)
        assert "SourceUnavailable: no answer" in view.waiting
        # Also once the error is in the log: the Job says from when on the pause counts.
        logged = await world.look(NOW + timedelta(seconds=5), proofs=[proof(view)])
        assert (logged.apply, logged.delete) == ((), ())
        later = await world.look(NOW + timedelta(seconds=10), proofs=[proof(view)])
        assert later.views[0].attempt == 2
        assert [outcomes.noted(job | {"metadata": job["metadata"] | {"uid": "x"}}) for job in later.apply]
        assert [job["metadata"]["uid"] for job in later.delete] == ["job-uid"]

    @pytest.mark.parametrize("rule", ["Hold", "Fail", "RequireApproval"])
    async def test_inconclusive_is_not_tried_again(self, rule: str) -> None:
        world = World(gate(onInconclusive=rule))
        world.runs(await world.started(), told(result(metric(0.6, 0.8))), conditions=COMPLETE)
        looked = await world.look(NOW + timedelta(days=3))
        assert (looked.apply, looked.again) == ((), None)
        [view] = looked.views
        assert view.needs_approval is (rule == "RequireApproval")
        assert view.verdict is (Verdict.FAIL if rule == "Fail" else Verdict.INCONCLUSIVE)
        reused = await world.look(proofs=[proof(view)])
        assert reused.views[0].needs_approval is (rule == "RequireApproval")

    async def test_an_edited_gate_is_evaluated_anew_under_the_next_number(self) -> None:
        world = World()
        world.runs(await world.started(), told(GOOD), conditions=COMPLETE)
        [before] = (await world.look()).views
        world.put(gate(metrics=[{"name": "roc_auc", "min": "0.95"}]), version="2")
        looked = await world.look(proofs=[proof(before)])
        assert (looked.views[0].running, looked.views[0].attempt) == (True, 2)
        assert len(looked.apply) == len(looked.delete) == 1

    async def test_a_further_round_is_a_further_attempt(self) -> None:
        world = World()
        world.runs(await world.started(), told(GOOD), conditions=COMPLETE)
        [before] = (await world.look()).views
        second = await world.look(proofs=[proof(before)], round=2)
        assert (second.views[0].running, second.views[0].attempt) == (True, 2)
        mine = proof(before, evaluation=2).model_copy(update={"attempt": 2})
        settled = await world.look(proofs=[proof(before), mine], round=2)
        assert (settled.apply, settled.views[0].attempt) == ((), 2)

    async def test_the_stable_revision_is_asked_without_a_champion(self) -> None:
        world = World(gate(metrics=[{"name": "roc_auc", "min": "0.72", "versusChampion": {"maxRegression": "0.01"}}]))
        about = {"champion": None, "itself": True, "round": 7}
        ordered = await world.look(**about)
        task = task_of(ordered.apply[0])
        assert (task.revision, task.champion_url, task.champion_revision) == (REVISION, None, None)
        world.runs(ordered.apply[0], told(GOOD), conditions=COMPLETE)
        [view] = (await world.look(**about)).views
        assert view.verdict is Verdict.PASS
        assert {item["id"]: item.get("reason") for item in view.numbers} == {
            "roc_auc": None,
            "roc_auc/champion": "IsChampion",
        }
        assert view.expected_disagreement is None
        # For a candidate that is compared with a champion the same Job is no answer.
        [other] = (await world.look()).views
        assert (other.verdict, other.running, other.attempt) == (None, True, 2)

    async def test_rows_that_the_revision_was_trained_on_are_refused_without_a_job(self) -> None:
        looked = await World().look(training_digests={DIGEST})
        assert looked.apply == ()
        assert (looked.views[0].verdict, looked.views[0].reason) == (Verdict.ERROR, "HoldoutIsTrainingData")

    async def test_a_gate_that_is_missing_is_waited_for(self) -> None:
        looked = await World().look(gates=["other"])
        [view] = looked.views
        assert (view.present, view.valid, view.verdict, looked.apply) == (False, False, None, ())
        assert "does not exist" in view.waiting

    async def test_rows_that_are_missing_are_waited_for(self) -> None:
        world = World(gate(dataset={"featureSetRef": {"name": "flights"}}, label=None))
        [view] = (await world.look()).views
        assert (view.present, view.valid, view.verdict) == (True, False, None)
        assert view.reason == "HoldoutMissing"

    async def test_jobs_of_another_revision_go(self) -> None:
        world = World()
        world.runs(jobs.build(order(target=Target(CHAMPION, DIGEST, DIGEST)), CONFIG, NOW))
        looked = await world.look()
        assert (len(looked.apply), len(looked.delete)) == (1, 1)
        client: Any = world.server
        assert len(Evaluations(client, world.cache, CONFIG).leftovers(UID)) == 1

    async def test_without_an_image_it_says_so(self) -> None:
        world = World()
        client: Any = world.server
        config = CONFIG.model_copy(update={"jobs_image": None})
        looked = await Evaluations(client, world.cache, config).look(world.ask, NOW)
        assert (looked.apply, looked.views[0].running) == ((), False)
        assert "jobsImage" in looked.views[0].waiting

    async def test_who_approves_sees_how_often_the_rows_were_looked_at(self) -> None:
        world = World()
        status = EvaluationGateStatus(holdout=Holdout(digest=DIGEST, revisions=7))
        obj = world.cache.get(EVALUATIONGATES, "airline", "holdout")
        assert obj is not None
        meta = obj["metadata"] | {"resourceVersion": "2"}
        world.cache.upsert(EVALUATIONGATES, obj | {"metadata": meta, "status": status.as_json()})
        assert (await world.look()).views[0].looks == 7
