"""What the numbers of an evaluation mean."""

import math
from dataclasses import replace
from typing import Any

import pytest

from penstock.api.v1alpha1.evaluationgate import FairnessName
from penstock.api.v1alpha1.serving import Runtime
from penstock.domain.gates.bars import bars
from penstock.domain.gates.judge import judge, refuse
from penstock.domain.gates.task import FairnessResult, GateResult, LatencyResult, Problem, SlicesResult, error
from penstock.domain.gates.verdict import GateVerdict, Requirement, Verdict
from tests.unit.domain.gates_given import (
    ASKED,
    CHAMPION,
    DIGEST,
    FIRST,
    OTHER,
    REVISION,
    gate,
    metric,
    result,
    slice_of,
)

PASS, FAIL, INCONCLUSIVE = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE
NO_DATA, NOT_APPLICABLE, ERROR = Verdict.NO_DATA, Verdict.NOT_APPLICABLE, Verdict.ERROR

AUC = {"name": "roc_auc", "min": "0.72"}
LOSS = {"name": "log_loss", "max": "0.5"}
FAIR = {"protected": ["origin"], "metrics": [{"name": "equalized_odds_difference", "max": "0.1"}]}
ITSELF = replace(FIRST, itself=True)
VERSUS = {"name": "roc_auc", "versusChampion": {"maxRegression": "0.01", "absoluteMin": "0.70"}}


def said(said_by: GateVerdict, id: str) -> Requirement:
    return next(item for item in said_by.requirements if item.id == id)


class TestBounds:
    @pytest.mark.parametrize(
        ("lower", "upper", "verdict"),
        [
            (0.72, 0.75, PASS),  # exactly the bound is enough
            (0.7199999, 0.75, INCONCLUSIVE),
            (0.60, 0.72, INCONCLUSIVE),
            (0.60, 0.7199999, FAIL),
        ],
    )
    def test_at_least(self, lower: float, upper: float, verdict: Verdict) -> None:
        assert judge(gate(AUC), result(metric(lower, upper)), ASKED).verdict is verdict

    @pytest.mark.parametrize(
        ("lower", "upper", "verdict"),
        [(0.4, 0.5, PASS), (0.4, 0.5001, INCONCLUSIVE), (0.5, 0.6, INCONCLUSIVE), (0.5001, 0.6, FAIL)],
    )
    def test_at_most(self, lower: float, upper: float, verdict: Verdict) -> None:
        assert judge(gate(LOSS), result(metric(lower, upper, id="log_loss")), ASKED).verdict is verdict

    def test_the_value_alone_never_passes(self) -> None:
        assert judge(gate(AUC), result(metric(0.5, 0.99, value=0.95)), ASKED).verdict is INCONCLUSIVE

    @pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, None])
    @pytest.mark.parametrize("which", ["value", "lower", "upper"])
    def test_what_is_not_finite_is_an_error(self, which: str, number: float | None) -> None:
        broken = metric(0.8, 0.9).model_copy(update={which: number})
        found = judge(gate(AUC), result(broken), ASKED)
        assert (found.verdict, found.reason, found.again) == (ERROR, "MetricNotFinite", False)

    def test_an_interval_upside_down_is_an_error(self) -> None:
        assert judge(gate(AUC), result(metric(0.9, 0.8)), ASKED).reason == "ImplausibleNumbers"

    @pytest.mark.parametrize(
        ("problem", "verdict"),
        [
            (Problem.NO_DATA, NO_DATA),
            (Problem.NOT_DEFINED, NO_DATA),
            (Problem.TOO_FEW, NO_DATA),
            (Problem.NOT_FINITE, ERROR),
            (Problem.COLUMN_MISSING, ERROR),
        ],
    )
    def test_a_metric_says_why_it_is_missing(self, problem: Problem, verdict: Verdict) -> None:
        found = judge(gate(AUC), result(metric(None, None, problem=problem)), ASKED)
        assert (found.verdict, found.requirements[0].reason) == (verdict, problem.value)

    def test_a_metric_that_is_missing_or_of_no_rows_is_no_data(self) -> None:
        assert judge(gate(AUC), result(), ASKED).verdict is NO_DATA
        assert judge(gate(AUC), result(metric(0.8, 0.9, n=0)), ASKED).verdict is NO_DATA
        assert judge(gate(AUC), result(metric(0.8, 0.9, id="roc_auc.other")), ASKED).verdict is NO_DATA


