"""Whose objects are whose: repair, refusal, deletion and a second life under the same name."""

import pytest

from tests.e2e.dsl import NAME
from tests.e2e.world import KINDS, PENSTOCK, World, condition_of, dump

CHILDREN = ("Deployment", "Service", "HTTPRoute")
ALONE = "objects with the label penstock.dev/model are written by the operator alone, change the Model instead"
RECORDS = "ModelRevisions and DecisionRecords are written by the operator alone and never changed"


@pytest.fixture(params=["penstock-admin", "alice"])
def user(request, given) -> str:
    """The administrator of the cluster, whom no role stops, and one of the namespace."""
    return given.user(request.param)


def uids(world: World, kind: str) -> dict[str, str]:
    return {item["metadata"]["name"]: item["metadata"]["uid"] for item in world.children(kind, NAME)}


def test_what_is_deleted_by_hand_comes_back(given, when, then, world):
    given.model("logistic")
    for kind in CHILDREN:
        before = uids(world, kind)
        assert before
        for name in before:
            when.deleted(kind, name)
        world.wait(
            f"every {kind} is there again",
            lambda kind=kind, before=before: (
                (after := uids(world, kind)).keys() == before.keys() and not set(after.values()) & set(before.values())
            ),
        )
    then.serves("logistic")
    world.wait("the Gateway answers again", lambda: reachable(then))
    assert then.log_is_whole() == ["Start", "Promote", "Promoted"], "repair is no decision"


def reachable(then) -> bool:
    try:
        then.predictions_equal("logistic")
    except AssertionError:
        return False
    return True


def test_nobody_else_writes_what_the_operator_owns(given, then, world, user):
    revision = given.model("logistic")
    workload = f"{NAME}-{revision}"

    for refused in (
        then.refused("set", "image", f"deployment/{workload}", "server=example.com/mine:1", user=user),
        then.refused("label", "service", NAME, "mine=yes", user=user),
        then.refused("annotate", "httproute", NAME, "mine=yes", user=user),
        then.refused("label", "service", workload, "penstock.dev/model-", user=user),
    ):
        assert f"{ALONE}; this is {user}" in refused


def test_nobody_else_writes_history_or_status(given, then, world, user):
    given.model("logistic")
    model = world.model(NAME)
    for kind, forged_spec, ending in (
        ("DecisionRecord", {"sequence": 4}, "0000000004"),
        ("ModelRevision", {"revision": "0" * 12}, "0" * 12),
    ):
        stored = world.api.list(PENSTOCK, kind, world.namespace)[-1]
        name = stored["metadata"]["name"]
        forged = {
            "apiVersion": PENSTOCK,
            "kind": kind,
            "metadata": {"name": name.rpartition("-")[0] + "-" + ending},
            "spec": {**stored["spec"], **forged_spec},
        }
        for refused in (
            then.refused("create", "-f", "-", user=user, input=dump(forged)),
            then.refused("delete", kind, name, user=user),
            then.refused("label", kind, name, "mine=yes", user=user),
        ):
            assert f"{RECORDS}; this is {user}" in refused
    status = '{"status": {"url": "http://elsewhere.example.com"}}'
    patch = ["patch", "model", NAME, "--type=merge", "--subresource=status", "-p", status]
    assert f"status is written by the operator alone; this is {user}" in then.refused(*patch, user=user)
    assert world.model(NAME)["status"] == model["status"]


def test_nobody_forges_a_pod_of_a_revision(given, then, world, user):
    revision = given.model("logistic")
    (pod,) = world.children("Pod", NAME, revision)
    metadata = {"name": "forged", "labels": pod["metadata"]["labels"]}
    forged = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod["spec"]}

    refused = then.refused("create", "-f", "-", user=user, input=dump(forged))

    assert f"come from the ReplicaSet controller alone; this is {user}" in refused


def test_a_model_deleted_in_the_middle_of_a_switch_leaves_its_history_only(given, when, then, world):
    first = given.model("logistic")
    uid = world.model(NAME)["metadata"]["uid"]
    when.spec_is("boosted")
    then.decided("Start", revision=first)
    world.wait("the candidate has a pod", lambda: len(world.children("Pod", NAME)) == 2)

    when.deleted("model", NAME)

    world.wait("the Model is gone", lambda: not world.api.list(PENSTOCK, "Model", world.namespace))
    then.no_children()
    assert len(world.digests(NAME)) == 2
    assert [record["sequence"] for record in world.records(NAME, uid)] == [1, 2, 3, 4]


def test_a_second_life_waits_for_the_end_of_the_first_and_adopts_nothing(given, when, then, world):
    revision = given.model("logistic")
    former = world.model(NAME)["metadata"]["uid"]
    old = {kind: set(uids(world, kind).values()) for kind in KINDS}
    # The Deployment stays until its pod has answered its last requests, which takes seconds.
    when.deleted("deployment", f"{NAME}-{revision}", "--cascade=foreground")
    when.deleted("model", NAME)
    world.wait("the Model is gone", lambda: not world.api.list(PENSTOCK, "Model", world.namespace))

    when.spec_is("logistic")

    message = then.condition("Ready", "False", "PreviousTerminating")
    assert f"Deployment {NAME}-{revision}" in message
    assert condition_of(world.model(NAME), "Reconciling")["status"] == "True"
    assert then.serves("logistic") == revision
    now = world.model(NAME)["metadata"]["uid"]
    assert now != former
    for kind in KINDS:
        assert not old[kind] & set(uids(world, kind).values()), f"a {kind} of the first life was taken over"
    for kind in CHILDREN:
        owners = {owner["uid"] for item in world.children(kind, NAME) for owner in item["metadata"]["ownerReferences"]}
        assert owners == {now}
    waited, *rest = world.records(NAME, now)
    assert (waited["verdict"], waited["inputs"]["blockers"]) == ("Wait", ["PreviousTerminating"])
    assert [record["verdict"] for record in rest] == ["Start", "Promote", "Promoted"]
    then.predictions_equal("logistic")
