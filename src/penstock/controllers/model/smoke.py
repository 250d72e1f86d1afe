"""The smoke prediction: one real request to a fresh pod, in the Open Inference Protocol v2. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

REVISION_HEADER = "x-penstock-revision"
DIGEST_HEADER = "x-penstock-digest"
_ZERO: Mapping[str, Any] = {"BYTES": "", "BOOL": False, "FP16": 0.0, "FP32": 0.0, "FP64": 0.0}


def request_for(metadata: Json) -> tuple[Json, bool]:
    """Return the request to send, and whether it is a real example of the model's input.

    `metadata` is the server's answer to GET /v2/models/<name>. A model pushed with an example
    carries it in `parameters.example`; without one a single row of zeros and empty texts is sent,
    one element for every dimension of unknown size.
    """
    example = metadata.get("parameters", {}).get("example")
    if isinstance(example, dict) and example.get("inputs"):
        return {"inputs": example["inputs"]}, True
    inputs = []
    for tensor in metadata.get("inputs", []):
        shape = [size if size > 0 else 1 for size in tensor["shape"]]
        value = _ZERO.get(tensor["datatype"], 0)
        inputs.append(
            {"name": tensor["name"], "datatype": tensor["datatype"], "shape": shape, "data": [value] * math.prod(shape)}
        )
    return {"inputs": inputs}, False


def identity_error(headers: Mapping[str, str], revision: str, digest: str) -> str | None:
    """Say what is wrong if an answer does not come from that revision with that artifact, else None."""
    answered = headers.get(REVISION_HEADER)
    if answered != revision:
        return f"the pod answers as revision {answered or 'unknown'} instead of {revision}"
    if headers.get(DIGEST_HEADER) != digest:
        return f"the pod serves {headers.get(DIGEST_HEADER) or 'an unknown artifact'} instead of {digest}"
    return None


def prediction_error(status: int, body: Any, *, real_example: bool) -> str | None:
    """Say what is wrong with the answer to `request_for`, or None if it is a prediction.

    Zeros and empty texts may be no valid input (an unknown category), so that a 4xx to them shows
    a server that works; a 4xx to a real example, a 5xx, or a number that is not finite does not.
    """
    if 400 <= status < 500 and not real_example:
        return None
    if status != 200:
        detail = body.get("error", "") if isinstance(body, dict) else ""
        return f"the smoke prediction was answered with {status}: {str(detail)[:300]}"
    outputs = body.get("outputs") if isinstance(body, dict) else None
    if not outputs:
        return "the smoke prediction has no outputs"
    for output in outputs:
        if any(isinstance(value, float) and not math.isfinite(value) for value in _flat(output.get("data", []))):
            return f"output {output.get('name')!r} of the smoke prediction is not a finite number"
    return None


def _flat(data: Any) -> list[Any]:
    if not isinstance(data, list):
        return [data]
    return [value for item in data for value in _flat(item)]
