from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.jobs.evaluate import given
from tests.unit.jobs.evaluate.given import Place
from tests.unit.runtime import models
from tests.unit.runtime.server import Server, running
from tests.unit.runtime.test_features import write_schema


@pytest.fixture
def here(tmp_path: Path) -> Place:
    """A Job's container without an artifact store."""
    return Place(tmp_path)


@pytest.fixture
def stored_here(tmp_path: Path, registry: str) -> Place:
    """A Job's container with an artifact store."""
    return Place(tmp_path, registry)


@pytest.fixture(scope="session")
def candidate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The candidate's server, which knows the feature schema."""
    folder = tmp_path_factory.mktemp("candidate")
    models.save_skops(folder, given.candidate(), models.FLIGHT_INPUTS)
    schema = write_schema(folder, given.FEATURES)
    with running(folder, "Skops", PENSTOCK_FEATURES=schema) as server:
        yield server


@pytest.fixture(scope="session")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The champion's server, which knows the feature schema."""
    folder = tmp_path_factory.mktemp("champion")
    models.save_skops(folder, given.champion(), models.FLIGHT_INPUTS)
    schema = write_schema(folder, given.FEATURES)
    with running(folder, "Skops", PENSTOCK_FEATURES=schema, PENSTOCK_REVISION=given.CHAMPION) as server:
        yield server
