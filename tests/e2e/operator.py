"""The operator as something that can be found, stopped at a chosen moment, and awaited."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from kubernetes import client, config, watch

from hack.install import NAMESPACE
from tests.e2e.world import Json, World

SELECTOR = "app.kubernetes.io/name=penstock-operator"
PROGRAM = "python3"
WATCH_SECONDS = 90
LOGS = "/apis/penstock.dev/v1alpha1"


@dataclass
class Operator:
    """The one replica of the operator."""

    world: World

    @contextmanager
    def dies(self, how: str, *, on: str = "") -> Iterator[None]:
        """End it after the block: "killed" is SIGKILL to its process, "deleted" is its pod by force.

        `on`: not before the namespace's log gets a record with this verdict.
        """
        strike = self._killer() if how == "killed" else self._deleter()
        since = self.world.api.request("GET", f"{LOGS}/namespaces/{self.world.namespace}/decisionrecords", limit="1")
        yield
        if on:
            self._wait_for_record(on, since["metadata"]["resourceVersion"])
        strike()

    def holder(self) -> str:
        """The process that leads, by its lease."""
        lease = self.world.get("coordination.k8s.io/v1", "Lease", "penstock-operator", NAMESPACE)
        return str(lease["spec"].get("holderIdentity", ""))

    def leads_again(self, after: str) -> None:
        """Wait until another process than `after` leads and has read what is there."""
        self.world.wait("another process leads", lambda: self.holder() not in ("", after))
        self.world.wait("the operator is ready", lambda: _is_ready(self._pod()))

    def _pod(self) -> Json:
        pods = self.world.api.list("v1", "Pod", NAMESPACE, labelSelector=SELECTOR)
        (pod,) = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        return pod

    def _deleter(self) -> Callable[[], object]:
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{self._pod()['metadata']['name']}"
        return lambda: self.world.api.request("DELETE", path, gracePeriodSeconds="0")

    def _killer(self) -> Callable[[], object]:
        if self.world.cluster.provider != "native":
            pytest.skip("the node's processes can be reached in the native cluster only")
        uid = self._pod()["metadata"]["uid"]
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                inside = uid in (folder / "cgroup").read_text()
                if inside and (folder / "comm").read_text().strip() == PROGRAM:
                    return partial(os.kill, int(folder.name), signal.SIGKILL)
            except OSError:  # a process that has ended meanwhile
                continue
        raise AssertionError(f"no process {PROGRAM} runs in the operator's pod")

    def _wait_for_record(self, verdict: str, since: str) -> None:
        """Return within milliseconds of the record: a watch, because looking from time to time would come late."""
        api = client.CustomObjectsApi(config.new_client_from_config(str(self.world.cluster.kubeconfig)))
        stream = watch.Watch().stream(
            api.list_namespaced_custom_object,
            "penstock.dev",
            "v1alpha1",
            self.world.namespace,
            "decisionrecords",
            resource_version=since,
            timeout_seconds=WATCH_SECONDS,
        )
        if not any(event["object"]["spec"]["verdict"] == verdict for event in stream):
            raise AssertionError(f"within {WATCH_SECONDS} s the log got no record {verdict}")


def _is_ready(pod: Json) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
