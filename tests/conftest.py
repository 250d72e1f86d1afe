import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.support.cluster import api_server, cluster, namespace

__all__ = ["api_server", "cluster", "namespace"]

_ONE_BY_ONE = ("tests/e2e/", "tests/faults/")


class Workers(LoadScopeScheduling):
    """Hands out tests one at a time; those that share the cluster, or its cores, all go to one worker."""

    def _split_scope(self, nodeid: str) -> str:
        return "cluster" if nodeid.startswith(_ONE_BY_ONE) else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Workers:
    """Choose who runs what where there are several workers (`-n 2`)."""
    return Workers(config, log)
