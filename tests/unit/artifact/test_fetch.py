import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from penstock.artifact.digest import FileEntry, digest_bytes
from penstock.artifact.errors import EXIT_CODES, ArtifactError, Reason
from penstock.artifact.fetch import FetchSettings, fetch
from penstock.artifact.manifest import TITLE, build_manifest
from penstock.artifact.reference import OciReference, parse_reference
from tests.unit.artifact.web import Reply, Web

MODEL = b"a graph" * 1000


def https_settings(web: Web, folder: Path, content: bytes = MODEL, **more: Any) -> FetchSettings:
    return FetchSettings(
        reference=parse_reference(f"https://{web.host}/model.onnx"),
        digest=digest_bytes(content),
        model_format="ONNX",
        directory=folder,
        deadline_seconds=more.pop("deadline_seconds", 10),
        **more,
    )


def store(web: Web, files: dict[str, bytes], *, tag: str = "v1") -> bytes:
    """Fills the registry with an artifact; returns its manifest."""
    manifest = build_manifest(FileEntry(name, len(content), digest_bytes(content)) for name, content in files.items())
    return store_manifest(web, manifest, files.values(), tag=tag)


def store_manifest(web: Web, manifest: bytes, contents: Any, *, tag: str = "v1") -> bytes:
    for name in (tag, digest_bytes(manifest)):
        web.replies[f"/v2/team/model/manifests/{name}"] = Reply(manifest)
    for content in contents:
        web.replies[f"/v2/team/model/blobs/{digest_bytes(content)}"] = Reply(content)
    return manifest


def oci_settings(web: Web, folder: Path, digest: str, **more: Any) -> FetchSettings:
    return FetchSettings(
        reference=OciReference(web.host, "team/model", "v1"),
        digest=digest,
        model_format="ONNX",
        directory=folder,
        insecure_hosts=frozenset({web.host}),
        deadline_seconds=more.pop("deadline_seconds", 10),
        **more,
    )


def refused(settings: FetchSettings) -> ArtifactError:
    with pytest.raises(ArtifactError) as caught:
        fetch(settings)
    assert "\n" not in caught.value.message
    # Nothing that was not verified is left where a server would load it.
    left = [path for path in settings.directory.rglob("*") if path.is_file()]
    assert left == []
    return caught.value


def test_https_file(secure: Web, tmp_path: Path) -> None:
    secure.replies["/model.onnx"] = Reply(MODEL)
    entries = fetch(https_settings(secure, tmp_path))
    assert entries == [FileEntry("model.onnx", len(MODEL), digest_bytes(MODEL))]
    assert (tmp_path / "model.onnx").read_bytes() == MODEL
    fetch(https_settings(secure, tmp_path))
    assert len(secure.asked) == 1, "a file that is there and right is not fetched again"


def test_https_file_that_rotted_is_fetched_again(secure: Web, tmp_path: Path) -> None:
    secure.replies["/model.onnx"] = Reply(MODEL)
    (tmp_path / "model.onnx").write_bytes(b"rotten")
    fetch(https_settings(secure, tmp_path))
    assert (tmp_path / "model.onnx").read_bytes() == MODEL


def test_https_other_bytes(secure: Web, tmp_path: Path) -> None:
    secure.replies["/model.onnx"] = Reply(b"something else")
    error = refused(https_settings(secure, tmp_path))
    assert error.reason is Reason.DIGEST_MISMATCH
    assert digest_bytes(MODEL) in error.message
    assert digest_bytes(b"something else") in error.message


def test_https_not_found(secure: Web, tmp_path: Path) -> None:
    assert refused(https_settings(secure, tmp_path)).reason is Reason.ARTIFACT_NOT_FOUND


def test_https_too_large(secure: Web, tmp_path: Path) -> None:
    secure.replies["/model.onnx"] = Reply(MODEL)
    assert refused(https_settings(secure, tmp_path, max_bytes=100)).reason is Reason.TOO_LARGE


def test_redirects_are_followed_a_few_times(secure: Web, tmp_path: Path) -> None:
    for step in range(3):
        location = f"/{step + 1}" if step < 2 else "/there"
        path = "/model.onnx" if step == 0 else f"/{step}"
        secure.replies[path] = Reply(status=307, headers={"location": location})
    secure.replies["/there"] = Reply(MODEL)
    fetch(https_settings(secure, tmp_path))
    assert (tmp_path / "model.onnx").read_bytes() == MODEL


