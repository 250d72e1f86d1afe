import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from penstock.api.lineage import FILE_NAME, Lineage, read_lineage
from penstock.artifact.digest import FileEntry, digest_bytes
from penstock.artifact.errors import EXIT_CODES, ArtifactError, Reason
from penstock.artifact.lineage import DATASET_ANNOTATION, SCHEMA_ANNOTATION, annotations_of
from penstock.artifact.manifest import build_manifest, parse_manifest
from penstock.artifact.push import push
from penstock.artifact.reference import OciReference
from penstock.artifact.termination import MAX_DETAIL_BYTES
from penstock.domain.features.schema import SCHEMA_VERSION, FeatureSchema
from tests.unit.artifact.test_fetch import MODEL, store_manifest
from tests.unit.artifact.web import Web

FEATURES = [
    {"name": "hour", "type": "Int64", "nullable": False, "minimum": "0"},
    {"name": "carrier", "type": "String", "nullable": False, "categories": ["UA", "AA"]},
]
DATASET = "sha256:" + "d" * 64


def schema(features: list[dict[str, Any]]) -> FeatureSchema:
    return FeatureSchema.from_json({"version": SCHEMA_VERSION, "features": features})


def lineage(**training: Any) -> bytes:
    document = {
        "version": 1,
        "dataset": {
            "name": "flights",
            "uri": "s3://data/flights.parquet",
            "digest": DATASET,
            "rows": 1000,
            "window": {"from": "2013-01-01T05:00:00Z", "to": "2013-03-31T23:00:00Z"},
        },
        "featureSet": {"name": "flights", "schemaDigest": schema(FEATURES).digest, "features": FEATURES},
        "training": {"code": "git:0123", "job": "train-1", "parameters": {"depth": 3}, "seed": 7, **training},
    }
    return Lineage.model_validate(document).encode()


def fetched(web: Web, folder: Path, files: dict[str, bytes], *arguments: str, **more: str) -> tuple[int, Any, str]:
    """Runs the init container's command; returns its exit status, its termination message and what it printed."""
    entries = [FileEntry(name, len(content), digest_bytes(content)) for name, content in files.items()]
    manifest = store_manifest(web, build_manifest(entries), files.values())
    environment = {
        **os.environ,
        "PENSTOCK_ARTIFACT_URI": f"oci://{web.host}/team/model:v1",
        "PENSTOCK_ARTIFACT_DIGEST": digest_bytes(manifest),
        "PENSTOCK_ARTIFACT_FORMAT": "ONNX",
        "PENSTOCK_ARTIFACT_DIR": str(folder / "models"),
        "PENSTOCK_INSECURE_REGISTRIES": web.host,
        "PENSTOCK_TERMINATION_LOG": str(folder / "termination"),
        **more,
    }
    command = [sys.executable, "-m", "penstock.artifact.fetch", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
    assert b"Traceback" not in done.stderr
    content = (folder / "termination").read_bytes()
    assert len(content) <= 3500
    return done.returncode, json.loads(content), done.stderr.decode()


def features_file(folder: Path, features: list[dict[str, Any]]) -> str:
    file = folder / "features.json"
    file.write_text(json.dumps(schema(features).as_json()))
    return str(file)


def test_the_lineage_of_what_was_fetched_is_told(registry: Web, tmp_path: Path) -> None:
    files = {"model.onnx": MODEL, FILE_NAME: lineage()}
    status, told, _ = fetched(registry, tmp_path, files, "--schema-digest", schema(FEATURES).digest)
    assert status == 0
    assert told["reason"] == "Fetched"
    assert told["message"] == ""
    expected = json.loads(lineage())
    del expected["featureSet"]["features"]
    assert told["lineage"] == expected
    assert told["lineage"]["training"]["parameters"] == {"depth": "3"}


def test_a_schema_file_does_as_well(registry: Web, tmp_path: Path) -> None:
    files = {"model.onnx": MODEL, FILE_NAME: lineage()}
    assert fetched(registry, tmp_path, files, PENSTOCK_FEATURES=features_file(tmp_path, FEATURES))[0] == 0


def test_without_lineage_everything_is_accepted(registry: Web, tmp_path: Path) -> None:
    status, told, _ = fetched(registry, tmp_path, {"model.onnx": MODEL}, "--schema-digest", "sha256:" + "0" * 64)
    assert (status, told) == (0, {"reason": "Fetched", "message": ""})


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ([{**FEATURES[0], "minimum": "1"}, FEATURES[1]], "They differ in hour."),
        ([FEATURES[0], {**FEATURES[1], "categories": ["AA", "UA"]}], "They differ in carrier."),
        ([*FEATURES, {"name": "dest", "type": "String"}], "They differ in dest."),
        ([FEATURES[1]], "They differ in hour."),
        ([FEATURES[1], FEATURES[0]], "They differ in their order."),
    ],
)
def test_other_features_are_named(registry: Web, tmp_path: Path, changed: list[dict[str, Any]], says: str) -> None:
    files = {"model.onnx": MODEL, FILE_NAME: lineage()}
    status, told, _ = fetched(registry, tmp_path, files, PENSTOCK_FEATURES=features_file(tmp_path, changed))
    assert status == EXIT_CODES[Reason.SCHEMA_MISMATCH] == 26
    assert told["reason"] == "SchemaMismatch"
    assert schema(FEATURES).digest[7:19] in told["message"]
    assert schema(changed).digest[7:19] in told["message"]
    assert told["message"].endswith(says)


