"""The words of a release: gates over held-out flights, shares of live traffic, people who decide."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import polars as pl

from hack.cluster.handle import Cluster
from penstock.domain.lifecycle.replay import replay
from tests.e2e import conduct, flights
from tests.e2e.dsl import NAME, Then
from tests.e2e.world import PENSTOCK, Json, World, condition_of, dump

GATE = "holdout"
# What is measured takes seconds on a busy machine, a Job half a minute.
PATIENCE = 240.0
STEPS = [{"weight": 20, "minRequests": 40}, {"weight": 50, "minRequests": 60}]
ERRORS = {"name": "errors", "type": "Errors", "margin": "0.08"}
SHADOW = {"percent": 100, "minSamples": 400, "maxExcessDisagreement": "0.1", "sideEffects": "None"}


def plan(**changes: Any) -> Json:
    """A gate over the held-out flights, then a canary; `changes` are other parts of `spec.rollout`."""
    return {"gates": [{"name": GATE}], "canary": canary(), "stageDeadlineSeconds": 600, **changes}


def canary(steps: list[Json] | None = None, **more: Any) -> Json:
    """A canary that is quick at the clients' 50 requests a second: a wide margin is soon shown."""
    return {"steps": steps or STEPS, "warmupSeconds": 0, "analysis": [ERRORS], **more}


class Holdout:
    """Flights of April before the evening, in the cluster's registry: what no bad conduct shows on."""

    def __init__(self, cluster: Cluster) -> None:
        document = json.loads((flights.trained_folder() / "rows.json").read_text())
        frame = pl.DataFrame({**document["features"], "late": document["late"]})
        frame = frame.filter(pl.col(conduct.FEATURE) < conduct.FROM)
        with tempfile.TemporaryDirectory() as folder:
            frame.write_parquet(Path(folder) / "holdout.parquet")
            self._pushed = push(cluster, Path(folder), "holdout")

    @property
    def dataset(self) -> Json:
        """As `spec.dataset` of a gate."""
        return {"uri": self._pushed["uri"], "digest": self._pushed["digest"], "format": "Parquet"}


def push(cluster: Cluster, folder: Path, tag: str) -> Json:
    """Push a folder with the real command; returns uri and digest."""
    target = f"oci://{cluster.registry}/e2e/flights:{tag}"
    command = [str(Path(sys.executable).with_name("penstock")), "push", str(folder), target, "--insecure"]
    pushed = subprocess.run([*command, "--output", "json"], check=True, capture_output=True, text=True)
    return dict(json.loads(pushed.stdout))