def test_endless_redirects(secure: Web, tmp_path: Path) -> None:
    secure.replies["/model.onnx"] = Reply(status=302, headers={"location": "/model.onnx"})
    error = refused(https_settings(secure, tmp_path))
    assert error.reason is Reason.ARTIFACT_UNAVAILABLE
    assert len(secure.asked) == 4


def test_redirect_to_plain_http_is_refused(secure: Web, registry: Web, tmp_path: Path) -> None:
    secure.replies["/model.onnx"] = Reply(status=302, headers={"location": f"{registry.url}/model.onnx"})
    registry.replies["/model.onnx"] = Reply(MODEL)
    assert "plain http" in refused(https_settings(secure, tmp_path)).message
    assert registry.asked == []


def test_server_errors_are_retried(secure: Web, tmp_path: Path) -> None:
    secure.replies["/model.onnx"] = lambda times: Reply(status=503) if times < 3 else Reply(MODEL)
    fetch(https_settings(secure, tmp_path))
    assert len(secure.asked) == 3


def test_broken_transfer_is_retried(secure: Web, tmp_path: Path) -> None:
    secure.replies["/model.onnx"] = lambda times: Reply(MODEL[:50] if times < 2 else MODEL, length=len(MODEL))
    fetch(https_settings(secure, tmp_path))
    assert (tmp_path / "model.onnx").read_bytes() == MODEL


def test_server_that_stays_down(secure: Web, tmp_path: Path) -> None:
    secure.replies["/model.onnx"] = Reply(status=500)
    error = refused(https_settings(secure, tmp_path, deadline_seconds=0.5))
    assert error.reason is Reason.ARTIFACT_UNAVAILABLE
    assert "500" in error.message


def test_unknown_certificate(secure: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    secure.replies["/model.onnx"] = Reply(MODEL)
    error = refused(https_settings(secure, tmp_path, deadline_seconds=0.5))
    assert error.reason is Reason.ARTIFACT_UNAVAILABLE
    assert "certificate" in error.message


def test_oci(registry: Web, tmp_path: Path) -> None:
    files = {"model.onnx": MODEL, "metadata.json": b"{}", "weights/one.data": b"123"}
    settings = oci_settings(registry, tmp_path, digest_bytes(store(registry, files)))
    assert {entry.path for entry in fetch(settings)} == set(files)
    assert {name: (tmp_path / name).read_bytes() for name in files} == files
    asked = len(registry.asked)
    fetch(settings)
    assert len(registry.asked) == asked
    (tmp_path / "metadata.json").write_bytes(b"[]")
    fetch(settings)
    assert (tmp_path / "metadata.json").read_bytes() == b"{}"
    assert len(registry.asked) == asked + 2, "the manifest and the one file that was wrong"


def test_oci_tag_that_moved_on(registry: Web, tmp_path: Path) -> None:
    found = digest_bytes(store(registry, {"model.onnx": MODEL}))
    wanted = "sha256:" + "d" * 64
    error = refused(oci_settings(registry, tmp_path, wanted))
    assert error.reason is Reason.DIGEST_MISMATCH
    assert wanted in error.message
    assert found in error.message


def test_oci_nothing_there(registry: Web, tmp_path: Path) -> None:
    assert refused(oci_settings(registry, tmp_path, "sha256:" + "d" * 64)).reason is Reason.ARTIFACT_NOT_FOUND


def test_oci_registry_that_lies_about_the_manifest(registry: Web, tmp_path: Path) -> None:
    wanted = "sha256:" + "d" * 64
    registry.replies[f"/v2/team/model/manifests/{wanted}"] = Reply(store(registry, {"model.onnx": MODEL}))
    assert refused(oci_settings(registry, tmp_path, wanted)).reason is Reason.DIGEST_MISMATCH


def test_uri_and_digest_that_disagree(registry: Web, tmp_path: Path) -> None:
    settings = oci_settings(registry, tmp_path, "sha256:" + "d" * 64)
    pinned = OciReference(registry.host, "team/model", None, "sha256:" + "e" * 64)
    assert refused(replace(settings, reference=pinned)).reason is Reason.DIGEST_MISMATCH


@pytest.mark.parametrize(
    "blob",
    [Reply(b"B" * len(MODEL)), Reply(MODEL[:-1]), Reply(MODEL + b"x")],
    ids=["other bytes", "truncated", "longer"],
)
def test_oci_wrong_blob(registry: Web, tmp_path: Path, blob: Reply) -> None:
    digest = digest_bytes(store(registry, {"model.onnx": MODEL}))
    registry.replies[f"/v2/team/model/blobs/{digest_bytes(MODEL)}"] = blob
    error = refused(oci_settings(registry, tmp_path, digest))
    assert error.reason is Reason.DIGEST_MISMATCH
    assert "model.onnx" in error.message


def test_oci_missing_blob(registry: Web, tmp_path: Path) -> None:
    digest = digest_bytes(store(registry, {"model.onnx": MODEL}))
    del registry.replies[f"/v2/team/model/blobs/{digest_bytes(MODEL)}"]
    assert refused(oci_settings(registry, tmp_path, digest)).reason is Reason.ARTIFACT_NOT_FOUND


def test_oci_too_large(registry: Web, tmp_path: Path) -> None:
    digest = digest_bytes(store(registry, {"model.onnx": MODEL}))
    assert refused(oci_settings(registry, tmp_path, digest, max_bytes=10)).reason is Reason.TOO_LARGE
    assert len(registry.asked) == 1, "no blob is asked for"


@pytest.mark.parametrize(
    "title",
    [
        "../model.onnx",
        "/model.onnx",
        "a/../../model.onnx",
        "a//model.onnx",
        "./model.onnx",
        "..\\model.onnx",
        "model\x00.onnx",
        "a\nmodel.onnx",
        "",
        "x" * 300 + ".onnx",
        ".penstock/manifest.json",
    ],
)
def test_oci_odd_titles(registry: Web, tmp_path: Path, title: str) -> None:
    folder = tmp_path / "models"
    digest = digest_bytes(store(registry, {title: MODEL}))
    assert refused(oci_settings(registry, folder, digest)).reason is Reason.UNSAFE_FORMAT
    assert sorted(path.name for path in tmp_path.iterdir()) == ["models"]


def layers(*items: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"schemaVersion": 2, "layers": list(items), **more}).encode()


