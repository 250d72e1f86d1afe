"""Datasets on a web server: one file."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

from penstock.api.v1alpha1.conditions import Reason
from penstock.artifact.errors import ArtifactError
from penstock.artifact.reference import HttpsReference
from penstock.artifact.transport import Transport
from penstock.jobs.validate.failure import DatasetError, TransientError
from penstock.jobs.validate.sources.retry import retried
from penstock.jobs.validate.sources.scratch import Saved, Scratch
from penstock.jobs.validate.sources.source import Fetched, LocalFile, secret_file, single

_NO_DEADLINE_SECONDS = 7 * 86400.0
"""The Job has a deadline of its own, and a large file may take as long as that allows."""


@dataclass
class HttpsSource:
    """`https://HOST/PATH`; `credentials`: the mounted Secret with username and password, or token."""

    uri: str
    credentials: Path
    needs_credentials: bool
    retry_seconds: float
    _tag: str | None = None

    @property
    def _shown(self) -> str:
        """The uri without its query, which may be a signature."""
        return self.uri.partition("?")[0]

    def fetch(self, scratch: Scratch) -> Fetched:
        """See Source.fetch."""
        headers = self._authorization()
        name = HttpsReference(self.uri).file_name or "dataset"
        saved = retried(self._shown, lambda: self._attempt(headers, scratch), seconds=self.retry_seconds)
        return single(LocalFile(name, saved.size, saved.digest, saved.path))

    def verify(self, fetched: Fetched) -> None:
        """See Source.verify. One answer holds one version of the file."""

    def _attempt(self, headers: dict[str, str], scratch: Scratch) -> Saved:
        try:
            with (
                Transport(deadline_seconds=_NO_DEADLINE_SECONDS) as transport,
                transport.stream("GET", self.uri, headers=headers) as response,
            ):
                self._expect_content(response)
                if (length := response.headers.get("content-length", "")).isdecimal():
                    scratch.expect(int(length))
                return scratch.save(_chunks(response))
        except httpx.InvalidURL:
            raise DatasetError(Reason.INVALID_SPEC, f"{self._shown} is no valid URL: correct the uri.") from None
        except httpx.TransportError as error:
            raise TransientError(_cause(error)) from None
        except ArtifactError:
            raise DatasetError(
                Reason.SOURCE_UNAVAILABLE,
                f"{self._shown} redirects too often or to plain http: name the address that serves the file.",
            ) from None

    def _authorization(self) -> dict[str, str]:
        token, user, password = (secret_file(self.credentials, key) for key in ("token", "username", "password"))
        if token:
            return {"authorization": f"Bearer {token}"}
        if user and password:
            return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")}
        if self.needs_credentials:
            raise DatasetError(
                Reason.CREDENTIALS_MISSING,
                f"The Secret with the credentials of {self._shown} has neither token nor username and password: add"
                " them.",
            )
        return {}

    def _expect_content(self, response: httpx.Response) -> None:
        status = response.status_code
        if status in (404, 410):
            raise DatasetError(
                Reason.SOURCE_NOT_FOUND,
                f"There is no file at {self._shown} (status {status}): correct the uri or bring the file.",
            )
        if status in (401, 403, 407):
            raise DatasetError(
                Reason.SOURCE_ACCESS_DENIED,
                f"Access to {self._shown} was refused (status {status}): check the credentials in the Secret.",
            )
        if status != 200:
            raise TransientError(f"status {status}")


def _chunks(response: httpx.Response) -> Iterator[bytes]:
    yield from response.iter_raw()


def _cause(error: httpx.TransportError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    if isinstance(error, httpx.ConnectError):
        return "its certificate is not trusted" if "CERTIFICATE" in str(error) else "the connection failed"
    if isinstance(error, httpx.RemoteProtocolError):
        return "the answer broke off"
    return "the request failed"
