"""Given, when, then: scenarios about Models on a real cluster, in the words of the product."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from hack.cluster.console import ClusterError
from penstock.domain.audit import broken_link
from tests.e2e import inside
from tests.e2e import traffic as clients
from tests.e2e.timeline import turns
from tests.e2e.traffic import Answer, Traffic, failures, probabilities
from tests.e2e.world import KINDS, PATIENCE, PENSTOCK, SECURE, Json, World, condition_of, dump

NAME = "flights"


class Given:
    """What holds before. `inside`: whether traffic comes from a pod in the cluster too."""

    def __init__(self, world: World, *, inside: bool = False) -> None:
        self._world = world
        self._inside = inside

    def model(self, artifact: str | Json, **spec: Any) -> str:
        """A Model that serves; returns its revision."""
        When(self._world).spec_is(artifact, **spec)
        return Then(self._world).serves(artifact)

    def user(self, name: str, *, verbs: bool = True) -> str:
        """An ordinary person with the role `admin` in the namespace, who may write routes too.

        `verbs`: whether also the verbs of commands are theirs, such as approve.
        """
        ordinary = ["get", "list", "watch", "create", "update", "patch", "delete"]
        rule = {
            "apiGroups": ["gateway.networking.k8s.io", "penstock.dev"],
            "resources": ["*"],
            "verbs": ["*"] if verbs else ordinary,
        }
        role = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": name},
            "rules": [rule],
        }
        self._world.kubectl("create", "rolebinding", f"{name}-admin", "--clusterrole=admin", f"--user={name}")
        self._world.kubectl("create", "-f", "-", input=dump(role))
        self._world.kubectl("create", "rolebinding", name, f"--role={name}", f"--user={name}")
        return name

    @contextmanager
    def traffic(self) -> Iterator[Traffic]:
        """Clients that go on asking for predictions through the Gateway, and have had their first answers.

        Others ask at the Model's own Service meanwhile, from a pod.
        """
        world = self._world
        status = world.model(NAME)["status"]
        with Traffic(status["url"], NAME, world.flights.bodies).flowing() as traffic, ExitStack() as pod:
            if self._inside:
                pod.enter_context(inside.asking(world, status["address"]["url"], NAME, traffic.inside))
            When(world).clients_have_asked(traffic, clients.PER_SECOND)
            yield traffic


class When:
    """What somebody does."""

    def __init__(self, world: World) -> None:
        self._world = world

    def spec_is(self, artifact: str | Json, *, user: str = "", requested_by: str = "", **spec: Any) -> None:
        """Apply the Model with one of the trained models, or with any artifact; as `user` if one is named."""
        found = self._world.flights.artifacts[artifact] if isinstance(artifact, str) else artifact
        metadata: Json = {"name": NAME, "namespace": self._world.namespace}
        if requested_by:
            metadata["annotations"] = {"penstock.dev/requested-by": requested_by}
        model = {"apiVersion": PENSTOCK, "kind": "Model", "metadata": metadata, "spec": {"artifact": found, **spec}}
        self._world.kubectl(*([f"--as={user}"] if user else []), "apply", "-f", "-", input=dump(model))

    def deleted(self, kind: str, name: str, *options: str) -> None:
        """Delete an object by hand and do not wait for its end."""
        self._world.kubectl("delete", kind, name, "--wait=false", *options)

    def clients_have_asked(self, traffic: Traffic, count: int) -> None:
        """Wait until the clients got that many more answers, good or bad."""
        wanted = len(traffic.answers) + count
        seconds = PATIENCE + count / clients.PER_SECOND
        self._world.wait(f"{count} more requests are answered", lambda: len(traffic.answers) >= wanted, seconds)


class Then:
    """What must be so, now or within a deadline."""

    def __init__(self, world: World) -> None:
        self._world = world

    def serves(self, artifact: str | Json, seconds: float = PATIENCE) -> str:
        """The Model serves that artifact and nothing is left to do; returns the revision."""
        found = self._world.flights.artifacts[artifact] if isinstance(artifact, str) else artifact

        def settled() -> str:
            model = self._world.model(NAME)
            status = model["status"]
            done = (
                status["observedGeneration"] == model["metadata"]["generation"]
                and "candidate" not in status
                and status.get("stable", {}).get("digest") == found["digest"]
                and condition_of(model, "Ready").get("status") == "True"
                and condition_of(model, "SpecServed").get("status") == "True"
            )
            return str(status["stable"]["revision"]) if done else ""

        return self._world.wait(f"the Model serves {found['uri']}", settled, seconds)

    def condition(self, kind: str, status: str, reason: str, seconds: float = PATIENCE) -> str:
        """A condition of the Model comes to hold for its present generation; returns its message."""

        def holds() -> str:
            model = self._world.model(NAME)
            found = condition_of(model, kind)
            current = found.get("observedGeneration") == model["metadata"]["generation"]
            return found["message"] if current and (found["status"], found["reason"]) == (status, reason) else ""

        return self._world.wait(f"the Model has {kind}={status}/{reason}", holds, seconds)

    def decided(self, verdict: str, revision: str = "", seconds: float = PATIENCE) -> Json:
        """The log comes to hold a record with that verdict (about a candidate other than `revision`)."""

        def recorded() -> Json | None:
            for record in reversed(self._world.records(NAME)):
                candidate = record["result"].get("candidate", {}).get("revision")
                if record["verdict"] == verdict and candidate != revision:
                    return record
            return None

        found = self._world.wait(f"the log says {verdict}", recorded, seconds)
        assert found is not None
        return found

    def pods(self, revision: str) -> dict[str, int]:
        """Uid -> restarts of the pods of a revision that are there to stay."""
        return {
            pod["metadata"]["uid"]: sum(item["restartCount"] for item in pod["status"].get("containerStatuses", []))
            for pod in self._world.children("Pod", NAME, revision)
            if "deletionTimestamp" not in pod["metadata"]
        }

    def predictions_equal(self, artifact: str) -> None:
        """All 1,000 rows, asked through the Gateway, get what scikit-learn says of them."""
        world = self._world
        url = world.model(NAME)["status"]["url"]
        found: list[float] = []
        for batch in world.flights.batches:
            found += probabilities(clients.ask(url, NAME, batch))
        wrong = [row for row, value in enumerate(found) if world.flights.wrong(artifact, row, value)]
        assert (len(found), wrong) == (len(world.flights.bodies), [])

    def no_client_saw_an_error(self, traffic: Traffic) -> None:
        """Neither at the Gateway nor at `status.address.url`."""
        _no_error("the gateway", traffic.answers)
        _no_error("address.url", traffic.inside)

    def clients_inside_saw_no_error(self, traffic: Traffic) -> None:
        """At `status.address.url`, where the stable revision alone answers."""
        _no_error("address.url", traffic.inside)

    def traffic_was_clean(self, traffic: Traffic) -> None:
        """No request failed, and every answer came from a revision whose turn it was, with that revision's numbers."""
        self.no_client_saw_an_error(traffic)
        digests, plan = self._world.digests(NAME), turns(self._world, NAME)
        flights = self._world.flights
        foreign = [
            answer
            for answer in traffic.answers
            if not any(
                turn.revision == answer.revision and turn.begin <= answer.done and answer.sent <= turn.end
                for turn in plan
            )
        ]
        assert not foreign, f"{len(foreign)} answers out of turn: {foreign[:5]}; turns: {plan}"
        wrong = [
            answer
            for answer in [*traffic.answers, *traffic.inside]
            if flights.wrong(flights.kind_of(digests[answer.revision]), answer.row, answer.probability)
        ]
        assert not wrong, f"{len(wrong)} answers with another number than their revision gives: {wrong[:5]}"

    def log_is_whole(self) -> list[str]:
        """The records of the Model follow each other without gap or change; returns their verdicts."""
        records = self._world.records(NAME, self._world.model(NAME)["metadata"]["uid"])
        assert broken_link(records) is None
        assert [record["sequence"] for record in records] == list(range(1, len(records) + 1))
        return [record["verdict"] for record in records]

    def events(self, reason: str) -> list[Json]:
        """The events of the namespace with that reason."""
        found = self._world.api.list("events.k8s.io/v1", "Event", self._world.namespace)
        return [event for event in found if event["reason"] == reason]

    def no_children(self, seconds: float = PATIENCE) -> None:
        """Nothing that the Model owned is left."""
        for kind in KINDS:
            self._world.wait(f"no {kind} is left", lambda kind=kind: not self._world.children(kind, NAME), seconds)

    def refused(self, *arguments: str, user: str = "", input: str | None = None) -> str:
        """Kubectl is refused; returns the server's sentence."""
        identity = [f"--as={user}"] if user else []
        try:
            self._world.cluster.kubectl("-n", self._world.namespace, *identity, *arguments, input=input)
        except ClusterError as error:
            return str(error)
        raise AssertionError(f"kubectl {' '.join(arguments)} was not refused")

    def runs_in_cluster(self, *command: str, input: str = "") -> str:
        """Run a command in a pod of the namespace, which must succeed; returns what it printed."""
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"generateName": "client-"},
            "spec": {
                "restartPolicy": "Never",
                "containers": [
                    {
                        "name": "client",
                        "image": self._world.images["busybox"],
                        "command": list(command),
                        "env": [{"name": "INPUT", "value": input}],
                        "securityContext": SECURE,
                    }
                ],
            },
        }
        name = json.loads(self._world.kubectl("create", "-o", "json", "-f", "-", input=dump(pod)))["metadata"]["name"]
        self._world.wait(
            f"pod {name} has succeeded",
            lambda: self._world.get("v1", "Pod", name)["status"]["phase"] == "Succeeded",
        )
        return self._world.kubectl("logs", name)


def _no_error(where: str, answers: list[Answer]) -> None:
    failed = failures(answers)
    assert answers, f"nobody asked at {where}"
    assert not failed, f"{len(failed)} of {len(answers)} failed at {where}: {failed[:5]}"
