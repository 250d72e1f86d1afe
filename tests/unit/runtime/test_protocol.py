import json
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from penstock.runtime import openapi
from tests.unit.runtime import models
from tests.unit.runtime.server import DIGEST, REVISION, Server

MODEL = "/v2/models/flight-delay"
ROW = [
    {"name": "carrier", "datatype": "BYTES", "shape": [1, 1], "data": ["AA"]},
    {"name": "distance", "datatype": "FP64", "shape": [1, 1], "data": [[700.5]]},
    {"name": "hour", "datatype": "INT64", "shape": [1], "data": [18]},
]


def changed(index: int, **fields: Any) -> list[dict[str, Any]]:
    return [{**tensor, **fields} if position == index else tensor for position, tensor in enumerate(ROW)]


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/v2", {"name": "penstock", "version": "0.1.0", "extensions": ["binary_tensor_data"]}),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        (f"{MODEL}/ready", {"name": "flight-delay", "ready": True}),
        (f"{MODEL}/versions/{REVISION}/ready", {"name": "flight-delay", "ready": True}),
    ],
)
def test_documents(flight_server: Server, path: str, document: dict[str, Any]) -> None:
    assert flight_server.client.get(path).json() == document


def test_model_metadata(flight_server: Server) -> None:
    expected = {
        "name": "flight-delay",
        "versions": [REVISION],
        "platform": "sklearn_skops",
        "inputs": models.FLIGHT_INPUTS,
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP64", "shape": [-1, 2]},
        ],
    }
    for path in (MODEL, f"{MODEL}/versions/{REVISION}"):
        assert flight_server.client.get(path).json() == expected


@pytest.mark.parametrize("path", [f"{MODEL}/infer", f"{MODEL}/versions/{REVISION}/infer"])
def test_inference(flight_server: Server, path: str) -> None:
    request = {"id": "mine", "inputs": ROW, "parameters": {"any": "thing"}, "outputs": [{"name": "label"}]}
    answer = flight_server.client.post(path, json=request)
    assert answer.status_code == 200
    assert answer.json() == {
        "id": "mine",
        "model_name": "flight-delay",
        "model_version": REVISION,
        "outputs": [{"name": "label", "datatype": "INT64", "shape": [1], "data": [1]}],
    }


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v2"), ("GET", "/nowhere"), ("POST", f"{MODEL}/infer"), ("DELETE", MODEL), ("GET", "/v2/models/other")],
)
def test_every_answer_says_who_answered(flight_server: Server, method: str, path: str) -> None:
    headers = flight_server.client.request(method, path, headers={"x-request-id": "abc-1"}).headers
    assert headers["x-penstock-model"] == "flight-delay"
    assert headers["x-penstock-revision"] == REVISION
    assert headers["x-penstock-digest"] == DIGEST
    assert headers["x-request-id"] == "abc-1"


