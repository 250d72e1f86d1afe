"""What can go wrong with servers, answers and rows: never a number that looks good."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import polars as pl
import pytest

from penstock.domain.gates.task import GateResult, GateStatus, Problem
from tests.unit.jobs.evaluate import given
from tests.unit.jobs.evaluate.given import CHAMPION, Place, flights, metric
from tests.unit.runtime import models
from tests.unit.runtime.server import REVISION, Server, free_port, running

NOWHERE = "http://127.0.0.1:9"


def failed(result: GateResult, reason: str) -> str:
    """The sentence of an evaluation that must have ended so, without a number."""
    assert (result.status, result.reason) == (GateStatus.ERROR, reason), result
    assert not result.metrics
    return result.message


def test_another_revision_than_the_candidate_answers(here: Place, candidate: Server) -> None:
    here.write(flights(300))
    message = failed(here.evaluate(candidate, revision="ffffffffffff"), "WrongRevision")
    assert f"answers as revision {REVISION} instead of ffffffffffff" in message


def test_another_revision_than_the_champion_answers(here: Place, candidate: Server) -> None:
    here.write(flights(300))
    assert "champion" in failed(here.evaluate(candidate, candidate), "WrongRevision")


def test_a_server_of_the_owner_s_need_not_say_its_revision(here: Place) -> None:
    here.write(flights(300))
    inputs = [{"name": "distance", "datatype": "FP64", "shape": [-1, 1]}]
    with custom(inputs, lambda rows: f'"shape": [{rows}], "data": {[0.25] * rows}') as url:
        result = here.evaluate(url, features=[], runtime="Custom", metrics=["accuracy"])
        assert (result.status, result.answered, result.failed) == (GateStatus.COMPLETE, None, 0), result
        message = failed(here.evaluate(url, features=[], metrics=["accuracy"]), "WrongRevision")
        assert "unknown" in message


def test_nobody_answers(here: Place) -> None:
    here.write(flights(300))
    assert "gives no answer (no connection" in failed(here.evaluate(NOWHERE), "PredictionsFailed")


def test_without_a_champion_s_answers_the_candidate_stands_alone(here: Place, candidate: Server) -> None:
    here.write(flights(300))
    bounds = {"maxRegression": "0.01", "absoluteMin": "0.5"}
    result = here.evaluate(candidate, NOWHERE, metrics=[metric("roc_auc", versusChampion=bounds)])
    assert (result.status, result.failed, result.champion_failed) == (GateStatus.COMPLETE, 0, 300)
    assert result.champion_answered is None
    assert result.disagreement is None
    (found,) = result.metrics
    assert found.value is not None
    assert (found.champion, found.difference, found.p) == (None, None, None)
    assert "champion did not answer 300 of 300 rows (no connection" in result.message


@pytest.mark.parametrize("who", ["candidate", "champion"])
def test_a_server_that_dies_in_the_middle(here: Place, candidate: Server, tmp_path: Path, who: str) -> None:
    here.write(flights(20_000))
    models.save_skops(tmp_path, given.candidate(), models.FLIGHT_INPUTS)
    revision = REVISION if who == "candidate" else CHAMPION
    with running(tmp_path, "Skops", PENSTOCK_REVISION=revision) as dying:
        killer = threading.Thread(target=_kill_after_some, args=(dying,))
        killer.start()
        limits = {"batchRows": 20}
        if who == "candidate":
            failed(here.evaluate(dying, limits=limits), "PredictionsFailed")
        else:
            result = here.evaluate(candidate, dying, limits=limits)
            assert (result.status, result.failed, result.champion_failed) == (GateStatus.COMPLETE, 0, 20_000)
            assert result.disagreement is None
        killer.join()


def _kill_after_some(server: Server) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        text = httpx.get(server.metrics_url).text
        counts = [line for line in text.splitlines() if line.startswith("penstock_inference_requests_total{")]
        if any(float(line.rsplit(" ", 1)[1]) >= 20 for line in counts):
            break
        time.sleep(0.01)
    server.process.kill()


def test_rows_that_the_model_refuses_are_counted_one_by_one(here: Place, tmp_path: Path) -> None:
    frame = flights(1000)
    strange = np.isin(np.arange(1000), [3, 500, 501, 999])
    carriers = pl.Series(np.where(strange, "ZZ", frame["carrier"].to_numpy()))
    here.write(frame.with_columns(carrier=carriers))
    models.save_skops(tmp_path, models.flight_pipeline(strict=True), models.FLIGHT_INPUTS)
    with running(tmp_path, "Skops") as server:
        result = here.evaluate(server, features=[], metrics=["accuracy"])
    assert (result.status, result.rows, result.failed) == (GateStatus.COMPLETE, 1000, 4)
    assert result.metrics[0].n == 996
    assert "did not answer 4 of 1000 rows" in result.message
    assert "status 500" in result.message
    assert "ZZ" not in result.message


def test_rows_that_do_not_fit_the_schema_are_counted(here: Place, candidate: Server) -> None:
    here.write(flights(600).with_columns(distance=pl.when(pl.col("flight") % 200 == 7).then(-5.0).otherwise(500.0)))
    result = here.evaluate(candidate)
    assert (result.failed, result.metrics[0].n) == (3, 597)
    assert "status 400" in result.message


def test_a_busy_server_is_asked_again(here: Place, tmp_path: Path) -> None:
    here.write(flights(4000))
    here.environment["PENSTOCK_RETRY_SECONDS"] = "20"
    models.save_skops(tmp_path, given.candidate(), models.FLIGHT_INPUTS)
    with running(tmp_path, "Skops", PENSTOCK_MAX_IN_FLIGHT="1") as server:
        result = here.evaluate(server, limits={"batchRows": 100})
    assert (result.failed, result.rows) == (0, 4000)


def logarithm(folder: Path) -> Path:
    """A graph that answers NaN for a negative distance."""
    tensors = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, [None, 1]) for name in ("distance", "score")
    ]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Log", ["distance"], ["score"])], "log", *map(list, zip(tensors))
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder


@pytest.mark.parametrize("name", ["roc_auc", "accuracy", "brier"])
def test_an_answer_that_is_no_number_spoils_the_metric(here: Place, tmp_path: Path, name: str) -> None:
    distance = np.where(np.arange(500) == 77, -1.0, np.linspace(1.0, 2.7, 500))
    here.write(flights(500).with_columns(distance=distance))
    fairness = {"protected": ["origin"], "metrics": [{"name": "demographic_parity_difference", "max": "1"}]}
    with running(logarithm(tmp_path / "model"), "ONNX") as server:
        result = here.evaluate(server, features=[], metrics=[name], fairness=fairness)
    assert (result.status, result.failed) == (GateStatus.COMPLETE, 0), result
    (found,) = result.metrics
    assert (found.problem, found.value, found.lower) == (Problem.NOT_FINITE, None, None)
    assert result.fairness[0].problem is Problem.NOT_FINITE


def custom(inputs: list[dict[str, Any]], answer: Any) -> Any:
    """A server of somebody's own, which speaks the protocol and says no revision."""
    from contextlib import contextmanager

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._say(given_json({"name": "flight-delay", "inputs": inputs}))

        def do_POST(self) -> None:
            import json

            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            rows = body["inputs"][0]["shape"][0]
            self._say('{"outputs": [{"name": "score", "datatype": "FP64", ' + answer(rows) + "}]}")

        def _say(self, text: str) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *args: object) -> None:
            pass

    @contextmanager
    def serving() -> Iterator[str]:
        server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    return serving()


