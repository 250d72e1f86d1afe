"""A small dataset of flights, its definition, and a way to run the Job on it as its container does."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from penstock.api.v1alpha1.featureset import FeatureSetSpec
from penstock.domain.data.task import ValidationResult, ValidationTask, decode, task_of
from penstock.jobs.validate.run import run
from penstock.jobs.validate.settings import Settings

CARRIERS = ["AA", "B6", "DL", "UA", "WN"]
CLAIM = "flights"


def flights(rows: int = 5_000, *, seed: int = 7, first: int = 0, **changes: Any) -> pl.DataFrame:
    """Flights of January to March; `changes` replace columns by name."""
    random = np.random.default_rng(seed)
    hours = random.integers(0, 90 * 24, rows)
    start = datetime(2013, 1, 1, tzinfo=UTC)
    frame = pl.DataFrame(
        {
            "flight_id": np.arange(first, first + rows),
            "carrier": random.choice(CARRIERS, rows, p=[0.2, 0.25, 0.2, 0.25, 0.1]),
            "distance": random.gamma(3.0, 350.0, rows).clip(80, 4900),
            "seats": random.integers(30, 400, rows),
            "air_time": random.normal(150, 40, rows).clip(20, 600),
            "night": random.random(rows) < 0.2,
            "time_hour": [start + timedelta(hours=int(hour)) for hour in hours],
            "late": random.random(rows) < 0.2,
        }
    )
    return frame.with_columns(**changes)


def spec(**changes: Any) -> dict[str, Any]:
    """The FeatureSet's spec as JSON; `changes` replace its top-level fields."""
    features = [
        {"name": "carrier", "type": "String", "categories": CARRIERS},
        {"name": "distance", "type": "Float64", "minimum": "0", "maximum": "5000"},
        {"name": "seats", "type": "Int64", "minimum": "1", "maximum": "900"},
        {"name": "air_time", "type": "Float64", "nullable": True, "maxNullFraction": "0.05"},
        {"name": "night", "type": "Boolean"},
    ]
    return {
        "features": features,
        "entityKey": ["flight_id"],
        "timestampField": "time_hour",
        "label": {"name": "late", "type": "Boolean"},
        "source": {"uri": f"pvc://{CLAIM}/data.parquet", "format": "Parquet"},
        **changes,
    }


def checks(**changes: Any) -> dict[str, Any]:
    """spec.validation with these checks."""
    return {"checks": changes}


@dataclass
class Place:
    """A folder laid out as the Job's container is."""

    root: Path
    registry: str | None = None
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        """The claim's folder."""
        folder = self.root / "pvc" / CLAIM
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def settings(self) -> Settings:
        return Settings.from_environment(self.variables)

    @property
    def variables(self) -> dict[str, str]:
        return {
            "PENSTOCK_TASK": str(self.root / "task.json"),
            "PENSTOCK_CREDENTIALS": str(self.root / "credentials"),
            "PENSTOCK_BASELINE_CREDENTIALS": str(self.root / "baseline-credentials"),
            "PENSTOCK_STORE_CREDENTIALS": str(self.root / "store-credentials"),
            "PENSTOCK_PVC": str(self.root / "pvc"),
            "PENSTOCK_SCRATCH": str(self.root / "scratch"),
            "PENSTOCK_TERMINATION_LOG": str(self.root / "message"),
            "PENSTOCK_RETRY_SECONDS": "1",
            **self.environment,
        }

    def write(self, frame: pl.DataFrame, name: str = "data.parquet", **options: Any) -> Path:
        """Put a file on the claim, by the suffix of its name."""
        path = self.data / name
        if name.endswith(".csv"):
            frame.write_csv(path, **options)
        else:
            frame.write_parquet(path, **options)
        return path

    def task(self, definition: Mapping[str, Any], baseline_profile: str | None = None) -> ValidationTask:
        store = f"{self.registry}/team/flights" if self.registry else None
        return task_of(
            FeatureSetSpec.model_validate(definition),
            baseline_profile=baseline_profile,
            store=store,
            insecure_registries=[self.registry] if self.registry else [],
        )

    def validate(
        self, definition: Mapping[str, Any] | None = None, baseline_profile: str | None = None
    ) -> ValidationResult:
        """Run the Job in this process."""
        return run(self.task(definition or spec(), baseline_profile), self.settings)

    def start(self, definition: Mapping[str, Any] | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run `python -m penstock.jobs.validate`, as the container does."""
        task = self.task(definition or spec())
        (self.root / "task.json").write_text(task.model_dump_json(by_alias=True, exclude_none=True))
        command = [sys.executable, "-m", "penstock.jobs.validate"]
        environment = {**os.environ, **self.variables}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, **options)

    @property
    def message(self) -> ValidationResult:
        """The termination message of `start`."""
        text = (self.root / "message").read_text()
        assert len(text.encode()) <= 3500
        found = decode(text)
        assert found is not None, text
        return found


def failures(result: ValidationResult) -> dict[tuple[str, str | None], Any]:
    """The failed checks by check and feature."""
    return {(item.check, item.feature): item for item in result.failed_checks}


def as_json(result: ValidationResult) -> str:
    return json.dumps(json.loads(result.model_dump_json(by_alias=True)))
