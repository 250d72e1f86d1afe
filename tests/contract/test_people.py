"""What the chart says about people: roles that decide, and policies that know every field of the rules."""

from __future__ import annotations

import re
from typing import Any

import pytest

from penstock.api.v1alpha1.analysis import Analysis
from penstock.api.v1alpha1.base import ApiType
from penstock.api.v1alpha1.evaluationgate import (
    ChampionRule,
    EvaluationGateSpec,
    Fairness,
    FairnessMetric,
    GateMetric,
    Latency,
    SliceRule,
)
from penstock.api.v1alpha1.modelaction import ActionType
from penstock.api.v1alpha1.rollout import ApprovalPolicy, Canary, Rollout, Shadow, Step
from tests.contract.chart import render

Json = dict[str, Any]

# Fields that can be changed either way without making a rule weaker, each for a reason.
FREE: dict[type[ApiType], set[str]] = {
    # How long is waited, and how a way back is kept.
    Rollout: {
        "freeze",
        "stageDeadlineSeconds",
        "rollbackWindowSeconds",
        "rollbackFullSeconds",
        "warmReplicas",
    },
    # How long people may take; a smaller share of copies takes longer to reach minSamples; one value only.
    ApprovalPolicy: {"expiresAfterSeconds"},
    Shadow: {"percent", "sideEffects"},
    # One value only; how long a Job may take and how large it is; the sample is drawn by a fixed seed.
    EvaluationGateSpec: {"kind", "timeoutSeconds", "resources", "maxRows"},
}
MODEL_TYPES = (Rollout, ApprovalPolicy, Shadow, Canary, Step, Analysis)
GATE_TYPES = (EvaluationGateSpec, GateMetric, SliceRule, ChampionRule, Fairness, FairnessMetric, Latency)


def expressions(name: str) -> str:
    """All variables of a policy of the chart, as one text."""
    (policy,) = [
        obj for obj in render() if obj["kind"] == "ValidatingAdmissionPolicy" and obj["metadata"]["name"] == name
    ]
    return "\n".join(variable["expression"] for variable in policy["spec"]["variables"])


@pytest.mark.parametrize(
    ("kind", "policy"),
    [
        *((kind, "penstock-relax") for kind in MODEL_TYPES),
        *((kind, "penstock-relax-gates") for kind in GATE_TYPES),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_every_field_of_a_rule_is_guarded_or_free(kind: type[ApiType], policy: str) -> None:
    text = expressions(policy)
    fields = {field.alias or name for name, field in kind.model_fields.items()}
    guarded = {name for name in fields if re.search(rf"[.?]{name}\b", text)}
    assert fields - guarded == FREE.get(kind, set())


def roles(**values: Any) -> dict[str, Json]:
    """The ClusterRoles of the chart by name."""
    return {obj["metadata"]["name"]: obj for obj in render(**values) if obj["kind"] == "ClusterRole"}


def verbs(role: Json) -> set[str]:
    """The verbs on Models."""
    return {verb for rule in role["rules"] if "models" in rule["resources"] for verb in rule["verbs"]}


def test_every_command_is_in_a_role_and_in_none_of_those_who_write() -> None:
    given = roles()
    commands = {kind.lower() for kind in ActionType}
    deciders = verbs(given["penstock-approver"]) | verbs(given["penstock-operator-on-call"])
    assert deciders - {"get", "list", "watch"} == commands
    for name in ("penstock-edit", "penstock-view", "penstock-operator"):
        assert not verbs(given[name]) & (commands | {"relax"})
    assert "approve" not in verbs(given["penstock-operator-on-call"])


def test_roles_join_the_clusters_own_ones() -> None:
    given = roles()
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    joined = {
        (name, label.removeprefix(prefix))
        for name, role in given.items()
        for label in role["metadata"]["labels"]
        if label.startswith(prefix)
    }
    assert joined == {("penstock-view", "view"), ("penstock-edit", "edit")}


def test_roles_can_be_left_out() -> None:
    assert set(roles(roles={"install": False, "aggregate": False})) == {"penstock-operator"}
    assert set(roles(roles={"install": False})) == {"penstock-operator", "penstock-view", "penstock-edit"}