GOOD = {"digest": digest_bytes(MODEL), "size": len(MODEL), "annotations": {TITLE: "model.onnx"}}


@pytest.mark.parametrize(
    "manifest",
    [
        b"not json",
        b"[]",
        b"null",
        b"[" * 100_000,
        layers(),
        layers(GOOD, GOOD),
        layers(GOOD, {**GOOD, "annotations": {TITLE: "model.onnx/more.data"}}),
        layers({**GOOD, "annotations": {}}),
        layers({**GOOD, "size": -1}),
        layers({**GOOD, "size": "7"}),
        layers({**GOOD, "digest": "md5:abc"}),
        layers({**GOOD, "digest": 7}),
        layers(GOOD, mediaType="application/vnd.oci.image.index.v1+json"),
        layers(*[{**GOOD, "annotations": {TITLE: f"{number}.onnx"}} for number in range(1001)]),
    ],
)
def test_oci_odd_manifests(registry: Web, tmp_path: Path, manifest: bytes) -> None:
    store_manifest(registry, manifest, [MODEL])
    assert refused(oci_settings(registry, tmp_path, digest_bytes(manifest))).reason is Reason.UNSAFE_FORMAT


def test_oci_manifest_without_end(registry: Web, tmp_path: Path) -> None:
    manifest = b" " * (5 << 20)
    store_manifest(registry, manifest, [])
    assert refused(oci_settings(registry, tmp_path, digest_bytes(manifest))).reason is Reason.TOO_LARGE


@pytest.mark.parametrize(
    "names",
    [
        ["model.pkl"],
        ["model.onnx", "pipeline.PICKLE"],
        ["model.onnx", "pre/step.joblib"],
        ["model.onnx", "other.onnx"],
        ["model.skops"],
        ["sub/model.onnx"],
        ["metadata.json"],
        ["model.onnx", "setup.py"],
        ["model.onnx", "library.so"],
    ],
)
def test_formats(registry: Web, tmp_path: Path, names: list[str]) -> None:
    digest = digest_bytes(store(registry, {name: name.encode() for name in names}))
    assert refused(oci_settings(registry, tmp_path, digest)).reason is Reason.UNSAFE_FORMAT


def test_plain_http_only_where_named(registry: Web, tmp_path: Path) -> None:
    digest = digest_bytes(store(registry, {"model.onnx": MODEL}))
    settings = replace(oci_settings(registry, tmp_path, digest, deadline_seconds=0.3), insecure_hosts=frozenset())
    assert refused(settings).reason is Reason.ARTIFACT_UNAVAILABLE
    assert registry.asked == []


