"""A minimal client of the OCI distribution protocol: manifests and blobs, anonymous, Basic or Bearer."""

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx

from penstock.artifact.digest import CHUNK, FileEntry, digest_bytes
from penstock.artifact.errors import ArtifactError, Reason
from penstock.artifact.manifest import MANIFEST_TYPE, MAX_MANIFEST_BYTES
from penstock.artifact.reference import OciReference
from penstock.artifact.transport import RequestBody, Transport

_CHALLENGE_ITEM = re.compile(r'(\w+)="([^"]*)"')
_MAX_TOKEN_ANSWER_BYTES = 1 << 20


class RegistryClient:
    """Speaks to one repository of one registry."""

    def __init__(
        self, transport: Transport, reference: OciReference, credentials: tuple[str, str] | None = None
    ) -> None:
        self._transport = transport
        self._host = reference.host
        self._base = f"{transport.scheme(reference.host)}://{reference.host}/v2/{reference.repository}"
        self._name = f"{reference.host}/{reference.repository}"
        self._repository = reference.repository
        self._credentials = credentials
        self._authorization: str | None = None

    def get_manifest(self, tag_or_digest: str) -> bytes | None:
        """The manifest's bytes as stored, None if there is none."""

        def attempt() -> bytes | None:
            url = f"{self._base}/manifests/{tag_or_digest}"
            with self._send("GET", url, headers={"accept": MANIFEST_TYPE}) as response:
                if response.status_code == 404:
                    return None
                self._expect(response, 200)
                return read_capped(self._transport.chunks(response), MAX_MANIFEST_BYTES, "The manifest")

        return self._transport.retry(self._name, attempt)

    @contextmanager
    def open_blob(self, digest: str) -> Iterator[httpx.Response]:
        """One attempt at a blob; raises `ArtifactError` (ArtifactNotFound) if the registry does not hold it."""
        with self._send("GET", f"{self._base}/blobs/{digest}") as response:
            if response.status_code == 404:
                raise ArtifactError(Reason.ARTIFACT_NOT_FOUND, f"{self._name} does not hold the blob {digest}.")
            self._expect(response, 200)
            yield response

    def push_blob(self, content: bytes) -> None:
        """Uploads bytes unless the repository holds them."""
        self._upload(digest_bytes(content), len(content), content)

    def push_file(self, path: Path, entry: FileEntry) -> None:
        """Uploads a file in pieces unless the repository holds it."""
        self._upload(entry.digest, entry.size, lambda: _read(path))

    def push_manifest(self, content: bytes, tag: str | None) -> None:
        """Stores the manifest under a tag, or under its digest where there is none."""

        def attempt() -> None:
            url = f"{self._base}/manifests/{tag or digest_bytes(content)}"
            with self._send("PUT", url, headers={"content-type": MANIFEST_TYPE}, content=content) as response:
                self._expect(response, 201)

        self._transport.retry(self._name, attempt)

    def _upload(self, digest: str, size: int, content: bytes | Callable[[], Iterable[bytes]]) -> None:
        def attempt() -> None:
            with self._send("HEAD", f"{self._base}/blobs/{digest}") as response:
                if response.status_code == 200:
                    return
            with self._send("POST", f"{self._base}/blobs/uploads/", content=b"") as response:
                self._expect(response, 202)
                location = urljoin(str(response.url), response.headers.get("location", ""))
            url = f"{location}{'&' if urlsplit(location).query else '?'}digest={digest.replace(':', '%3A')}"
            headers = {"content-type": "application/octet-stream", "content-length": str(size)}
            with self._send("PUT", url, headers=headers, content=content) as response:
                self._expect(response, 201)

        self._transport.retry(self._name, attempt)

    @contextmanager
    def _send(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, content: RequestBody = None
    ) -> Iterator[httpx.Response]:
        """One request; on a 401 once more with what the registry's challenge asks for."""
        for may_authorize in (True, False):
            with self._transport.stream(
                method, url, headers={**(headers or {}), **self._auth_header(url)}, content=content
            ) as response:
                if response.status_code != 401 or not may_authorize:
                    yield response
                    return
                challenge = response.headers.get("www-authenticate", "")
            self._authorization = self._answer(challenge, push=method not in ("GET", "HEAD"))

    def _auth_header(self, url: str) -> dict[str, str]:
        # An upload's Location may name another host: the credentials stay with the registry.
        if self._authorization is None or urlsplit(url).netloc != self._host:
            return {}
        return {"authorization": self._authorization}

    def _answer(self, challenge: str, *, push: bool) -> str | None:
        scheme, _, rest = challenge.partition(" ")
        if scheme.lower() == "basic":
            return self._basic()
        if scheme.lower() != "bearer":
            return None
        items = dict(_CHALLENGE_ITEM.findall(rest))
        scope = items.get("scope") or f"repository:{self._repository}:{'pull,push' if push else 'pull'}"
        query = {"service": items.get("service", ""), "scope": scope}
        url = str(httpx.URL(items.get("realm", ""), params=query))
        basic = self._basic()
        with self._transport.stream("GET", url, headers={"authorization": basic} if basic else {}) as response:
            self._expect(response, 200)
            content = read_capped(self._transport.chunks(response), _MAX_TOKEN_ANSWER_BYTES, "The token answer")
        try:
            document = httpx.Response(200, content=content).json()
            return f"Bearer {document.get('token') or document['access_token']}"
        except (ValueError, KeyError, AttributeError):
            raise ArtifactError(
                Reason.ARTIFACT_UNAVAILABLE, f"The token service of {self._host} gave an answer without a token."
            ) from None

    def _basic(self) -> str | None:
        if self._credentials is None:
            return None
        return "Basic " + base64.b64encode(":".join(self._credentials).encode()).decode("ascii")

    def _expect(self, response: httpx.Response, status: int) -> None:
        if response.status_code == status:
            return
        if response.status_code in (401, 403):
            hint = "check the credentials" if self._credentials else "it wants credentials and none are given"
            message = f"The registry {self._host} refused access to {self._repository}: {hint}."
        else:
            message = f"The registry {self._host} answered {response.status_code} where {status} was expected."
        raise ArtifactError(Reason.ARTIFACT_UNAVAILABLE, message)


def read_capped(chunks: Iterable[bytes], limit: int, what: str) -> bytes:
    """Joins chunks; raises `ArtifactError` (TooLarge) beyond `limit` bytes."""
    content = bytearray()
    for chunk in chunks:
        content += chunk
        if len(content) > limit:
            raise ArtifactError(Reason.TOO_LARGE, f"{what} is larger than {limit} bytes.")
    return bytes(content)


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            yield piece
