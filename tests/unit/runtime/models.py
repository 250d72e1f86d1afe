"""Small real models, trained where a test needs them, and the files a server loads."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import skops.io
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

Matrix = npt.NDArray[np.float64]


def numbers(rows: int = 300, columns: int = 4) -> tuple[Matrix, npt.NDArray[np.int64]]:
    values = np.random.default_rng(7).normal(size=(rows, columns))
    return values, (values[:, 0] + 0.5 * values[:, 1] ** 2 > 0.2).astype(np.int64)


def flights(rows: int = 300) -> tuple[pd.DataFrame, npt.NDArray[np.int64]]:
    random = np.random.default_rng(11)
    frame = pd.DataFrame(
        {
            "carrier": random.choice(["AA", "BB", "CC"], rows),
            "distance": random.uniform(100, 3000, rows),
            "hour": random.integers(0, 24, rows),
        }
    )
    late = (frame["hour"] > 15) | ((frame["carrier"] == "BB") & (frame["distance"] > 1500))
    return frame, late.to_numpy().astype(np.int64)


FLIGHT_INPUTS = [
    {"name": "carrier", "datatype": "BYTES", "shape": [-1, 1]},
    {"name": "distance", "datatype": "FP64", "shape": [-1, 1]},
    {"name": "hour", "datatype": "INT64", "shape": [-1, 1]},
]


def logistic() -> Any:
    return LogisticRegression().fit(*numbers())


def forest() -> Any:
    return RandomForestClassifier(20, random_state=1, n_jobs=2).fit(*numbers())


def boosted() -> Any:
    return HistGradientBoostingClassifier(max_iter=20).fit(*numbers())


def linear() -> Any:
    values, _ = numbers()
    return LinearRegression().fit(values, values @ [1.0, -2.0, 0.5, 0.0])


def flight_pipeline(*, strict: bool = False) -> Any:
    encoder = OneHotEncoder(handle_unknown="error" if strict else "ignore")
    return make_pipeline(
        make_column_transformer((encoder, ["carrier"]), (StandardScaler(), ["distance", "hour"])),
        LogisticRegression(),
    ).fit(*flights())


def frame_forest() -> Any:
    frame, late = flights()
    return RandomForestClassifier(10, random_state=1).fit(frame[["distance", "hour"]].astype(float), late)


class Smuggled(LogisticRegression):
    """A type of somebody's own; what its module would do when imported is unknown."""


def foreign() -> Any:
    """A pipeline whose first step would run a shell command on every prediction."""
    step = FunctionTransformer(os.system)
    return make_pipeline(step, logistic())


def save_skops(folder: Path, model: Any, inputs: list[dict[str, Any]] | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    skops.io.dump(model, folder / "model.skops")
    if inputs is not None:
        (folder / "metadata.json").write_text(json.dumps({"inputs": inputs}))
    return folder


def save_onnx(folder: Path, model: Any, *, zipmap: bool = False) -> Path:
    """One matrix input for a model of numbers, one input per column for the flight pipeline."""
    folder.mkdir(parents=True, exist_ok=True)
    if hasattr(model, "feature_names_in_"):
        types: list[tuple[str, Any]] = [
            ("carrier", StringTensorType([None, 1])),
            ("distance", FloatTensorType([None, 1])),
            ("hour", FloatTensorType([None, 1])),
        ]
    else:
        types = [("X", FloatTensorType([None, model.n_features_in_]))]
    options = {id(model): {"zipmap": zipmap}} if hasattr(model, "classes_") else None
    graph = to_onnx(model, initial_types=types, options=options, target_opset=18)
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    return folder
