"""Datasets in S3, against a real server."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock.api.v1alpha1.featureset import DatasetRef
from penstock.artifact.digest import digest_bytes, digest_path
from penstock.jobs.validate.failure import DatasetError
from penstock.jobs.validate.sources import Dataset, Scratch, obtain, s3, source_of
from tests.support.s3 import S3Server
from tests.unit.jobs.given import Place, flights, spec

BUCKET = "flights"
OBJECTS = {
    "2013/a.csv": b"a,b\n1,2\n",
    "2013/b.csv": b"a,b\n3,4\n",
    "2013/.hidden.csv": b"x",
    "2013/deep/c.csv": b"y",
}


@pytest.fixture(scope="module")
def server(s3: S3Server) -> S3Server:
    s3.make_bucket(BUCKET)
    for key, content in OBJECTS.items():
        s3.put(BUCKET, key, content)
    return s3


def fetch(uri: str, credentials: Path, *, secret: bool = True, limit: int | None = None, **changes: Any) -> Dataset:
    reference = DatasetRef.model_validate(
        {"uri": uri, "format": "CSV", "credentialsSecretRef": {"name": "keys"} if secret else None, **changes}
    )
    source = source_of(reference, credentials=credentials, pvc=credentials, retry_seconds=0.5)
    return obtain(reference, source, Scratch(credentials.parent / "scratch", limit)).dataset


def refused(uri: str, credentials: Path, **options: Any) -> DatasetError:
    with pytest.raises(DatasetError) as caught:
        fetch(uri, credentials, **options)
    assert "penstock-tests" not in caught.value.message
    assert "not-a-secret" not in caught.value.message
    return caught.value


def test_one_object(server: S3Server, tmp_path: Path) -> None:
    dataset = fetch(f"s3://{BUCKET}/2013/a.csv", server.credentials(tmp_path / "keys"))
    assert [file.name for file in dataset.files] == ["a.csv"]
    assert dataset.digest == digest_bytes(OBJECTS["2013/a.csv"])
    assert dataset.files[0].path.read_bytes() == OBJECTS["2013/a.csv"]


def test_a_pattern_is_the_folder_that_holds_its_files(server: S3Server, tmp_path: Path) -> None:
    dataset = fetch(f"s3://{BUCKET}/2013/*.csv", server.credentials(tmp_path / "keys"))
    assert [file.name for file in dataset.files] == ["a.csv", "b.csv"]
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in dataset.files:
        (copy / file.name).write_bytes(file.path.read_bytes())
    assert dataset.digest == digest_path(copy)
    one = fetch(f"s3://{BUCKET}/2013/?.csv", server.credentials(tmp_path / "keys"), digest=dataset.digest)
    assert one.digest == dataset.digest


def test_an_object_of_several_pieces(server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "PIECE_BYTES", 1000)
    content = bytes(range(256)) * 40
    server.put(BUCKET, "pieces.csv", content)
    dataset = fetch(f"s3://{BUCKET}/pieces.csv", server.credentials(tmp_path / "keys"))
    assert dataset.files[0].path.read_bytes() == content


def test_a_wrong_digest(server: S3Server, tmp_path: Path) -> None:
    wanted = "sha256:" + "d" * 64
    found = refused(f"s3://{BUCKET}/2013/a.csv", server.credentials(tmp_path / "keys"), digest=wanted)
    assert found.reason == "SourceDigestMismatch"
    assert wanted in found.message


@pytest.mark.parametrize(
    "uri", [f"s3://{BUCKET}/2013/none.csv", f"s3://{BUCKET}/2013/*.parquet", "s3://no-bucket/a.csv", "s3://no-bucket/*"]
)
def test_nothing_there(server: S3Server, tmp_path: Path, uri: str) -> None:
    found = refused(uri, server.credentials(tmp_path / "keys"))
    assert found.reason == "SourceNotFound"
    assert uri in found.message


@pytest.mark.parametrize("name", ["a.csv", "*.csv"])
@pytest.mark.parametrize("wrong", [{"AWS_ACCESS_KEY_ID": "somebody"}, {"AWS_SECRET_ACCESS_KEY": "wrong"}])
def test_wrong_keys(server: S3Server, tmp_path: Path, name: str, wrong: dict[str, str]) -> None:
    found = refused(f"s3://{BUCKET}/2013/{name}", server.credentials(tmp_path / "keys", **wrong))
    assert found.reason == "SourceAccessDenied"


def test_a_wrong_region_is_named(server: S3Server, tmp_path: Path) -> None:
    found = refused(f"s3://{BUCKET}/2013/a.csv", server.credentials(tmp_path / "keys", AWS_REGION="eu-central-1"))
    assert found.reason == "SourceAccessDenied"
    assert "AWS_REGION" in found.message


def test_without_keys_a_private_bucket_is_closed(server: S3Server, tmp_path: Path) -> None:
    keys = server.credentials(tmp_path / "keys", AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None)
    assert refused(f"s3://{BUCKET}/2013/a.csv", keys, secret=False).reason == "SourceAccessDenied"
    found = refused(f"s3://{BUCKET}/2013/a.csv", keys)
    assert found.reason == "CredentialsMissing"
    assert "AWS_ACCESS_KEY_ID" in found.message


def test_an_endpoint_that_is_down(server: S3Server, tmp_path: Path) -> None:
    keys = server.credentials(tmp_path / "keys", AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert refused(f"s3://{BUCKET}/2013/a.csv", keys).reason == "SourceUnavailable"


def test_an_endpoint_that_is_no_address(server: S3Server, tmp_path: Path) -> None:
    keys = server.credentials(tmp_path / "keys", AWS_ENDPOINT_URL="user:password@nowhere")
    found = refused(f"s3://{BUCKET}/2013/a.csv", keys)
    assert found.reason == "CredentialsMissing"
    assert "password" not in found.message


def test_more_bytes_than_the_disk_may_take(server: S3Server, tmp_path: Path) -> None:
    server.put(BUCKET, "large.csv", bytes(10_000))
    found = refused(f"s3://{BUCKET}/large.csv", server.credentials(tmp_path / "keys"), limit=9_999)
    assert found.reason == "DatasetTooLarge"
    assert not list((tmp_path / "scratch").iterdir())


@pytest.mark.parametrize("change", ["other content", "removed"])
def test_an_object_that_changes_while_it_is_read(
    server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(s3, "PIECE_BYTES", 1000)
    server.put(BUCKET, "changing.csv", b"1" * 5_000)
    changed = threading.Event()

    def once_changed(ask: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def save(scratch: Scratch, chunks: Any) -> Any:
            def between() -> Any:
                for chunk in chunks:
                    yield chunk
                    if not changed.is_set():
                        changed.set()
                        if change == "removed":
                            (server.folder / BUCKET / "changing.csv").unlink()
                        else:
                            server.put(BUCKET, "changing.csv", b"2" * 5_000)

            return ask(scratch, between())

        return save

    monkeypatch.setattr(Scratch, "save", once_changed(Scratch.save))
    found = refused(f"s3://{BUCKET}/changing.csv", server.credentials(tmp_path / "keys"))
    assert found.reason == "SourceChanged"
    assert changed.is_set()


def test_the_whole_job(server: S3Server, place: Place, tmp_path: Path) -> None:
    for index, part in enumerate(flights().iter_slices(2_000)):
        file = tmp_path / f"part-{index}.parquet"
        part.write_parquet(file)
        server.put(BUCKET, f"job/part-{index}.parquet", file.read_bytes())
    server.credentials(tmp_path / "credentials")
    source = {
        "uri": f"s3://{BUCKET}/job/part-*.parquet",
        "format": "Parquet",
        "credentialsSecretRef": {"name": "keys"},
    }
    process = place.start(spec(source=source))
    assert process.returncode == 0, process.stderr
    assert (place.message.verdict, place.message.rows) == ("Pass", 5_000)
    assert server.secret_access_key not in process.stdout + process.stderr
    assert not (tmp_path / "scratch" / "dataset").exists()
