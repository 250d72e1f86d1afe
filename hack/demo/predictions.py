"""Sends real rows through the Gateway and compares the answers with scikit-learn's own."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import httpx

from hack.cluster.console import ClusterError

# Both sides count in 64-bit floats; what is left is the order of additions.
TOLERANCE = 1e-9
_BATCH = 100

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Probabilities of being late, one per row, and the revisions that gave them."""

    probabilities: list[float]
    revisions: set[str]
    requests: int


def request(features: dict[str, list[Any]], inputs: list[Json], start: int, stop: int) -> Json:
    """Rows `start` to `stop` as a request of the Open Inference Protocol; `inputs` are those of the metadata."""
    tensors = []
    for item in inputs:
        data = features[item["name"]][start:stop]
        tensors.append({"name": item["name"], "datatype": item["datatype"], "shape": [len(data), 1], "data": data})
    return {"inputs": tensors}


def ask(url: str, features: dict[str, list[Any]], metadata: Path) -> Predictions:
    """Sends all rows to the Model at `url`, a hundred at a time. Raises ClusterError at the first refusal."""
    inputs = json.loads(metadata.read_text())["inputs"]
    total = len(next(iter(features.values())))
    probabilities: list[float] = []
    revisions: set[str] = set()
    starts = range(0, total, _BATCH)
    # The cluster is asked directly: a proxy of the environment must not see these requests.
    with httpx.Client(timeout=10, trust_env=False) as client:
        for start in starts:
            try:
                response = client.post(url, json=request(features, inputs, start, start + _BATCH))
            except httpx.HTTPError as error:
                raise ClusterError(f"{url} does not answer ({error}); check that PENSTOCK_GATEWAY_URL or the "
                                   "local Gateway is reachable from here.") from error  # fmt: skip
            if response.status_code != httpx.codes.OK:
                raise ClusterError(f"{url} answered {response.status_code}: {response.text[:300]}")
            answer = response.json()
            probabilities += late(answer)
            revisions.add(answer["model_version"])
    return Predictions(probabilities, revisions, len(starts))


def late(answer: Json) -> list[float]:
    """The probability of the second class for every row of an answer."""
    values = next(output["data"] for output in answer["outputs"] if output["name"] == "probabilities")
    return [float(value) for value in values[1::2]]


def largest_difference(here: list[float], there: list[float]) -> float:
    """The largest distance between two probabilities of the same row. Raises ValueError if a row is missing."""
    return max(abs(one - other) for one, other in zip(here, there, strict=True))
