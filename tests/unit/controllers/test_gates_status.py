"""What an EvaluationGate's status shows."""

import json

import pytest

from penstock.api.v1alpha1.conditions import Reason, find_condition
from penstock.api.v1alpha1.evaluationgatestatus import SEEN_LIMIT, EvaluationGateStatus
from penstock.controllers.gates import job as jobs
from penstock.controllers.gates import outcome as outcomes
from penstock.controllers.gates import status as statuses
from penstock.controllers.gates.controller import concerns
from penstock.controllers.resources import FEATURESETS, MODELS
from penstock.domain.gates.holdout import Unusable, rows_of
from penstock.domain.gates.runs import Target
from penstock.kube.resources import JOBS, PODS
from tests.unit.controllers.gates_given import (
    CONFIG,
    GOOD,
    NOW,
    Json,
    World,
    gate,
    order,
    told,
)
from tests.unit.domain.gates_given import CHAMPION, DIGEST, OTHER, REVISION


class TestStatus:
    ROWS = rows_of(gate().spec, None)

    def seen(self, *revisions: str, said: str = "Complete", digest: str = DIGEST) -> list[statuses.SeenRun]:
        return [
            statuses.SeenRun(
                f"job-{name}",
                "delay",
                outcomes.Noted("holdout", Target(name, DIGEST, digest), 1, 1, NOW, NOW),
                said,
            )
            for name in revisions
        ]

    def test_a_gate_that_can_be_used_is_ready(self) -> None:
        shown = statuses.show(gate(), self.ROWS, ["b", "a"], [], NOW)
        ready = find_condition(shown.conditions, "Ready")
        assert ready is not None
        assert (ready.status, ready.reason, shown.observed_generation) == ("True", "GateReady", 3)
        assert (shown.used_by, shown.models) == (2, ["a", "b"])

    @pytest.mark.parametrize(
        ("rows", "status", "other"),
        [("HoldoutPending", "Unknown", "Reconciling"), ("HoldoutMissing", "False", "Stalled")],
    )
    def test_a_gate_that_cannot_be_used_says_why(self, rows: str, status: str, other: str) -> None:
        shown = statuses.show(gate(), Unusable(Reason(rows), "flights"), [], [], NOW)
        ready = find_condition(shown.conditions, "Ready")
        assert ready is not None
        assert (ready.status, ready.reason) == (status, rows)
        assert "(flights)" in ready.message
        assert find_condition(shown.conditions, other) is not None

    def test_every_revision_counts_once_on_the_same_rows(self) -> None:
        first = statuses.show(gate(), self.ROWS, [], self.seen(REVISION, CHAMPION), NOW)
        with_first = gate().model_copy(update={"status": first})
        again = statuses.show(with_first, self.ROWS, [], self.seen(CHAMPION), NOW)
        assert again.holdout is not None
        assert again.holdout.revisions == 2
        elsewhere = statuses.show(with_first, self.ROWS, [], self.seen("0" * 12, digest=OTHER), NOW)
        assert elsewhere.holdout == again.holdout

    def test_the_count_goes_on_where_the_list_is_full(self) -> None:
        status = EvaluationGateStatus()
        for number in range(SEEN_LIMIT + 5):
            of = gate().model_copy(update={"status": status})
            status = statuses.show(of, self.ROWS, [], self.seen(f"{number:012x}"), NOW)
        assert status.holdout is not None
        assert (status.holdout.revisions, len(status.holdout.seen)) == (SEEN_LIMIT + 5, SEEN_LIMIT)
        EvaluationGateStatus.model_validate(json.loads(json.dumps(status.as_json())))

    def test_the_last_runs_stay_when_their_jobs_are_gone(self) -> None:
        first = statuses.show(gate(), self.ROWS, [], self.seen(REVISION, said="Running"), NOW)
        assert first.last == f"delay {REVISION}, 2026-03-01 12:00 UTC: Running"
        gone = statuses.show(gate().model_copy(update={"status": first}), self.ROWS, [], [], NOW)
        assert [run.outcome for run in gone.runs] == ["Ended"]

    def test_what_concerns_a_gate(self) -> None:
        cache = World(gate(dataset={"featureSetRef": {"name": "flights"}}, label=None)).cache
        model: Json = {
            "metadata": {"name": "delay", "namespace": "airline"},
            "spec": {"rollout": {"gates": [{"name": "holdout"}]}},
        }
        features: Json = {"metadata": {"name": "flights", "namespace": "airline"}}
        job = jobs.build(order(), CONFIG, NOW)
        for kind, obj in ((MODELS, model), (FEATURESETS, features), (JOBS, job), (PODS, told(GOOD))):
            assert list(concerns(cache, kind, obj)) == [("airline", "holdout")]
        assert list(concerns(cache, MODELS, model | {"spec": {}})) == []
