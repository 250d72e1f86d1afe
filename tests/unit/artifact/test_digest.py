import hashlib
from pathlib import Path

import pytest

from penstock.artifact.digest import digest_path
from penstock.artifact.errors import ArtifactError, Reason


def test_a_file_is_the_sha256_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"abc")
    assert digest_path(tmp_path / "model.onnx") == "sha256:" + hashlib.sha256(b"abc").hexdigest()


def test_a_folder_is_the_sha256_of_sorted_lines(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.txt").write_bytes(b"two")
    (tmp_path / "a.onnx").write_bytes(b"one")
    lines = sorted(
        f"{hashlib.sha256(content).hexdigest()} {len(content)} {path}\n"
        for path, content in (("a.onnx", b"one"), ("sub/b.txt", b"two"))
    )
    assert digest_path(tmp_path) == "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()


def test_a_folder_changes_with_a_name(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one")
    before = digest_path(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert digest_path(tmp_path) != before


def test_what_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no file or folder"):
        digest_path(tmp_path / "missing")
    with pytest.raises(ArtifactError, match="holds no file"):
        digest_path(tmp_path)
    (tmp_path / "bad\nname").write_bytes(b"")
    with pytest.raises(ArtifactError, match="control characters"):
        digest_path(tmp_path)


@pytest.mark.parametrize("target", ["/etc/passwd", "/etc", "nowhere"])
def test_links_are_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(ArtifactError) as caught:
        digest_path(tmp_path)
    assert caught.value.reason is Reason.UNSAFE_FORMAT