class TestEvidence:
    @pytest.mark.parametrize(
        ("changes", "reason", "verdict"),
        [
            ({"answered": OTHER[:12]}, "WrongRevision", ERROR),
            ({"answered": None}, "WrongRevision", ERROR),
            ({"dataset_digest": OTHER}, "SourceDigestMismatch", ERROR),
            ({"dataset_digest": None}, "SourceDigestMismatch", ERROR),
            ({"rows": 0}, "EmptyDataset", NO_DATA),
            ({"failed": 1}, "PredictionsFailed", ERROR),
        ],
    )
    def test_what_is_not_about_this_revision_and_data_never_passes(
        self, changes: dict[str, Any], reason: str, verdict: Verdict
    ) -> None:
        found = judge(gate(AUC), result(metric(0.9, 0.95), **changes), ASKED)
        assert (found.reason, found.verdict) == (reason, verdict)
        assert found.again is (verdict is ERROR)

    def test_a_server_of_the_owner_need_not_say_what_it_is_but_must_not_lie(self) -> None:
        custom = replace(ASKED, runtime=Runtime.CUSTOM, champion_runtime=Runtime.CUSTOM)
        silent = result(metric(0.9, 0.95), answered=None, champion_answered=None)
        assert judge(gate(AUC), silent, custom).verdict is PASS
        assert judge(gate(AUC), silent.model_copy(update={"answered": CHAMPION}), custom).verdict is ERROR

    def test_a_job_that_could_not_measure_is_tried_again(self) -> None:
        found = judge(gate(AUC), error("SourceUnavailable", "no answer"), ASKED)
        assert found == GateVerdict(ERROR, "SourceUnavailable", "no answer", again=True)

    def test_training_data_is_refused_whatever_the_numbers_say(self) -> None:
        trained = replace(ASKED, training_digests=frozenset({OTHER, DIGEST}))
        found = judge(gate(AUC), result(metric(0.99, 1.0)), trained)
        assert (found.verdict, found.reason, found.again) == (ERROR, "HoldoutIsTrainingData", False)
        assert refuse(DIGEST, {OTHER}) is None


class TestChampion:
    def compared(self, lower: float, upper: float, **more: Any) -> GateResult:
        own = {"value": 0.75, "lower": 0.74, "upper": 0.76} | more.pop("own", {})
        return result(
            metric(
                own["lower"],
                own["upper"],
                value=own["value"],
                champion=0.75,
                difference=(lower + upper) / 2,
                difference_lower=lower,
                difference_upper=upper,
            ),
            **more,
        )

    @pytest.mark.parametrize(
        ("lower", "upper", "verdict"),
        [
            (-0.01, 0.02, PASS),
            (0.01, 0.02, PASS),
            (-0.0101, 0.02, INCONCLUSIVE),
            (-0.03, -0.01, INCONCLUSIVE),
            (-0.03, -0.0101, FAIL),
        ],
    )
    def test_the_interval_of_the_difference_decides(self, lower: float, upper: float, verdict: Verdict) -> None:
        assert judge(gate(VERSUS), self.compared(lower, upper), ASKED).verdict is verdict

    def test_where_smaller_is_better_larger_is_a_regression(self) -> None:
        versus = {"name": "log_loss", "versusChampion": {"maxRegression": "0.01", "absoluteMax": "0.9"}}
        for lower, upper, verdict in ((-0.5, 0.01, PASS), (0.005, 0.02, INCONCLUSIVE), (0.0101, 0.5, FAIL)):
            found = metric(
                0.5,
                0.6,
                id="log_loss",
                champion=0.5,
                difference=0.0,
                difference_lower=lower,
                difference_upper=upper,
            )
            assert judge(gate(versus), result(found), ASKED).verdict is verdict

    def test_the_floor_holds_beside_a_bad_champion(self) -> None:
        own = {"value": 0.6, "lower": 0.55, "upper": 0.65}
        found = judge(gate(VERSUS), self.compared(0.1, 0.2, own=own), ASKED)
        assert found.verdict is FAIL
        assert said(found, "roc_auc/champion").threshold == ">= 0.70"

    @pytest.mark.parametrize(
        "changes",
        [{"champion_failed": 1}, {"champion_answered": REVISION}, {"champion_answered": None}],
    )
    @pytest.mark.parametrize(("lower", "verdict"), [(0.74, PASS), (0.65, INCONCLUSIVE)])
    def test_a_broken_champion_leaves_the_floor_to_decide(
        self, changes: dict[str, Any], lower: float, verdict: Verdict
    ) -> None:
        own = {"value": 0.75, "lower": lower, "upper": 0.76}
        found = judge(gate(VERSUS), self.compared(-0.5, -0.4, own=own, **changes), ASKED)
        assert found.verdict is verdict
        assert said(found, "roc_auc/champion").reason == "ChampionFailed"

    def test_without_a_floor_of_its_own_the_metrics_bound_is_it(self) -> None:
        both = {"name": "roc_auc", "min": "0.74", "versusChampion": {"maxRegression": "0"}}
        found = judge(gate(both), self.compared(-0.5, -0.4, champion_failed=3), ASKED)
        assert found.verdict is PASS
        assert said(found, "roc_auc/champion").threshold == ">= 0.74"

    def test_a_comparison_that_is_missing_beside_a_champion_that_answered_is_no_pass(self) -> None:
        found = metric(0.9, 0.95, champion=0.7)
        assert judge(gate(VERSUS), result(found), ASKED).verdict is ERROR

    def test_a_first_revision_has_nobody_to_be_compared_with(self) -> None:
        alone = {"name": "roc_auc", "min": "0.72", "versusChampion": {"maxRegression": "0.01"}}
        found = judge(gate(alone), result(metric(0.73, 0.75)), FIRST)
        assert found.verdict is PASS
        assert said(found, "roc_auc/champion").verdict is NOT_APPLICABLE
        assert judge(gate(VERSUS), result(metric(0.60, 0.65)), FIRST).verdict is FAIL

    def test_the_champion_itself_is_held_to_its_absolute_bars(self) -> None:
        alone = {"name": "roc_auc", "min": "0.72", "versusChampion": {"maxRegression": "0.01"}}
        found = judge(gate(alone), result(metric(0.73, 0.75), champion_answered=None), ITSELF)
        assert found.verdict is PASS
        left_out = said(found, "roc_auc/champion")
        assert (left_out.verdict, left_out.reason) == (NOT_APPLICABLE, "IsChampion")
        assert judge(gate(VERSUS), result(metric(0.60, 0.65)), ITSELF).verdict is FAIL

    def test_nothing_but_a_comparison_says_nothing_about_the_champion(self) -> None:
        versus = {"name": "roc_auc", "versusChampion": {"maxRegression": "0.01"}}
        found = judge(gate(versus), result(metric(0.1, 0.2)), ITSELF)
        assert (found.verdict, found.reason) == (NOT_APPLICABLE, "IsChampion")
        assert found.message.startswith("it asks for nothing but a comparison with the stable revision, which this is")


