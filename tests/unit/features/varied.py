"""A FeatureSet with every type, rows that use everything it allows, and a model that answers with its own inputs."""

import json
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl
from onnx import TensorProto, helper

from penstock.domain.features.schema import FeatureSchema
from penstock.features.columns import Array
from penstock.features.encoders import Encoder
from penstock.features.schema_file import read_feature_set
from penstock.features.transform import Transform
from penstock.runtime.binary_tensors import read_tensor, tensor_bytes
from penstock.runtime.tensors import NUMPY_TYPES, datatype_of

FEATURES: list[dict[str, Any]] = [
    {"name": "distance", "type": "Float64", "minimum": "0", "maximum": "6e3"},
    {"name": "dewp", "type": "Float64", "nullable": True},
    {"name": "precip", "type": "Float64", "nullable": True, "default": "0.1"},
    {"name": "visib", "type": "Float32", "minimum": "0", "maximum": "10.1"},
    {"name": "gust", "type": "Float32", "nullable": True},
    {"name": "hour", "type": "Int64", "minimum": "0", "maximum": "23"},
    {"name": "seats", "type": "Int64", "default": "-1"},
    {"name": "tail", "type": "Int64", "nullable": True},
    {"name": "holiday", "type": "Boolean"},
    {"name": "codeshare", "type": "Boolean", "nullable": True},
    {"name": "carrier", "type": "String", "categories": ["UA", "AA", "B6", "é🛫"]},
    {"name": "dest", "type": "String", "categories": ["LAX", "SFO", ""], "nullable": True},
    {"name": "origin", "type": "String", "categories": ["EWR", "JFK", "LGA"], "default": "JFK"},
    {"name": "remark", "type": "String", "default": "none"},
    {"name": "scheduled", "type": "Timestamp"},
    {"name": "announced", "type": "Timestamp", "nullable": True},
]
FEATURE_SET: dict[str, Any] = {
    "apiVersion": "penstock.dev/v1alpha1",
    "kind": "FeatureSet",
    "metadata": {"name": "flights", "generation": 3},
    "spec": {
        "features": FEATURES,
        "entityKey": ["flight"],
        "timestampField": "scheduled",
        "label": {"name": "late", "type": "Boolean"},
        "source": {"uri": "s3://data/flights.parquet", "format": "Parquet"},
    },
}
CODED = frozenset({"carrier", "dest"})
"""Categories that the model takes as codes; the others as texts."""
_START = datetime(1960, 2, 29, 20, tzinfo=UTC)
_NULLABLE_SHARE = 0.2


def schema() -> FeatureSchema:
    return FeatureSchema.of(read_feature_set(FEATURE_SET).spec.features)


def rows(count: int = 10_000) -> pl.DataFrame:
    """Awkward numbers, missing values, moments before 1970 and with microseconds, texts beyond ASCII."""
    random = np.random.default_rng(20_26)

    def sometimes(values: list[Any]) -> list[Any]:
        gone = random.random(count) < _NULLABLE_SHARE
        gone[:100] = True  # a whole request without the column
        return [None if absent else value for value, absent in zip(values, gone, strict=True)]

    def moments() -> list[datetime]:
        return [_START + timedelta(microseconds=int(offset)) for offset in random.integers(0, 10**16, count)]

    distance = random.uniform(0, 6000, count)
    distance[:4] = [0.0, -0.0, 6000.0, 5e-324]
    dewp = random.normal(0, 1e-300, count) * 1e299
    text = ["", "a", '"quoted", with comma', "naïve ✈", "null", "NaN"]
    return pl.DataFrame(
        {
            "distance": distance,
            "dewp": sometimes(dewp.tolist()),
            "precip": sometimes((random.random(count) * 1e-7).tolist()),
            "visib": pl.Series(random.uniform(0, 10.1, count).astype(np.float32)),
            "gust": pl.Series(sometimes(random.normal(0, 50, count).astype(np.float32).tolist()), dtype=pl.Float32),
            "hour": random.integers(0, 24, count),
            "seats": sometimes(random.integers(-(2**63), 2**63 - 1, count).tolist()),
            "tail": sometimes(random.integers(-(2**53), 2**53, count).tolist()),
            "holiday": random.random(count) < 0.5,
            "codeshare": sometimes((random.random(count) < 0.5).tolist()),
            "carrier": random.choice(FEATURES[10]["categories"], count).tolist(),
            "dest": sometimes(random.choice(FEATURES[11]["categories"], count).tolist()),
            "origin": sometimes(random.choice(FEATURES[12]["categories"], count).tolist()),
            "remark": sometimes(random.choice(text, count).tolist()),
            "scheduled": moments(),
            "announced": sometimes(moments()),
            "flight": [f"f{index}" for index in range(count)],
            "late": random.random(count) < 0.2,
        }
    )


