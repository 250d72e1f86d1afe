"""`penstock push` and the fetch against a real registry (CNCF distribution)."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from penstock.artifact.digest import digest_bytes
from penstock.artifact.errors import ArtifactError, Reason
from penstock.artifact.fetch import FetchSettings, fetch
from penstock.artifact.manifest import ARTIFACT_TYPE, MANIFEST_TYPE
from penstock.artifact.reference import OciReference, parse_reference
from penstock.cli.main import main
from tests.support.registry import running_registry

LARGE = bytes(range(256)) * 20_000  # several pieces of an upload and of a download


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    """The host and port of a registry that starts empty."""
    with running_registry() as host:
        yield host


def settings(uri: str, digest: str, folder: Path) -> FetchSettings:
    reference = parse_reference(uri)
    assert isinstance(reference, OciReference)
    return FetchSettings(
        reference=reference,
        digest=digest,
        model_format="ONNX",
        directory=folder,
        insecure_hosts=frozenset({reference.host}),
        deadline_seconds=20,
    )


def push(capsys: pytest.CaptureFixture[str], path: Path, uri: str) -> dict[str, str]:
    assert main(["push", str(path), uri, "--insecure", "--output", "json"]) == 0
    pushed: dict[str, str] = json.loads(capsys.readouterr().out)
    return pushed


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "weights").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"graph")
    (folder / "metadata.json").write_text("{}")
    (folder / "weights" / "one.data").write_bytes(LARGE)
    (folder / "README.md").write_bytes(b"")
    return folder


def test_a_folder_comes_back_as_it_was(
    registry: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pushed = push(capsys, model, f"oci://{registry}/team/folder:v1")
    assert pushed["uri"] == f"oci://{registry}/team/folder:v1@{pushed['digest']}"
    target = tmp_path / "fetched"
    fetch(settings(pushed["uri"], pushed["digest"], target))
    for file in (path for path in model.rglob("*") if path.is_file()):
        assert (target / file.relative_to(model)).read_bytes() == file.read_bytes()


def test_the_registry_stores_the_manifest_as_a_model(
    registry: str, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pushed = push(capsys, model / "model.onnx", f"oci://{registry}/team/file:v1")
    response = httpx.get(f"http://{registry}/v2/team/file/manifests/v1", headers={"accept": MANIFEST_TYPE})
    assert response.headers["docker-content-digest"] == pushed["digest"] == digest_bytes(response.content)
    document = response.json()
    assert document["artifactType"] == ARTIFACT_TYPE
    assert [layer["annotations"] for layer in document["layers"]] == [{"org.opencontainers.image.title": "model.onnx"}]


def test_the_same_files_have_the_same_digest(registry: str, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = push(capsys, model, f"oci://{registry}/team/one:v1")
    assert push(capsys, model, f"oci://{registry}/team/one:v1") == first
    assert push(capsys, model, f"oci://{registry}/team/two")["digest"] == first["digest"]


def test_without_a_tag_the_digest_is_enough(
    registry: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pushed = push(capsys, model / "model.onnx", f"oci://{registry}/team/untagged")
    fetch(settings(f"oci://{registry}/team/untagged", pushed["digest"], tmp_path / "fetched"))
    assert (tmp_path / "fetched" / "model.onnx").read_bytes() == b"graph"


def test_a_tag_that_moved_on(registry: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    uri = f"oci://{registry}/team/moved:v1"
    first = push(capsys, model / "model.onnx", uri)
    (model / "model.onnx").write_bytes(b"another graph")
    second = push(capsys, model / "model.onnx", uri)
    # The first one is still there under its digest.
    fetch(settings(uri, first["digest"], tmp_path / "first"))
    assert (tmp_path / "first" / "model.onnx").read_bytes() == b"graph"
    wanted = "sha256:" + "d" * 64
    with pytest.raises(ArtifactError) as caught:
        fetch(settings(uri, wanted, tmp_path / "second"))
    assert caught.value.reason is Reason.DIGEST_MISMATCH
    assert wanted in caught.value.message
    assert second["digest"] in caught.value.message


def test_nothing_there(registry: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError) as caught:
        fetch(settings(f"oci://{registry}/team/nothing:v1", "sha256:" + "d" * 64, tmp_path))
    assert caught.value.reason is Reason.ARTIFACT_NOT_FOUND


def test_a_skops_model_is_no_onnx_model(
    registry: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pushed = push(capsys, model / "model.onnx", f"oci://{registry}/team/format:v1")
    wrong = replace(settings(pushed["uri"], pushed["digest"], tmp_path / "fetched"), model_format="Skops")
    with pytest.raises(ArtifactError) as caught:
        fetch(wrong)
    assert caught.value.reason is Reason.UNSAFE_FORMAT
