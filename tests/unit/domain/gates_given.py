"""Gates and results of evaluations for the tests of what they mean."""

from typing import Any

from penstock.api.v1alpha1.evaluationgate import EvaluationGateSpec
from penstock.domain.gates.judge import Asked
from penstock.domain.gates.task import GateResult, GateStatus, MetricResult, SliceResult

REVISION, CHAMPION = "0123456789ab", "ba9876543210"
DIGEST, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
ASKED = Asked(revision=REVISION, dataset_digest=DIGEST, champion=CHAMPION)
FIRST = Asked(revision=REVISION, dataset_digest=DIGEST)


def gate(*metrics: dict[str, Any], **changes: Any) -> EvaluationGateSpec:
    content = {
        "dataset": {"featureSetRef": {"name": "holdout"}},
        "metrics": list(metrics) or [{"name": "roc_auc", "min": "0.72"}],
    }
    return EvaluationGateSpec.model_validate(content | changes)


def metric(
    lower: float | None, upper: float | None, value: float | None = None, id: str = "roc_auc", **more: Any
) -> MetricResult:
    middle = (lower + upper) / 2 if value is None and lower is not None and upper is not None else value
    return MetricResult(id=id, value=middle, lower=lower, upper=upper, n=more.pop("n", 1000), **more)


def slice_of(lower: float, upper: float, p: float | None, name: str = "carrier=AA", n: int = 300) -> SliceResult:
    return SliceResult(slice=name, value=(lower + upper) / 2, lower=lower, upper=upper, p=p, n=n)


def result(*metrics: MetricResult, **changes: Any) -> GateResult:
    content: dict[str, Any] = {
        "status": GateStatus.COMPLETE,
        "rows": 1000,
        "dataset_digest": DIGEST,
        "metrics": list(metrics),
        "answered": REVISION,
        "champion_answered": CHAMPION,
    }
    return GateResult(**content | changes)
