"""Real data of the flights in a real S3 server, validated by the Job in the cluster, and a Model that waits for it."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest
import yaml
from scipy import stats

from tests.e2e.dsl import NAME, Given, Then, When
from tests.e2e.world import PENSTOCK, SECURE, Json, World, condition_of, dump
from tests.support.s3 import S3Server, s3_server

EXAMPLE = Path(__file__).parents[2] / "examples" / "flights"
BUCKET = "airline"
SECRET = "bucket"
THRESHOLD = 0.25
DRAWS = 999
# The Job's image is pulled and its Python started for each of them.
PATIENCE = 120.0


@dataclass(frozen=True)
class Data:
    """The bucket with the flights' files, and the files themselves."""

    server: S3Server
    folder: Path

    def frame(self, name: str) -> pl.DataFrame:
        return pl.read_parquet(self.folder / f"{name}.parquet")

    def put(self, key: str, frame: pl.DataFrame | bytes) -> str:
        """Store a file in the bucket; returns its URI."""
        if isinstance(frame, pl.DataFrame):
            content = io.BytesIO()
            frame.write_parquet(content, statistics=True)
            frame = content.getvalue()
        self.server.put(BUCKET, key, frame)
        return f"s3://{BUCKET}/{key}"


@pytest.fixture(scope="module")
def data(world_ip: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Data]:
    folder = tmp_path_factory.mktemp("flights")
    subprocess.run([sys.executable, str(EXAMPLE / "features.py"), str(folder)], check=True)
    with s3_server(host=world_ip) as server:
        server.make_bucket(BUCKET)
        found = Data(server, folder)
        for name in ("baseline", "holdout", "june"):
            found.put(f"flights/{name}.parquet", (folder / f"{name}.parquet").read_bytes())
        yield found


@pytest.fixture(scope="module")
def world_ip(cluster: Any) -> str:
    """An address of this machine that pods reach."""
    if cluster.provider != "native":
        pytest.skip("pods reach servers of this machine in the native cluster only")
    return str(cluster.node_ip)


class Dataset:
    """The scenario's FeatureSet: the example's definition with this bucket."""

    def __init__(self, world: World, data: Data) -> None:
        self._world = world
        self._data = data
        self._spec: Json = yaml.safe_load((EXAMPLE / "featureset.yaml").read_text())["spec"]
        self._spec["baseline"] = {"dataset": self._source("flights/baseline.parquet")}
        self.credentials()

    def credentials(self, **changes: str) -> None:
        """Write the Secret."""
        server = self._data.server
        content = {
            "AWS_ACCESS_KEY_ID": server.access_key_id,
            "AWS_SECRET_ACCESS_KEY": server.secret_access_key,
            "AWS_ENDPOINT_URL": server.endpoint,
            **changes,
        }
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in content.items()}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "data": encoded}
        self._world.kubectl("apply", "-f", "-", input=dump(secret))

    def is_declared(self, key: str, **changes: Any) -> None:
        """Apply the FeatureSet with that file as its source."""
        spec = self._spec | {"source": self._source(key)} | changes
        metadata = {"name": NAME, "namespace": self._world.namespace}
        body = {"apiVersion": PENSTOCK, "kind": "FeatureSet", "metadata": metadata, "spec": spec}
        self._world.kubectl("apply", "-f", "-", input=dump(body))

    def becomes(self, kind: str, status: str, reason: str) -> Json:
        """Wait for a condition of the present generation; returns the FeatureSet's status."""

        def holds() -> Json | None:
            found = self._world.get(PENSTOCK, "FeatureSet", NAME)
            said = condition_of(found, kind)
            current = said.get("observedGeneration") == found["metadata"]["generation"]
            status_now: Json = found["status"]
            return status_now if current and (said["status"], said["reason"]) == (status, reason) else None

        found = self._world.wait(f"the FeatureSet has {kind}={status}/{reason}", holds, PATIENCE)
        assert found is not None
        return found

    def _source(self, key: str) -> Json:
        return {"uri": f"s3://{BUCKET}/{key}", "format": "Parquet", "credentialsSecretRef": {"name": SECRET}}


@pytest.fixture
def dataset(world: World, data: Data) -> Dataset:
    return Dataset(world, data)


def psi(reference: pl.Series, current: pl.Series) -> float:
    """The population stability index, written without the product: ten groups of equal size of the reference."""
    if reference.dtype == pl.String:
        groups = sorted(set(reference) | set(current))
        counts = [np.array([(side == group).sum() for group in groups], float) for side in (reference, current)]
    else:
        known = [side.drop_nulls().to_numpy() for side in (reference, current)]
        edges = np.unique(np.quantile(known[0], np.linspace(0, 1, 11)))
        counts = [np.bincount(np.digitize(side, edges[1:-1]), minlength=len(edges) - 1) for side in known]
    shares = [np.maximum(count / count.sum(), 1e-4) for count in counts]
    return float(stats.entropy(shares[1], shares[0]) + stats.entropy(shares[0], shares[1]))


