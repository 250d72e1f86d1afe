"""The memory that a validation takes has nothing to do with the size of the dataset."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.jobs.given import Place, spec

MEBIBYTE = 1 << 20
# Measured from a process of its own: what a child is said to have used begins with what its parent uses.
MEASURE = """
import json, resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(json.dumps({"code": code, "mebibytes": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024}))
"""
WRITE = """
import sys
import numpy as np
import polars as pl
rows, pieces, columns, path = 250_000, int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
random = np.random.default_rng(1)
def piece(index):
    numbers = {f"x{column}": random.normal(size=rows) for column in range(columns)}
    return pl.DataFrame({"id": np.arange(index * rows, (index + 1) * rows), **numbers})
if path.endswith(".csv"):
    with open(path, "wb") as file:
        for index in range(pieces):
            piece(index).write_csv(file, include_header=index == 0)
else:
    pl.concat([pl.defer(lambda index=index: piece(index), schema=piece(0).schema) for index in range(pieces)]
    ).sink_parquet(path, row_group_size=131_072)
"""
COLUMNS = 24


@pytest.fixture
def large(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A dataset that is larger than the memory that may be used; removed at once after the test."""
    with tempfile.TemporaryDirectory(prefix="penstock-large-") as folder:
        place = Place(Path(folder))
        pieces = "14" if request.param.endswith("parquet") else "8"
        command = [sys.executable, "-c", WRITE, pieces, str(COLUMNS), place.data / request.param]
        subprocess.run(command, check=True)
        yield place


@pytest.mark.parametrize("large", ["data.parquet", "data.csv"], indirect=True)
def test_a_dataset_larger_than_the_memory(large: Place) -> None:
    path = next(large.data.iterdir())
    definition = spec(
        features=[{"name": f"x{index}", "type": "Float64", "minimum": "-10"} for index in range(COLUMNS)],
        entityKey=["id"],
        timestampField=None,
        label=None,
        source={"uri": f"pvc://flights/{path.name}", "format": "CSV" if path.suffix == ".csv" else "Parquet"},
    )
    (large.root / "task.json").write_text(large.task(definition).model_dump_json(by_alias=True, exclude_none=True))
    job = [sys.executable, "-m", "penstock.jobs.validate"]
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, *job],
        env={**os.environ, **large.variables},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(measured.stdout)
    result = large.message
    assert found["code"] == 0
    assert (result.verdict, result.rows) == ("Pass", 3_500_000 if path.suffix == ".parquet" else 2_000_000), result
    size = path.stat().st_size // MEBIBYTE
    print(f"{size} MiB of {path.suffix[1:]}, peak {found['mebibytes']} MiB")
    assert size > 500
    assert found["mebibytes"] < 0.8 * size
