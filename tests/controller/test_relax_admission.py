"""Which changes of a Model or a gate make the rules weaker, and that they need the verb relax."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from tests.contract.manifests import MODEL
from tests.controller.people import GATE, Json, home, installed, people, placed, update_of
from tests.support.cluster import Cluster, Refused

__all__ = ["home", "installed", "people"]


@dataclass(frozen=True)
class Weaker:
    """A change that needs the verb relax, and what is said about it. `both_ways`: so does the way back."""

    says: str
    old: Json
    new: Json
    both_ways: bool = False


APPROVAL, SHADOW, CANARY = "spec.rollout.approval", "spec.rollout.shadow", "spec.rollout.canary"
ERRORS = {"name": "errors", "type": "Errors", "margin": "0.005"}
LATENCY = {"name": "latency", "type": "Latency", "maxIncreasePercent": 20}
BUSINESS = {"name": "sales", "type": "Guardrail", "metricSourceRef": {"name": "m"}, "query": "sales{$revision}"}
PLAIN_SHADOW = {"sideEffects": "None"}


def steps(*found: Json) -> Json:
    return {CANARY: {"steps": list(found)}}


def analyses(*found: Json) -> Json:
    return {CANARY: {"steps": [{"weight": 5}], "analysis": list(found)}}


def shadow(**fields: Any) -> Json:
    return {SHADOW: PLAIN_SHADOW | fields}


MODEL_CHANGES = [
    Weaker("approval.required is switched off", {APPROVAL: {"required": True}}, {APPROVAL: {"required": False}}),
    Weaker("approval.required is switched off", {APPROVAL: {"required": True}}, {}),
    Weaker("approval.quorum is lower", {APPROVAL: {"quorum": 10}}, {APPROVAL: {"quorum": 9}}),
    Weaker("approval.quorum is lower", {APPROVAL: {"quorum": 2}}, {}),
    Weaker(
        "approval.before is another",
        {APPROVAL: {"required": True, "before": "Rollout"}},
        {APPROVAL: {"required": True}},
        both_ways=True,
    ),
    Weaker(
        "a gate is removed",
        {"spec.rollout.gates": [{"name": "a"}, {"name": "b"}]},
        {"spec.rollout.gates": [{"name": "a"}, {"name": "c"}]},
        both_ways=True,
    ),
    Weaker("a gate is removed", {"spec.rollout.gates": [{"name": "a"}]}, {}),
    Weaker("shadow is removed", shadow(), {}),
    Weaker("shadow.minSamples is lower", shadow(minSamples=2000), shadow(minSamples=1999)),
    Weaker(
        "shadow.maxExcessDisagreement is higher",
        shadow(maxExcessDisagreement="0.1"),
        shadow(maxExcessDisagreement="0.11"),
    ),
    Weaker(
        "shadow.maxLatencyIncreasePercent is higher or removed",
        shadow(maxLatencyIncreasePercent=9),
        shadow(maxLatencyIncreasePercent=10),
    ),
    Weaker("shadow.maxLatencyIncreasePercent is higher or removed", shadow(maxLatencyIncreasePercent=9), shadow()),
    Weaker("canary is removed", steps({"weight": 5}), {}),
    Weaker("canary.steps are fewer", steps({"weight": 5}, {"weight": 50}), steps({"weight": 5})),
    Weaker("the weight of a canary step is higher", steps({"weight": 5}), steps({"weight": 6})),
    Weaker(
        "the weight of a canary step is higher",
        steps({"weight": 5}, {"weight": 25}),
        steps({"weight": 5}, {"weight": 90}, {"weight": 95}),
        both_ways=True,
    ),
    Weaker("minRequests of a canary step is lower", steps({"weight": 5, "minRequests": 10}), steps({"weight": 5})),
    Weaker(
        "minSeconds of a canary step is lower",
        steps({"weight": 5, "minSeconds": 60}),
        steps({"weight": 5, "minSeconds": 59}),
    ),
    Weaker(
        "canary.warmupSeconds is higher",
        {CANARY: {"steps": [{"weight": 5}], "warmupSeconds": 30}},
        {CANARY: {"steps": [{"weight": 5}], "warmupSeconds": 31}},
    ),
    Weaker("an analysis is removed", analyses(ERRORS, LATENCY), analyses(ERRORS)),
    Weaker("an analysis is removed", analyses(LATENCY, ERRORS), {CANARY: {"steps": [{"weight": 5}]}}),
    Weaker("an analysis is removed", steps({"weight": 5}), analyses(LATENCY), both_ways=True),
    Weaker(
        "the margin of an analysis is higher",
        analyses(ERRORS | {"margin": "9e-3"}),
        analyses(ERRORS | {"margin": "0.01"}),
    ),
    Weaker(
        "maxIncreasePercent of an analysis is higher", analyses(LATENCY), analyses(LATENCY | {"maxIncreasePercent": 21})
    ),
    Weaker(
        "the guardrail of an analysis is wider", analyses(BUSINESS | {"min": "2"}), analyses(BUSINESS | {"min": "-10"})
    ),
    Weaker(
        "the guardrail of an analysis is wider", analyses(BUSINESS | {"max": "9"}), analyses(BUSINESS | {"max": "10"})
    ),
    Weaker(
        "the guardrail of an analysis is wider",
        analyses(BUSINESS | {"min": "2", "max": "9"}),
        analyses(BUSINESS | {"max": "9"}),
    ),
    Weaker(
        "an analysis measures something else",
        analyses(LATENCY),
        analyses(LATENCY | {"quantile": "0.5"}),
        both_ways=True,
    ),
    Weaker(
        "an analysis measures something else",
        analyses(BUSINESS | {"min": "2"}),
        analyses(BUSINESS | {"min": "2", "query": "1"}),
        both_ways=True,
    ),
    Weaker(
        "an analysis measures something else",
        analyses(ERRORS),
        analyses(LATENCY | {"name": "errors"}),
        both_ways=True,
    ),
    Weaker(
        "onMissingEvidence is another",
        {"spec.rollout": {}},
        {"spec.rollout.onMissingEvidence": "Rollback"},
        both_ways=True,
    ),
    Weaker("card.risk is lower", {"spec.card.risk": "Limited"}, {"spec.card.risk": "Minimal"}),
    Weaker("card.risk is lower", {"spec.card.risk": "Limited"}, {}),
]


@pytest.mark.parametrize("case", MODEL_CHANGES, ids=lambda case: case.says)
def test_weaker_rules_of_a_model_need_relax(people: dict[str, Cluster], home: str, case: Weaker) -> None:
    needs_relax(people, case, placed(home, MODEL, case.old), placed(home, MODEL, case.new), "relax the rules of model")


RECALL: Json = {"name": "recall", "min": "0.6"}
LOSS: Json = {"name": "log_loss", "max": "1"}
PARITY: Json = {"name": "demographic_parity_difference", "max": "0.1"}
ODDS: Json = {"name": "equalized_odds_difference", "max": "0.1"}


def metrics(*found: Json) -> Json:
    return {"spec.metrics": list(found)}


def sliced(**fields: Any) -> Json:
    return metrics(RECALL | {"slices": {"by": ["carrier"], "min": "0.4"} | fields})


def versus(**fields: Any) -> Json:
    return metrics(RECALL | {"versusChampion": {"maxRegression": "0.005"} | fields})


def fair(*found: Json, protected: tuple[str, ...] = ("origin",)) -> Json:
    return {"spec.fairness": {"protected": list(protected), "metrics": list(found)}}


FASTER, SLOWER = {"spec.latency.p99Milliseconds": 50}, {"spec.latency.p99Milliseconds": 51}

GATE_CHANGES = [
    Weaker("a metric is removed", metrics(RECALL, LOSS), metrics(RECALL)),
    Weaker("a metric is removed", metrics(RECALL, RECALL | {"id": "late"}), metrics(RECALL)),
    Weaker("min of a metric is lower or removed", metrics(RECALL), metrics(RECALL | {"min": "0.59"})),
    Weaker(
        "min of a metric is lower or removed",
        metrics({"name": "recall", "min": "0.6", "slices": {"by": ["carrier"], "min": "0.4"}}),
        metrics({"name": "recall", "slices": {"by": ["carrier"], "min": "0.4"}}),
    ),
    Weaker("max of a metric is higher or removed", metrics(LOSS | {"max": "9"}), metrics(LOSS | {"max": "1e1"})),
    Weaker("slices are removed", sliced(), metrics(RECALL)),
    Weaker("a column of slices is removed", sliced(by=["carrier", "origin"]), sliced()),
    Weaker("minSamples of slices is higher", sliced(), sliced(minSamples=101)),
    Weaker("slices may be worse", sliced(), sliced(min="0.3")),
    Weaker(
        "slices may be worse",
        metrics(LOSS | {"slices": {"by": ["carrier"], "max": "2"}}),
        metrics(LOSS | {"slices": {"by": ["carrier"], "max": "3"}}),
    ),
    Weaker("slices are no longer required", sliced(required=True), sliced()),
    Weaker("versusChampion is removed", versus(), metrics(RECALL)),
    Weaker("maxRegression is higher", versus(), versus(maxRegression="0.01")),
    Weaker("the absolute bound of versusChampion is wider", versus(absoluteMin="0.5"), versus(absoluteMin="0.4")),
    Weaker("the absolute bound of versusChampion is wider", versus(absoluteMin="0.5"), versus()),
    Weaker(
        "the absolute bound of versusChampion is wider",
        metrics(LOSS | {"versusChampion": {"maxRegression": "0", "absoluteMax": "1"}}),
        metrics(LOSS | {"versusChampion": {"maxRegression": "0", "absoluteMax": "2"}}),
    ),
    Weaker("fairness is removed", fair(PARITY), {}),
    Weaker("a protected column is removed", fair(PARITY, protected=("a", "b")), fair(PARITY, protected=("b",))),
    Weaker("a fairness metric is removed or its max is higher", fair(PARITY, ODDS), fair(PARITY)),
    Weaker("a fairness metric is removed or its max is higher", fair(PARITY), fair(PARITY | {"max": "0.2"})),
    Weaker("latency is removed or may be higher", FASTER, SLOWER),
    Weaker("latency is removed or may be higher", FASTER, {}),
    Weaker("confidence is lower", {"spec.confidence": "0.99"}, {}),
    Weaker("onInconclusive is weaker", {"spec.onInconclusive": "Fail"}, {}),
    Weaker("onInconclusive is weaker", {}, {"spec.onInconclusive": "RequireApproval"}),
    *(
        Weaker("it is measured on something else", {}, new, both_ways=True)
        for new in (
            {"spec.dataset.featureSetRef.name": "easier"},
            {"spec.label": {"column": "always"}},
            {"spec.output": "other"},
            {"spec.threshold": "0.1"},
        )
    ),
]


@pytest.mark.parametrize("case", GATE_CHANGES, ids=lambda case: case.says)
def test_weaker_gates_need_relax(people: dict[str, Cluster], home: str, case: Weaker) -> None:
    needs_relax(people, case, placed(home, GATE, case.old), placed(home, GATE, case.new), "relax evaluation gate")


def needs_relax(people: dict[str, Cluster], case: Weaker, old: Json, new: Json, what: str) -> None:
    """Check that bob cannot make this change, dan can, and bob can undo it, unless it goes both ways."""
    bob, dan = people["bob"], people["dan"]
    bob.create(old)
    with pytest.raises(Refused) as refused:
        bob.replace(update_of(bob, new))
    sentence = refused.value.message.partition("denied request: ")[2]
    assert sentence.startswith(f"bob may not {what} {old['metadata']['name']}: {case.says}"), refused.value.message
    dan.replace(update_of(dan, new))
    if case.both_ways:
        with pytest.raises(Refused, match=f"bob may not {what}"):
            bob.replace(update_of(bob, old))
    else:
        bob.replace(update_of(bob, old))


def test_all_that_is_weaker_is_named(people: dict[str, Cluster], home: str) -> None:
    bob = people["bob"]
    bob.create(placed(home, MODEL, {APPROVAL: {"required": True, "quorum": 2}, **shadow(), **steps({"weight": 5})}))
    with pytest.raises(Refused) as refused:
        bob.replace(update_of(bob, placed(home, MODEL)))
    assert refused.value.message.endswith(
        "denied request: bob may not relax the rules of model flight-delay: approval.required is switched off, "
        "approval.quorum is lower, shadow is removed, canary is removed"
    )


# Left out and written as it is by default: the same.
SAME = [
    (
        {APPROVAL: {"required": True}, CANARY: {"steps": [{"weight": 5}]}, **shadow()},
        {
            APPROVAL: {"required": True, "before": "Promotion", "quorum": 1, "separationOfDuties": False},
            CANARY: {
                "steps": [{"weight": 5, "minRequests": 0, "minSeconds": 0}],
                "warmupSeconds": 30,
                "analysis": [ERRORS],
            },
            **shadow(percent=100, minSamples=2000, maxExcessDisagreement="0.020"),
            "spec.rollout.onMissingEvidence": "Hold",
            "spec.rollout.gates": [],
            "spec.card.risk": "Minimal",
        },
    ),
    (
        analyses({"name": "latency", "type": "Latency"}),
        analyses(
            {"name": "latency", "type": "Latency", "maxIncreasePercent": 20, "quantile": "0.99", "better": "Lower"}
        ),
    ),
    ({}, {"spec.rollout": {}}),
]


@pytest.mark.parametrize(("short", "long"), SAME)
def test_a_default_may_be_written_or_left_out(people: dict[str, Cluster], home: str, short: Json, long: Json) -> None:
    bob = people["bob"]
    bob.create(placed(home, MODEL, short))
    bob.replace(update_of(bob, placed(home, MODEL, long)))
    bob.replace(update_of(bob, placed(home, MODEL, short)))


def test_other_changes_of_a_model_need_nothing_special(people: dict[str, Cluster], home: str) -> None:
    bob = people["bob"]
    strict = {APPROVAL: {"required": True, "quorum": 2}, "spec.rollout.gates": [{"name": "a"}], **shadow()}
    bob.create(placed(home, MODEL, strict | steps({"weight": 5}, {"weight": 50})))
    more = steps({"weight": 1}, {"weight": 5}, {"weight": 50, "minSeconds": 9})
    other = {"spec.artifact.digest": "sha256:" + "9" * 64, "spec.rollout.stageDeadlineSeconds": 60}
    bob.replace(update_of(bob, placed(home, MODEL, strict | more | other)))
    bob.merge(placed(home, MODEL), {"spec": {"replicas": 3}}, subresource="scale")


def test_the_largest_model_and_gate_do_not_exceed_the_cost_limit(people: dict[str, Cluster], home: str) -> None:
    bob, text = people["bob"], "q" * 1024
    means = {"type": "Mean", "sum": text, "sumOfSquares": text, "count": text, "metricSourceRef": {"name": "m"}}
    largest = {
        "spec.rollout.gates": [{"name": f"{number}-" + "g" * 250} for number in range(8)],
        CANARY: {
            "steps": [{"weight": number, "minRequests": 1, "minSeconds": 1} for number in range(1, 11)],
            "analysis": [means | {"name": f"a{number}", "margin": "0.1"} for number in range(8)],
        },
        **shadow(),
    }
    bob.create(placed(home, MODEL, largest))
    bob.replace(update_of(bob, placed(home, MODEL, largest | {"spec.suspend": True})))
    columns = [f"c{number}" + "c" * 60 for number in range(4)]
    rule = {"slices": {"by": columns, "min": "0.1"}, "versusChampion": {"maxRegression": "0", "absoluteMin": "0"}}
    wide = metrics(*(RECALL | rule | {"id": f"m{number}"} for number in range(12)))
    wide |= fair(PARITY, ODDS, protected=tuple(columns))
    bob.create(placed(home, GATE, wide))
    bob.replace(update_of(bob, placed(home, GATE, wide | {"spec.timeoutSeconds": 60})))


def test_a_gate_in_use_is_deleted_with_relax_only(people: dict[str, Cluster], home: str) -> None:
    gate = placed(home, GATE)
    people["bob"].create(gate)
    people["operator"].merge(gate, {"status": {"usedBy": 1}}, subresource="status")
    with pytest.raises(
        Refused, match="bob may not relax evaluation gate holdout: it is deleted while a Model names it"
    ):
        people["bob"].delete(gate)
    people["dan"].delete(gate)
    people["bob"].create(gate)
    people["operator"].merge(gate, {"status": {"usedBy": 1}}, subresource="status")
    people["namespace controller"].delete(gate)
    people["bob"].create(gate)
    people["bob"].delete(gate)
