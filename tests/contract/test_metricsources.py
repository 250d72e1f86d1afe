"""MetricSources on a real API server, beside the rules that test_crds.py runs."""

from collections.abc import Iterator

import pytest

from penstock.api.v1alpha1 import MetricSource
from tests.contract.crd_cases import Changes
from tests.contract.manifests import Json, changed
from tests.contract.metricsource_cases import FULL_METRIC_SOURCE, METRIC_SOURCE, METRIC_SOURCE_BOUNDS
from tests.support.cluster import Cluster, Refused


@pytest.fixture
def stored(cluster: Cluster) -> Iterator[Json]:
    created = cluster.create(FULL_METRIC_SOURCE)
    yield created
    cluster.delete(created)


def test_a_full_one_is_stored_as_written(stored: Json) -> None:
    assert stored["spec"] == FULL_METRIC_SOURCE["spec"]
    parsed = MetricSource.model_validate(stored)
    assert parsed.spec.header_secret_ref is not None
    assert parsed.spec.header_secret_ref.header == "X-Scope-OrgID"
    assert parsed.spec.admits("airline")
    assert not parsed.spec.admits("railway")


def test_it_is_of_the_whole_cluster(cluster: Cluster, stored: Json) -> None:
    assert "namespace" not in stored["metadata"]
    assert cluster.get(stored)["spec"] == stored["spec"]


def test_defaults_are_written(cluster: Cluster) -> None:
    spec = cluster.create(METRIC_SOURCE, dry_run=True)["spec"]
    assert (spec["tenantLabel"], spec["scrapeIntervalSeconds"]) == ("namespace", 10)
    header = {"spec.headerSecretRef": {"name": "a", "key": "b"}}
    assert MetricSource.model_validate(cluster.create(changed(METRIC_SOURCE, header), dry_run=True)).spec.admits("any")


@pytest.mark.parametrize(("changes", "message"), METRIC_SOURCE_BOUNDS, ids=lambda value: str(value)[:60])
def test_bound_refuses(cluster: Cluster, changes: Changes, message: str) -> None:
    with pytest.raises(Refused) as refused:
        cluster.create(changed(METRIC_SOURCE, changes), dry_run=True)
    assert message in refused.value.message