def test_another_digest_alone(registry: Web, tmp_path: Path) -> None:
    files = {"model.onnx": MODEL, FILE_NAME: lineage()}
    status, told, _ = fetched(registry, tmp_path, files, PENSTOCK_SCHEMA_DIGEST="sha256:" + "0" * 64)
    assert (status, told["reason"]) == (26, "SchemaMismatch")
    assert "000000000000" in told["message"]


def test_a_lineage_that_cannot_be_read(registry: Web, tmp_path: Path) -> None:
    files = {"model.onnx": MODEL, FILE_NAME: b'{"version": 2}'}
    status, told, printed = fetched(registry, tmp_path, files)
    assert (status, told) == (0, {"reason": "Fetched", "message": ""})
    assert "the lineage is ignored" in printed
    status, told, _ = fetched(registry, tmp_path, files, "--schema-digest", "sha256:" + "0" * 64)
    assert (status, told["reason"]) == (26, "SchemaMismatch")


@pytest.mark.parametrize("digest", ["abc", "sha256:" + "A" * 64])
def test_a_digest_that_is_none(registry: Web, tmp_path: Path, digest: str) -> None:
    files = {"model.onnx": MODEL, FILE_NAME: lineage()}
    status, told, _ = fetched(registry, tmp_path, files, "--schema-digest", digest)
    assert (status, told["reason"]) == (25, "InvalidReference")


def test_the_message_stays_small() -> None:
    """The kubelet keeps 4096 bytes; the digests and counts are told whatever else was written down."""
    document = json.loads(lineage(code="✈" * 256, job="✈" * 256))
    document["training"]["parameters"] = {f"p{index}": "✈" * 256 for index in range(64)}
    document["dataset"]["uri"] = "s3://" + "✈" * 1000
    document["dataset"]["name"] = "✈" * 128
    summary = Lineage.model_validate(document).summary(MAX_DETAIL_BYTES)
    assert len(json.dumps(summary, ensure_ascii=False).encode()) <= MAX_DETAIL_BYTES
    assert summary["dataset"]["digest"] == DATASET
    assert summary["featureSet"]["schemaDigest"] == schema(FEATURES).digest
    assert summary["training"]["seed"] == 7
    assert "parameters" not in summary["training"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": 2}, "version"),
        ({"dataset": {"name": "x", "rows": -1}}, "dataset.rows"),
        ({"dataset": {"name": "x", "rows": 1, "digest": "abc"}}, "dataset.digest"),
        ({"dataset": {"name": "x", "rows": 1, "uri": "u" * 1025}}, "dataset.uri"),
        (
            {
                "dataset": {
                    "name": "x",
                    "rows": 1,
                    "window": {"from": "2013-02-01T00:00:00Z", "to": "2013-01-01T00:00:00Z"},
                }
            },
            "the window ends before it begins",
        ),
        ({"training": {"parameters": {f"p{index}": "" for index in range(65)}}}, "training.parameters"),
        ({"training": {"parameters": {"p": [1]}}}, "training.parameters"),
        ({"training": {"seed": 2**53}}, "training.seed"),
    ],
)
def test_bounds(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=FILE_NAME) as caught:
        read_lineage(json.dumps({**json.loads(lineage()), **change}).encode())
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_written_is_read_again() -> None:
    assert read_lineage(lineage()).encode() == lineage()


def test_the_manifest_says_what_the_lineage_says() -> None:
    entries = [FileEntry("model.onnx", 1, "sha256:" + "a" * 64)]
    annotated = build_manifest(entries, annotations_of(read_lineage(lineage())))
    assert json.loads(annotated)["annotations"] == {
        SCHEMA_ANNOTATION: schema(FEATURES).digest,
        DATASET_ANNOTATION: DATASET,
    }
    assert parse_manifest(annotated) == entries
    assert "annotations" not in json.loads(build_manifest(entries, annotations_of(None)))


def test_a_wrong_lineage_is_not_pushed(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(MODEL)
    (tmp_path / FILE_NAME).write_text("{}")
    with pytest.raises(ArtifactError, match=r"dataset: Field required\. Write it again") as caught:
        push(tmp_path, OciReference("127.0.0.1:1", "team/model", "v1"), insecure=True, docker_config=None)
    assert caught.value.reason is Reason.UNSAFE_FORMAT
