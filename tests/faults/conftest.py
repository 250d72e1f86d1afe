import asyncio

import pytest

from hack.cluster.apiserver import ApiServer
from tests.faults.process import warm_up
from tests.faults.scenarios import SCENARIOS
from tests.faults.stage import Outcome, Stage, install_gateway_api, references
from tests.support.cluster import Cluster, api_server, cluster

__all__ = ["api_server", "cluster", "jobs", "reference_runs", "stage"]


@pytest.fixture(scope="session")
def jobs() -> int:
    """How many runs at a time: they wait most of the time."""
    return 6


@pytest.fixture(scope="session")
def stage(api_server: ApiServer, cluster: Cluster) -> Stage:
    """Where all runs of this session take place."""
    install_gateway_api(cluster)
    warm_up()
    return Stage(api_server, cluster)


@pytest.fixture(scope="session")
def reference_runs(stage: Stage, jobs: int) -> dict[str, Outcome]:
    """Every scenario, without a fault."""
    return asyncio.run(references(stage, SCENARIOS, jobs))