@pytest.mark.parametrize("sent", [None, "x" * 129, "two words"])
def test_a_request_without_a_usable_id_gets_a_new_one(flight_server: Server, sent: str | None) -> None:
    headers = {} if sent is None else {"x-request-id": sent}
    answer = flight_server.client.post(f"{MODEL}/infer", json={"inputs": ROW}, headers=headers)
    assert uuid.UUID(answer.headers["x-request-id"]).version == 4
    assert answer.json()["id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[]", "not an inference request"),
        (b"{}", "missing required field `inputs`"),
        (b'{"inputs": [{"name": "hour", "datatype": "FP64", "shape": [1], "data": [NaN]}]}', "not valid JSON"),
        (b'{"inputs": [{"name": "hour", "datatype": "FP64", "shape": [1], "data": [Infinity]}]}', "not valid JSON"),
        (b'{"inputs": [{"name": "hour", "datatype": "FP64", "shape": [1], "data": [1e999]}]}', "out of range"),
        (b'{"inputs": [{"name": "hour", "datatype": "FP32", "shape": [1], "data": [1e300]}]}', "range of FP32"),
        (
            b'{"inputs": [{"name": "carrier", "datatype": "BYTES", "shape": [1], "data": ["\\ud800"]}]}',
            "not valid JSON",
        ),
        (b'{"inputs": [{"name": "carrier", "datatype": "BYTES", "shape": [1], "data": ["\xff"]}]}', "not valid JSON"),
        (b'{"inputs": ' + b"[" * 5000, "not"),
        ({"inputs": []}, "lacks carrier, distance, hour"),
        ({"inputs": ROW[:2]}, "lacks hour"),
        ({"inputs": [*ROW, {**ROW[0], "name": "origin"}]}, "there is no input 'origin'"),
        ({"inputs": [*ROW, ROW[0]]}, "given twice"),
        ({"inputs": changed(1, datatype="FP32")}, "datatype FP32, the model takes FP64"),
        ({"inputs": changed(1, datatype="FP16")}, "known are BOOL"),
        ({"inputs": changed(1, data=["7"])}, "not FP64"),
        ({"inputs": changed(1, data=[None])}, "not FP64"),
        ({"inputs": changed(1, data=[True])}, "not FP64"),
        ({"inputs": changed(0, data=[5])}, "not BYTES"),
        ({"inputs": changed(2, data=[1.5])}, "not INT64"),
        ({"inputs": changed(2, data=[10**30])}, "not INT64"),
        ({"inputs": changed(2, datatype="INT8", data=[300])}, "not INT8"),
        ({"inputs": changed(1, data=[1.0, 2.0])}, "2 elements"),
        ({"inputs": changed(1, shape=[2, 2], data=[[1.0, 2.0], [3.0]])}, "not FP64"),
        ({"inputs": changed(1, shape=[1, 2], data=[[1.0], [2.0]])}, "shape [2, 1]"),
        ({"inputs": changed(1, shape=[1, 2], data=[1.0, 2.0])}, "the model takes [-1, 1]"),
        ({"inputs": changed(1, shape=[])}, "shape"),
        ({"inputs": changed(1, shape=[0])}, "shape"),
        ({"inputs": changed(1, shape=[-1])}, "shape"),
        ({"inputs": changed(1, shape=[10**18], data=[1.0])}, "1 elements"),
        ({"inputs": changed(1, shape=[1] * 9)}, "shape"),
        ({"inputs": [{"name": "hour", "datatype": "INT64", "shape": [1]}]}, "neither data nor binary_data_size"),
        ({"inputs": ROW, "outputs": [{"name": "score"}]}, "there is no output 'score'"),
        ({"inputs": ROW, "outputs": [{"name": "label"}, {"name": "label"}]}, "asked for twice"),
        ({"inputs": ROW, "id": 7}, "not an inference request"),
    ],
)
def test_a_bad_request_gets_one_sentence(flight_server: Server, body: Any, says: str) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = flight_server.client.post(f"{MODEL}/infer", content=content)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert says in error
    assert "\n" not in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("method", "path", "status", "says"),
    [
        ("GET", "/v2/models/other", 404, "no model 'other'"),
        ("POST", "/v2/models/other/infer", 404, "no model 'other'"),
        ("GET", f"{MODEL}/versions/ffffffffffff", 404, "no version 'ffffffffffff'"),
        ("POST", f"{MODEL}/versions/ffffffffffff/infer", 404, "no version 'ffffffffffff'"),
        ("GET", "/", 404, "nothing at '/'"),
        ("GET", f"{MODEL}/infer", 405, "use POST"),
        ("POST", MODEL, 405, "use GET"),
        ("POST", "/v2/health/ready", 405, "use GET"),
    ],
)
def test_what_is_not_there(flight_server: Server, method: str, path: str, status: int, says: str) -> None:
    answer = flight_server.client.request(method, path)
    assert answer.status_code == status
    assert says in answer.json()["error"]
    assert (status == 405) == ("allow" in answer.headers)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit(flight_server: Server, chunked: bool) -> None:
    content = iter([b"x" * 15000, b"x" * 15000]) if chunked else b"x" * 20001
    answer = flight_server.client.post(f"{MODEL}/infer", content=content)
    assert answer.status_code == 413
    assert "20000 bytes" in answer.json()["error"]


def test_the_description_names_the_model(flight_server: Server) -> None:
    document = flight_server.client.get("/openapi.json").json()
    assert document["components"]["parameters"]["model"]["schema"]["enum"] == ["flight-delay"]
    assert document["components"]["parameters"]["revision"]["schema"]["enum"] == [REVISION]
    published = Path(openapi.__file__).parent
    # After a change of the YAML file: write the JSON file anew, with an indent of one.
    assert json.loads((published / "openapi.json").read_text()) == yaml.safe_load(
        (published / "openapi.yaml").read_text()
    )


def test_what_the_model_refuses_is_a_500_with_an_id_and_no_traceback(flight_server: Server) -> None:
    answer = flight_server.infer(changed(0, data=["ZZ"]))
    error = answer.json()["error"]
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] in error
    assert "ZZ" in error
    assert "Traceback" not in error
    assert "\n" not in error


def test_metrics(flight_server: Server) -> None:
    def sample(name: str, **labels: str) -> float | None:
        text = httpx.get(flight_server.metrics_url).text
        samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
        return next((s.value for s in samples if s.name == name and labels.items() <= s.labels.items()), None)

    ours = {"model": "flight-delay", "revision": REVISION}
    before = [sample("penstock_inference_requests_total", **ours, code=code) or 0 for code in ("200", "400")]
    count = sample("penstock_inference_duration_seconds_count", **ours) or 0
    assert flight_server.infer(ROW).status_code == 200
    assert flight_server.infer([]).status_code == 400
    after = [sample("penstock_inference_requests_total", **ours, code=code) for code in ("200", "400")]
    assert after == [before[0] + 1, before[1] + 1]
    assert sample("penstock_inference_duration_seconds_count", **ours) == count + 2
    assert sample("penstock_inference_in_flight", **ours) == 0
    assert sample("penstock_model_info", **ours, digest=DIGEST, format="Skops") == 1
    assert (sample("penstock_model_load_seconds", **ours) or 0) > 0
