"""Held-out flights, models that answer about them, and a way to run the Job as its container does."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from penstock.api.v1alpha1.evaluationgate import GateMetric
from penstock.artifact.digest import digest_file
from penstock.domain.gates.task import GateResult, GateTask, decode
from penstock.jobs.evaluate.run import run
from penstock.jobs.evaluate.settings import Settings
from tests.unit.runtime import models
from tests.unit.runtime.server import REVISION, Server

CHAMPION = "ba9876543210"
FEATURES = [
    {"name": "carrier", "type": "String", "categories": ["AA", "BB", "CC"]},
    {"name": "distance", "type": "Float64", "minimum": "0"},
    {"name": "hour", "type": "Int64", "minimum": "0", "maximum": "23"},
]
ALL = ["roc_auc", "average_precision", "accuracy", "precision", "recall", "f1", "log_loss", "brier"]
LOWER = {"log_loss", "brier", "mae", "rmse"}


def flights(rows: int = 2000, *, seed: int = 5, **changes: Any) -> pl.DataFrame:
    """Held-out flights: late as in training, but for one in ten."""
    random = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "flight": np.arange(rows),
            "carrier": random.choice(["AA", "BB", "CC"], rows),
            "distance": random.uniform(100, 3000, rows),
            "hour": random.integers(0, 24, rows),
            "origin": random.choice(["EWR", "JFK", "LGA"], rows, p=[0.5, 0.3, 0.2]),
        }
    )
    late = (frame["hour"] > 15) | ((frame["carrier"] == "BB") & (frame["distance"] > 1500))
    flipped = random.random(rows) < 0.1
    return frame.with_columns(late=(late.to_numpy() != flipped).astype(np.int64)).with_columns(**changes)


def candidate() -> Any:
    """The model that is to be proven."""
    return models.flight_pipeline()


def champion() -> Any:
    """A model that knows carrier and hour only."""
    frame, late = models.flights(120)
    columns = make_column_transformer((OneHotEncoder(), ["carrier"]), ("passthrough", ["hour"]))
    return make_pipeline(columns, LogisticRegression(C=0.05)).fit(frame, late)


def scores(model: Any, frame: pl.DataFrame) -> npt.NDArray[np.float64]:
    """What scikit-learn says of the rows."""
    return np.asarray(model.predict_proba(frame_of(frame))[:, 1])


def frame_of(frame: pl.DataFrame) -> pd.DataFrame:
    """The features as scikit-learn takes them."""
    return pd.DataFrame(frame.select("carrier", "distance", "hour").to_dict(as_series=False))


def metric(name: str, **changes: Any) -> GateMetric:
    """A metric with a bound that is always met, or with what is asked for."""
    bound = {"max": "1000"} if name in LOWER else {"min": "-1000"}
    return GateMetric.model_validate({"name": name, **({} if changes else bound), **changes})


@dataclass
class Place:
    """A folder laid out as the Job's container is."""

    root: Path
    registry: str | None = None
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        folder = self.root / "pvc" / "flights"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def variables(self) -> dict[str, str]:
        return {
            "PENSTOCK_TASK": str(self.root / "task.json"),
            "PENSTOCK_CREDENTIALS": str(self.root / "credentials"),
            "PENSTOCK_STORE_CREDENTIALS": str(self.root / "store-credentials"),
            "PENSTOCK_PVC": str(self.root / "pvc"),
            "PENSTOCK_SCRATCH": str(self.root / "scratch"),
            "PENSTOCK_TERMINATION_LOG": str(self.root / "message"),
            "PENSTOCK_RETRY_SECONDS": "2",
            **self.environment,
        }

    def write(self, frame: pl.DataFrame, name: str = "data.parquet") -> Path:
        path = self.data / name
        if name.endswith(".csv"):
            frame.write_csv(path)
        else:
            frame.write_parquet(path, row_group_size=700)
        return path

    def task(
        self,
        server: Server | str,
        other: Server | str | None = None,
        *,
        metrics: Sequence[str | GateMetric] = ("roc_auc",),
        **changes: Any,
    ) -> GateTask:
        """A task about the one file in the folder; `changes` replace its fields."""
        path = next(self.data.iterdir())
        content: dict[str, Any] = {
            "gate": "holdout",
            "model": "flight-delay",
            "revision": REVISION,
            "candidateUrl": _url(server),
            "dataset": {
                "uri": f"pvc://flights/{path.name}",
                "format": "CSV" if path.suffix == ".csv" else "Parquet",
                "digest": digest_file(path),
            },
            "features": FEATURES,
            "label": {"column": "late"},
            "metrics": [
                (metric(item) if isinstance(item, str) else item).model_dump(by_alias=True, exclude_none=True)
                for item in metrics
            ],
            "seed": 4711,
            "limits": {"latencyRequests": 40, "requestSeconds": 10},
        }
        if other is not None:
            content |= {"championUrl": _url(other), "championRevision": CHAMPION}
        if self.registry:
            content |= {"store": f"{self.registry}/team/flights", "insecureRegistries": [self.registry]}
        return GateTask.model_validate(content | changes)

    def evaluate(self, *servers: Server | str, **changes: Any) -> GateResult:
        """Run the Job in this process."""
        return run(self.task(*servers, **changes), Settings.from_environment(self.variables))

    def start(self, task: GateTask) -> subprocess.CompletedProcess[str]:
        """Run `python -m penstock.jobs.evaluate`, as the container does."""
        (self.root / "task.json").write_text(task.model_dump_json(by_alias=True, exclude_none=True))
        command = [sys.executable, "-m", "penstock.jobs.evaluate"]
        environment = {**os.environ, **self.variables}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    @property
    def message(self) -> GateResult:
        """The termination message of `start`."""
        text = (self.root / "message").read_text()
        assert len(text.encode()) <= 3500
        found = decode(text)
        assert found is not None, text
        return found


def _url(server: Server | str) -> str:
    return server if isinstance(server, str) else str(server.client.base_url)