def echo_model(folder: Path) -> Path:
    """An ONNX graph that answers every input; NaN, which no answer may hold, as 0 and `<name>.missing`."""
    nodes, inputs, outputs = [], [], []
    for name, encoder in Transform(schema(), codes=CODED).encoders.items():
        kind = _onnx_type(encoder)
        inputs.append(helper.make_tensor_value_info(name, kind, [None, 1]))
        if encoder.dtype.kind != "f":
            nodes.append(helper.make_node("Identity", [name], [f"{name}.value"]))
        else:
            zero = helper.make_tensor("zero", kind, [], [0.0])
            nodes += [
                helper.make_node("IsNaN", [name], [f"{name}.missing"]),
                helper.make_node("Constant", [], [f"{name}.zero"], value=zero),
                helper.make_node("Where", [f"{name}.missing", f"{name}.zero", name], [f"{name}.value"]),
            ]
            outputs.append(helper.make_tensor_value_info(f"{name}.missing", TensorProto.BOOL, [None, 1]))
        outputs.append(helper.make_tensor_value_info(f"{name}.value", kind, [None, 1]))
    graph = helper.make_graph(nodes, "echo", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (folder / "features.json").write_text(json.dumps(schema().as_json()))
    return folder


def request(frame: pl.DataFrame, *, binary: bool) -> tuple[bytes, dict[str, str]]:
    """The rows as a client sends them: body and headers. Columns with a default of which nothing is known are left out.

    As bytes a missing number is NaN; what has no NaN goes as JSON where a value is missing.
    """
    inputs: list[dict[str, Any]] = []
    tail: list[bytes] = []
    for feature in FEATURES:
        column = frame[feature["name"]]
        if "default" in feature and column.null_count() == len(column):
            continue
        datatype, values = _sent(feature, column)
        item: dict[str, Any] = {"name": feature["name"], "datatype": datatype, "shape": [len(column), 1]}
        if binary and (column.null_count() == 0 or datatype in ("FP32", "FP64")):
            array = np.array([*values, None], dtype=object)[:-1].astype(NUMPY_TYPES[datatype])
            tail.append(tensor_bytes(array))
            item["parameters"] = {"binary_data_size": len(tail[-1])}
        else:
            item["data"] = values
        inputs.append(item)
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    headers = {"inference-header-content-length": str(len(head))} if tail else {}
    return head + b"".join(tail), headers


def answered(body: bytes, json_size: int) -> dict[str, Array]:
    """The vectors in an answer of the echo model, NaN where it says so."""
    tensors: dict[str, Array] = {}
    rest = memoryview(body)[json_size:]
    for item in json.loads(body[:json_size])["outputs"]:
        size = item["parameters"]["binary_data_size"]
        tensors[item["name"]] = read_tensor(item["name"], item["datatype"], tuple(item["shape"]), rest[:size]).reshape(
            -1
        )
        rest = rest[size:]
    vectors = {name.removesuffix(".value"): array for name, array in tensors.items() if name.endswith(".value")}
    for name, array in vectors.items():
        if f"{name}.missing" in tensors:
            array[tensors[f"{name}.missing"]] = np.nan
    return vectors


def bits(array: Array) -> bytes:
    """The array down to its last bit, its type included; texts with their lengths."""
    if array.dtype.kind == "O":
        return b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in array)
    return str(array.dtype).encode() + array.tobytes()


def _sent(feature: dict[str, Any], column: pl.Series) -> tuple[str, list[Any]]:
    if feature["type"] == "Timestamp":
        return "BYTES", [None if moment is None else moment.isoformat() for moment in column.to_list()]
    datatypes = {"Float64": "FP64", "Float32": "FP32", "Int64": "INT64", "Boolean": "BOOL", "String": "BYTES"}
    return datatypes[feature["type"]], column.to_list()


def _onnx_type(encoder: Encoder) -> int:
    names = {"FP64": "DOUBLE", "FP32": "FLOAT", "INT64": "INT64", "BOOL": "BOOL", "BYTES": "STRING"}
    return int(getattr(TensorProto, names[datatype_of(np.empty(0, dtype=encoder.dtype))]))
