import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from hack.cluster.addons import chart
from hack.cluster.apiserver import ApiServer
from tests.contract.chart import OPERATOR, RELEASE_NAMESPACE
from tests.controller.release import ReleaseWorld, policies_file, server_with_chart
from tests.controller.world import World
from tests.support.cluster import Cluster, api_server, cluster, namespace

__all__ = ["api_server", "cluster", "gateway_api", "namespace", "world"]


@pytest.fixture(scope="session")
def gateway_api(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The Gateway API's own definitions of the kinds that the operator uses."""
    source = chart.module_folder(chart.GATEWAY_API_MODULE) / "config" / "crd" / "standard"
    folder: Path = tmp_path_factory.mktemp("gateway-api")
    for kind in ("gateways", "httproutes"):
        shutil.copyfile(source / f"gateway.networking.k8s.io_{kind}.yaml", folder / f"{kind}.yaml")
    cluster.install_crds(folder)


@pytest.fixture
async def world(
    api_server: ApiServer,
    cluster: Cluster,
    gateway_api: None,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[World]:
    """A namespace with a Gateway and a simulation of all that a node does, but no operator yet."""
    monkeypatch.setenv("KUBECONFIG", str(api_server.kubeconfig))  # where kopf looks
    async with World(api_server, cluster, namespace) as ready:
        await ready.create_gateway()
        yield ready


@pytest.fixture(scope="session")
def chart_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API server with roles and policies of the chart, and users bound to its roles."""
    with server_with_chart(tmp_path_factory.mktemp("chart")) as server:
        yield server


@pytest.fixture
async def release(
    chart_server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[ReleaseWorld]:
    """A namespace in which revisions can be released, by the rules of the chart; no operator yet."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{RELEASE_NAMESPACE}")
    own = chart_server.client_kubeconfig(OPERATOR, groups)
    monkeypatch.setenv("PENSTOCK_POLICIES", str(policies_file(tmp_path)))
    monkeypatch.setenv("KUBECONFIG", str(own))  # where kopf looks
    with Cluster(chart_server.kubeconfig) as admin:
        namespace = admin.create_namespace()
        async with ReleaseWorld(chart_server, admin, namespace, kubeconfig=own) as ready:
            await ready.create_gateway()
            yield ready
