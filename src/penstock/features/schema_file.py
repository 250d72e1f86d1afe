"""The file in which a schema comes to a pod, and the definition as people keep it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from penstock.api.v1alpha1.featureset import FeatureSet
from penstock.domain.features.schema import FeatureSchema
from penstock.features.errors import DatasetError

VARIABLE = "PENSTOCK_FEATURES"
"""Names the file."""
DEFAULT_FILE = Path("/etc/penstock/features/features.json")
_MAX_BYTES = 4 << 20


def read_schema(file: Path) -> FeatureSchema:
    """Read the schema that a pod was given; raises ValueError with one sentence."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ValueError(f"The feature schema {file} cannot be read: {error.strerror}.") from None
    if len(content) > _MAX_BYTES:
        raise ValueError(f"The feature schema {file} is larger than {_MAX_BYTES} bytes.")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"The feature schema {file} is no JSON: {error}.") from None
    if not isinstance(document, dict) or not document.get("features"):
        raise ValueError(f"The feature schema {file} holds no features.")
    return FeatureSchema.from_json(document)


def read_feature_set(source: str | Path | Mapping[str, Any]) -> FeatureSet:
    """Read a FeatureSet from a YAML or JSON file, or from an object as the API server gives it.

    Raises DatasetError.
    """
    content = source if isinstance(source, Mapping) else _from_file(Path(source))
    try:
        return FeatureSet.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DatasetError(f"The FeatureSet is not valid: {place}: {first['msg']}.") from None


def _from_file(file: Path) -> Mapping[str, Any]:
    try:
        text = file.read_text()
    except OSError as error:
        raise DatasetError(f"The FeatureSet {file} cannot be read: {error.strerror}.") from None
    if file.suffix == ".json":
        found = [json.loads(text)]
    else:
        try:
            import yaml  # noqa: PLC0415 - only for files of YAML
        except ImportError:
            raise DatasetError(
                f"Reading {file} needs PyYAML: pip install pyyaml, or give the FeatureSet as a dict."
            ) from None
        try:
            found = [item for item in yaml.safe_load_all(text) if isinstance(item, dict)]
        except yaml.YAMLError as error:
            raise DatasetError(f"{file} is no YAML: {' '.join(str(error).split())}.") from None
    sets = [item for item in found if item.get("kind") == "FeatureSet"]
    if len(sets) != 1:
        raise DatasetError(f"{file} must hold exactly one object of kind FeatureSet; it holds {len(sets)}.")
    found_set: Mapping[str, Any] = sets[0]
    return found_set
