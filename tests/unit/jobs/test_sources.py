"""Datasets on volumes, web servers and in registries: where they are, who may read them, and what changed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.api.v1alpha1.featureset import DatasetRef
from penstock.artifact.digest import digest_bytes, digest_path
from penstock.artifact.push import push
from penstock.artifact.reference import OciReference, parse_reference
from penstock.jobs.validate.failure import DatasetError
from penstock.jobs.validate.sources import Obtained, Scratch, obtain, source_of
from tests.unit.artifact.web import Reply, Web, make_certificate, serving
from tests.unit.jobs.given import Place, flights, spec

CONTENT = b"a,b\n1,2\n"


def fetch(root: Path, uri: str, *, secret: bool = False, limit: int | None = None, **options: Any) -> Obtained:
    content = {"uri": uri, "format": "CSV", "credentialsSecretRef": {"name": "keys"} if secret else None}
    reference = DatasetRef.model_validate(content | {"digest": options.pop("digest", None)})
    source = source_of(reference, credentials=root / "keys", pvc=root / "pvc", retry_seconds=0.5, **options)
    return obtain(reference, source, Scratch(root / "scratch", limit))


def refused(root: Path, uri: str, **options: Any) -> DatasetError:
    with pytest.raises(DatasetError) as caught:
        fetch(root, uri, **options)
    assert "s3cret" not in caught.value.message
    return caught.value


def write(root: Path, path: str, content: bytes = CONTENT) -> Path:
    file = root / "pvc" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def secret(root: Path, **keys: str) -> None:
    (root / "keys").mkdir(exist_ok=True)
    for key, value in keys.items():
        (root / "keys" / key).write_text(value)


def test_a_file_on_a_volume_is_read_in_place(tmp_path: Path) -> None:
    file = write(tmp_path, "claim/folder/a.csv")
    dataset = fetch(tmp_path, "pvc://claim/folder/a.csv").dataset
    assert (dataset.digest, dataset.files[0].path) == (digest_bytes(CONTENT), file)
    assert not list((tmp_path / "scratch").iterdir())


def test_the_files_of_a_pattern(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv", "c.txt"):
        write(tmp_path, f"claim/folder/{name}", name.encode())
    dataset = fetch(tmp_path, "pvc://claim/folder/*.csv").dataset
    assert [file.name for file in dataset.files] == ["a.csv", "b.csv"]
    (tmp_path / "pvc/claim/folder/c.txt").unlink()
    assert dataset.digest == digest_path(tmp_path / "pvc/claim/folder")


@pytest.mark.parametrize("path", ["none.csv", "*.parquet", "nowhere/*.csv", "folder"])
def test_nothing_on_the_volume(tmp_path: Path, path: str) -> None:
    write(tmp_path, "claim/folder/a.csv")
    assert refused(tmp_path, f"pvc://claim/{path}").reason == "SourceNotFound"


def test_a_link_out_of_the_volume_is_not_followed(tmp_path: Path) -> None:
    secret(tmp_path, token="s3cret")
    write(tmp_path, "claim/a.csv")
    (tmp_path / "pvc/claim/link.csv").symlink_to(tmp_path / "keys/token")
    assert refused(tmp_path, "pvc://claim/link.csv").reason == "SourceAccessDenied"
    assert refused(tmp_path, "pvc://claim/*.csv").reason == "SourceAccessDenied"


def test_a_file_that_changes_after_it_was_hashed(tmp_path: Path) -> None:
    file = write(tmp_path, "claim/a.csv")
    obtained = fetch(tmp_path, "pvc://claim/a.csv")
    obtained.verify_unchanged()
    file.write_bytes(CONTENT + b"3,4\n")
    with pytest.raises(DatasetError) as caught:
        obtained.verify_unchanged()
    assert caught.value.reason == "SourceChanged"


def test_a_wrong_digest_names_both(tmp_path: Path) -> None:
    write(tmp_path, "claim/a.csv")
    wanted = "sha256:" + "d" * 64
    found = refused(tmp_path, "pvc://claim/a.csv", digest=wanted)
    assert found.reason == "SourceDigestMismatch"
    assert wanted in found.message
    assert digest_bytes(CONTENT) in found.message


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    certificate = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(certificate) as server:
        yield server


def test_a_file_on_a_web_server(web: Web, tmp_path: Path) -> None:
    web.replies["/data/a.csv?signature=s3cret"] = Reply(CONTENT)
    dataset = fetch(tmp_path, f"{web.url}/data/a.csv?signature=s3cret").dataset
    assert [(file.name, file.digest) for file in dataset.files] == [("a.csv", digest_bytes(CONTENT))]


@pytest.mark.parametrize(
    ("keys", "header"), [({"token": "s3cret\n"}, "Bearer s3cret"), ({"username": "me", "password": "s3cret"}, "Basic ")]
)
def test_credentials_of_a_web_server(web: Web, tmp_path: Path, keys: dict[str, str], header: str) -> None:
    web.replies["/a.csv"] = Reply(CONTENT)
    secret(tmp_path, **keys)
    fetch(tmp_path, f"{web.url}/a.csv", secret=True)
    assert (web.asked[-1][2] or "").startswith(header)


def test_an_empty_secret_is_told(web: Web, tmp_path: Path) -> None:
    found = refused(tmp_path, f"{web.url}/a.csv", secret=True)
    assert found.reason == "CredentialsMissing"
    assert not web.asked


@pytest.mark.parametrize(
    ("status", "reason"),
    [(404, "SourceNotFound"), (401, "SourceAccessDenied"), (403, "SourceAccessDenied"), (500, "SourceUnavailable")],
)
def test_what_a_web_server_answers(web: Web, tmp_path: Path, status: int, reason: str) -> None:
    web.replies["/a.csv?signature=s3cret"] = Reply(status=status)
    assert refused(tmp_path, f"{web.url}/a.csv?signature=s3cret").reason == reason


def test_an_answer_that_breaks_off_is_asked_for_again(web: Web, tmp_path: Path) -> None:
    web.replies["/a.csv"] = lambda times: Reply(CONTENT[:3], length=len(CONTENT)) if times == 1 else Reply(CONTENT)
    assert fetch(tmp_path, f"{web.url}/a.csv").dataset.digest == digest_bytes(CONTENT)
    assert len(list((tmp_path / "scratch").iterdir())) == 1


def test_a_file_that_is_announced_too_large_is_not_downloaded(web: Web, tmp_path: Path) -> None:
    web.replies["/a.csv"] = Reply(CONTENT)
    assert refused(tmp_path, f"{web.url}/a.csv", limit=len(CONTENT) - 1).reason == "DatasetTooLarge"


def test_plain_http_after_https_is_refused(web: Web, tmp_path: Path) -> None:
    web.replies["/a.csv"] = Reply(status=302, headers={"location": "http://127.0.0.1:9/a.csv"})
    assert refused(tmp_path, f"{web.url}/a.csv").reason == "SourceUnavailable"


def test_a_server_that_is_down(tmp_path: Path) -> None:
    assert refused(tmp_path, "https://127.0.0.1:9/a.csv").reason == "SourceUnavailable"


def test_a_dataset_in_a_registry(registry: str, tmp_path: Path) -> None:
    write(tmp_path, "push/a.csv")
    (tmp_path / "pvc/push/README.md").write_text("about the data")
    reference = parse_reference(f"oci://{registry}/team/data:v1")
    assert isinstance(reference, OciReference)
    pushed = push(tmp_path / "pvc/push", reference, insecure=True, docker_config=None)
    for uri in (pushed.uri, f"oci://{registry}/team/data:v1"):
        dataset = fetch(tmp_path, uri, insecure_registries=[registry]).dataset
        assert dataset.digest == pushed.digest
        assert [(file.name, file.path.read_bytes()) for file in dataset.files] == [("a.csv", CONTENT)]
    missing = refused(tmp_path, f"oci://{registry}/team/none:v1", insecure_registries=[registry])
    assert missing.reason == "SourceNotFound"
    assert refused(tmp_path, pushed.uri, insecure_registries=[registry], secret=True).reason == "CredentialsMissing"


def test_a_registry_that_refuses(tmp_path: Path) -> None:
    with serving() as web:
        web.replies["/v2/team/data/manifests/v1"] = Reply(status=403)
        found = refused(tmp_path, f"oci://{web.host}/team/data:v1", insecure_registries=[web.host])
    assert found.reason == "SourceAccessDenied"


def test_the_job_ends_with_a_message_whatever_happens(place: Place) -> None:
    place.write(flights())
    assert place.start().returncode == 0
    assert place.message.verdict == "Pass"
    place.environment["PENSTOCK_DEADLINE_SECONDS"] = "0.001"
    assert place.start().returncode == 0
    assert place.message.reason == "ValidationTimeout"
    place.environment = {"PENSTOCK_TASK": str(place.root / "nothing")}
    assert place.start().returncode == 0
    assert place.message.reason == "ValidationError"
    (place.root / "wrong.json").write_text(json.dumps({"version": 2}))
    place.environment = {"PENSTOCK_TASK": str(place.root / "wrong.json")}
    assert place.start().returncode == 0
    assert place.message.reason == "InvalidSpec"


def test_an_unknown_failure_is_told_by_its_kind_only(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock.jobs.validate import __main__, run

    def broken(*_: object, **__: object) -> None:
        raise LookupError("a value of row 7")

    place.write(flights())
    (place.root / "task.json").write_text(place.task(spec()).model_dump_json(by_alias=True, exclude_none=True))
    monkeypatch.setattr(run, "validate", broken)
    result = __main__.answer(place.settings)
    assert (result.verdict, result.reason) == ("Error", "ValidationError")
    assert "LookupError" in result.message
    assert "row 7" not in result.message
