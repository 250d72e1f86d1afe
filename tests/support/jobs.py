"""A simulation of the Job controller and the kubelet: each Job gets one pod, which says what its script says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from penstock.controllers.featureset.job import FEATURE_SET_LABEL
from penstock.controllers.gates.job import GATE_LABEL
from penstock.domain.data import task as validation
from penstock.domain.data.task import ValidationResult
from penstock.domain.gates import task as evaluation
from penstock.domain.gates.task import GateResult
from penstock.kube import errors
from penstock.kube.client import KubeClient
from penstock.kube.resources import JOBS, PODS, uid_of

Json = dict[str, Any]
Said = ValidationResult | GateResult | Json
LOOK_SECONDS = 0.1


class SimulatedJobs:
    """Ends the Jobs of one namespace.

    `results`: what the pod of a FeatureSet's or gate's next Jobs says as it ends, or its container's `terminated`
    state, or what that is for a given Job; Jobs of one without go on running. `seen`: the Jobs that were met, by name.
    """

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self.results: dict[str, Said | Callable[[Json], Said]] = {}
        self.seen: dict[str, Json] = {}
        self._client = client
        self._namespace = namespace

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            jobs, _ = await self._client.list(JOBS, self._namespace)
            for job in jobs:
                self.seen[job["metadata"]["name"]] = job
                try:
                    await self._look(job)
                except (errors.Conflict, errors.NotFound, errors.AlreadyExists):
                    continue
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self, job: Json) -> None:
        labels = job["metadata"]["labels"]
        result = self.results.get(labels.get(FEATURE_SET_LABEL) or labels[GATE_LABEL])
        if result is None or any(item["status"] == "True" for item in job.get("status", {}).get("conditions", [])):
            return
        terminated = _terminated(result(job) if callable(result) else result)
        await self._end_pod(job, terminated)
        await self._end_job(job, failed=terminated["exitCode"] != 0)

    async def _end_pod(self, job: Json, terminated: Json) -> None:
        meta = job["metadata"]
        template = job["spec"]["template"]
        owner = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": meta["name"],
            "uid": uid_of(job),
            "controller": True,
            "blockOwnerDeletion": True,
        }
        pod = await self._client.create(
            PODS,
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": f"{meta['name']}-x",
                    "namespace": self._namespace,
                    "ownerReferences": [owner],
                    **{key: template["metadata"][key] for key in ("labels", "annotations")},
                },
                "spec": template["spec"],
            },
        )
        pod["status"] = {
            "phase": "Failed" if terminated["exitCode"] else "Succeeded",
            "containerStatuses": [
                {
                    "name": template["spec"]["containers"][0]["name"],
                    "image": template["spec"]["containers"][0]["image"],
                    "imageID": "",
                    "ready": False,
                    "restartCount": 0,
                    "state": {"terminated": terminated},
                }
            ],
        }
        await self._client.update(PODS, pod, subresource="status")

    async def _end_job(self, job: Json, *, failed: bool) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        kinds = ("FailureTarget", "Failed") if failed else ("SuccessCriteriaMet", "Complete")
        live = await self._client.get(JOBS, self._namespace, job["metadata"]["name"])
        live["status"] = {
            "startTime": now,
            **({"failed": 1} if failed else {"succeeded": 1, "completionTime": now}),
            "conditions": [
                {"type": kind, "status": "True", "reason": "Simulated", "lastTransitionTime": now} for kind in kinds
            ],
        }
        await self._client.update(JOBS, live, subresource="status")


def _terminated(result: Said) -> Json:
    if isinstance(result, ValidationResult):
        return {"exitCode": 0, "message": validation.encode(result)}
    if isinstance(result, GateResult):
        return {"exitCode": 0, "message": evaluation.encode(result)}
    return result
