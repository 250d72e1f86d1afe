"""The init container: brings an artifact into the model folder, or says in one word why not."""

import argparse
import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from penstock.artifact.credentials import basic_credentials
from penstock.artifact.digest import FileEntry, digest_bytes, digest_file
from penstock.artifact.errors import ArtifactError, Reason
from penstock.artifact.formats import check_format
from penstock.artifact.manifest import parse_manifest
from penstock.artifact.oci import RegistryClient
from penstock.artifact.reference import HttpsReference, OciReference, parse_digest, parse_reference
from penstock.artifact.termination import MAX_DETAIL_BYTES, write_termination
from penstock.artifact.transport import Transport

_WORK_FOLDER = ".penstock"
_MANIFEST_FILE = "manifest.json"
DEFAULT_MAX_BYTES = 2 << 30
DEFAULT_DEADLINE_SECONDS = 300.0
DEFAULT_FEATURES_FILE = Path("/etc/penstock/features/features.json")
_FETCHED = "Fetched"
_LINEAGE_FILE = "penstock-lineage.json"


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """What to fetch and how long to try."""

    reference: OciReference | HttpsReference
    digest: str
    model_format: str
    directory: Path = Path("/models")
    insecure_hosts: frozenset[str] = frozenset()
    max_bytes: int = DEFAULT_MAX_BYTES
    deadline_seconds: float = DEFAULT_DEADLINE_SECONDS
    docker_config: Path | None = None
    schema_digest: str | None = None
    """The digest of the feature schema that the model must have been trained with, if it says so."""
    features_file: Path = DEFAULT_FEATURES_FILE
    """Where that schema is, if it is there."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "FetchSettings":
        """Reads the PENSTOCK_ARTIFACT_* variables; raises `ArtifactError` (InvalidReference)."""
        try:
            docker_config = environment.get("PENSTOCK_DOCKER_CONFIG")
            return cls(
                reference=parse_reference(environment["PENSTOCK_ARTIFACT_URI"]),
                digest=parse_digest(environment["PENSTOCK_ARTIFACT_DIGEST"]),
                model_format=environment["PENSTOCK_ARTIFACT_FORMAT"],
                directory=Path(environment.get("PENSTOCK_ARTIFACT_DIR", "/models")),
                insecure_hosts=frozenset(
                    host
                    for item in environment.get("PENSTOCK_INSECURE_REGISTRIES", "").split(",")
                    if (host := item.strip())
                ),
                max_bytes=int(environment.get("PENSTOCK_ARTIFACT_MAX_BYTES", DEFAULT_MAX_BYTES)),
                deadline_seconds=float(environment.get("PENSTOCK_ARTIFACT_DEADLINE_SECONDS", DEFAULT_DEADLINE_SECONDS)),
                docker_config=Path(docker_config) if docker_config else None,
                schema_digest=environment.get("PENSTOCK_SCHEMA_DIGEST") or None,
                features_file=Path(environment.get("PENSTOCK_FEATURES", DEFAULT_FEATURES_FILE)),
            )
        except KeyError as error:
            raise ArtifactError(Reason.INVALID_REFERENCE, f"The variable {error.args[0]} is not set.") from None
        except ValueError as error:
            raise ArtifactError(Reason.INVALID_REFERENCE, f"A limit of the fetch is not a number: {error}.") from None


def fetch(settings: FetchSettings) -> list[FileEntry]:
    """Brings the verified files into the folder; returns them. Raises `ArtifactError`.

    Every file is hashed while it is written beside its place and moved there only if its bytes are the right ones.
    Files that are there already are hashed again and kept.
    """
    settings.directory.mkdir(parents=True, exist_ok=True)
    work = settings.directory / _WORK_FOLDER
    try:
        if isinstance(settings.reference, HttpsReference):
            return [_fetch_file(settings, settings.reference, work)]
        return _fetch_oci(settings, settings.reference, work)
    finally:
        shutil.rmtree(work / "incoming", ignore_errors=True)


def _fetch_file(settings: FetchSettings, reference: HttpsReference, work: Path) -> FileEntry:
    name = reference.file_name
    check_format(settings.model_format, [name])
    target = settings.directory / name
    if not (target.is_file() and digest_file(target) == settings.digest):
        with Transport(deadline_seconds=settings.deadline_seconds) as transport:
            incoming = _download(
                transport,
                lambda: transport.stream("GET", reference.url),
                work=work,
                digest=settings.digest,
                limit=settings.max_bytes,
                what=f"'{name}'",
            )
        incoming.replace(target)
    return FileEntry(name, target.stat().st_size, settings.digest)


def _fetch_oci(settings: FetchSettings, reference: OciReference, work: Path) -> list[FileEntry]:
    if reference.digest not in (None, settings.digest):
        raise ArtifactError(
            Reason.DIGEST_MISMATCH, f"The URI names {reference.digest} but the digest is given as {settings.digest}."
        )
    kept_manifest = work / _MANIFEST_FILE
    if kept_manifest.is_file() and digest_bytes(kept_manifest.read_bytes()) == settings.digest:
        entries = parse_manifest(kept_manifest.read_bytes())
        if all(_is_present(settings.directory / entry.path, entry) for entry in entries):
            return entries
    credentials = basic_credentials(settings.docker_config, reference.host)
    with Transport(deadline_seconds=settings.deadline_seconds, insecure_hosts=settings.insecure_hosts) as transport:
        client = RegistryClient(transport, reference, credentials)
        manifest = _pull_manifest(client, reference, settings.digest)
        entries = parse_manifest(manifest)
        check_format(settings.model_format, [entry.path for entry in entries])
        total = sum(entry.size for entry in entries)
        if total > settings.max_bytes:
            raise ArtifactError(
                Reason.TOO_LARGE, f"The artifact has {total} bytes, the limit is {settings.max_bytes} bytes."
            )
        for entry in entries:
            _fetch_blob(transport, client, entry, settings.directory, work)
    kept_manifest.parent.mkdir(exist_ok=True)
    kept_manifest.write_bytes(manifest)
    return entries


def _pull_manifest(client: RegistryClient, reference: OciReference, digest: str) -> bytes:
    manifest = client.get_manifest(digest)
    if manifest is None:
        tagged = client.get_manifest(reference.tag) if reference.tag else None
        if tagged is None:
            raise ArtifactError(
                Reason.ARTIFACT_NOT_FOUND, f"{reference.host}/{reference.repository} does not hold {digest}."
            )
        found = digest_bytes(tagged)
        if found == digest:
            return tagged
        raise ArtifactError(Reason.DIGEST_MISMATCH, f"Expected {digest}, but the tag '{reference.tag}' is {found}.")
    if digest_bytes(manifest) != digest:
        raise ArtifactError(
            Reason.DIGEST_MISMATCH, f"Expected the manifest {digest}, the registry serves {digest_bytes(manifest)}."
        )
    return manifest


def _fetch_blob(transport: Transport, client: RegistryClient, entry: FileEntry, directory: Path, work: Path) -> None:
    target = directory / entry.path
    if _is_present(target, entry):
        return
    incoming = _download(
        transport,
        lambda: client.open_blob(entry.digest),
        work=work,
        digest=entry.digest,
        limit=entry.size,
        what=f"'{entry.path}'",
        exact=True,
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    incoming.replace(target)


def _download(
    transport: Transport,
    open_source: Callable[[], AbstractContextManager[httpx.Response]],
    *,
    work: Path,
    digest: str,
    limit: int,
    what: str,
    exact: bool = False,
) -> Path:
    """Streams a source into the work folder; `exact`: the limit is the size that must arrive."""
    incoming = work / "incoming" / digest.removeprefix("sha256:")
    incoming.parent.mkdir(parents=True, exist_ok=True)

    def attempt() -> tuple[str, int]:
        size, hasher = 0, hashlib.sha256()
        with open_source() as response, incoming.open("wb") as file:
            _expect_content(response, what)
            for chunk in transport.chunks(response):
                size += len(chunk)
                if size > limit:
                    break
                hasher.update(chunk)
                file.write(chunk)
        return f"sha256:{hasher.hexdigest()}", size

    found, size = transport.retry(what, attempt)
    if found != digest or size > limit:
        # A mismatch quarantines the digest for good: a second look rules out a broken transfer.
        found, size = transport.retry(what, attempt)
    if size > limit and not exact:
        raise ArtifactError(Reason.TOO_LARGE, f"{what} is larger than the limit of {limit} bytes.")
    if exact and size != limit:
        amount = "more" if size > limit else f"only {size}"
        raise ArtifactError(Reason.DIGEST_MISMATCH, f"Expected {limit} bytes for {what} ({digest}), {amount} came.")
    if found != digest:
        raise ArtifactError(Reason.DIGEST_MISMATCH, f"Expected {digest} for {what}, the bytes that came have {found}.")
    return incoming


def _expect_content(response: httpx.Response, what: str) -> None:
    if response.status_code in (404, 410):
        raise ArtifactError(
            Reason.ARTIFACT_NOT_FOUND, f"{what} is not there: the server answered {response.status_code}."
        )
    if response.status_code != 200:
        raise ArtifactError(
            Reason.ARTIFACT_UNAVAILABLE, f"{what} could not be had: the server answered {response.status_code}."
        )


def _is_present(target: Path, entry: FileEntry) -> bool:
    return target.is_file() and target.stat().st_size == entry.size and digest_file(target) == entry.digest


def _lineage_details(settings: FetchSettings, entries: Iterable[FileEntry]) -> dict[str, dict[str, Any]]:
    """What the termination message says of the lineage; raises `ArtifactError` (SchemaMismatch)."""
    if not any(entry.path == _LINEAGE_FILE for entry in entries):
        return {}
    # Reading one takes libraries whose import would cost every other start of a pod half its time.
    from penstock.artifact.lineage import fetched_lineage  # noqa: PLC0415

    lineage = fetched_lineage(settings.directory, settings.schema_digest, settings.features_file)
    return {"lineage": lineage.summary(MAX_DETAIL_BYTES)} if lineage else {}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one fetch as the environment says; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m penstock.artifact.fetch", description=__doc__)
    parser.add_argument("--schema-digest", help="the feature schema that the model must have been trained with")
    options = parser.parse_args(arguments)
    try:
        settings = FetchSettings.from_environment(os.environ)
        if options.schema_digest:
            settings = replace(settings, schema_digest=options.schema_digest)
        entries = fetch(settings)
        for entry in entries:
            print(f"{entry.digest} {entry.size} {entry.path}", flush=True)
        details = _lineage_details(settings, entries)
    except ArtifactError as error:
        print(f"{error.reason}: {error.message}", file=sys.stderr, flush=True)
        write_termination(error.reason, error.message)
        return error.exit_code
    write_termination(_FETCHED, "", **details)
    return 0


if __name__ == "__main__":
    sys.exit(main())
