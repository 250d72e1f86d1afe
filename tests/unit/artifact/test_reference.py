import pytest

from penstock.artifact.errors import ArtifactError, Reason
from penstock.artifact.reference import HttpsReference, OciReference, parse_digest, parse_reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("oci://example.com/team/model", OciReference("example.com", "team/model")),
        ("oci://example.com:5000/model:1.0", OciReference("example.com:5000", "model", "1.0")),
        (f"oci://h/m@{DIGEST}", OciReference("h", "m", None, DIGEST)),
        (f"oci://10.0.0.1:80/a/b_c/d-e:v1@{DIGEST}", OciReference("10.0.0.1:80", "a/b_c/d-e", "v1", DIGEST)),
        ("oci://[::1]:5000/m", OciReference("[::1]:5000", "m")),
        ("https://example.com/models/a.onnx?version=3", HttpsReference("https://example.com/models/a.onnx?version=3")),
    ],
)
def test_valid(uri: str, expected: object) -> None:
    assert parse_reference(uri) == expected


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "model.onnx",
        "http://example.com/a.onnx",
        "file:///etc/passwd",
        "oci://example.com",
        "oci:///model",
        "oci://example.com/UPPER",
        "oci://example.com/a/../b",
        "oci://example.com/model@sha256:short",
        "oci://user:secret@example.com/model",
        "oci://example.com/model:tag\n",
        "https://user:secret@example.com/a.onnx",
        "https://example.com/",
        "https://example.com/models/..",
        "https:///a.onnx",
    ],
)
def test_invalid(uri: str) -> None:
    with pytest.raises(ArtifactError) as caught:
        parse_reference(uri)
    assert caught.value.reason is Reason.INVALID_REFERENCE
    assert "secret" not in caught.value.message


def test_file_name_and_pinned_uri() -> None:
    assert HttpsReference("https://example.com/models/a.onnx?version=3").file_name == "a.onnx"
    assert OciReference("h:1", "m", "v1").pinned(DIGEST) == f"oci://h:1/m:v1@{DIGEST}"
    assert parse_reference(OciReference("h:1", "m").pinned(DIGEST)) == OciReference("h:1", "m", None, DIGEST)


@pytest.mark.parametrize("text", ["", "sha256:", "sha256:" + "A" * 64, "sha512:" + "a" * 64, "a" * 64, DIGEST + "\n"])
def test_not_a_digest(text: str) -> None:
    with pytest.raises(ArtifactError):
        parse_digest(text)
