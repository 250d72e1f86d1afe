"""The published description of the HTTP interface, narrowed to the one model that this process serves."""

from pathlib import Path
from typing import Any

import orjson

_FILE = Path(__file__).with_name("openapi.json")


def openapi_document(model_name: str, revision: str, example: bytes | None) -> dict[str, Any]:
    """OpenAPI 3.1, with the model's example as that of the requests.

    `openapi.json` is `openapi.yaml` in the form that needs no YAML library to serve it.
    """
    document: dict[str, Any] = orjson.loads(_FILE.read_bytes())
    parameters = document["components"]["parameters"]
    parameters["model"]["schema"]["enum"] = [model_name]
    parameters["revision"]["schema"]["enum"] = [revision]
    if example is not None:
        content = document["components"]["requestBodies"]["Inference"]["content"]
        content["application/json"]["example"] = orjson.Fragment(example)
    return document
