"""Brings a dataset onto this machine, from wherever its uri says that it is."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from penstock.api.v1alpha1.conditions import Reason
from penstock.api.v1alpha1.featureset import DatasetRef
from penstock.jobs.validate.failure import DatasetError
from penstock.jobs.validate.sources.https import HttpsSource
from penstock.jobs.validate.sources.oci import OciSource
from penstock.jobs.validate.sources.pvc import PvcSource
from penstock.jobs.validate.sources.s3 import S3Source
from penstock.jobs.validate.sources.scratch import Scratch
from penstock.jobs.validate.sources.source import Dataset, Fetched, LocalFile, Source

__all__ = ["Dataset", "LocalFile", "Obtained", "Scratch", "Source", "obtain", "source_of"]


class Obtained:
    """A dataset on this machine, and the source it came from, which can be looked at once more."""

    def __init__(self, dataset: Dataset, source: Source, fetched: Fetched) -> None:
        self.dataset = dataset
        self._source = source
        self._fetched = fetched

    def verify_unchanged(self) -> None:
        """Raise DatasetError (SourceChanged) if the files have changed since they were hashed."""
        self._source.verify(self._fetched)


def source_of(
    reference: DatasetRef,
    *,
    credentials: Path,
    pvc: Path,
    retry_seconds: float,
    insecure_registries: Iterable[str] = (),
) -> Source:
    """The source that a uri names. Raises DatasetError (InvalidSpec) for a scheme that there is not."""
    scheme = reference.uri.partition("://")[0]
    needs_credentials = reference.credentials_secret_ref is not None
    if scheme == "s3":
        return S3Source(reference.uri, credentials, needs_credentials, retry_seconds)
    if scheme == "https":
        return HttpsSource(reference.uri, credentials, needs_credentials, retry_seconds)
    if scheme == "pvc":
        return PvcSource(reference.uri, pvc)
    if scheme == "oci":
        return OciSource(
            uri=reference.uri,
            format=reference.format,
            digest=reference.digest,
            credentials=credentials,
            needs_credentials=needs_credentials,
            insecure_hosts=frozenset(insecure_registries),
            retry_seconds=retry_seconds,
        )
    raise DatasetError(Reason.INVALID_SPEC, f"'{scheme}' is no scheme of a dataset: use s3, https, pvc or oci.")


def obtain(reference: DatasetRef, source: Source, scratch: Scratch) -> Obtained:
    """Fetch a dataset and compare its digest with the one that it must have. Raises DatasetError."""
    fetched = source.fetch(scratch)
    if reference.digest not in (None, fetched.digest):
        raise DatasetError(
            Reason.SOURCE_DIGEST_MISMATCH,
            f"The files have the digest {fetched.digest}, not {reference.digest}: correct the digest or the files.",
        )
    return Obtained(Dataset(fetched.files, fetched.digest, reference.format), source, fetched)
