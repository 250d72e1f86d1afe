import json
from pathlib import Path

import pytest
import yaml

from hack import install
from hack.cluster import existing
from hack.cluster.console import ClusterError
from hack.cluster.handle import Cluster
from hack.demo import model, predictions, summary, training
from penstock.api.v1alpha1.model import Model

DIGEST = "sha256:" + "ab" * 32
PUSHED = {"uri": f"oci://10.0.0.1:5000/airline/flight-delay:logistic@{DIGEST}", "digest": DIGEST}


@pytest.fixture(autouse=True)
def own_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("PENSTOCK_CACHE", str(tmp_path / "cache"))
    for variable in ("CLUSTER", "PENSTOCK_REGISTRY", "PENSTOCK_REGISTRY_INSECURE", "PENSTOCK_GATEWAY"):
        monkeypatch.delenv(variable, raising=False)


def some_cluster(provider: str, registry: str = "10.0.0.1:5000") -> Cluster:
    return Cluster(
        provider=provider,
        kubeconfig=Path("/state/kubeconfig"),
        node_ip="10.0.0.1",
        registry=registry,
        gateway_url="http://gateway:8080",
        audit_log=None,
        state_dir=Path("/state"),
        kubectl_command=Path("/bin/kubectl"),
    )


def live(*, generation=2, digest=DIGEST, served=DIGEST, **conditions):
    observed = conditions.pop("observed", generation)
    listed = [
        {"type": kind, "status": status, "reason": "Why", "message": f"{kind} says so", "observedGeneration": observed}
        for kind, status in conditions.items()
    ]
    return {
        "metadata": {"generation": generation},
        "spec": {"artifact": {"digest": digest}},
        "status": {"conditions": listed, "stable": {"digest": served}},
    }


AT_REST = {"Ready": "True", "SpecServed": "True", "Progressing": "False"}


@pytest.mark.parametrize(("name", "kind"), model.FORMATS.items())
def test_filled_manifest_is_a_model_of_that_artifact(name, kind):
    document = model.filled((training.EXAMPLE / "model.yaml").read_text(), name, PUSHED)
    parsed = Model.model_validate(document)
    assert (parsed.spec.artifact.uri, parsed.spec.artifact.digest, parsed.spec.artifact.format) == (
        *PUSHED.values(),
        kind,
    )


def test_the_manifest_a_reader_looks_at_is_a_model_of_the_demo():
    document = yaml.safe_load((training.EXAMPLE / "model.yaml").read_text())
    Model.model_validate(document)
    assert document["metadata"] == {"name": model.NAME, "namespace": model.NAMESPACE}


def test_namespace_of_the_example_is_restricted():
    metadata = yaml.safe_load((training.EXAMPLE / "namespace.yaml").read_text())["metadata"]
    assert metadata == {"name": model.NAMESPACE, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}


@pytest.mark.parametrize(
    ("model_as_read", "served"),
    [
        (live(**AT_REST), True),
        (live(**AT_REST, observed=1), False),
        (live(**AT_REST, served="sha256:" + "cd" * 32), False),
        (live(**{**AT_REST, "Progressing": "True"}), False),
        (live(**{**AT_REST, "SpecServed": "False"}), False),
        (live(**{**AT_REST, "Ready": "False"}), False),
        ({"metadata": {"generation": 1}, "spec": {"artifact": {"digest": DIGEST}}}, False),
    ],
    ids=["at rest", "of an older spec", "other artifact", "progressing", "not the spec's", "not ready", "no status"],
)
def test_a_model_is_served_when_its_present_spec_is(model_as_read, served):
    assert model.is_served(model_as_read) is served


def test_what_stalls_the_present_spec_is_told():
    assert model.stalled(live(**{"Ready": "False", "Stalled": "True"})) == "Stalled says so"
    assert model.stalled(live(**{"Ready": "True", "CandidateRejected": "True"})) == "CandidateRejected says so"
    assert model.stalled(live(**{"Ready": "False", "Stalled": "True", "observed": 1})) == ""


def test_condition_lines_speak_of_the_present_spec_only():
    assert model.condition_lines(live(Ready="True")) == ["Ready=True Why: Ready says so"]
    assert model.condition_lines(live(Ready="True", observed=1)) == []


def test_requests_take_their_rows_and_types():
    features = {"hour": [1.0, 2.0, 3.0], "carrier": ["AA", "DL", "B6"]}
    inputs = [{"name": "hour", "datatype": "FP64"}, {"name": "carrier", "datatype": "BYTES"}]
    assert predictions.request(features, inputs, 1, 5) == {
        "inputs": [
            {"name": "hour", "datatype": "FP64", "shape": [2, 1], "data": [2.0, 3.0]},
            {"name": "carrier", "datatype": "BYTES", "shape": [2, 1], "data": ["DL", "B6"]},
        ]
    }