class TestSlices:
    def sliced(self, *worst: Any, required: bool = False, count: int | None = None, **more: Any) -> GateVerdict:
        spec = gate({"name": "recall", "slices": {"by": ["carrier"], "min": "0.4", "required": required}})
        slices = SlicesResult(count=len(worst) if count is None else count, worst=list(worst), **more)
        return judge(spec, result(metric(0.5, 0.6, id="recall", slices=slices)), ASKED)

    def test_every_slice_has_to_show_it(self) -> None:
        assert self.sliced(slice_of(0.41, 0.6, 1.0), slice_of(0.4, 0.5, 1.0), required=True).verdict is PASS

    def test_a_breach_needs_holms_correction(self) -> None:
        """Alone this slice would be a Fail; among as many as were looked at it is chance."""
        chance = self.sliced(slice_of(0.1, 0.39, 0.2), slice_of(0.1, 0.39, 0.3), required=True)
        assert chance.verdict is INCONCLUSIVE
        assert self.sliced(slice_of(0.1, 0.39, 0.02), slice_of(0.1, 0.39, 0.3)).verdict is FAIL

    def test_what_cannot_be_told_warns_unless_it_is_required(self) -> None:
        unsure = (slice_of(0.3, 0.6, 0.9, "carrier=ZZ"), slice_of(0.5, 0.6, 1.0))
        warned = self.sliced(*unsure)
        assert warned.verdict is PASS
        assert "only a warning" in warned.message
        assert self.sliced(*unsure, required=True).verdict is INCONCLUSIVE

    def test_no_slice_large_enough_warns_unless_it_is_required(self) -> None:
        assert self.sliced(count=0, small=12).verdict is PASS
        assert self.sliced(count=0, small=12, required=True).verdict is NO_DATA

    def test_slices_that_did_not_fit_are_never_only_a_warning(self) -> None:
        assert self.sliced(count=20).verdict is NO_DATA
        assert self.sliced(slice_of(0.5, 0.6, 1.0), count=20).verdict is NO_DATA

    def test_a_missing_column_is_an_error_and_a_missing_p_too(self) -> None:
        assert self.sliced(problem=Problem.COLUMN_MISSING).verdict is ERROR
        assert self.sliced(slice_of(0.5, 0.6, None), slice_of(0.5, 0.6, 1.0)).verdict is ERROR

    def test_a_metric_without_slices_in_its_result_is_no_data(self) -> None:
        spec = gate({"name": "recall", "slices": {"by": ["carrier"], "min": "0.4"}})
        assert judge(spec, result(metric(0.5, 0.6, id="recall")), ASKED).verdict is NO_DATA


