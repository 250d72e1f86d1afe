"""The two flight models: trained once, pushed with the real command, and what scikit-learn says of 1,000 rows."""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.cluster import paths
from hack.cluster.handle import Cluster

Json = dict[str, Any]

EXAMPLE = paths.REPOSITORY / "examples" / "flights"
LOCK = paths.REPOSITORY / "requirements" / "dev.txt"
FORMATS = {"logistic": "ONNX", "boosted": "Skops"}
# How far an answer may be from scikit-learn's: ONNX computes in another order.
TOLERANCES = {"logistic": 1e-4, "boosted": 1e-5}
BATCH = 100
_NUMBER = "FP64"


@dataclass(frozen=True)
class Flights:
    """The pushed models.

    Attributes:
        artifacts: model -> `spec.artifact`.
        expected: model -> the probability that scikit-learn gives each row.
        bodies: one request per row, as it goes over the wire.
        batches: the same rows, a hundred in a request.
    """

    artifacts: dict[str, Json]
    expected: dict[str, list[float]]
    bodies: list[bytes]
    batches: list[bytes]

    def kind_of(self, digest: str) -> str:
        """The model with that digest."""
        return next(kind for kind, artifact in self.artifacts.items() if artifact["digest"] == digest)

    def wrong(self, kind: str, row: int, probability: float) -> bool:
        """Whether a probability is not what that model says of that row."""
        return not abs(probability - self.expected[kind][row]) <= TOLERANCES[kind]


def prepare(cluster: Cluster) -> Flights:
    """Train (unless that was done already) and push."""
    folder = trained_folder()
    document = json.loads((folder / "rows.json").read_text())
    rows = len(document["late"])
    return Flights(
        artifacts={kind: _push(cluster, folder / kind, kind) for kind in FORMATS},
        expected={kind: document[kind] for kind in FORMATS},
        bodies=[_request(document["features"], row, row + 1) for row in range(rows)],
        batches=[_request(document["features"], start, start + BATCH) for start in range(0, rows, BATCH)],
    )


def trained_folder() -> Path:
    """Train the two models, unless that was done already; returns where they lie."""
    sources = [EXAMPLE / "train.py", EXAMPLE / "data.py", EXAMPLE / "requirements.txt", LOCK]
    key = hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    folder = paths.cache() / "flights" / key
    if not folder.exists():
        folder.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            out = Path(scratch) / "out"
            subprocess.run([sys.executable, str(EXAMPLE / "train.py"), str(out)], check=True)
            for outdated in folder.parent.glob("????????????????"):
                shutil.rmtree(outdated)
            out.rename(folder)
    return folder


def _push(cluster: Cluster, folder: Path, kind: str) -> Json:
    target = f"oci://{cluster.registry}/e2e/flights:{kind}"
    command = [str(Path(sys.executable).with_name("penstock")), "push", str(folder), target, "--insecure"]
    pushed = subprocess.run([*command, "--output", "json"], check=True, capture_output=True, text=True)
    return {**json.loads(pushed.stdout), "format": FORMATS[kind]}


def _request(features: dict[str, list[Any]], start: int, end: int) -> bytes:
    tensors = []
    for name, column in features.items():
        datatype = "BYTES" if isinstance(column[0], str) else _NUMBER
        tensors.append({"name": name, "datatype": datatype, "shape": [end - start, 1], "data": column[start:end]})
    return json.dumps({"inputs": tensors, "outputs": [{"name": "probabilities"}]}).encode()
