"""Where an artifact is: `oci://host[:port]/repository[:tag][@sha256:…]` or `https://…`."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from penstock.artifact.errors import ArtifactError, Reason

DIGEST_PATTERN = re.compile(r"sha256:[0-9a-f]{64}")
_HOST = r"(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::[0-9]{1,5})?"
_REPOSITORY = r"[a-z0-9]+(?:(?:\.|_|__|-+|/)[a-z0-9]+)*"
_OCI = re.compile(
    rf"oci://(?P<host>{_HOST})/(?P<repository>{_REPOSITORY})"
    rf"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{{0,127}}))?(?:@(?P<digest>sha256:[0-9a-f]{{64}}))?"
)


@dataclass(frozen=True, slots=True)
class OciReference:
    """A manifest in a registry; `host` carries the port where the URI has one."""

    host: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    def pinned(self, digest: str) -> str:
        """The URI that names these bytes and no others."""
        tag = f":{self.tag}" if self.tag else ""
        return f"oci://{self.host}/{self.repository}{tag}@{digest}"


@dataclass(frozen=True, slots=True)
class HttpsReference:
    """One file on a web server."""

    url: str

    @property
    def file_name(self) -> str:
        """The last part of the path: the name the file gets on disk."""
        return urlsplit(self.url).path.rpartition("/")[2]


def parse_reference(uri: str) -> OciReference | HttpsReference:
    """Reads an artifact URI; raises `ArtifactError` (InvalidReference) that says what is expected."""
    if uri.startswith("oci://"):
        match = _OCI.fullmatch(uri)
        if match is None:
            raise _invalid(uri, "expected oci://host[:port]/repository[:tag][@sha256:<64 hex digits>]")
        return OciReference(**match.groupdict())
    if uri.startswith("https://"):
        parts = urlsplit(uri)
        if not parts.hostname or parts.username or parts.password or parts.fragment:
            raise _invalid(uri, "expected https://host/path without user, password or fragment")
        reference = HttpsReference(uri)
        if reference.file_name in ("", ".", ".."):
            raise _invalid(uri, "its path must end in the name of a file")
        return reference
    raise _invalid(uri, "the scheme must be oci:// or https://")


def parse_digest(text: str) -> str:
    """Returns `text` if it is `sha256:` and 64 lower-case hex digits; raises `ArtifactError` otherwise."""
    if DIGEST_PATTERN.fullmatch(text) is None:
        raise ArtifactError(
            Reason.INVALID_REFERENCE, f"'{text[:100]}' is no digest: write sha256: and 64 lower-case hex digits."
        )
    return text


def _invalid(uri: str, expected: str) -> ArtifactError:
    return ArtifactError(
        Reason.INVALID_REFERENCE, f"The artifact URI '{_without_secret(uri)}' is not valid: {expected}."
    )


def _without_secret(uri: str) -> str:
    return re.sub(r"//[^/@]*@", "//***@", uri)[:300]
