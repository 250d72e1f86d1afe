"""A FeatureSet's Job, what its end means, and what the status then shows."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from penstock.api.v1alpha1.conditions import find_condition
from penstock.api.v1alpha1.featureset import FeatureSet
from penstock.api.v1alpha1.featuresetstatus import FailedCheck, FeatureSetStatus, Verdict
from penstock.controllers.config import ArtifactStore, OperatorConfig
from penstock.controllers.featureset import job as jobs
from penstock.controllers.featureset import outcome as outcomes
from penstock.controllers.featureset import status as statuses
from penstock.domain.data import runs
from penstock.domain.data.task import MadeBaseline, ValidationResult, ValidationTask, encode, error

Json = dict[str, Any]

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DIGEST = "sha256:" + "a" * 64
PROFILE = "sha256:" + "b" * 64
UID = "0f1e2d3c-0000-4000-8000-000000000001"
IMAGE = f"registry.example.com/jobs@{DIGEST}"
CONFIG = OperatorConfig(
    runtime_image=IMAGE, jobs_image=IMAGE, artifact_store=ArtifactStore(repository="registry.example.com/store")
)


def feature_set(status: FeatureSetStatus | None = None, **spec: Any) -> FeatureSet:
    content = {
        "features": [{"name": "distance", "type": "Float64", "description": "miles"}],
        "source": {"uri": "s3://bucket/a.parquet", "format": "Parquet"},
    }
    return FeatureSet.model_validate(
        {
            "kind": "FeatureSet",
            "metadata": {"name": "flights", "namespace": "airline", "uid": UID, "generation": 2},
            "spec": content | spec,
            "status": (status or FeatureSetStatus()).as_json(),
        }
    )


def made(of: FeatureSet | None = None, **status: Any) -> Json:
    job = jobs.build(of or feature_set(), runs.Start("Created", 1, None), CONFIG, NOW)
    job["metadata"] |= {"uid": "job-uid", "creationTimestamp": "2026-03-01T12:00:00Z"}
    return job | {"status": status}


def pod(name: str = "p", owner: str = "job-uid", phase: str = "", reason: str = "", **state: Any) -> Json:
    return {
        "metadata": {
            "name": name,
            "creationTimestamp": "2026-03-01T12:00:01Z",
            "labels": {jobs.JOB_LABEL: jobs.VALIDATE},
            "ownerReferences": [{"uid": owner, "kind": "Job", "name": "j", "controller": True}],
        },
        "status": {
            "phase": phase,
            **({"reason": reason} if reason else {}),
            "containerStatuses": [{"name": jobs.CONTAINER, "state": state}],
        },
    }


COMPLETE = [{"type": "Complete", "status": "True"}]
FAILED = [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "it failed"}]
PASSED = ValidationResult(
    verdict=Verdict.PASS, reason="Valid", digest=DIGEST, rows=10, checked=4, failed=0, profile_digest=PROFILE
)


def ended(result: ValidationResult, **status: Any) -> outcomes.Outcome:
    terminated = {"exitCode": 0, "message": encode(result)}
    return outcomes.outcome(made(conditions=COMPLETE, **status), [pod(terminated=terminated)])


class TestJob:
    def test_it_is_told_everything_in_its_annotation(self) -> None:
        template = made()["spec"]["template"]
        task = ValidationTask.model_validate_json(template["metadata"]["annotations"][jobs.TASK_ANNOTATION])
        assert [item.name for item in task.features] == ["distance"]
        assert task.store == "registry.example.com/store/airline/flights"
        assert template["spec"]["automountServiceAccountToken"] is False

    def test_the_same_validation_is_the_same_job(self) -> None:
        names = {made()["metadata"]["name"], made()["metadata"]["name"]}
        assert len(names) == 1
        other = made(feature_set(source={"uri": "s3://bucket/b.parquet", "format": "Parquet"}))
        assert other["metadata"]["name"] not in names
        assert len(other["metadata"]["name"]) <= 63

    def test_the_longest_name_fits(self) -> None:
        longest = feature_set()
        longest = longest.model_copy(update={"metadata": longest.metadata.model_copy(update={"name": "a" * 40})})
        assert len(made(longest)["metadata"]["name"]) <= 63

    def test_secrets_and_claims_are_mounted_and_never_read_by_the_operator(self) -> None:
        baseline = {"dataset": {"uri": "pvc://history/base.csv", "format": "CSV"}}
        source = {"uri": "s3://bucket/a.parquet", "format": "Parquet", "credentialsSecretRef": {"name": "bucket"}}
        spec = made(feature_set(source=source, baseline=baseline))["spec"]["template"]["spec"]
        volumes = {item["name"]: item for item in spec["volumes"]}
        assert volumes["credentials"]["secret"]["secretName"] == "bucket"
        assert volumes["pvc-0"]["persistentVolumeClaim"] == {"claimName": "history", "readOnly": True}
        paths = {mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
        assert {"/etc/penstock/credentials", "/etc/penstock/pvc/history", "/scratch"} <= paths

    def test_without_an_image_there_is_a_sentence(self) -> None:
        with pytest.raises(ValueError, match="jobsImage"):
            jobs.build(
                feature_set(), runs.Start("Created", 1, None), CONFIG.model_copy(update={"jobs_image": None}), NOW
            )

    def test_its_annotations_say_which_run_it_is(self) -> None:
        run = outcomes.run_of(made())
        assert (run.trigger, run.attempt, run.started) == ("Created", 1, NOW)
        assert run.definition == runs.definition_hash(feature_set().spec)

    def test_a_known_baseline_is_compared_with_and_not_made_again(self) -> None:
        baseline = {"dataset": {"uri": "s3://bucket/base.parquet", "format": "Parquet"}}
        first = feature_set(baseline=baseline)
        result = PASSED.model_copy(update={"baseline": MadeBaseline(digest=DIGEST, profile_digest=PROFILE, rows=5)})
        hashed = runs.baseline_hash(first.spec)
        assert hashed is not None
        status = statuses.record(first, outcomes.run_of(made(first)), hashed, result, NOW)
        assert jobs.baseline_in_force(feature_set(status, baseline=baseline)) == PROFILE
        moved = {"dataset": {"uri": "s3://bucket/other.parquet", "format": "Parquet"}}
        assert jobs.baseline_in_force(feature_set(status, baseline=moved)) is None


class TestOutcome:
    def test_a_running_job_has_none(self) -> None:
        assert outcomes.outcome(made(), [pod(running={})]) == outcomes.Outcome()

    def test_a_job_that_ended_says_its_numbers(self) -> None:
        assert ended(PASSED).result == PASSED

    def test_a_pod_without_the_label_that_admission_guards_is_not_believed(self) -> None:
        forged = pod("z", terminated={"exitCode": 0, "message": encode(PASSED)})
        del forged["metadata"]["labels"]
        seen = outcomes.outcome(made(conditions=COMPLETE), [forged])
        assert seen.result is not None
        assert seen.result.verdict is Verdict.ERROR

    def test_a_forged_pod_is_not_believed(self) -> None:
        forged = pod("z", owner="somebody-else", terminated={"exitCode": 0, "message": encode(PASSED)})
        seen = outcomes.outcome(made(conditions=COMPLETE), [forged])
        assert seen.result is not None
        assert seen.result.verdict is Verdict.ERROR

    @pytest.mark.parametrize(
        ("terminated", "reason"),
        [
            ({"exitCode": 137, "reason": "OOMKilled"}, "OutOfMemory"),
            ({"exitCode": 137, "reason": "Error"}, "OutOfMemory"),
            ({"exitCode": 1, "message": encode(PASSED)}, "ValidationError"),
            ({"exitCode": 0, "message": ""}, "ValidationError"),
            ({"exitCode": 0, "message": encode(PASSED)[:-1]}, "ValidationError"),
        ],
        ids=str,
    )
    def test_an_end_without_numbers_is_an_error(self, terminated: Json, reason: str) -> None:
        seen = outcomes.outcome(made(conditions=FAILED), [pod(terminated=terminated)])
        assert seen.result is not None
        assert (seen.result.verdict, seen.result.reason) == (Verdict.ERROR, reason)

    def test_a_deadline_is_told_apart(self) -> None:
        late = [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]
        seen = outcomes.outcome(made(conditions=late), [])
        assert seen.result is not None
        assert seen.result.reason == "ValidationTimeout"

    def test_a_full_disk_is_told_apart(self) -> None:
        full = pod(reason="Evicted")
        full["status"]["message"] = 'Usage of EmptyDir volume "scratch" exceeds the limit "1Gi".'
        seen = outcomes.outcome(made(conditions=FAILED), [full])
        assert seen.result is not None
        assert seen.result.reason == "DatasetTooLarge"

    def test_a_pod_that_cannot_start_says_why(self) -> None:
        stuck = pod(waiting={"reason": "ImagePullBackOff", "message": "no such image"})
        assert "no such image" in outcomes.outcome(made(), [stuck]).waiting


class TestStatus:
    def shown(
        self, result: ValidationResult | None, now: datetime = NOW, problem: str = "", **spec: Any
    ) -> FeatureSetStatus:
        subject = feature_set(**spec)
        known = subject.status
        run = outcomes.run_of(made(subject))
        if result is not None:
            known = statuses.record(subject, run, "", result, NOW)
        else:
            known = known.model_copy(update={"run": run})
        return statuses.show(subject, known, "", problem, now)

    def said(self, status: FeatureSetStatus) -> dict[str, tuple[str, str]]:
        return {item.type: (item.status.value, item.reason) for item in status.conditions}

    def test_while_it_runs(self) -> None:
        assert self.said(self.shown(None)) == {
            "Ready": ("Unknown", "Validating"),
            "Reconciling": ("True", "Validating"),
            "Valid": ("Unknown", "Validating"),
        }

    def test_when_all_checks_passed(self) -> None:
        status = self.shown(PASSED)
        assert self.said(status) == {"Ready": ("True", "Valid"), "Valid": ("True", "Valid")}
        assert status.current is not None
        assert (status.current.digest, status.current.rows) == (DIGEST, 10)
        assert status.observed_generation == 2

    def test_when_checks_failed(self) -> None:
        failed = [FailedCheck(check="Range", feature="distance", count=3, keys=["7"]), FailedCheck(check="RowCount")]
        result = ValidationResult(
            verdict=Verdict.FAIL,
            reason="ChecksFailed",
            digest=DIGEST,
            rows=9,
            checked=4,
            failed=3,
            failed_checks=failed,
        )
        status = self.shown(result)
        assert self.said(status) == {
            "Ready": ("False", "ChecksFailed"),
            "Stalled": ("True", "ChecksFailed"),
            "Valid": ("False", "ChecksFailed"),
        }
        assert status.current is not None
        assert status.current.failed_checks == "Range(distance), RowCount and 1 more"
        assert status.failed_checks[0].keys == ["7"]

    def test_warn_lets_it_be_used_and_says_so(self) -> None:
        result = ValidationResult(verdict=Verdict.FAIL, reason="ChecksFailed", digest=DIGEST, rows=9, failed=1)
        said = self.said(self.shown(result, validation={"onFailure": "Warn"}))
        assert said["Ready"] == ("True", "ChecksFailedWarning")
        assert said["Valid"] == ("False", "ChecksFailed")
        assert "Stalled" not in said

    def test_warn_is_about_failed_checks_only(self) -> None:
        said = self.said(self.shown(error("CorruptFile", "cut off"), validation={"onFailure": "Warn"}))
        assert said["Ready"] == ("Unknown", "CorruptFile")

    def test_an_error_says_nothing_about_the_data(self) -> None:
        status = self.shown(error("OutOfMemory", "killed"))
        assert self.said(status)["Valid"] == ("Unknown", "OutOfMemory")
        assert status.current is None

    def test_an_unknown_reason_is_an_error(self) -> None:
        assert self.said(self.shown(error("Surprise", "?")))["Valid"] == ("Unknown", "ValidationError")

    def test_no_rows_is_not_valid(self) -> None:
        result = ValidationResult(verdict=Verdict.NO_DATA, reason="EmptyDataset", digest=DIGEST, rows=0)
        assert self.said(self.shown(result))["Valid"] == ("False", "EmptyDataset")

    def test_age_goes_on_without_a_job(self) -> None:
        source = {"uri": "s3://bucket/a.parquet", "format": "Parquet", "freshnessSeconds": 3600}
        result = PASSED.model_copy(update={"newest": NOW - timedelta(minutes=50)})
        young = self.shown(result, source=source, timestampField="at")
        assert self.said(young)["Fresh"] == ("True", "Fresh")
        old = self.shown(result, NOW + timedelta(minutes=10), source=source, timestampField="at")
        assert self.said(old)["Fresh"] == ("False", "Stale")
        assert self.said(old)["Ready"] == ("False", "Stale")

    def test_unknown_age_is_not_fresh(self) -> None:
        source = {"uri": "s3://bucket/a.parquet", "format": "Parquet", "freshnessSeconds": 3600}
        assert self.said(self.shown(PASSED, source=source, timestampField="at"))["Fresh"] == ("Unknown", "AgeUnknown")

    def test_a_definition_that_cannot_be_used(self) -> None:
        said = self.said(self.shown(PASSED, problem="no cron line"))
        assert said == {"Ready": ("False", "InvalidSpec"), "Stalled": ("True", "InvalidSpec")}

    def test_an_edit_makes_the_old_result_no_evidence(self) -> None:
        before = self.shown(PASSED)
        edited = feature_set(before, features=[{"name": "distance", "type": "Float64", "maximum": "9"}])
        status = statuses.show(edited, before, "", "", NOW)
        assert self.said(status)["Valid"] == ("Unknown", "Validating")
        assert self.said(status)["Reconciling"] == ("True", "Validating")

    def test_the_same_result_changes_nothing(self) -> None:
        first = self.shown(PASSED)
        again = statuses.show(feature_set(first), first, "", "", NOW + timedelta(hours=1))
        assert json.dumps(again.as_json()) == json.dumps(first.as_json())

    def test_history_keeps_versions_not_repetitions(self) -> None:
        subject, status = feature_set(), FeatureSetStatus()
        for number in range(30):
            digest = "sha256:" + f"{number // 2:064x}"
            run = outcomes.run_of(made(subject))
            result = PASSED.model_copy(update={"digest": digest})
            status = statuses.record(feature_set(status), run, "", result, NOW + timedelta(hours=number))
        digests = [entry.digest for entry in status.history]
        assert len(digests) == len(set(digests)) == 10
        newest = find_condition(statuses.show(feature_set(status), status, "", "", NOW).conditions, "Valid")
        assert newest is not None
        assert newest.status.value == "True"
