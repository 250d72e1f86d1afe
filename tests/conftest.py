from pathlib import Path

import pytest

from tests.support.cluster import api_server, cluster, namespace

__all__ = ["api_server", "cluster", "namespace"]

# They share one cluster, or its cores: several workers leave them to one.
_ONE_BY_ONE = tuple(Path(__file__).parent / folder for folder in ("e2e", "faults"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that cannot run beside each other into one group of pytest-xdist."""
    for item in items:
        if any(item.path.is_relative_to(folder) for folder in _ONE_BY_ONE):
            item.add_marker(pytest.mark.xdist_group("cluster"))
