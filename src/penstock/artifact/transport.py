"""HTTP for artifacts: limited redirects, no silent downgrade to plain http, retries until a deadline."""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Self, TypeVar

import httpx

from penstock.artifact.errors import ArtifactError, Reason

MAX_REDIRECTS = 3
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 5.0
_RETRIED_STATUS = frozenset({408, 429, 500, 502, 503, 504})

RequestBody = bytes | Callable[[], Iterable[bytes]] | None
Result = TypeVar("Result")


class Transport:
    """One HTTP client and one deadline for all that it does, retries included."""

    def __init__(self, *, deadline_seconds: float, insecure_hosts: frozenset[str] = frozenset()) -> None:
        self._client = httpx.Client(timeout=httpx.Timeout(15, read=30), follow_redirects=False)
        self._insecure_hosts = insecure_hosts
        self._deadline = time.monotonic() + deadline_seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def scheme(self, host: str) -> str:
        """The scheme a host is spoken to with; `host` carries the port."""
        return "http" if host in self._insecure_hosts else "https"

    @contextmanager
    def stream(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, content: RequestBody = None
    ) -> Iterator[httpx.Response]:
        """One request, redirects of GET and HEAD followed; the body is not yet read.

        Raises `httpx.TransportError` for failed connections and for answers that are worth another attempt.
        """
        body = content() if callable(content) else content
        # Bytes must arrive as they are hashed: no transfer compression.
        request = self._client.build_request(
            method, url, headers={"accept-encoding": "identity", **(headers or {})}, content=body
        )
        for _ in range(MAX_REDIRECTS + 1):
            self._check_scheme(request.url)
            response = self._client.send(request, stream=True)
            try:
                if response.next_request is None or method not in ("GET", "HEAD"):
                    if response.status_code in _RETRIED_STATUS:
                        raise httpx.RemoteProtocolError(f"the server answered {response.status_code}")
                    yield response
                    return
                request = response.next_request
            finally:
                response.close()
        raise ArtifactError(Reason.ARTIFACT_UNAVAILABLE, f"{_place(url)} redirects more than {MAX_REDIRECTS} times.")

    def chunks(self, response: httpx.Response) -> Iterator[bytes]:
        """The body as it comes; raises `ArtifactError` (ArtifactUnavailable) once the deadline has passed."""
        for chunk in response.iter_raw():
            if time.monotonic() > self._deadline:
                raise ArtifactError(
                    Reason.ARTIFACT_UNAVAILABLE, f"{_place(str(response.url))} was too slow: the deadline has passed."
                )
            yield chunk

    def retry(self, what: str, attempt: Callable[[], Result]) -> Result:
        """Runs `attempt` until it ends without a transport error, pausing longer each time.

        Raises `ArtifactError` (ArtifactUnavailable) when the deadline leaves no room for another attempt.
        """
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                return attempt()
            except httpx.InvalidURL as error:
                raise ArtifactError(Reason.ARTIFACT_UNAVAILABLE, f"{what} led to a URL that is not valid.") from error
            except httpx.TransportError as error:
                wait = pause * random.uniform(0.75, 1.25)  # noqa: S311 - jitter, not a secret
                if time.monotonic() + wait > self._deadline:
                    cause = str(error) or type(error).__name__
                    raise ArtifactError(
                        Reason.ARTIFACT_UNAVAILABLE, f"{what} could not be reached before the deadline: {cause}."
                    ) from error
            time.sleep(wait)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _check_scheme(self, url: httpx.URL) -> None:
        host = url.netloc.decode("ascii")
        if url.scheme != "https" and not (url.scheme == "http" and host in self._insecure_hosts):
            raise ArtifactError(
                Reason.ARTIFACT_UNAVAILABLE,
                f"'{host}' is spoken to over plain http only if it is named as an insecure registry.",
            )


def _place(url: str) -> str:
    parts = httpx.URL(url)
    return f"{parts.scheme}://{parts.netloc.decode('ascii')}{parts.path}"
