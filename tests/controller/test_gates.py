"""The Jobs of gates and the gates' own status on a real API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from penstock.api.v1alpha1.base import API_VERSION
from penstock.api.v1alpha1.checkpoint import Proof
from penstock.api.v1alpha1.modelrevision import ModelRevisionSpec
from penstock.controllers.config import OperatorConfig
from penstock.controllers.featureset.job import JOB_LABEL
from penstock.controllers.gates.controller import EvaluationGateController
from penstock.controllers.gates.job import EVALUATE, GATE_LABEL
from penstock.controllers.gates.view import Ask, Evaluations, Looked
from penstock.controllers.model import names
from penstock.controllers.resources import EVALUATIONGATES, FEATURESETS, MODELS
from penstock.domain.gates.task import encode, error
from penstock.domain.gates.verdict import Verdict
from penstock.kube.applier import Applier
from penstock.kube.cache import Cache
from penstock.kube.ratelimit import TokenBucket
from penstock.kube.resources import JOBS, PODS, uid_of
from tests.controller.world import World, digest, spec_of
from tests.support.jobs import SimulatedJobs
from tests.unit.domain.gates_given import CHAMPION, REVISION, metric, result

Json = dict[str, Any]

GATE = "holdout"
ROWS = digest("rows")
IMAGE = f"registry.example.com/jobs@{ROWS}"
CONFIG = OperatorConfig(runtime_image=IMAGE, jobs_image=IMAGE)
SPEC: Json = {
    "dataset": {"uri": "s3://bucket/a.parquet", "format": "Parquet", "digest": ROWS},
    "label": {"column": "late"},
    "metrics": [{"name": "roc_auc", "min": "0.72"}],
}
GOOD = result(metric(0.8, 0.9), dataset_digest=ROWS)


class Stage:
    """A Model that names a gate, and what a Model controller does about it, a step at a time."""

    def __init__(self, world: World, model: Json) -> None:
        self.world, self.model = world, model
        self.client, self.namespace = world.client, world.namespace
        self.cache = Cache(label_indexes=(names.MODEL_LABEL, GATE_LABEL))
        self.applier = Applier(self.client, self.cache, TokenBucket(1000, 1000))
        self.jobs = SimulatedJobs(self.client, self.namespace)

    async def look(self, **changes: Any) -> Looked:
        """Look at the gate as the API server has everything now, and do what that asks for."""
        for kind in (EVALUATIONGATES, FEATURESETS, MODELS, JOBS, PODS):
            objects, version = await self.client.list(kind, self.namespace)
            for obj in objects:
                self.cache.upsert(kind, obj)
            live = {(self.namespace, obj["metadata"]["name"], uid_of(obj)) for obj in objects}
            self.cache.prune(kind, live, version)
        meta = self.model["metadata"]
        ask = Ask(self.namespace, meta["name"], uid_of(self.model), revision(meta), revision(meta, CHAMPION), [GATE])
        ask = Ask(**{field: getattr(ask, field) for field in ask.__slots__} | changes)
        looked = await Evaluations(self.client, self.cache, CONFIG).look(ask, datetime.now(UTC))
        for job in looked.apply:
            await self.applier.apply(JOBS, job, owner_uid=uid_of(self.model))
        for job in looked.delete:
            await self.applier.delete(JOBS, self.namespace, job["metadata"]["name"], uid=uid_of(job))
        return looked

    async def end(self) -> None:
        """Have every Job end that there is a script for, once."""
        running = asyncio.create_task(self.jobs.run())

        async def ended() -> bool:
            return all(job.get("status", {}).get("conditions") for job in await self.live_jobs())

        try:
            await self.world.until(ended, "the Jobs have ended")
        finally:
            running.cancel()
            await asyncio.wait([running])

    async def live_jobs(self) -> list[Json]:
        """The Jobs that are there and not on their way out."""
        jobs, _ = await self.client.list(JOBS, self.namespace)
        return [job for job in jobs if not job["metadata"].get("deletionTimestamp")]

    async def status(self) -> Json:
        """Have the gate's own controller look, and return what it wrote."""
        await EvaluationGateController(self.cache, self.applier, lambda: datetime.now(UTC)).reconcile(
            (self.namespace, GATE)
        )
        gate = await self.client.get(EVALUATIONGATES, self.namespace, GATE)
        found: Json = gate["status"]
        return found


