from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.artifact.web import Web, make_certificate, serving


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def secure(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(certificate) as web:
        yield web


@pytest.fixture
def registry() -> Iterator[Web]:
    """A plain http server that a test fills with manifests and blobs, right or wrong ones."""
    with serving() as web:
        yield web
