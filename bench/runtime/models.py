"""One scikit-learn model, StandardScaler and LogisticRegression on 20 features, in the form each server loads."""

import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import skops.io
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

NAME = "delay"
PATH = f"/v2/models/{NAME}/infer"
FEATURES = 20
_ROWS = 2000


def save(folder: Path) -> list[float]:
    """Writes the model into `folder`/joblib, /skops, /captured and /onnx; returns a row to ask it about."""
    random = np.random.default_rng(5)
    values = random.normal(size=(_ROWS, FEATURES))
    labels = (values @ random.normal(size=FEATURES) + random.normal(size=_ROWS) > 0).astype(np.int64)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(values, labels)
    for form in ("joblib", "skops", "captured", "onnx"):
        (folder / form).mkdir()
    joblib.dump(model, folder / "joblib" / "model.joblib")
    for form in ("skops", "captured"):
        skops.io.dump(model, folder / form / "model.skops")
    (folder / "captured" / "profile.json").write_text(json.dumps(_profile()))
    graph = to_onnx(
        model,
        initial_types=[("input", FloatTensorType([None, FEATURES]))],
        options={id(model): {"zipmap": False}},
        target_opset=18,
    )
    (folder / "onnx" / "model.onnx").write_bytes(graph.SerializeToString())
    row: list[float] = values[0].round(6).tolist()
    return row


def request(row: list[float], datatype: str, output: str | None) -> bytes:
    """An inference request for one row; `output` None asks for whatever the server answers by itself."""
    body: dict[str, Any] = {
        "inputs": [{"name": "input", "datatype": datatype, "shape": [1, len(row)], "data": row}],
    }
    if output is not None:
        body["outputs"] = [{"name": output}]
    return json.dumps(body, separators=(",", ":")).encode()


def _profile() -> dict[str, Any]:
    features = [{"input": "input", "column": column, "low": -4, "high": 4, "cells": 256} for column in range(FEATURES)]
    return {"features": features}
