import json
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import skops.io
from onnx import TensorProto, helper
from sklearn.neighbors import KNeighborsClassifier

from penstock.runtime.backends import load_backend
from penstock.runtime.backends.trusted_types import TRUSTED_TYPES
from penstock.runtime.errors import LoadError
from penstock.runtime.metadata import read_metadata
from tests.unit.runtime import models


def refused(folder: Path, model_format: str = "Skops") -> LoadError:
    with pytest.raises(LoadError) as caught:
        load_backend(model_format, folder, read_metadata(folder))
    assert "\n" not in caught.value.message
    return caught.value


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (models.foreign, "system"),
        (lambda: KNeighborsClassifier().fit(*models.numbers()), "KDTree"),
        (lambda: models.Smuggled().fit(*models.numbers()), "Smuggled"),
    ],
)
def test_types_outside_the_list_are_refused_by_name(tmp_path: Path, model: Callable[[], Any], named: str) -> None:
    error = refused(models.save_skops(tmp_path, model()))
    assert error.reason == "UnsafeFormat"
    assert named in error.message


def rewritten(folder: Path, change: Callable[[dict[str, Any], dict[str, bytes]], None]) -> Path:
    """The folder's skops file with its schema and members changed as an attacker would."""
    file = folder / "model.skops"
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(members["schema.json"])
    change(schema, members)
    members["schema.json"] = json.dumps(schema).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return folder


def states(schema: Any, key: str, value: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for child in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        found += states(child, key, value)
    if isinstance(schema, dict) and schema.get(key) == value:
        found.append(schema)
    return found


def edited(content: bytes, field: str, value: int) -> bytes:
    nodes = np.load(BytesIO(content))
    nodes[field][0] = value
    buffer = BytesIO()
    np.save(buffer, nodes)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("field", "value"), [("left_child", 10**6), ("right_child", 0), ("feature", 4), ("feature", -3)]
)
def test_forest_with_indices_out_of_bounds_is_refused(tmp_path: Path, field: str, value: int) -> None:
    def change(schema: dict[str, Any], members: dict[str, bytes]) -> None:
        name = states(schema, "__loader__", "TreeNode")[0]["content"]["content"]["nodes"]["file"]
        members[name] = edited(members[name], field, value)

    assert refused(rewritten(models.save_skops(tmp_path, models.forest()), change)).reason == "UnsafeFormat"


@pytest.mark.parametrize(("field", "value"), [("left", 10**6), ("right", 0), ("feature_idx", 4), ("is_categorical", 1)])
def test_boosted_trees_with_indices_out_of_bounds_are_refused(tmp_path: Path, field: str, value: int) -> None:
    def change(schema: dict[str, Any], members: dict[str, bytes]) -> None:
        name = states(schema, "__class__", "TreePredictor")[0]["content"]["content"]["nodes"]["file"]
        members[name] = edited(members[name], field, value)

    assert refused(rewritten(models.save_skops(tmp_path, models.boosted()), change)).reason == "UnsafeFormat"


def claiming(folder: Path, count: int) -> Path:
    def change(schema: dict[str, Any], members: dict[str, bytes]) -> None:
        fields = states(schema, "__loader__", "TreeNode")[0]["content"]["content"]
        fields["node_count"].update(content=str(count), __id__=1)

    return rewritten(models.save_skops(folder, models.forest()), change)


@pytest.mark.parametrize("count", [3, 0, -5])
def test_tree_that_claims_fewer_nodes_than_its_indices_need_is_refused(tmp_path: Path, count: int) -> None:
    assert refused(claiming(tmp_path, count)).reason == "UnsafeFormat"


def test_scikit_learn_lowers_a_node_count_beyond_the_stored_nodes(tmp_path: Path) -> None:
    """The check of a loaded tree reads as many nodes as it counts, so it relies on this."""
    file = claiming(tmp_path, 10**6) / "model.skops"
    trusted = list(TRUSTED_TYPES)
    assert [tree.tree_.node_count for tree in skops.io.load(file, trusted=trusted).estimators_] == [
        tree.tree_.node_count for tree in models.forest().estimators_
    ]


def test_a_damaged_skops_file(tmp_path: Path) -> None:
    (tmp_path / "model.skops").write_bytes(b"PK\x03\x04 not a zip")
    error = refused(tmp_path)
    assert error.reason == "LoadFailed"
    assert "model.skops cannot be loaded" in error.message


def test_an_object_that_cannot_predict(tmp_path: Path) -> None:
    folder = tmp_path
    skops.io.dump(models.StandardScaler().fit(models.numbers()[0]), folder / "model.skops")
    assert "cannot predict" in refused(folder).message


@pytest.mark.parametrize(
    ("document", "reason", "says"),
    [
        ("{", "LoadFailed", "not valid"),
        ({"inputs": [{"name": "a"}]}, "LoadFailed", "not valid"),
        ({"inputs": [{"name": "a", "datatype": "FP16", "shape": [-1]}]}, "LoadFailed", "FP16"),
        ({"inputs": [{"name": "a", "datatype": "FP64", "shape": [0]}]}, "LoadFailed", "shape"),
        ({"inputs": [models.FLIGHT_INPUTS[0]] * 2}, "LoadFailed", "name of its own"),
        ({"inputs": models.FLIGHT_INPUTS[:2]}, "SchemaMismatch", "carrier, distance, hour"),
        ({"inputs": [{"name": "a", "datatype": "FP64", "shape": [-1, 5]}]}, "SchemaMismatch", "3 features"),
        ({"outputs": [{"name": "score", "datatype": "FP64", "shape": [-1]}]}, "SchemaMismatch", "label INT64"),
    ],
)
def test_metadata_that_does_not_fit_the_model(tmp_path: Path, document: Any, reason: str, says: str) -> None:
    folder = models.save_skops(tmp_path, models.flight_pipeline())
    (folder / "metadata.json").write_text(document if isinstance(document, str) else json.dumps(document))
    error = refused(folder)
    assert (error.reason, says in error.message) == (reason, True), error.message


def test_metadata_that_is_not_that_of_the_graph(tmp_path: Path) -> None:
    folder = models.save_onnx(tmp_path, models.logistic())
    (folder / "metadata.json").write_text(json.dumps({"inputs": models.FLIGHT_INPUTS}))
    error = refused(folder, "ONNX")
    assert error.reason == "SchemaMismatch"
    assert "X FP32" in error.message


def test_graph_with_a_type_that_is_no_tensor_of_the_protocol(tmp_path: Path) -> None:
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT16, [None]) for name in ("a", "b")]
    graph = helper.make_graph([helper.make_node("Identity", ["a"], ["b"])], "g", value[:1], value[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, tmp_path / "model.onnx")
    assert "float16" in refused(tmp_path, "ONNX").message