def test_token_is_fetched_with_the_credentials_and_stays_with_the_registry(registry: Web, tmp_path: Path) -> None:
    manifest = store(registry, {"model.onnx": MODEL})
    blob = f"/v2/team/model/blobs/{digest_bytes(MODEL)}"
    challenge = f'Bearer realm="{registry.url}/token",service="registry",scope="repository:team/model:pull"'
    path = f"/v2/team/model/manifests/{digest_bytes(manifest)}"
    refusal = Reply(status=401, headers={"www-authenticate": challenge})
    registry.replies[path] = lambda times: refusal if times == 1 else Reply(manifest)
    token = "/token?service=registry&scope=repository%3Ateam%2Fmodel%3Apull"
    registry.replies[token] = Reply(b'{"token": "t0ken"}')
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"auths": {registry.host: {"username": "me", "password": "secret"}}}))
    fetch(oci_settings(registry, tmp_path / "models", digest_bytes(manifest), docker_config=config))
    assert registry.asked == [
        ("GET", path, None),
        ("GET", token, "Basic bWU6c2VjcmV0"),
        ("GET", path, "Bearer t0ken"),
        ("GET", blob, "Bearer t0ken"),
    ]


def test_blob_redirected_to_another_host_gets_no_credentials(registry: Web, secure: Web, tmp_path: Path) -> None:
    manifest = store(registry, {"model.onnx": MODEL})
    path = f"/v2/team/model/manifests/{digest_bytes(manifest)}"
    refusal = Reply(status=401, headers={"www-authenticate": "Basic realm=registry"})
    registry.replies[path] = lambda times: refusal if times == 1 else Reply(manifest)
    location = {"location": f"{secure.url}/bucket"}
    registry.replies[f"/v2/team/model/blobs/{digest_bytes(MODEL)}"] = Reply(status=307, headers=location)
    secure.replies["/bucket"] = Reply(MODEL)
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"auths": {registry.host: {"auth": "bWU6c2VjcmV0"}}}))
    fetch(oci_settings(registry, tmp_path / "models", digest_bytes(manifest), docker_config=config))
    assert registry.asked[-1][2] == "Basic bWU6c2VjcmV0"
    assert secure.asked == [("GET", "/bucket", None)]


def test_refused_access(registry: Web, tmp_path: Path) -> None:
    registry.replies["/v2/team/model/manifests/sha256:" + "d" * 64] = Reply(status=403)
    error = refused(oci_settings(registry, tmp_path, "sha256:" + "d" * 64))
    assert error.reason is Reason.ARTIFACT_UNAVAILABLE
    assert "refused access" in error.message


def run(folder: Path, **variables: str) -> tuple[int, dict[str, str] | None]:
    """The init container's command; returns its exit status and termination message."""
    log = folder / "termination-log"
    done = subprocess.run(
        [sys.executable, "-m", "penstock.artifact.fetch"],
        env={**os.environ, "PENSTOCK_TERMINATION_LOG": str(log), **variables},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert b"Traceback" not in done.stderr, done.stderr
    return done.returncode, json.loads(log.read_text()) if log.exists() else None


def test_command(registry: Web, tmp_path: Path) -> None:
    variables = {
        "PENSTOCK_ARTIFACT_URI": f"oci://{registry.host}/team/model:v1",
        "PENSTOCK_ARTIFACT_DIGEST": digest_bytes(store(registry, {"model.onnx": MODEL})),
        "PENSTOCK_ARTIFACT_FORMAT": "ONNX",
        "PENSTOCK_ARTIFACT_DIR": str(tmp_path / "models"),
        "PENSTOCK_INSECURE_REGISTRIES": f"other:5000, {registry.host}",
    }
    assert run(tmp_path, **variables) == (0, {"reason": "Fetched", "message": ""})
    assert (tmp_path / "models" / "model.onnx").read_bytes() == MODEL
    status, message = run(tmp_path, **{**variables, "PENSTOCK_ARTIFACT_DIGEST": "sha256:" + "d" * 64})
    assert status == EXIT_CODES[Reason.DIGEST_MISMATCH] == 20
    assert message is not None
    assert message["reason"] == "DigestMismatch"
    assert "sha256:" + "d" * 64 in message["message"]


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"PENSTOCK_ARTIFACT_URI": "s3://bucket/model"},
        {"PENSTOCK_ARTIFACT_URI": "https://example.com/model.onnx", "PENSTOCK_ARTIFACT_DIGEST": "latest"},
    ],
)
def test_command_with_wrong_settings(tmp_path: Path, variables: dict[str, str]) -> None:
    status, message = run(tmp_path, **variables)
    assert (status, message and message["reason"]) == (25, "InvalidReference")


def test_exit_codes_tell_the_reasons_apart() -> None:
    assert set(EXIT_CODES) == set(Reason)
    assert len(set(EXIT_CODES.values())) == len(EXIT_CODES)
