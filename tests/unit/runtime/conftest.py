from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.runtime import models
from tests.unit.runtime.server import Server, running


@pytest.fixture(scope="session")
def flight_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the tests that only ask: a skops pipeline with a string column and a strict encoder."""
    folder: Path = tmp_path_factory.mktemp("flight-delay")
    models.save_skops(folder, models.flight_pipeline(strict=True), models.FLIGHT_INPUTS)
    with running(folder, "Skops", PENSTOCK_MAX_BODY_BYTES="20000") as server:
        yield server