def by_chance(reference: pl.DataFrame, current: pl.DataFrame, feature: str) -> float:
    """How often days of the reference, chosen at random, differ from its other days by as much: the flights of a day
    share their weather, so that days are what was drawn, not flights."""
    days = [part[feature] for part in reference.partition_by("day")]
    window = min(current["day"].n_unique(), len(days) // 2)
    observed = psi(reference[feature], current[feature])

    def statistic(chosen: np.ndarray, others: np.ndarray) -> float:
        return psi(pl.concat([days[day] for day in others]), pl.concat([days[day] for day in chosen]))

    order = np.arange(len(days))
    test = stats.permutation_test(
        (order[:window], order[window:]), statistic, n_resamples=DRAWS, vectorized=False, rng=np.random.default_rng(1)
    )
    return float((1 + (test.null_distribution >= observed).sum()) / (1 + DRAWS))


def shifted(data: Data, name: str) -> set[str]:
    """The features that differ by more than the threshold and by more than chance (Bonferroni), by scipy alone."""
    features = [item["name"] for item in yaml.safe_load((EXAMPLE / "featureset.yaml").read_text())["spec"]["features"]]
    reference, current = data.frame("baseline"), data.frame(name)
    apart = [feature for feature in features if psi(reference[feature], current[feature]) > THRESHOLD]
    return {feature for feature in apart if by_chance(reference, current, feature) < 0.05 / len(features)}


def test_other_days_of_the_same_quarter_are_valid(dataset: Dataset, data: Data) -> None:
    assert shifted(data, "holdout") == set()
    dataset.is_declared("flights/holdout.parquet")
    status = dataset.becomes("Ready", "True", "Valid")
    assert status["current"]["rows"] == data.frame("holdout").height
    assert status["current"]["profileDigest"].startswith("sha256:")
    assert status["baseline"]["rows"] == data.frame("baseline").height


def test_june_is_flagged_by_exactly_the_features_that_have_shifted(dataset: Dataset, data: Data) -> None:
    dataset.is_declared("flights/june.parquet")
    status = dataset.becomes("Ready", "False", "ChecksFailed")
    flagged = {item["feature"] for item in status["failedChecks"] if item["check"] == "Shift"}
    assert flagged == shifted(data, "june") != set()


def test_each_bad_file_has_its_own_reason(dataset: Dataset, data: Data) -> None:
    good = data.frame("holdout")
    whole = io.BytesIO()
    good.write_parquet(whole)
    data.put("bad/truncated.parquet", whole.getvalue()[:-5000])
    data.put("bad/empty.parquet", good.clear())
    data.put("bad/renamed.parquet", good.rename({"distance": "miles"}))
    data.put("bad/far.parquet", good.with_columns(distance=pl.col("distance") * 100))
    data.put("bad/twice.parquet", pl.concat([good, good.head(10)]))

    for key, kind, status, reason in [
        ("bad/nothing.parquet", "Valid", "Unknown", "SourceNotFound"),
        ("bad/truncated.parquet", "Valid", "Unknown", "CorruptFile"),
        ("bad/empty.parquet", "Valid", "False", "EmptyDataset"),
    ]:
        dataset.is_declared(key)
        dataset.becomes(kind, status, reason)
    for key, check, feature in [
        ("bad/renamed.parquet", "Column", "distance"),
        ("bad/far.parquet", "Range", "distance"),
        ("bad/twice.parquet", "UniqueKey", None),
    ]:
        dataset.is_declared(key)
        found = dataset.becomes("Valid", "False", "ChecksFailed")["failedChecks"]
        assert (check, feature) in {(item["check"], item.get("feature")) for item in found}
    dataset.credentials(AWS_SECRET_ACCESS_KEY="wrong")
    dataset.is_declared("flights/holdout.parquet")
    dataset.becomes("Valid", "Unknown", "SourceAccessDenied")


def test_a_model_waits_for_good_data_and_goes_on_by_itself(
    dataset: Dataset, data: Data, given: Given, when: When, then: Then, world: World
) -> None:
    good = data.frame("holdout")
    data.put("live/flights.parquet", good.with_columns(distance=pl.col("distance") * 100))
    dataset.is_declared("live/flights.parquet")
    dataset.becomes("Ready", "False", "ChecksFailed")
    when.spec_is("logistic", features={"featureSetRef": {"name": NAME}})
    waiting = then.condition("Ready", "False", "FeatureSetNotValid")
    assert "Range(distance)" in waiting
    assert world.children("Pod", NAME) == []

    data.put("live/flights.parquet", good)  # nobody tells the operator
    revision = then.serves("logistic", seconds=PATIENCE + 60)
    snapshot = world.api.list(PENSTOCK, "ModelRevision", world.namespace)[0]["spec"]
    assert snapshot["revision"] == revision
    assert [item["name"] for item in snapshot["features"]["features"]] == good.columns[2:-2]
    then.log_is_whole()

    request = json.loads(world.flights.bodies[0])
    (carrier,) = [tensor for tensor in request["inputs"] if tensor["name"] == "carrier"]
    carrier["data"] = ["ZZ"]
    answer = httpx.post(f"{world.model(NAME)['status']['url']}/v2/models/{NAME}/infer", json=request)
    assert answer.status_code == 400
    assert "carrier" in answer.json()["error"]


def test_a_pod_that_claims_to_be_the_result_is_refused(
    dataset: Dataset, world: World, given: Given, then: Then
) -> None:
    user = given.user("mallory")
    dataset.is_declared("flights/june.parquet")
    job = world.wait("the Job exists", lambda: world.api.list("batch/v1", "Job", world.namespace))[0]["metadata"]
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["name"], "uid": job["uid"], "controller": True}
    forged = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "forged", "labels": job["labels"], "ownerReferences": [owner]},
        "spec": {"containers": [{"name": "validate", "image": "example.com/forged", "securityContext": SECURE}]},
    }
    assert "come from the Job controller alone" in then.refused("create", "-f", "-", user=user, input=dump(forged))
    dataset.becomes("Ready", "False", "ChecksFailed")
