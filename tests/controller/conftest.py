import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hack.cluster.addons import chart
from hack.cluster.apiserver import ApiServer
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
