from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.flights import features
from tests.support.registry import running_registry
from tests.support.s3 import S3Server, s3_server
from tests.unit.jobs.given import Place

__all__ = ["features", "place", "registry", "stored"]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A Job's container without an artifact store."""
    return Place(tmp_path)


@pytest.fixture(scope="session")
def registry() -> Iterator[str]:
    """The host and port of a registry (CNCF distribution)."""
    with running_registry() as host:
        yield host


@pytest.fixture
def stored(tmp_path: Path, registry: str) -> Place:
    """A Job's container with an artifact store."""
    return Place(tmp_path, registry)


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """A real S3 server."""
    with s3_server() as server:
        yield server