def given_json(content: dict[str, Any]) -> str:
    import json

    return json.dumps(content)


INPUTS = [{"name": "distance", "datatype": "FP64", "shape": [-1, 1]}]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (lambda rows: f'"shape": [{rows}], "data": [{", ".join(["NaN"] * rows)}]', Problem.NOT_FINITE),
        (lambda rows: f'"shape": [{rows}], "data": [{", ".join(["null"] * rows)}]', Problem.NOT_FINITE),
        (lambda rows: f'"shape": [{rows}], "data": [{", ".join(["1e999"] * rows)}]', Problem.NOT_FINITE),
        (lambda rows: f'"shape": [{rows}, 1], "data": {[[0.5]] * rows}', Problem.NOT_DEFINED),
    ],
    ids=["NaN", "null", "infinite", "all the same"],
)
def test_strange_answers_of_a_custom_server(here: Place, data: Any, problem: Problem) -> None:
    here.write(flights(300))
    with custom(INPUTS, data) as url:
        result = here.evaluate(url, features=[], runtime="Custom")
    assert (result.status, result.failed) == (GateStatus.COMPLETE, 0), result
    assert (result.metrics[0].problem, result.metrics[0].value) == (problem, None)


def test_answers_about_too_few_rows_are_none(here: Place) -> None:
    here.write(flights(300))
    with custom(INPUTS, lambda rows: '"shape": [2], "data": [0.1, 0.2]') as url:
        result = here.evaluate(url, features=[], runtime="Custom")
    assert (result.failed, result.metrics[0].problem) == (300, Problem.NO_DATA)
    assert "an answer of another form" in result.message


def test_a_server_that_hangs_is_not_waited_for_row_by_row(here: Place) -> None:
    here.write(flights(5000))
    released = threading.Event()

    def hanging(rows: int) -> str:
        released.wait(60)
        return '"shape": [0], "data": []'

    with custom(INPUTS, hanging) as url:
        limits = {"requestSeconds": 1, "batchRows": 20}
        result = here.evaluate(url, features=[], runtime="Custom", limits=limits)
        released.set()
    assert "no answer in time" in failed(result, "PredictionsFailed")


def test_answers_that_are_not_of_the_protocol(here: Place) -> None:
    here.write(flights(300))
    with custom(INPUTS, lambda rows: '"no": "shape"') as url:
        assert "protocol V2" in failed(here.evaluate(url, features=[], runtime="Custom"), "InvalidSpec")


