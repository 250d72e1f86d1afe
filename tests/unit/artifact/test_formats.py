"""What may be in an artifact."""

import pytest

from penstock.artifact.errors import ArtifactError, Reason
from penstock.artifact.formats import check_format


@pytest.mark.parametrize(
    ("model_format", "paths"),
    [
        ("ONNX", ["model.onnx", "metadata.json", "weights.data", "LICENSE"]),
        ("Skops", ["model.skops", "README.md"]),
        ("Custom", ["weights.safetensors", "tokenizer.model", "legacy.pkl"]),
    ],
)
def test_allowed(model_format: str, paths: list[str]) -> None:
    check_format(model_format, paths)


@pytest.mark.parametrize(
    ("model_format", "paths", "reason"),
    [
        ("ONNX", ["a.onnx", "b.onnx"], Reason.UNSAFE_FORMAT),
        ("ONNX", ["sub/model.onnx"], Reason.UNSAFE_FORMAT),
        ("Skops", ["model.skops", "extra.PKL"], Reason.UNSAFE_FORMAT),
        ("Skops", ["model.skops", "run.sh"], Reason.UNSAFE_FORMAT),
        ("Pickle", ["model.pkl"], Reason.INVALID_REFERENCE),
    ],
)
def test_refused(model_format: str, paths: list[str], reason: Reason) -> None:
    with pytest.raises(ArtifactError) as refused:
        check_format(model_format, paths)
    assert refused.value.reason is reason
