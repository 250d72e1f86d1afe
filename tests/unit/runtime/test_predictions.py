import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from penstock.runtime.backends import load_backend
from penstock.runtime.codec import decode_call, encode_answer
from penstock.runtime.cost import Cost
from penstock.runtime.engine import Engine
from penstock.runtime.errors import RequestError
from penstock.runtime.metadata import read_metadata
from tests.unit.runtime import models


def tensor(name: str, datatype: str, values: Any) -> dict[str, Any]:
    array = np.asarray(values)
    return {"name": name, "datatype": datatype, "shape": list(array.shape), "data": array.ravel().tolist()}


def array(output: dict[str, Any]) -> Any:
    return np.array(output["data"]).reshape(output["shape"])


def load(folder: Path, model_format: str) -> Engine:
    backend = load_backend(model_format, folder, read_metadata(folder))
    return Engine(backend, model_name="flight-delay", revision="0123456789ab", threads=1)


async def ask(engine: Engine, inputs: list[dict[str, Any]], **more: Any) -> dict[str, dict[str, Any]]:
    """From the bytes of a request to the bytes of its answer, without the network."""
    answer = await engine.infer(decode_call(json.dumps({"inputs": inputs, **more}).encode()))
    return {output["name"]: output for output in json.loads(encode_answer(answer, "id").body)["outputs"]}


async def refusal(engine: Engine, inputs: list[dict[str, Any]], **more: Any) -> str:
    with pytest.raises(RequestError) as caught:
        await ask(engine, inputs, **more)
    assert caught.value.status == 400
    return caught.value.message


@pytest.mark.parametrize("train", [models.logistic, models.forest])
@pytest.mark.parametrize("zipmap", [False, True])
async def test_onnx_classifier_equals_scikit_learn(tmp_path: Path, train: Any, zipmap: bool) -> None:
    model = train()
    values = models.numbers(40)[0].astype(np.float32)
    engine = load(models.save_onnx(tmp_path, model, zipmap=zipmap), "ONNX")
    outputs = await ask(engine, [tensor("X", "FP32", values)])
    label, probabilities = (outputs[spec.name] for spec in engine.outputs)
    assert [label["datatype"], probabilities["datatype"]] == ["INT64", "FP32"]
    assert (array(label) == model.predict(values)).all()
    np.testing.assert_allclose(array(probabilities), model.predict_proba(values), atol=1e-4)


async def test_onnx_model_takes_one_tensor_per_column(tmp_path: Path) -> None:
    model = models.flight_pipeline()
    frame = models.flights(30)[0]
    inputs = [
        tensor("carrier", "BYTES", frame[["carrier"]].to_numpy()),
        tensor("distance", "FP32", frame["distance"]),  # [n] where the graph has [n, 1]
        tensor("hour", "FP32", frame[["hour"]].to_numpy().astype(float)),
    ]
    engine = load(models.save_onnx(tmp_path, model), "ONNX")
    outputs = await ask(engine, inputs)
    uneven = await refusal(engine, [inputs[0], inputs[1], tensor("hour", "FP32", [1.0, 2.0])])
    np.testing.assert_allclose(array(outputs["probabilities"]), model.predict_proba(frame), atol=1e-4)
    assert (array(outputs["label"]) == model.predict(frame)).all()
    assert "same size" in uneven


@pytest.mark.parametrize("train", [models.logistic, models.forest, models.boosted])
async def test_skops_classifier_equals_scikit_learn(tmp_path: Path, train: Any) -> None:
    model = train()
    values, _ = models.numbers(40)
    engine = load(models.save_skops(tmp_path, model), "Skops")
    outputs = await ask(engine, [tensor("input", "FP64", values)])
    nested = await ask(
        engine,
        [{"name": "input", "datatype": "FP64", "shape": [40, 4], "data": values.tolist()}],
        outputs=[{"name": "probabilities"}],
    )
    assert (array(outputs["label"]) == model.predict(values)).all()
    np.testing.assert_allclose(array(outputs["probabilities"]), model.predict_proba(values), atol=1e-9)
    assert nested == {"probabilities": outputs["probabilities"]}


