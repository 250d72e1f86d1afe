"""ModelActions on a real API server, beside the rules that test_crds.py runs."""

from typing import Any

import pytest

from penstock.domain.approval import Action
from tests.contract.manifests import ABSENT, DIGEST, OTHER_DIGEST, Json, action, changed
from tests.support.cluster import Cluster, Refused

IMMUTABLE = "spec is immutable: create another object instead"


def within(namespace: str, obj: Json) -> Json:
    return obj | {"metadata": obj["metadata"] | {"namespace": namespace}}


@pytest.mark.parametrize(
    "changes",
    [
        {"spec.action": "Reject"},
        {"spec.user": "bob"},
        {"spec.revision": "ffffffffffff"},
        {"spec.evidenceDigest": OTHER_DIGEST},
        {"spec.reason": ABSENT},
        {"spec.sequence": 3},
    ],
    ids=str,
)
def test_a_command_never_changes(cluster: Cluster, namespace: str, changes: Json) -> None:
    stored = cluster.create(within(namespace, action()))
    with pytest.raises(Refused) as refused:
        cluster.replace(changed(stored, changes))
    assert IMMUTABLE in refused.value.message
    labelled = cluster.replace(changed(stored, {"metadata.labels": {"a": "b"}}))
    refusal = {"state": "Refused", "reason": "WrongRevision", "message": "Another one.", "sequence": 3}
    shown = cluster.merge(labelled, {"status": refusal}, "status")
    assert (shown["spec"], shown["status"]) == (action()["spec"], refusal)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spec.action": "Retrain"}, "spec.action: Unsupported value"),
        ({"spec.action": "Rebuild"}, "spec.action: Unsupported value"),
        ({"spec.action": "approve"}, "spec.action: Unsupported value"),
        ({"spec.user": ABSENT}, "spec.user: Required value"),
        ({"spec.user": ""}, "should be at least 1 chars long"),
        ({"spec.modelRef": ABSENT}, "spec.modelRef: Required value"),
        ({"spec.reason": "x" * 1025}, "may not be more than 1024"),
        ({"spec.sequence": 0}, "should be greater than or equal to 1"),
        ({"spec.approver": "ann"}, 'unknown field "spec.approver"'),
    ],
    ids=str,
)
def test_bound_refuses(cluster: Cluster, changes: Json, message: str) -> None:
    with pytest.raises(Refused) as refused:
        cluster.create(within("default", changed(action(), changes)), dry_run=True)
    assert message in refused.value.message


def test_it_starts_as_pending_and_with_nothing_added(cluster: Cluster, namespace: str) -> None:
    stored = cluster.create(within(namespace, action()))
    assert stored["spec"] == action()["spec"]
    assert stored["status"] == {"state": "Pending"}


def test_it_is_read_as_it_was_signed(cluster: Cluster, namespace: str) -> None:
    written = changed(action("Promote", "cat"), {"spec.sequence": 7, "spec.bypass": True})
    stored = cluster.create(within(namespace, written))
    read = Action.of(stored)
    assert (read.uid, read.name) == (stored["metadata"]["uid"], "promote-cat")
    assert (read.type, read.revision, read.user) == ("Promote", "0123456789ab", "cat")
    assert (read.sequence, read.reason, read.bypass, read.evidence_digest) == (7, "Looks good.", True, None)
    assert read.created.strftime("%Y-%m-%dT%H:%M:%SZ") == stored["metadata"]["creationTimestamp"]
    approval = Action.of(cluster.create(within(namespace, action())))
    assert (approval.evidence_digest, approval.bypass, approval.sequence) == (DIGEST, False, None)


def test_what_waits_is_found_by_field(cluster: Cluster, namespace: str) -> None:
    first = cluster.create(within(namespace, action()))
    cluster.create(within(namespace, changed(action("Reject"), {"spec.modelRef.name": "other"})))
    cluster.merge(first, {"status": {"state": "Done"}}, "status")

    def found(**selector: Any) -> list[str]:
        items = cluster.list("penstock.dev/v1alpha1", "ModelAction", namespace, **selector)
        return [item["metadata"]["name"] for item in items]

    assert found(fieldSelector="spec.modelRef.name=other") == ["reject-ann"]
    assert found(fieldSelector="status.state=Pending") == ["reject-ann"]


def test_kubectl_shows_what_became_of_it(cluster: Cluster) -> None:
    group = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    spec = cluster.request("GET", f"{group}/modelactions.penstock.dev")["spec"]
    columns = spec["versions"][0]["additionalPrinterColumns"]
    assert [column["name"] for column in columns] == ["Model", "Action", "User", "State", "Sequence", "Age"]
    assert (spec["names"]["shortNames"], spec["names"]["categories"]) == (["pma"], ["penstock"])
