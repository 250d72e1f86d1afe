"""Who may command, and who has to say that it asked: policies and roles of the chart on a real API server."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import yaml

from hack.cluster.apiserver import ApiServer
from penstock.api.v1alpha1.modelaction import ActionType
from tests.contract.manifests import MODEL, action
from tests.controller.people import GATE, RBAC, Json, answer, home, installed, people, placed
from tests.support.cluster import CRDS, Cluster, Refused, wait_until

__all__ = ["home", "installed", "people"]

APPROVAL, REQUESTER = "spec.rollout.approval", "penstock.dev/requested-by"


def test_a_command_is_signed_with_the_own_name(people: dict[str, Cluster], home: str) -> None:
    people["ann"].create(placed(home, action(user="ann")))
    with pytest.raises(Refused, match=r"spec\.user must be ann"):
        people["ann"].create(placed(home, action(user="bob"), {"metadata.name": "forged"}))


MAY = {
    "ann": {"Approve", "Reject"},
    "bob": set[str](),
    "cat": {"Reject", "Promote", "Rollback", "Retry", "Evaluate", "ReleaseQuarantine"},
}


@pytest.mark.parametrize(("user", "kind"), list(itertools.product(MAY, ActionType)), ids=str)
def test_every_command_is_a_verb_of_its_own(people: dict[str, Cluster], home: str, user: str, kind: ActionType) -> None:
    said = answer(people[user], placed(home, action(kind, user=user)))
    if kind in MAY[user]:
        assert said == ""
    else:
        assert f"{user} may not {kind.lower()} model flight-delay" in said


def test_a_verb_can_be_given_for_one_model(people: dict[str, Cluster], installed: ApiServer, home: str) -> None:
    rules = [
        {"apiGroups": ["penstock.dev"], "resources": ["models"], "verbs": ["approve"], "resourceNames": ["mine"]},
        {"apiGroups": ["penstock.dev"], "resources": ["modelactions"], "verbs": ["create"]},
    ]
    meta = {"name": "one-model", "namespace": home}
    subject = {"kind": "User", "name": "fay", "apiGroup": RBAC}
    reference = {"apiGroup": RBAC, "kind": "Role", "name": "one-model"}
    people["admin"].create({"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": meta, "rules": rules})
    binding = {"apiVersion": f"{RBAC}/v1", "kind": "RoleBinding", "metadata": meta}
    people["admin"].create({**binding, "roleRef": reference, "subjects": [subject]})
    with Cluster(installed.client_kubeconfig("fay")) as fay:
        fay.create(placed(home, action(user="fay"), {"spec.modelRef.name": "mine"}))
        with pytest.raises(Refused, match="fay may not approve model others"):
            fay.create(placed(home, action(user="fay"), {"spec.modelRef.name": "others", "metadata.name": "b"}))


def test_to_promote_without_a_verdict_needs_relax(people: dict[str, Cluster], home: str) -> None:
    bypass = {"spec.bypass": True}
    said = answer(people["cat"], placed(home, action(ActionType.PROMOTE, user="cat"), bypass))
    assert "cat may not promote model flight-delay with bypass: that needs the verb relax" in said
    assert answer(people["cat"], placed(home, action(ActionType.PROMOTE, user="cat"), {"spec.bypass": False})) == ""
    assert answer(people["dan"], placed(home, action(ActionType.PROMOTE, user="dan"), bypass)) == ""


def test_status_of_a_command_is_the_operators(people: dict[str, Cluster], home: str) -> None:
    stored = people["ann"].create(placed(home, action(user="ann")) | {"status": {"state": "Done"}})
    assert stored["status"] == {"state": "Pending"}
    done = {"status": {"state": "Done", "sequence": 3}}
    with pytest.raises(Refused, match="status is written by the operator alone"):
        people["admin"].merge(stored, done, subresource="status")
    assert people["operator"].merge(stored, done, subresource="status")["status"] == done["status"]


def test_who_may_not_make_pods_may_not_make_gates(people: dict[str, Cluster], home: str) -> None:
    said = answer(people["pat"], placed(home, GATE))
    assert f"an EvaluationGate makes pods, and pat may not create pods in namespace {home}" in said
    assert answer(people["bob"], placed(home, GATE)) == ""


SEPARATED = {APPROVAL: {"required": True, "separationOfDuties": True}}


def signed(namespace: str, user: str, **changes: Any) -> Json:
    """A Model with separation of duties, signed by a user."""
    return placed(namespace, MODEL, {**SEPARATED, "metadata.annotations": {REQUESTER: user}, **changes})


def test_who_asks_is_named_where_duties_are_separated(people: dict[str, Cluster], home: str) -> None:
    ann, bob = people["ann"], people["bob"]
    must = "separationOfDuties is on: the annotation penstock.dev/requested-by must be "
    assert must + "bob" in answer(bob, placed(home, MODEL, SEPARATED))
    assert must + "bob" in answer(bob, signed(home, "ann"))
    stored = bob.create(signed(home, "bob"))
    newer = {"spec": {"artifact": {"digest": "sha256:" + "9" * 64}}}
    with pytest.raises(Refused, match=must + "ann"):
        ann.merge(stored, newer)
    with pytest.raises(Refused, match=must + "bob"):
        bob.merge(stored, newer | {"metadata": {"annotations": {REQUESTER: "ann"}}})
    ann.merge(stored, newer | {"metadata": {"annotations": {REQUESTER: "ann"}}})
    # The name cannot be rewritten or taken away afterwards, and other metadata is free.
    for user, name in ((ann, "bob"), (ann, None), (bob, "ann ")):
        with pytest.raises(Refused, match=must):
            user.merge(stored, {"metadata": {"annotations": {REQUESTER: name}}})
    bob.merge(stored, {"metadata": {"labels": {"seen": "yes"}, "annotations": {"example.com/note": "x"}}})
    bob.merge(stored, {"spec": {"replicas": 2}}, subresource="scale")


def test_to_switch_separation_off_needs_relax_and_a_name(people: dict[str, Cluster], home: str) -> None:
    bob, dan = people["bob"], people["dan"]
    stored = bob.create(signed(home, "bob"))
    off = {"spec": {"rollout": {"approval": {"separationOfDuties": False}}}}
    with pytest.raises(Refused, match=r"approval\.separationOfDuties is switched off"):
        bob.merge(stored, off)
    with pytest.raises(Refused, match="requested-by must be dan"):
        dan.merge(stored, off)
    dan.merge(stored, off | {"metadata": {"annotations": {REQUESTER: "dan"}}})
    # Now nothing is demanded any more, until somebody switches it on.
    bob.merge(stored, {"spec": {"suspend": True}, "metadata": {"annotations": {REQUESTER: None}}})
    with pytest.raises(Refused, match="requested-by must be bob"):
        bob.merge(stored, {"spec": {"rollout": {"approval": {"separationOfDuties": True}}}})


def test_where_it_is_off_a_plain_apply_is_enough(people: dict[str, Cluster], home: str) -> None:
    people["bob"].apply(placed(home, MODEL), "kubectl")
    people["ann"].apply(placed(home, MODEL, {"spec.suspend": True, "metadata.annotations": {REQUESTER: "x"}}), "gitops")


@pytest.mark.parametrize("user", ["ann", "cat"])
def test_who_decides_can_look_at_the_evidence(people: dict[str, Cluster], home: str, user: str) -> None:
    for kind in ("Model", "ModelRevision", "DecisionRecord", "EvaluationGate", "ModelAction", "FeatureSet"):
        people[user].list("penstock.dev/v1alpha1", kind, home)
    with pytest.raises(Refused, match='cannot create resource "models"'):
        people["cat"].create(placed(home, MODEL))


# The last test: the server serves a kind anew whose definition was changed.
def test_a_command_stays_as_it_was_signed_even_if_its_crd_is_loosened(people: dict[str, Cluster], home: str) -> None:
    stored = people["ann"].create(placed(home, action(user="ann")))
    people["admin"].merge(stored, {"metadata": {"labels": {"seen": "yes"}}})
    other = {"spec": {"evidenceDigest": "sha256:" + "0" * 64}}
    with pytest.raises(Refused, match="spec is immutable"):
        people["admin"].merge(stored, other)
    crd = yaml.safe_load((CRDS / "penstock.dev_modelactions.yaml").read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    rules = schema["properties"]["spec"].pop("x-kubernetes-validations")
    people["admin"].apply(crd)

    def refused_by_policy() -> bool:
        with pytest.raises(Refused) as refused:
            people["admin"].merge(stored, other)
        return "a ModelAction never changes" in refused.value.message

    try:
        wait_until(refused_by_policy, "the CRD has lost its rule")
    finally:
        schema["properties"]["spec"]["x-kubernetes-validations"] = rules
        people["admin"].apply(crd)
