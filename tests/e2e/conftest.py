from collections.abc import Iterator
from typing import Any

import pytest

from hack.cluster import cluster as clusters
from hack.cluster.handle import Cluster
from hack.install import install
from tests.e2e import diagnosis, flights
from tests.e2e.dsl import Given, Then, When
from tests.e2e.flights import Flights
from tests.e2e.operator import Operator
from tests.e2e.release import Holdout, Release
from tests.e2e.world import World, own_namespace
from tests.support.cluster import Cluster as ApiClient
from tests.support.cluster import Refused, wait_until


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The local cluster, started unless it runs."""
    return clusters.current() or clusters.up()


@pytest.fixture(scope="session")
def images(cluster: Cluster) -> dict[str, str]:
    """Penstock's images, once the operator that was built from this tree is installed and ready."""
    return install(cluster, timeout="180s")


@pytest.fixture(scope="session")
def trained(cluster: Cluster) -> Flights:
    """The two flight models in the cluster's registry."""
    return flights.prepare(cluster)


@pytest.fixture(scope="session")
def holdout(cluster: Cluster, trained: Flights) -> Holdout:
    """Flights that gates ask about, in the cluster's registry."""
    return Holdout(cluster)


@pytest.fixture(scope="session")
def api(cluster: Cluster, images: dict[str, str]) -> Iterator[ApiClient]:
    """A client of the administrator."""
    with ApiClient(cluster.kubeconfig) as client:
        yield client


@pytest.fixture(scope="session")
def namespaces(api: ApiClient) -> Iterator[list[str]]:
    """The namespaces of this run; they are gone when it ends."""
    made: list[str] = []
    yield made
    for name in made:
        wait_until(lambda name=name: not exists(api, name), f"namespace {name} is gone", seconds=120)


@pytest.fixture
def namespace(api: ApiClient, namespaces: list[str]) -> Iterator[str]:
    """A namespace of the test's own that admits restricted pods only."""
    with own_namespace(api) as name:
        namespaces.append(name)
        yield name


@pytest.fixture
def world(cluster: Cluster, api: ApiClient, images: dict[str, str], trained: Flights, namespace: str) -> World:
    return World(cluster, api, images, trained, namespace)


@pytest.fixture
def given(world: World) -> Given:
    return Given(world, inside=True)


@pytest.fixture
def when(world: World) -> When:
    return When(world)


@pytest.fixture
def then(world: World) -> Then:
    return Then(world)


@pytest.fixture
def release(world: World, holdout: Holdout) -> Release:
    return Release(world, holdout)


@pytest.fixture
def operator(world: World) -> Operator:
    return Operator(world)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Iterator[Any]:
    """A failed scenario shows what a person would look at, taken before the namespace goes."""
    report = yield
    world = getattr(item, "funcargs", {}).get("world")
    if report.failed and call.when == "call" and world is not None:
        report.sections.append(("cluster", diagnosis.of_namespace(world.cluster, world.namespace)))
    return report


def exists(api: ApiClient, namespace: str) -> bool:
    try:
        api.get({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    except Refused:
        return False
    return True