async def test_skops_regressor_answers_prediction(tmp_path: Path) -> None:
    model = models.linear()
    values, _ = models.numbers(10)
    engine = load(models.save_skops(tmp_path, model), "Skops")
    outputs = await ask(engine, [tensor("input", "FP64", values)])
    assert list(outputs) == ["prediction"]
    np.testing.assert_allclose(array(outputs["prediction"]), model.predict(values), atol=1e-9)


async def test_skops_pipeline_on_string_columns(tmp_path: Path) -> None:
    model = models.flight_pipeline()
    frame = models.flights(30)[0]
    folder = models.save_skops(tmp_path, model, models.FLIGHT_INPUTS)
    inputs = [
        tensor("hour", "INT64", frame["hour"]),  # in any order
        tensor("carrier", "BYTES", frame["carrier"]),
        tensor("distance", "FP64", frame[["distance"]].to_numpy()),
    ]
    engine = load(folder, "Skops")
    outputs = await ask(engine, inputs)
    uneven = await refusal(engine, [inputs[0], inputs[1], tensor("distance", "FP64", [1.0, 2.0])])
    assert [spec.as_json() for spec in engine.inputs] == models.FLIGHT_INPUTS
    assert [spec.as_json() for spec in engine.outputs] == [
        {"name": "label", "datatype": "INT64", "shape": [-1]},
        {"name": "probabilities", "datatype": "FP64", "shape": [-1, 2]},
    ]
    assert (array(outputs["label"]) == model.predict(frame)).all()
    np.testing.assert_allclose(array(outputs["probabilities"]), model.predict_proba(frame), atol=1e-9)
    assert uneven == "the inputs must all have the same number of rows"


async def test_numeric_data_frame_model_takes_its_matrix_or_its_columns(tmp_path: Path) -> None:
    frame = models.flights(20)[0][["distance", "hour"]].astype(float)
    model = models.frame_forest()
    by_column = load(models.save_skops(tmp_path / "columns", model), "Skops")
    matrix_input = [{"name": "rows", "datatype": "FP64", "shape": [-1, 2]}]
    by_matrix = load(models.save_skops(tmp_path / "matrix", model, matrix_input), "Skops")
    columns = await ask(by_column, [tensor(name, "FP64", frame[name]) for name in ("hour", "distance")])
    matrix = await ask(by_matrix, [tensor("rows", "FP64", frame.to_numpy())])
    assert columns == matrix
    np.testing.assert_allclose(array(matrix["probabilities"]), model.predict_proba(frame), atol=1e-9)


async def test_string_classes_are_sent_as_strings(tmp_path: Path) -> None:
    values, labels = models.numbers(20)
    model = models.LogisticRegression().fit(values, np.where(labels == 1, "late", "on time"))
    outputs = await ask(load(models.save_skops(tmp_path, model), "Skops"), [tensor("input", "FP64", values)])
    assert outputs["label"]["datatype"] == "BYTES"
    assert outputs["label"]["data"] == model.predict(values).tolist()


async def test_large_batches_and_slow_models_give_the_same_answers(tmp_path: Path) -> None:
    model = models.forest()
    engine = load(models.save_skops(tmp_path, model), "Skops")
    values, _ = models.numbers(200)
    engine.cost = Cost(1.0, 0.0)
    one = await ask(engine, [tensor("input", "FP64", values[:1])])
    many = await ask(engine, [tensor("input", "FP64", values)])
    np.testing.assert_allclose(array(many["probabilities"]), model.predict_proba(values), atol=1e-9)
    assert one["probabilities"]["data"] == many["probabilities"]["data"][:2]


async def test_an_answer_that_is_not_finite_is_the_models_failure(tmp_path: Path) -> None:
    engine = load(models.save_skops(tmp_path, models.linear()), "Skops")
    with pytest.raises(ValueError, match="output 'prediction' holds a number that is not finite"):
        await ask(engine, [tensor("input", "FP64", [[1e308, -1e308, 0.0, 0.0]])])