def revision(meta: Json, name: str = REVISION) -> ModelRevisionSpec:
    return ModelRevisionSpec.model_validate(
        {
            "modelName": meta["name"],
            "modelUID": meta["uid"],
            "revision": name,
            "specHash": ROWS,
            "artifact": {"uri": "oci://registry.example.com/delay", "digest": ROWS, "format": "ONNX"},
            "runtime": "Penstock",
            "images": {"runtime": IMAGE, "fetch": IMAGE},
        }
    )


@pytest.fixture
async def stage(world: World) -> AsyncIterator[Stage]:
    def named(name: str) -> Json:
        return {"name": name, "namespace": world.namespace}

    gate = {"apiVersion": API_VERSION, "kind": "EvaluationGate", "metadata": named(GATE), "spec": SPEC}
    await world.client.create(EVALUATIONGATES, gate)
    spec = spec_of(rollout={"gates": [{"name": GATE}]})
    model = await world.client.create(
        MODELS, {"apiVersion": API_VERSION, "kind": "Model", "metadata": named("delay"), "spec": spec}
    )
    yield Stage(world, model)
    world.cluster.request("DELETE", JOBS.path(world.namespace), propagationPolicy="Background")
    world.cluster.request("DELETE", EVALUATIONGATES.path(world.namespace))
    world.cluster.request("DELETE", MODELS.path(world.namespace))


async def test_from_a_job_to_a_verdict_to_the_log(stage: Stage) -> None:
    stage.jobs.results[GATE] = GOOD
    first = await stage.look()
    assert first.views[0].running
    assert (await stage.look()).apply == ()
    status = await stage.status()
    assert [run["outcome"] for run in status["runs"]] == ["Running"]
    await stage.end()
    [view] = (await stage.look()).views
    assert (view.verdict, view.fresh) == (Verdict.PASS, True)
    status = await stage.status()
    assert (status["usedBy"], status["models"], status["holdout"]["revisions"]) == (1, ["delay"], 1)
    assert [run["outcome"] for run in status["runs"]] == ["Complete"]
    assert status["conditions"][0]["reason"] == "GateReady"
    proof = Proof(
        gate=GATE,
        revision=REVISION,
        spec_hash=view.spec_hash or "",
        dataset_digest=view.dataset_digest,
        verdict=Verdict.PASS.value,
        reason=view.reason,
        at=datetime.now(UTC),
    )
    await stage.look(proofs=[proof])
    assert await stage.live_jobs() == []
    again = await stage.look(proofs=[proof])
    assert (again.apply, again.views[0].verdict, again.views[0].reused) == ((), Verdict.PASS, True)


async def test_a_pod_that_anybody_made_is_not_believed(stage: Stage) -> None:
    """It has the owner and the labels of a gate's pod, but for the one that admission keeps for the Job controller."""
    await stage.look()
    [job] = await stage.live_jobs()
    template = job["spec"]["template"]
    labels = {key: value for key, value in template["metadata"]["labels"].items() if key != JOB_LABEL}
    forged = {"metadata": {"labels": labels, "annotations": {}}, "spec": template["spec"]}
    await stage.jobs._end_pod(job | {"spec": {"template": forged}}, {"exitCode": 0, "message": encode(GOOD)})
    await stage.jobs._end_job(job, failed=False)
    [view] = (await stage.look()).views
    assert (view.verdict, view.reason) == (Verdict.ERROR, "EvaluationError")
    assert view.retry_at is not None


async def test_an_error_is_held_and_tried_again(stage: Stage) -> None:
    stage.jobs.results[GATE] = error("SourceUnavailable", "no answer")
    await stage.look()
    await stage.end()
    [view] = (await stage.look()).views
    assert (view.verdict, view.attempt) == (Verdict.ERROR, 1)
    assert view.retry_at is not None
    [job] = await stage.live_jobs()
    assert job["metadata"]["labels"][JOB_LABEL] == EVALUATE
