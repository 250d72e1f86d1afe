import datetime
import shutil
import types
from pathlib import Path

import certifi
import pytest
from kubernetes.aio.config import incluster_config

from penstock.kube import connection
from penstock.kube.connection import ConnectionSettingsError, load_connection


@pytest.mark.parametrize("content", [None, "not: [a kubeconfig"], ids=["missing", "broken"])
async def test_an_unusable_kubeconfig_is_one_sentence(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "config"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConnectionSettingsError, match="No cluster to talk to") as refused:
        await load_connection(path, {})
    assert str(path) in str(refused.value)


async def test_in_a_pod_the_token_file_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "token").write_text("first")
    shutil.copy(certifi.where(), tmp_path / "ca.crt")
    monkeypatch.setattr(connection, "_SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "443"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    class Clock(datetime.datetime):
        ahead = datetime.timedelta()

        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
            return datetime.datetime.now(tz) + cls.ahead

    monkeypatch.setattr(
        incluster_config, "datetime", types.SimpleNamespace(datetime=Clock, timedelta=datetime.timedelta)
    )
    connected = await load_connection(None, environ)
    assert connected.host == "https://10.0.0.1:443"
    assert await connected.authorization() == "bearer first"
    (tmp_path / "token").write_text("second")
    Clock.ahead = datetime.timedelta(minutes=2)
    assert await connected.authorization() == "bearer second"
    await connected.close()
