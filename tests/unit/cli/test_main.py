import json
from pathlib import Path

import pytest

from penstock.artifact.digest import digest_path
from penstock.cli.main import main


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "model.onnx").write_bytes(b"graph")
    return tmp_path / "model.onnx"


def test_digest(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["digest", str(model)]) == 0
    assert capsys.readouterr().out == digest_path(model) + "\n"
    assert main(["digest", str(model.parent), "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"digest": digest_path(model.parent)}


def test_digest_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["digest", str(tmp_path / "missing")]) == 21
    assert capsys.readouterr().err.startswith("penstock: ArtifactNotFound: There is no file or folder")


@pytest.mark.parametrize(
    ("name", "uri", "status", "says"),
    [
        ("model.onnx", "https://example.com/model.onnx", 25, "oci:// URI"),
        ("model.onnx", "oci://example.com", 25, "expected oci://"),
        ("model.onnx", f"oci://example.com/m@sha256:{'a' * 64}", 20, "has the digest sha256:"),
        ("model.pkl", "oci://example.com/m:v1", 23, "is a pickle"),
    ],
)
def test_push_refuses_before_it_connects(
    model: Path, capsys: pytest.CaptureFixture[str], name: str, uri: str, status: int, says: str
) -> None:
    path = model.rename(model.with_name(name))
    assert main(["push", str(path), uri]) == status
    assert says in capsys.readouterr().err


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 2
