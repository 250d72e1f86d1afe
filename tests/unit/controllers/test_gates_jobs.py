"""The Jobs of gates and what their ends mean."""

from typing import Any

import pytest

from penstock.controllers.gates import job as jobs
from penstock.controllers.gates import outcome as outcomes
from penstock.controllers.model import names
from penstock.domain.gates.task import encode
from tests.unit.controllers.gates_given import (
    COMPLETE,
    CONFIG,
    FAILED,
    GOOD,
    NOW,
    PLACE,
    UID,
    Json,
    gate,
    live,
    order,
    pod,
    revision,
    task_of,
    told,
)
from tests.unit.domain.gates_given import CHAMPION, DIGEST, REVISION


class TestJob:
    def test_it_is_told_everything_in_its_annotation(self) -> None:
        task = task_of(
            jobs.build(
                order(candidate=revision(REVISION, "distance"), champion=revision(CHAMPION, "distance")), CONFIG, NOW
            )
        )
        assert task.candidate_url == f"http://delay-{REVISION}.airline.svc:8080"
        assert task.champion_url == f"http://delay-{CHAMPION}.airline.svc:8080"
        assert ([item.name for item in task.features], task.champion_features) == (["distance"], None)
        assert (task.dataset.digest, task.label.column) == (DIGEST, "late")
        assert task.store == "registry.example.com/store/airline/delay"

    def test_a_champion_of_another_schema_is_sent_its_own_columns(self) -> None:
        made = order(candidate=revision(REVISION, "a", "b"), champion=revision(CHAMPION, "a"))
        task = task_of(jobs.build(made, CONFIG, NOW))
        assert task.champion_features is not None
        assert [item.name for item in task.champion_features] == ["a"]

    def test_it_belongs_to_the_model_and_gets_no_traffic(self) -> None:
        job = jobs.build(order(), CONFIG, NOW)
        [owner] = job["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"], owner["controller"]) == ("Model", UID, True)
        for labels in (job["metadata"]["labels"], job["spec"]["template"]["metadata"]["labels"]):
            assert names.REVISION_LABEL not in labels
            assert labels["penstock.dev/job"] == "evaluate"
        assert "ttlSecondsAfterFinished" not in job["spec"]

    def test_its_pod_is_restricted_and_has_no_token(self) -> None:
        spec = jobs.build(order(), CONFIG, NOW)["spec"]
        assert (spec["backoffLimit"], spec["activeDeadlineSeconds"]) == (0, 1800)
        assert spec["podFailurePolicy"]["rules"][0]["onPodConditions"][0]["type"] == "DisruptionTarget"
        template = spec["template"]["spec"]
        assert template["automountServiceAccountToken"] is False
        assert template["securityContext"]["runAsNonRoot"] is True
        assert template["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True

    def test_one_evaluation_is_one_name_that_fits(self) -> None:
        assert jobs.name_of(order()) == jobs.name_of(order())
        others = {
            jobs.name_of(order(attempt=2)),
            jobs.name_of(order(gate(threshold="0.4"))),
            jobs.name_of(order(model_uid=UID.replace("1", "2"))),
        }
        assert len(others | {jobs.name_of(order())}) == 4
        longest = gate()
        longest = longest.model_copy(update={"metadata": longest.metadata.model_copy(update={"name": "a" * 40})})
        assert len(jobs.name_of(order(longest))) <= 63

    def test_secrets_and_claims_are_mounted_and_never_read_by_the_operator(self) -> None:
        place = PLACE | {"uri": "pvc://history/a.parquet", "credentialsSecretRef": {"name": "bucket"}}
        spec = jobs.build(order(gate(dataset=place)), CONFIG, NOW)["spec"]["template"]["spec"]
        volumes = {item["name"]: item for item in spec["volumes"]}
        assert volumes["credentials"]["secret"]["secretName"] == "bucket"
        assert volumes["pvc"]["persistentVolumeClaim"] == {"claimName": "history", "readOnly": True}

    def test_its_annotations_say_which_evaluation_it_is(self) -> None:
        found = outcomes.noted(live(jobs.build(order(attempt=3, round=2), CONFIG, NOW), conditions=COMPLETE))
        assert found is not None
        assert (found.gate, found.target, found.attempt, found.round) == ("holdout", order().target, 3, 2)
        assert (found.started, found.finished) == (NOW, NOW)

    def test_a_job_that_is_none_of_ours_is_passed_over(self) -> None:
        job = live(jobs.build(order(), CONFIG, NOW))
        job["metadata"]["annotations"] = {}
        assert outcomes.noted(job) is None


class TestOutcome:
    def made(self, **status: Any) -> Json:
        return live(jobs.build(order(), CONFIG, NOW), **status)

    def test_a_running_job_has_none(self) -> None:
        assert outcomes.outcome(self.made(), [pod(running={})]) == outcomes.Outcome()

    def test_a_pod_that_cannot_be_scheduled_says_so(self) -> None:
        stuck = pod(waiting={"reason": "ImagePullBackOff", "message": "no such image"})
        assert "no such image" in outcomes.outcome(self.made(), [stuck]).waiting

    def test_a_job_that_ended_says_its_numbers(self) -> None:
        assert outcomes.outcome(self.made(conditions=COMPLETE), [told(GOOD)]).result == GOOD

    @pytest.mark.parametrize(
        "forged",
        [
            {"owner": "somebody-else"},
            {"owner": ""},
            {"label": "validate"},  # admission grants the label of our Jobs to the Job controller alone
        ],
    )
    def test_a_forged_pod_is_not_believed(self, forged: Json) -> None:
        pods = [pod("z", terminated={"exitCode": 0, "message": encode(GOOD)}, **forged)]
        seen = outcomes.outcome(self.made(conditions=COMPLETE), pods)
        assert seen.result is not None
        assert (seen.result.reason, seen.guessed) == ("EvaluationError", True)

    def test_a_pod_without_the_jobs_label_is_not_believed(self) -> None:
        bare = told(GOOD)
        del bare["metadata"]["labels"]
        seen = outcomes.outcome(self.made(conditions=COMPLETE), [bare])
        assert seen.result is not None
        assert seen.result.reason == "EvaluationError"

    @pytest.mark.parametrize(
        ("terminated", "conditions", "reason"),
        [
            ({"exitCode": 137, "reason": "OOMKilled"}, FAILED, "OutOfMemory"),
            ({"exitCode": 137, "reason": "Error"}, FAILED, "OutOfMemory"),
            ({"exitCode": 1, "message": encode(GOOD)}, FAILED, "EvaluationError"),
            ({"exitCode": 0, "message": "done"}, COMPLETE, "EvaluationError"),
            ({"exitCode": 137}, [FAILED[0] | {"reason": "DeadlineExceeded"}], "EvaluationTimeout"),
        ],
    )
    def test_an_end_without_a_word_is_an_error(self, terminated: Json, conditions: list[Json], reason: str) -> None:
        seen = outcomes.outcome(self.made(conditions=conditions), [pod(terminated=terminated)])
        assert seen.result is not None
        assert (seen.result.reason, seen.guessed) == (reason, False)

    def test_out_of_memory_names_the_limit(self) -> None:
        killed = pod(terminated={"exitCode": 137, "reason": "OOMKilled"})
        seen = outcomes.outcome(self.made(conditions=FAILED), [killed])
        assert seen.result is not None
        assert "spec.resources.limits.memory of EvaluationGate holdout" in seen.result.message

    def test_of_two_pods_the_last_word_counts(self) -> None:
        """A drained node: the first pod went without a word, the second one answered."""
        first = pod("a", reason="Evicted")
        seen = outcomes.outcome(self.made(conditions=COMPLETE), [first, told(GOOD)])
        assert seen.result == GOOD