class TestOthers:
    @pytest.mark.parametrize(
        ("lower", "upper", "verdict"), [(0.0, 0.1, PASS), (0.05, 0.2, INCONCLUSIVE), (0.11, 0.2, FAIL)]
    )
    def test_fairness_is_bounded_from_above(self, lower: float, upper: float, verdict: Verdict) -> None:
        fair = FairnessResult(
            name=FairnessName.EQUALIZED_ODDS_DIFFERENCE,
            column="origin",
            value=(lower + upper) / 2,
            lower=lower,
            upper=upper,
            n=500,
            groups=2,
        )
        found = judge(gate(AUC, fairness=FAIR), result(metric(0.8, 0.9), fairness=[fair]), ASKED)
        assert found.verdict is verdict

    def test_a_difference_that_is_missing_is_no_data(self) -> None:
        assert judge(gate(AUC, fairness=FAIR), result(metric(0.8, 0.9)), ASKED).verdict is NO_DATA

    @pytest.mark.parametrize(
        ("latency", "verdict"),
        [
            (LatencyResult(n=1000, p99=40, p99_lower=35, p99_upper=50), PASS),
            (LatencyResult(n=1000, p99=50, p99_lower=45, p99_upper=51), INCONCLUSIVE),
            (LatencyResult(n=1000, p99=60, p99_lower=51, p99_upper=70), FAIL),
            (LatencyResult(n=20, p99=10, p99_lower=5), INCONCLUSIVE),
            (LatencyResult(n=20, p99=90, p99_lower=51), FAIL),
            (LatencyResult(n=0), NO_DATA),
            (LatencyResult(n=20, p99=math.nan, p99_upper=1), ERROR),
            (LatencyResult(n=20, p99=1, p99_lower=math.nan, p99_upper=1), ERROR),
            (None, NO_DATA),
        ],
    )
    def test_latency(self, latency: LatencyResult | None, verdict: Verdict) -> None:
        spec = gate(AUC, latency={"p99Milliseconds": 50})
        assert judge(spec, result(metric(0.8, 0.9), latency=latency), ASKED).verdict is verdict


class TestGate:
    def test_the_worst_requirement_decides_and_stands_first(self) -> None:
        spec = gate(AUC, LOSS, {"name": "brier", "max": "0.2"})
        found = judge(spec, result(metric(0.8, 0.9), metric(0.6, 0.7, id="log_loss")), ASKED)
        assert [item.verdict for item in found.requirements] == [FAIL, NO_DATA, PASS]
        assert (found.verdict, found.reason) == (FAIL, "GateFailed")
        assert "log_loss: 0.65 (0.6 to 0.7), n 1000, demanded <= 0.5: Fail" in found.message

    @pytest.mark.parametrize(
        ("rule", "verdict", "needs_approval"),
        [("Hold", INCONCLUSIVE, False), ("Fail", FAIL, False), ("RequireApproval", INCONCLUSIVE, True)],
    )
    def test_on_inconclusive(self, rule: str, verdict: Verdict, needs_approval: bool) -> None:
        found = judge(gate(AUC, onInconclusive=rule), result(metric(0.6, 0.8)), ASKED)
        assert (found.verdict, found.needs_approval) == (verdict, needs_approval)
        assert found.reason == "GateInconclusive"

    def test_on_inconclusive_says_nothing_about_missing_data(self) -> None:
        found = judge(gate(AUC, onInconclusive="Fail"), result(), ASKED)
        assert (found.verdict, found.needs_approval) == (NO_DATA, False)

    def test_the_log_gets_short_decimal_strings(self) -> None:
        [number] = judge(gate(AUC), result(metric(0.8123456789, 0.9)), ASKED).numbers()
        assert number == {
            "id": "roc_auc",
            "verdict": "Pass",
            "threshold": ">= 0.72",
            "value": "0.856173",
            "lower": "0.812346",
            "upper": "0.9",
            "n": 1000,
        }

    def test_bars_tell_a_stricter_edit_from_a_laxer_one(self) -> None:
        spec = gate(
            AUC | {"slices": {"by": ["carrier"], "min": "0.4"}, "versusChampion": {"maxRegression": "0.01"}},
            LOSS,
            latency={"p99Milliseconds": 50},
            fairness=FAIR,
        )
        assert bars(spec) == {
            "confidence": "0.95",
            "onInconclusive": "1",
            "roc_auc:min": "0.72",
            "roc_auc/champion:max": "0.01",
            "roc_auc/slices/carrier:min": "0.4",
            "roc_auc/slices/minSamples:max": "100",
            "roc_auc/slices/required": "0",
            "log_loss:max": "0.5",
            "equalized_odds_difference/origin:max": "0.1",
            "latency:max": "50",
        }
