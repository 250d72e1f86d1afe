"""Which files may be in an artifact of which format."""

from collections.abc import Iterable
from pathlib import PurePosixPath

from penstock.artifact.errors import ArtifactError, Reason

# Loading one of these runs whatever code their author put in.
PICKLE_SUFFIXES = frozenset({".pkl", ".pickle", ".joblib", ".dill", ".pt", ".pth"})
_DOCUMENT_SUFFIXES = frozenset({".json", ".md", ".txt"})
_DOCUMENT_NAMES = frozenset({"LICENSE", "NOTICE"})
_MODEL_SUFFIX = {"ONNX": ".onnx", "Skops": ".skops"}
# ONNX keeps the tensors of large models in files beside the graph.
_DATA_SUFFIXES = {"ONNX": frozenset({".data", ".bin"}), "Skops": frozenset[str]()}

CUSTOM = "Custom"
FORMATS = (*_MODEL_SUFFIX, CUSTOM)


def refuse_pickles(paths: Iterable[str]) -> None:
    """Raises `ArtifactError` (UnsafeFormat) if one of the files is a pickle by its name."""
    for path in paths:
        if PurePosixPath(path.lower()).suffix in PICKLE_SUFFIXES:
            raise ArtifactError(
                Reason.UNSAFE_FORMAT,
                f"'{path}' is a pickle, which runs code when it is loaded: export the model to ONNX or skops.",
            )


def check_format(model_format: str, paths: Iterable[str]) -> None:
    """Raises `ArtifactError` unless the files are exactly one model of this format and what may stand beside it.

    Custom allows every file: Penstock itself never loads it. Else the model lies at the top of the artifact;
    `metadata.json`, documents and the data files of ONNX may accompany it.
    """
    if model_format == CUSTOM:
        return  # the owner's own server loads it, in the owner's own container
    if model_format not in _MODEL_SUFFIX:
        raise ArtifactError(
            Reason.INVALID_REFERENCE, f"The format '{model_format[:50]}' is not known: use one of {', '.join(FORMATS)}."
        )
    paths = list(paths)
    refuse_pickles(paths)
    suffix = _MODEL_SUFFIX[model_format]
    models = [path for path in paths if "/" not in path and path.lower().endswith(suffix)]
    if len(models) != 1:
        found = ", ".join(f"'{path}'" for path in models) or "none"
        raise ArtifactError(
            Reason.UNSAFE_FORMAT,
            f"A {model_format} artifact holds exactly one *{suffix} file at its top; found: {found}.",
        )
    allowed = _DOCUMENT_SUFFIXES | _DATA_SUFFIXES[model_format]
    for path in paths:
        name = PurePosixPath(path)
        if path not in models and name.suffix.lower() not in allowed and name.name not in _DOCUMENT_NAMES:
            raise ArtifactError(
                Reason.UNSAFE_FORMAT, f"'{path}' has no place in a {model_format} artifact: remove it and push again."
            )