@pytest.mark.parametrize(
    ("column", "says"), [("late", "has no column 'late'"), ("distance", "has no column 'distance'")]
)
def test_a_column_that_is_missing(here: Place, candidate: Server, column: str, says: str) -> None:
    here.write(flights(300).drop(column))
    assert says in failed(here.evaluate(candidate), "ColumnMissing")


def test_a_column_with_a_default_may_be_missing(here: Place, candidate: Server) -> None:
    here.write(flights(300).drop("hour"))
    features = [item | ({"default": "12"} if item["name"] == "hour" else {}) for item in given.FEATURES]
    # The server's schema has no default: it refuses every row, and none is left out silently.
    assert here.evaluate(candidate, features=features).failed == 300


@pytest.mark.parametrize("name", ["data.parquet", "data.csv"])
def test_no_rows_is_no_data(here: Place, candidate: Server, name: str) -> None:
    here.write(flights(0), name)
    fairness = {"protected": ["origin"], "metrics": [{"name": "demographic_parity_difference", "max": "1"}]}
    result = here.evaluate(candidate, metrics=["roc_auc", "f1"], fairness=fairness)
    assert (result.status, result.rows, result.answered) == (GateStatus.COMPLETE, 0, REVISION), result
    assert {item.problem for item in result.metrics} == {Problem.NO_DATA}
    assert "no rows" in result.message
    assert result.dataset_digest is not None


@pytest.mark.parametrize(
    ("late", "label", "reason", "says"),
    [
        (["a", "b", "c"], {}, "InvalidSpec", "spec.label.positiveClass"),
        ([0, 1, 2], {}, "InvalidSpec", "spec.label.positiveClass"),
        ([0, 1, None], {}, "CorruptFile", "no value in the label column"),
        (["yes", "no", "no"], {"positiveClass": "Yes"}, "InvalidSpec", "No row has the value"),
        ([0, 1, 2], {"positiveClass": "1"}, "InvalidSpec", "It is not clear which output to read"),
    ],
)
def test_labels_that_are_no_classes(
    here: Place, candidate: Server, late: list[Any], label: dict[str, str], reason: str, says: str
) -> None:
    here.write(flights(300).with_columns(late=pl.Series(late * 100)))
    assert says in failed(here.evaluate(candidate, label={"column": "late", **label}), reason)


def test_it_is_said_which_outputs_there_are(here: Place, candidate: Server) -> None:
    here.write(flights(300))
    message = failed(here.evaluate(candidate, output="score"), "InvalidSpec")
    assert "label (INT64 [n]), probabilities (FP64 [n, 2])" in message
    assert "spec.output" in message


def test_an_output_may_be_named(here: Place, candidate: Server) -> None:
    frame = flights(500)
    here.write(frame)
    (found,) = here.evaluate(candidate, output="label", metrics=["accuracy"]).metrics
    expected = (given.scores(given.candidate(), frame) >= 0.5) == frame["late"].to_numpy()
    assert found.value == pytest.approx(expected.mean())


def test_all_rows_of_one_class(here: Place, candidate: Server) -> None:
    here.write(flights(300).with_columns(late=pl.lit(1)))
    result = here.evaluate(candidate, metrics=["roc_auc", "recall"])
    assert [item.problem for item in result.metrics] == [Problem.NOT_DEFINED, None]


def test_other_bytes_than_the_gate_names(here: Place, candidate: Server) -> None:
    path = here.write(flights(300))
    task = here.task(candidate)
    here.write(flights(301))
    from penstock.jobs.evaluate.run import run
    from penstock.jobs.evaluate.settings import Settings

    assert path.exists()
    failed(run(task, Settings.from_environment(here.variables)), "SourceDigestMismatch")


def test_without_the_store_there_is_no_evidence(here: Place, candidate: Server) -> None:
    here.write(flights(300))
    result = here.evaluate(candidate, store="127.0.0.1:9/team/flights", insecureRegistries=["127.0.0.1:9"])
    assert "artifact store" in failed(result, "StoreUnavailable")
    assert result.report_digest is None


def test_a_column_of_keys_is_no_slice(here: Place, candidate: Server) -> None:
    here.write(flights(12_000))
    rule = {"by": ["flight"], "minSamples": 1, "min": "0.5"}
    message = failed(here.evaluate(candidate, metrics=[metric("recall", slices=rule)]), "InvalidSpec")
    assert "more than 10000 different values" in message


def test_a_task_of_another_version(here: Place, candidate: Server) -> None:
    here.write(flights(300))
    task = here.task(candidate)
    assert here.start(task.model_copy(update={"version": 2})).returncode == 0
    failed(here.message, "InvalidSpec")


def test_the_deadline_is_said_before_kubernetes_ends_the_pod(here: Place) -> None:
    here.write(flights(300))
    here.environment["PENSTOCK_DEADLINE_SECONDS"] = "0.01"
    assert here.start(here.task(NOWHERE)).returncode == 0
    failed(here.message, "EvaluationTimeout")