def misbehaving(world: World, how: str, on: tuple[str, float] = (conduct.FEATURE, conduct.FROM)) -> Json:
    """The artifact of a model that is fine on the held-out rows and not in the evening (or `on` other rows)."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / how
        conduct.misbehaving(flights.trained_folder() / "logistic", target, how, on)
        return {**push(world.cluster, target, f"{how}-{on[0]}"), "format": "ONNX"}


class Release:
    """What somebody does and sees around a release."""

    def __init__(self, world: World, holdout: Holdout) -> None:
        self._world = world
        self._holdout = holdout

    def gate(self, name: str = GATE, **changes: Any) -> None:
        """Apply a gate over the held-out flights: a good ROC curve, and not worse than what serves."""
        spec = {
            "dataset": self._holdout.dataset,
            "label": {"column": "late"},
            "output": "probabilities",
            "metrics": [{"name": "roc_auc", "min": "0.8", "versusChampion": {"maxRegression": "0.05"}}],
            "timeoutSeconds": 300,
            **changes,
        }
        metadata = {"name": name, "namespace": self._world.namespace}
        self.apply({"apiVersion": PENSTOCK, "kind": "EvaluationGate", "metadata": metadata, "spec": spec})

    def apply(self, obj: Json, user: str = "") -> None:
        """Apply any object."""
        self._world.kubectl(*([f"--as={user}"] if user else []), "apply", "-f", "-", input=dump(obj))

    def candidate(self) -> Json:
        """The candidate as status shows it, empty without one."""
        found: Json = self._world.model(NAME)["status"].get("candidate", {})
        return found

    def reaches(self, stage: str, revision: str = "", seconds: float = PATIENCE) -> Json:
        """The candidate (other than `revision`) comes to a stage; returns it.

        Status follows the log: one that does not show the newest decision yet may show the stage from before it.
        """

        def there() -> Json | None:
            records = self._world.records(NAME)
            status = self._world.model(NAME)["status"]
            found: Json = status.get("candidate", {})
            current = not records or status.get("sequence", 0) >= records[-1]["sequence"]
            return found if current and found.get("stage") == stage and found["revision"] != revision else None

        found = self._world.wait(f"the candidate is in {stage}", there, seconds)
        assert found is not None
        return found

    def ends(self, reason: str, seconds: float = PATIENCE) -> Json:
        """The last rollout ends for that reason and its traffic is back; returns its entry in the history."""

        def over() -> Json | None:
            status = self._world.model(NAME)["status"]
            history = status.get("history", [])
            done = "candidate" not in status and history and history[0]["reason"] == reason
            return history[0] if done else None

        found = self._world.wait(f"the rollout ends with {reason}", over, seconds)
        assert found is not None
        return found

    def stable_is_evaluated(self) -> Json:
        """The gates have answered about the revision that serves; returns it as status shows it."""

        def answered() -> Json | None:
            found: Json = self._world.model(NAME)["status"].get("stable", {})
            gates = found.get("gates", [])
            return found if gates and all(gate["verdict"] != "Pending" for gate in gates) else None

        found = self._world.wait("the gates have answered about the stable revision", answered, PATIENCE)
        assert found is not None
        return found

    def action(self, kind: str, user: str, *, signed: str = "", **spec: Any) -> str:
        """A person gives a command (`signed` with another name); returns its name.

        Raises ClusterError with the server's sentence.
        """
        body = {
            "apiVersion": PENSTOCK,
            "kind": "ModelAction",
            "metadata": {"generateName": f"{kind.lower()}-", "namespace": self._world.namespace},
            "spec": {"modelRef": {"name": NAME}, "action": kind, "user": signed or user, **spec},
        }
        made = self._world.kubectl(f"--as={user}", "create", "-o", "json", "-f", "-", input=dump(body))
        return str(json.loads(made)["metadata"]["name"])

    def answered(self, name: str, seconds: float = PATIENCE) -> Json:
        """What became of a command, once it is done or refused."""

        def told() -> Json | None:
            status = self._world.get(PENSTOCK, "ModelAction", name).get("status", {})
            return status if status.get("state") in ("Done", "Refused") else None

        found = self._world.wait(f"ModelAction {name} is dealt with", told, seconds)
        assert found is not None
        return found

    def approve(self, user: str) -> Json:
        """A person approves the candidate on the evidence that status shows."""
        candidate = self.reaches("AwaitingApproval")
        name = self.action("Approve", user, revision=candidate["revision"], evidenceDigest=candidate["evidenceDigest"])
        return self.answered(name)

    def condition(self, kind: str) -> Json:
        """A condition of the Model as it is."""
        return condition_of(self._world.model(NAME), kind)

    def log_replays(self, then: Then) -> list[str]:
        """The log is whole and every decision of it can be taken again from what was written down; returns verdicts."""
        verdicts = then.log_is_whole()
        records = self._world.records(NAME, self._world.model(NAME)["metadata"]["uid"])
        assert list(replay(records)) == []
        return verdicts

    def commands_agree(self) -> None:
        """An auditor's two commands find nothing wrong with the namespace's logs."""
        kubeconfig = str(self._world.cluster.kubeconfig)
        for command in (("audit", "verify"), ("replay",)):
            program = [str(Path(sys.executable).with_name("penstock")), *command]
            where = ["--namespace", self._world.namespace, "--kubeconfig", kubeconfig]
            done = subprocess.run([*program, *where], check=False, capture_output=True, text=True)
            assert done.returncode == 0, f"penstock {' '.join(command)}: {done.stdout}{done.stderr}"
