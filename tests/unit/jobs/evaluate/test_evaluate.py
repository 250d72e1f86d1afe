"""Evaluations against real model servers: the numbers are scikit-learn's on the same predictions."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as oracle

from penstock.domain.gates.task import GateStatus, Problem
from penstock.jobs.validate.store import Store
from tests.unit.jobs.evaluate import given
from tests.unit.jobs.evaluate.given import ALL, CHAMPION, Place, flights, metric, scores
from tests.unit.runtime import models
from tests.unit.runtime.server import DIGEST, REVISION, Server, running

ORACLES: dict[str, Any] = {
    "roc_auc": oracle.roc_auc_score,
    "average_precision": oracle.average_precision_score,
    "accuracy": lambda y, s: oracle.accuracy_score(y, s >= 0.5),
    "precision": lambda y, s: oracle.precision_score(y, s >= 0.5),
    "recall": lambda y, s: oracle.recall_score(y, s >= 0.5),
    "f1": lambda y, s: oracle.f1_score(y, s >= 0.5),
    "log_loss": oracle.log_loss,
    "brier": oracle.brier_score_loss,
}


def compared(name: str) -> Any:
    side = "Max" if name in given.LOWER else "Min"
    return metric(name, versusChampion={"maxRegression": "0.1", f"absolute{side}": "0"})


def report(place: Place, digest: str | None) -> dict[str, Any]:
    assert digest is not None
    assert place.registry is not None
    store = Store(
        f"{place.registry}/team/flights", docker_config=None, insecure_registries=[place.registry], retry_seconds=5
    )
    content = store.fetch(digest)
    assert content is not None
    found: dict[str, Any] = json.loads(content)
    return found


def test_two_models_on_the_same_rows(stored_here: Place, candidate: Server, champion: Server) -> None:
    frame = flights()
    stored_here.write(frame)
    result = stored_here.evaluate(candidate, champion, metrics=[compared(name) for name in ALL])
    assert (result.status, result.message, result.rows, result.failed) == (GateStatus.COMPLETE, "", 2000, 0)
    assert (result.answered, result.champion_answered, result.champion_failed) == (REVISION, CHAMPION, 0)
    labels = frame["late"].to_numpy()
    one, other = scores(given.candidate(), frame), scores(given.champion(), frame)
    for found in result.metrics:
        values = [ORACLES[found.id](labels, item) for item in (one, other)]
        assert found.value == pytest.approx(values[0], rel=1e-9), found.id
        assert found.champion == pytest.approx(values[1], rel=1e-9), found.id
        assert found.difference == pytest.approx(values[0] - values[1], rel=1e-6, abs=1e-9)
        assert found.lower < found.value < found.upper
        assert found.difference_lower < found.difference < found.difference_upper
        assert found.p is not None
    assert result.disagreement is not None
    assert result.disagreement.label_flips == int(((one >= 0.5) != (other >= 0.5)).sum()) > 0
    assert result.disagreement.mean_absolute_difference == pytest.approx(np.abs(one - other).mean())
    assert result.disagreement.p95 == pytest.approx(np.quantile(np.abs(one - other), 0.95, method="inverted_cdf"))
    full = report(stored_here, result.report_digest)
    assert full["candidate"] == {
        "revision": REVISION,
        "answered": REVISION,
        "artifactDigest": DIGEST,
        "output": "probabilities",
        "column": 1,
        "failedRows": 0,
        "trouble": {},
    }
    assert full["dataset"]["digest"] == result.dataset_digest
    assert [item["name"] for item in full["metrics"]] == ALL
    right = [(item >= 0.5) == labels for item in (one, other)]
    assert full["mcnemar"]["onlyCandidateRight"] == int((right[0] & ~right[1]).sum())


def test_asking_again_gives_the_same_report(stored_here: Place, candidate: Server, champion: Server) -> None:
    stored_here.write(flights())
    first = stored_here.evaluate(candidate, champion, metrics=["f1", "brier"], limits={"batchRows": 100})
    again = stored_here.evaluate(candidate, champion, metrics=["f1", "brier"], limits={"batchRows": 17})
    assert first == again


def test_slices_and_groups(stored_here: Place, candidate: Server) -> None:
    frame = flights(3000)
    stored_here.write(frame)
    by = {"by": ["carrier", "origin"], "minSamples": 200, "min": "0.9"}
    asked = {
        "metrics": [metric("recall", slices=by), metric("roc_auc", slices={**by, "by": ["hour"]})],
        "fairness": {
            "protected": ["origin"],
            "metrics": [{"name": "demographic_parity_difference", "max": "1"}],
        },
    }
    result = stored_here.evaluate(candidate, **asked)
    one, labels = scores(given.candidate(), frame) >= 0.5, frame["late"].to_numpy()
    slices = result.metrics[0].slices
    assert slices is not None
    assert (slices.count, slices.small, len(slices.worst)) == (6, 0, 5)
    for part in slices.worst:
        column, value = part.slice.split("=")
        chosen = (frame[column] == value).to_numpy()
        assert part.value == pytest.approx(oracle.recall_score(labels[chosen], one[chosen]))
    assert slices.worst[0].p == min(part.p for part in slices.worst)
    assert slices.worst[0].p < 0.001
    # Every hour has fewer than 200 rows.
    assert result.metrics[1].slices is not None
    assert (result.metrics[1].slices.count, result.metrics[1].slices.small) == (0, 24)
    (fair,) = result.fairness
    shares = [one[(frame["origin"] == name).to_numpy()].mean() for name in ("EWR", "JFK", "LGA")]
    assert fair.value == pytest.approx(max(shares) - min(shares))
    assert (fair.groups, fair.lower <= fair.value <= fair.upper) == (3, True)
    full = report(stored_here, result.report_digest)
    assert len(full["metrics"][0]["slices"]["slices"]) == 6


def test_a_slice_of_one_class_has_no_area_and_counts_as_too_small(here: Place, candidate: Server) -> None:
    frame = flights(3000)
    frame = frame.with_columns(late=frame["late"] * (frame["origin"] != "JFK"))
    here.write(frame)
    rule = {"by": ["origin"], "minSamples": 100, "min": "0.5"}
    (found,) = here.evaluate(candidate, metrics=[metric("roc_auc", slices=rule)]).metrics
    assert found.slices is not None
    assert (found.slices.count, found.slices.small) == (2, 1)
    assert {item.slice for item in found.slices.worst} == {"origin=EWR", "origin=LGA"}


def test_a_slice_column_that_is_missing_is_said(here: Place, candidate: Server) -> None:
    here.write(flights(500))
    rule = {"by": ["origin", "gate"], "minSamples": 100, "min": "0.5"}
    fairness = {"protected": ["sex"], "metrics": [{"name": "equalized_odds_difference", "max": "1"}]}
    result = here.evaluate(candidate, metrics=[metric("recall", slices=rule)], fairness=fairness)
    assert result.metrics[0].slices is not None
    assert result.metrics[0].slices.problem is Problem.COLUMN_MISSING
    assert result.metrics[0].value is not None
    assert result.fairness[0].problem is Problem.COLUMN_MISSING


def test_rows_are_drawn_by_the_seed(here: Place, candidate: Server) -> None:
    here.write(flights())
    limits = {"maxRows": 700}
    first, again = (here.evaluate(candidate, metrics=["brier"], limits=limits) for _ in range(2))
    other = here.evaluate(candidate, metrics=["brier"], limits=limits, seed=12)
    assert first == again
    assert (first.rows, first.metrics[0].n) == (700, 700)
    assert first.metrics[0].value != other.metrics[0].value


@pytest.mark.parametrize("positive", ["late", "on time"])
def test_labels_may_be_texts_of_a_csv(here: Place, tmp_path: Path, positive: str) -> None:
    frame = flights(800)
    words = np.where(frame["late"].to_numpy() == 1, "late", "on time")
    here.write(frame.with_columns(late=words), "data.csv")
    training, late = models.flights()
    model = given.candidate().fit(training, np.where(late == 1, "late", "on time"))
    models.save_skops(tmp_path, model, models.FLIGHT_INPUTS)
    with running(tmp_path, "Skops") as server:
        result = here.evaluate(server, label={"column": "late", "positiveClass": positive}, metrics=ALL)
    index = ["late", "on time"].index(positive)
    values = model.predict_proba(given.frame_of(frame))[:, index]
    for found in result.metrics:
        expected = ORACLES[found.id]((words == positive).astype(int), values)
        assert found.value == pytest.approx(expected, rel=1e-9), found.id


def test_a_regression_in_onnx_that_takes_a_matrix(here: Place, tmp_path: Path) -> None:
    random = np.random.default_rng(8)
    matrix = random.normal(size=(1500, 4)).astype(np.float32)
    target = matrix @ [1.0, -2.0, 0.5, 0.0] + random.normal(0, 0.3, 1500)
    frame = given.pl.DataFrame({f"x{index}": matrix[:, index] for index in range(4)}).with_columns(minutes=target)
    here.write(frame)
    model = models.linear()
    models.save_onnx(tmp_path, model)
    features = [{"name": f"x{index}", "type": "Float32"} for index in range(4)]
    asked: dict[str, Any] = {"features": features, "label": {"column": "minutes"}, "metrics": ["mae", "rmse", "r2"]}
    with running(tmp_path, "ONNX") as server:
        result = here.evaluate(server, **asked)
        alone = here.evaluate(server, **{**asked, "features": []})
    assert result.failed == 0, result
    predicted = model.predict(matrix)
    expected = {
        "mae": oracle.mean_absolute_error(target, predicted),
        "rmse": oracle.root_mean_squared_error(target, predicted),
        "r2": oracle.r2_score(target, predicted),
    }
    for found in result.metrics:
        assert found.value == pytest.approx(expected[found.id], rel=1e-5)
        assert found.lower < found.value < found.upper
    assert alone.reason == "InvalidSpec"
    assert "has no FeatureSet" in alone.message


def test_requests_of_one_row_are_timed_in_turn(stored_here: Place, candidate: Server, champion: Server) -> None:
    stored_here.write(flights(300))
    limits = {"latencyRequests": 400}
    result = stored_here.evaluate(candidate, champion, latency={"p99Milliseconds": 50}, limits=limits)
    found = result.latency
    assert found is not None
    assert found.n == 400
    assert 0 < found.p50 <= found.p95 <= found.p99_lower <= found.p99 <= found.p99_upper
    assert 0 < found.champion_p50 <= found.champion_p95 <= found.champion_p99
    full = report(stored_here, result.report_digest)["latency"]
    assert full["candidate"]["n"] == full["champion"]["n"] == 400
    assert full["failedRequests"] == {"candidate": 0, "champion": 0}


def test_without_a_latency_bound_nothing_is_timed(here: Place, candidate: Server) -> None:
    here.write(flights(300))
    assert here.evaluate(candidate).latency is None


def test_the_container_answers_in_its_termination_message(
    stored_here: Place, candidate: Server, champion: Server
) -> None:
    stored_here.write(flights())
    rule = {"by": ["carrier", "origin", "hour"], "minSamples": 20, "min": "0.1"}
    metrics = [metric(name, id="all", min="0", slices=rule) for name in ALL[:6]] + [compared(name) for name in ALL]
    ended = stored_here.start(stored_here.task(candidate, champion, metrics=metrics[:12]))
    assert (ended.returncode, ended.stderr) == (0, "")
    result = stored_here.message
    assert (result.status, result.rows, len(result.metrics)) == (GateStatus.COMPLETE, 2000, 12)
    assert result.report_digest is not None
    assert not (stored_here.root / "scratch" / "dataset").exists()
