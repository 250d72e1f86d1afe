"""The same clients in a pod of the cluster: they ask at `status.address.url`, a Service, whatever the Gateway does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e import traffic
from tests.e2e.traffic import Answer
from tests.e2e.world import SECURE, World, dump

# Beside the clients outside, and without taking much of the machine from what is tested.
PER_SECOND = 20
ROWS = 40
_STOP = "import os, signal; os.kill(1, signal.SIGTERM)"


@contextmanager
def asking(world: World, url: str, model: str, answers: list[Answer]) -> Iterator[None]:
    """Ask until the block ends; then `answers` gets what was answered."""
    pod = _pod(world, url, model)
    name = json.loads(world.kubectl("create", "-o", "json", "-f", "-", input=dump(pod)))["metadata"]["name"]
    world.wait("clients inside the cluster ask", lambda: _running(world, name) and world.kubectl("logs", name))
    try:
        yield
    finally:
        world.kubectl("exec", name, "--", "python3", "-c", _STOP)
        world.wait(f"pod {name} has ended", lambda: world.get("v1", "Pod", name)["status"]["phase"] == "Succeeded")
        lines = world.wait("its answers are here", lambda: _complete(world.kubectl("logs", name)))
        answers += [Answer(**json.loads(line)) for line in lines]
        world.kubectl("delete", "pod", name, "--wait=false")


def _running(world: World, name: str) -> bool:
    return bool(world.get("v1", "Pod", name)["status"]["phase"] == "Running")


def _complete(log: str) -> list[str]:
    """The lines between the first and the last, once both are there."""
    lines = log.splitlines()
    return lines[1:-1] if lines and lines[-1] == "end" else []


def _pod(world: World, url: str, model: str) -> dict[str, object]:
    """A pod with the program in the operator's image, which has a Python and an HTTP client."""
    bodies = [body.decode() for body in world.flights.bodies[:ROWS]]
    variables = {"URL": url, "MODEL": model, "BODIES": json.dumps(bodies), "PER_SECOND": str(PER_SECOND)}
    container = {
        "name": "clients",
        "image": world.images["operator"],
        "command": ["python3", "-c", Path(traffic.__file__).read_text()],
        "env": [{"name": name, "value": value} for name, value in variables.items()],
        "securityContext": SECURE,
    }
    spec = {"restartPolicy": "Never", "automountServiceAccountToken": False, "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "clients-"}, "spec": spec}
