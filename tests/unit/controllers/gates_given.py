"""Gates, revisions, Jobs and pods for the tests of the gates' controllers."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from penstock.api.v1alpha1.checkpoint import Proof
from penstock.api.v1alpha1.evaluationgate import EvaluationGate
from penstock.api.v1alpha1.modelrevision import ModelRevisionSpec
from penstock.controllers.config import ArtifactStore, OperatorConfig
from penstock.controllers.gates import job as jobs
from penstock.controllers.gates.view import Ask, Evaluations, Looked
from penstock.controllers.model import names
from penstock.controllers.resources import EVALUATIONGATES
from penstock.domain.gates.holdout import Rows, rows_of
from penstock.domain.gates.runs import Target, gate_hash
from penstock.domain.gates.task import Disagreement, GateResult, GateTask, encode
from penstock.domain.gates.view import GateView
from penstock.kube.cache import Cache
from penstock.kube.resources import JOBS, PODS
from tests.unit.domain.gates_given import CHAMPION, DIGEST, OTHER, REVISION, metric, result

Json = dict[str, Any]

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
UID = "0f1e2d3c-0000-4000-8000-000000000001"
IMAGE = f"registry.example.com/jobs@{DIGEST}"
CONFIG = OperatorConfig(
    runtime_image=IMAGE, jobs_image=IMAGE, artifact_store=ArtifactStore(repository="registry.example.com/store")
)
PLACE = {"uri": "s3://bucket/a.parquet", "format": "Parquet", "digest": DIGEST}
COMPLETE = [{"type": "Complete", "status": "True", "lastTransitionTime": "2026-03-01T12:00:00Z"}]
FAILED = [
    {
        "type": "Failed",
        "status": "True",
        "reason": "BackoffLimitExceeded",
        "message": "it failed",
        "lastTransitionTime": "2026-03-01T12:00:00Z",
    }
]
GOOD = result(
    metric(0.8, 0.9, value=0.85), disagreement=Disagreement(n=1000, label_flips=34, p95=0.1), report_digest=OTHER
)
BAD = result(metric(0.5, 0.6))


def gate(**changes: Any) -> EvaluationGate:
    spec = {
        "dataset": PLACE,
        "label": {"column": "late"},
        "metrics": [{"name": "roc_auc", "min": "0.72"}],
    } | changes
    return EvaluationGate.model_validate(
        {
            "kind": "EvaluationGate",
            "metadata": {"name": "holdout", "namespace": "airline", "generation": 3},
            "spec": spec,
        }
    )


def revision(name: str = REVISION, *features: str) -> ModelRevisionSpec:
    snapshot = {
        "featureSet": "flights",
        "generation": 1,
        "schemaDigest": DIGEST,
        "features": [{"name": item, "type": "Float64"} for item in features],
    }
    return ModelRevisionSpec.model_validate(
        {
            "modelName": "delay",
            "modelUID": UID,
            "revision": name,
            "specHash": DIGEST,
            "artifact": {"uri": "oci://registry.example.com/delay", "digest": DIGEST, "format": "ONNX"},
            "runtime": "Penstock",
            "images": {"runtime": IMAGE, "fetch": IMAGE},
        }
        | ({"features": snapshot} if features else {})
    )


def order(of: EvaluationGate | None = None, **changes: Any) -> jobs.Order:
    of = of or gate()
    rows = rows_of(of.spec, None)
    assert isinstance(rows, Rows)
    base = jobs.Order(
        namespace="airline",
        model="delay",
        model_uid=UID,
        gate=of,
        rows=rows,
        target=Target(REVISION, gate_hash(of.spec), rows.digest),
        candidate=revision(),
        champion=revision(CHAMPION),
        attempt=1,
    )
    return replace(base, **changes)


def task_of(job: Json) -> GateTask:
    return GateTask.model_validate_json(job["spec"]["template"]["metadata"]["annotations"]["penstock.dev/task"])


def live(job: Json, uid: str = "job-uid", version: str = "5", **status: Any) -> Json:
    meta = job["metadata"] | {"uid": uid, "resourceVersion": version, "creationTimestamp": "2026-03-01T11:59:00Z"}
    return job | {"metadata": meta, "status": status}


def pod(name: str = "p", owner: str = "job-uid", label: str = jobs.EVALUATE, reason: str = "", **state: Any) -> Json:
    return {
        "metadata": {
            "name": name,
            "namespace": "airline",
            "uid": f"uid-of-{name}",
            "resourceVersion": "6",
            "creationTimestamp": "2026-03-01T12:00:01Z",
            "labels": {"penstock.dev/job": label, jobs.GATE_LABEL: "holdout"},
            "ownerReferences": [{"uid": owner, "kind": "Job", "name": "j", "controller": True}],
        },
        "status": ({"reason": reason} if reason else {})
        | {"containerStatuses": [{"name": jobs.CONTAINER, "state": state}]},
    }


def told(answer: GateResult) -> Json:
    return pod(terminated={"exitCode": 0, "message": encode(answer)})


class _ApiServer:
    """Answers the one question that is asked of the API server: which pods there are."""

    def __init__(self, *pods: Json) -> None:
        self.pods, self.asked = list(pods), 0

    async def list(self, *_: Any, **__: Any) -> tuple[list[Json], str]:
        self.asked += 1
        return self.pods, "9"


class World:
    """A cache with one gate, and what is asked about it."""

    def __init__(self, of: EvaluationGate | None = None) -> None:
        self.cache = Cache(label_indexes=(names.MODEL_LABEL, jobs.GATE_LABEL))
        self.server = _ApiServer()
        self.ask = Ask("airline", "delay", UID, revision(), revision(CHAMPION), ["holdout"])
        self.put(of or gate())

    def put(self, of: EvaluationGate, version: str = "1") -> None:
        meta = {"name": "holdout", "namespace": "airline", "uid": "gate-uid", "resourceVersion": version}
        self.cache.upsert(EVALUATIONGATES, {"kind": "EvaluationGate", "metadata": meta, "spec": of.spec.as_json()})

    def runs(self, job: Json, *pods: Json, version: str = "5", **status: Any) -> None:
        self.cache.upsert(JOBS, live(job, version=version, **status))
        for item in pods:
            self.cache.upsert(PODS, item)

    async def look(self, now: datetime = NOW, **changes: Any) -> Looked:
        client: Any = self.server
        evaluations = Evaluations(client, self.cache, CONFIG)
        return await evaluations.look(replace(self.ask, **changes), now)

    async def started(self) -> Json:
        [job] = (await self.look()).apply
        return job


def proof(of: GateView, **changes: Any) -> Proof:
    assert of.verdict is not None
    return Proof(
        gate=of.name,
        revision=REVISION,
        spec_hash=of.spec_hash or "",
        dataset_digest=of.dataset_digest,
        verdict=of.verdict.value,
        reason=of.reason,
        message=of.message,
        attempt=of.attempt,
        at=NOW,
        **changes,
    )
