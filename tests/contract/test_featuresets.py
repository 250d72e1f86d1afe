"""FeatureSets on a real API server, beside the rules that test_crds.py runs."""

from typing import Any

import pytest

from penstock.api.v1alpha1 import FeatureSet
from tests.contract.featureset_cases import FEATURE_SET, FULL_FEATURE_SET, TYPE_IS_KEPT
from tests.contract.manifests import Json, changed
from tests.support.cluster import Cluster, Refused


def within(namespace: str, obj: Json) -> Json:
    return obj | {"metadata": obj["metadata"] | {"namespace": namespace}}


def test_a_full_one_is_stored_as_written(cluster: Cluster, namespace: str) -> None:
    stored = cluster.create(within(namespace, FULL_FEATURE_SET))
    assert stored["spec"] == FULL_FEATURE_SET["spec"]
    parsed = FeatureSet.model_validate(stored)
    assert parsed.spec.validation.checks.max_psi == "0.25"
    assert [item.name for item in parsed.spec.features] == ["distance", "carrier", "weekend", "at"]


def test_only_meaningful_defaults_are_written(cluster: Cluster, namespace: str) -> None:
    opened = changed(FEATURE_SET, {"spec.validation": {"checks": {"rowCount": {}}}})
    validation = cluster.create(within(namespace, opened))["spec"]["validation"]
    assert validation == {"deadlineSeconds": 1800, "onFailure": "Block", "checks": {"rowCount": {"min": 1}}}


def test_status_starts_as_pending(cluster: Cluster, namespace: str) -> None:
    status = cluster.create(within(namespace, FEATURE_SET))["status"]
    assert status["observedGeneration"] == -1
    [ready] = status["conditions"]
    assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", "Unknown", "Pending")


def test_the_type_of_a_feature_is_kept(cluster: Cluster, namespace: str) -> None:
    stored = cluster.create(within(namespace, FEATURE_SET))
    with pytest.raises(Refused) as refused:
        cluster.replace(changed(stored, {"spec.features": [{"name": "distance", "type": "Int64"}]}))
    assert TYPE_IS_KEPT in refused.value.message
    renamed = [{"name": "distance_miles", "type": "Int64"}]
    assert cluster.replace(changed(stored, {"spec.features": renamed}))["spec"]["features"] == renamed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spec.features": []}, "should have at least 1 items"),
        ({"spec.features": [{"name": "a", "type": "Int64"}] * 2}, "Duplicate value"),
        ({"spec.features": [{"name": "a", "type": "Decimal"}]}, "supported values"),
        ({"spec.source.format": "Excel"}, 'supported values: "Parquet", "CSV"'),
        ({"spec.validation": {"deadlineSeconds": 1}}, "should be greater than or equal to 30"),
        ({"spec.transform": "x"}, 'unknown field "spec.transform"'),
    ],
    ids=str,
)
def test_bound_refuses(cluster: Cluster, changes: Json, message: str) -> None:
    with pytest.raises(Refused) as refused:
        cluster.create(within("default", changed(FEATURE_SET, changes)), dry_run=True)
    assert message in refused.value.message


def test_a_thousand_features_fit(cluster: Cluster, namespace: str) -> None:
    features: list[dict[str, Any]] = [
        {"name": f"feature_{number}", "type": "Float64", "minimum": "0", "maximum": "1", "maxNullFraction": "0.1"}
        for number in range(1000)
    ]
    stored = cluster.create(within(namespace, changed(FEATURE_SET, {"spec.features": features})))
    again = changed(stored, {"spec.owner": {"team": "a"}})
    assert len(cluster.replace(again)["spec"]["features"]) == 1000
