"""The API server is away for a minute: predictions go on, and afterwards everything else does too."""

from collections.abc import Iterator

import pytest

from hack.cluster.native import start_component, stop_component
from tests.e2e.dsl import NAME
from tests.e2e.traffic import PER_SECOND
from tests.e2e.world import World, condition_of

OUTAGE_SECONDS = 60
RECOVERY_SECONDS = 180


@pytest.fixture
def api_server(world: World) -> Iterator[None]:
    """It runs again, and so does every pod of the cluster, when the test ends."""
    if world.cluster.provider != "native":
        pytest.skip("the API server can be stopped in the native cluster only")
    yield
    start_component("kube-apiserver")
    world.wait("every pod is ready", lambda: all_ready(world), RECOVERY_SECONDS)


def all_ready(world: World) -> bool:
    """Whether every pod that is to run is ready: one that has ended, of whomever, never will be."""
    pods = [pod for pod in world.api.list("v1", "Pod") if pod["status"].get("phase") not in ("Succeeded", "Failed")]
    return all(condition_of(pod, "Ready").get("status") == "True" for pod in pods)


@pytest.mark.usefixtures("api_server")
def test_predictions_go_on_without_an_api_server(given, when, then, world):
    first = given.model("logistic")
    pods = then.pods(first)
    with given.traffic() as traffic:
        stop_component("kube-apiserver")
        when.clients_have_asked(traffic, OUTAGE_SECONDS * PER_SECOND)
        assert {answer.revision for answer in traffic.answers} == {first}
        start_component("kube-apiserver")
        world.wait("the API server answers", lambda: world.model(NAME), RECOVERY_SECONDS)
        assert not traffic.failed
        when.spec_is("boosted")
        then.serves("boosted", RECOVERY_SECONDS)
        when.clients_have_asked(traffic, PER_SECOND)
    then.traffic_was_clean(traffic)
    assert then.pods(first) == pods
    assert then.log_is_whole() == ["Start", "Promote", "Promoted"] * 2
