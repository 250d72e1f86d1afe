"""Trains two models on January to March and exports them: a logistic regression as ONNX, boosted trees as skops.

    python examples/flights/train.py OUT_DIR

writes OUT_DIR/logistic, OUT_DIR/boosted (what `penstock push` takes) and OUT_DIR/rows.json: 1,000
flights of April with what each model says of them here, and what really happened.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import data
import numpy as np
import pandas as pd
import skops.io
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DoubleTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

ROWS = 1000


def main() -> None:
    """Train, export, and print how good the models are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "penstock" / "data")
    options = parser.parse_args()
    flights = data.load(options.cache)
    train, april = flights[flights.month <= 3], flights[flights.month == 4]
    rows = april.sample(ROWS, random_state=2013).reset_index(drop=True)
    print(f"{len(train):,} flights of January to March, {train[data.LABEL].mean():.1%} late", flush=True)

    logistic = make_logistic().fit(train[data.FEATURES], train[data.LABEL])
    boosted = make_boosted().fit(train[data.FEATURES], train[data.LABEL])
    for name, model in (("logistic", logistic), ("boosted", boosted)):
        auc = roc_auc_score(april[data.LABEL], model.predict_proba(april[data.FEATURES])[:, 1])
        print(f"{name}: AUC on April {auc:.4f}", flush=True)

    export_onnx(logistic, options.out / "logistic", rows)
    export_skops(boosted, options.out / "boosted", rows)
    document = {
        "features": rows[data.FEATURES].to_dict("list"),
        "late": rows[data.LABEL].tolist(),
        "logistic": logistic.predict_proba(rows[data.FEATURES])[:, 1].tolist(),
        "boosted": boosted.predict_proba(rows[data.FEATURES])[:, 1].tolist(),
    }
    (options.out / "rows.json").write_text(json.dumps(document))


def make_logistic() -> Pipeline:
    """Return the first model: quick, and its ONNX graph is small."""
    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler(), data.NUMERIC),
            ("names", OneHotEncoder(handle_unknown="ignore"), data.CATEGORICAL),
        ]
    )
    return Pipeline([("columns", columns), ("model", LogisticRegression(max_iter=2000))])


def make_boosted() -> Pipeline:
    """Return the second model: boosted trees, which ONNX conversion does not know."""
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = ColumnTransformer([("numbers", "passthrough", data.NUMERIC), ("names", encode, data.CATEGORICAL)])
    trees = HistGradientBoostingClassifier(max_iter=80, random_state=0)
    return Pipeline([("columns", columns), ("model", trees)])


def export_onnx(model: Pipeline, folder: Path, rows: pd.DataFrame) -> None:
    """Write model.onnx (one input tensor per feature) and metadata.json.

    Numbers stay in double precision, so that clients may send both models the same request.
    """
    folder.mkdir(parents=True, exist_ok=True)
    types: list[tuple[str, Any]] = [(name, DoubleTensorType([None, 1])) for name in data.NUMERIC]
    types += [(name, StringTensorType([None, 1])) for name in data.CATEGORICAL]
    graph = to_onnx(model, initial_types=types, options={"zipmap": False})
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    write_metadata(folder, "FP64", rows)


def export_skops(model: Pipeline, folder: Path, rows: pd.DataFrame) -> None:
    """Write model.skops and metadata.json, which tells the server the columns' types."""
    folder.mkdir(parents=True, exist_ok=True)
    skops.io.dump(model, folder / "model.skops")
    write_metadata(folder, "FP64", rows)


def write_metadata(folder: Path, number: str, rows: pd.DataFrame) -> None:
    """Write the inputs in the shape of the protocol's model metadata, and one real row as the example."""
    inputs = tensors(rows.head(1), number)
    specs = [{"name": item["name"], "datatype": item["datatype"], "shape": [-1, 1]} for item in inputs]
    document = {"inputs": specs, "parameters": {"example": {"inputs": inputs}}}
    (folder / "metadata.json").write_text(json.dumps(document, indent=1))


def tensors(rows: pd.DataFrame, number: str = "FP64") -> list[dict[str, Any]]:
    """Return rows as Open Inference Protocol tensors, one of shape [n, 1] per feature."""
    count = len(rows)
    result = []
    for name in data.FEATURES:
        values = rows[name].tolist()
        datatype = number if name in data.NUMERIC else "BYTES"
        if number == "FP32" and datatype == "FP32":
            values = np.asarray(values, dtype=np.float32).astype(float).tolist()
        result.append({"name": name, "datatype": datatype, "shape": [count, 1], "data": values})
    return result


if __name__ == "__main__":
    main()