def test_probability_of_being_late_is_the_second_of_every_pair():
    answer = {"outputs": [{"name": "label", "data": [0, 1]}, {"name": "probabilities", "data": [0.9, 0.1, 0.2, 0.8]}]}
    assert predictions.late(answer) == [0.1, 0.8]


def test_largest_difference_misses_no_row():
    assert predictions.largest_difference([0.1, 0.5], [0.1, 0.25]) == 0.25
    with pytest.raises(ValueError, match="shorter"):
        predictions.largest_difference([0.1, 0.5], [0.1])


def test_training_key_changes_with_the_code_and_nothing_else(tmp_path):
    for name in ("train.py", "data.py", "requirements.txt", "README.md"):
        (tmp_path / name).write_text(name)
    before = training.training_key(tmp_path)
    (tmp_path / "README.md").write_text("other words")
    assert training.training_key(tmp_path) == before
    (tmp_path / "train.py").write_text("other code")
    assert training.training_key(tmp_path) != before


def test_summary_names_the_revision_and_shows_ten_flights():
    count = 12
    known = {"carrier": ["AA"], "origin": ["JFK"], "dest": ["MIA"], "hour": [17.0], "dep_delay": [-2.0]}
    rows = {
        "features": {name: values * count for name, values in known.items()},
        "late": [1] + [0] * (count - 1),
        "logistic": [0.25] * count,
    }
    served = {
        "spec": {"artifact": {"format": "ONNX"}},
        "status": {"stable": {"revision": "0123456789ab"}, "url": "http://gateway/airline/flight-delay"},
    }
    text = summary.summary(some_cluster("native"), served, rows, [0.75] * count)
    assert "0123456789ab" in text
    flights = [line.split() for line in text.splitlines() if line.startswith("AA JFK-MIA")]
    assert flights[0] == ["AA", "JFK-MIA", "17", "h", "-2", "0.7500", "0.2500", "yes"]
    assert len(flights) == summary.ROWS
    assert "export KUBECONFIG=/state/kubeconfig PATH=/bin:$PATH" in text
    assert "curl -s http://gateway/airline/flight-delay/v2/models/flight-delay/infer -d @" in text


def test_an_existing_cluster_keeps_the_users_own_context():
    assert not any("KUBECONFIG" in line for line in summary.commands(some_cluster("existing"), "http://gateway"))


IMAGES = {"operator": f"a@{DIGEST}", "runtime": f"b@{DIGEST}", "jobs": f"d@{DIGEST}", "busybox": f"c@{DIGEST}"}


def test_chart_values_of_the_native_cluster(monkeypatch):
    monkeypatch.delenv("PENSTOCK_PROMETHEUS", raising=False)
    assert install.chart_values(some_cluster("native"), IMAGES) == {
        "image": {"operator": f"a@{DIGEST}", "runtime": f"b@{DIGEST}", "jobs": f"d@{DIGEST}"},
        "artifactStore": {"repository": "10.0.0.1:5000/penstock"},
        "gateway": {**install.GATEWAY, "url": "http://gateway:8080", "probeUrl": "http://gateway:8080"},
        "metrics": {"source": install.METRIC_SOURCE},
        "insecureRegistries": ["10.0.0.1:5000"],
    }


def test_without_prometheus_the_operator_reads_the_pods_itself(monkeypatch):
    monkeypatch.setenv("PENSTOCK_PROMETHEUS", "off")
    assert install.chart_values(some_cluster("native"), IMAGES)["metrics"] == {"source": ""}


def test_pods_of_a_kind_cluster_do_not_ask_localhost():
    values = install.chart_values(some_cluster("kind", "localhost:30500"), IMAGES)
    assert "localhost" not in json.dumps([values["insecureRegistries"], values["gateway"]["probeUrl"]])


@pytest.mark.parametrize(("insecure", "expected"), [("1", ["host:5000"]), ("0", []), ("", [])])
def test_registry_of_an_existing_cluster_has_tls_unless_it_is_said_otherwise(monkeypatch, insecure, expected):
    monkeypatch.setenv("PENSTOCK_REGISTRY_INSECURE", insecure)
    monkeypatch.setenv("PENSTOCK_GATEWAY", "infra/public")
    values = install.chart_values(some_cluster("existing", "host:5000/prefix"), IMAGES)
    assert values["insecureRegistries"] == expected


@pytest.mark.parametrize(("chosen", "section"), [("infra/public", ""), ("infra/public/http", "http")])
def test_gateway_of_an_existing_cluster(monkeypatch, chosen, section):
    monkeypatch.setenv("PENSTOCK_GATEWAY", chosen)
    wanted = {"namespace": "infra", "name": "public", "sectionName": section}
    assert existing.gateway(some_cluster("existing")) == wanted


@pytest.mark.parametrize("chosen", ["public", "infra//http", "a/b/c/d"])
def test_gateway_that_is_no_reference_is_refused(monkeypatch, chosen):
    monkeypatch.setenv("PENSTOCK_GATEWAY", chosen)
    with pytest.raises(ClusterError, match="write it as namespace/name"):
        existing.gateway(some_cluster("existing"))
