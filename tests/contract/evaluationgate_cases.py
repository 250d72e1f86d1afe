"""What the API server must accept and refuse of an EvaluationGate."""

from typing import Any

from tests.contract.crd_cases import Case, Changes
from tests.contract.manifests import DIGEST, Json

GATE: Json = {
    "apiVersion": "penstock.dev/v1alpha1",
    "kind": "EvaluationGate",
    "metadata": {"name": "holdout"},
    "spec": {
        "dataset": {"featureSetRef": {"name": "flights-holdout"}},
        "metrics": [{"name": "roc_auc", "min": "0.72"}],
    },
}

FULL_GATE: Json = GATE | {
    "spec": {
        "kind": "Tabular",
        "dataset": {
            "uri": "s3://bucket/holdout/*.parquet",
            "digest": DIGEST,
            "format": "Parquet",
            "credentialsSecretRef": {"name": "bucket"},
        },
        "label": {"column": "late", "positiveClass": "yes"},
        "output": "probabilities",
        "threshold": "0.4",
        "metrics": [
            {"name": "roc_auc", "id": "", "min": "0.72"},
            {
                "name": "recall",
                "id": "",
                "min": "0.6",
                "slices": {"by": ["carrier"], "minSamples": 200, "min": "0.4", "required": True},
            },
            {
                "name": "roc_auc",
                "id": "champion",
                "versusChampion": {"maxRegression": "0.005", "absoluteMin": "0.70"},
            },
            {"name": "log_loss", "id": "", "max": "0.6", "versusChampion": {"maxRegression": "0.01"}},
        ],
        "fairness": {
            "protected": ["origin"],
            "metrics": [{"name": "demographic_parity_difference", "max": "0.1"}],
        },
        "latency": {"p99Milliseconds": 50},
        "confidence": "0.95",
        "onInconclusive": "RequireApproval",
        "timeoutSeconds": 900,
        "resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}},
        "maxRows": 50000,
    }
}


def _metric(**changes: Any) -> Changes:
    return {"spec.metrics": [{"name": "roc_auc", **changes}]}


def _error(**changes: Any) -> Changes:
    return {"spec.metrics": [{"name": "log_loss", **changes}]}


def _dataset(**changes: Any) -> Changes:
    return {"spec.dataset": changes, "spec.label": {"column": "late"}}


_PLACE = {"uri": "s3://bucket/a.parquet", "digest": DIGEST, "format": "Parquet"}
_VERSUS = {"maxRegression": "0.01"}
_FAIR = {"protected": ["origin"], "metrics": [{"name": "equalized_odds_difference", "max": "0.1"}]}
_NUMBER = 'a number is written as text, such as "0", "-1.5" or "6e3"'


def _each(path: str, *values: Any) -> list[Changes]:
    return [{path: value} for value in values]


GATE_CASES = [
    Case(
        "gate name",
        "the name of an EvaluationGate has at most 40 lower-case letters, digits and '-', starts with a letter "
        "and ends with a letter or digit",
        bad=_each("metadata.name", "1-holdout", "a.b", "a" * 41),
        good=_each("metadata.name", "a", "a" * 40, "a-1"),
        base=GATE,
    ),
    Case(
        "gate dataset is one",
        "a gate's dataset is either featureSetRef or uri, one of them",
        bad=[_dataset(), _dataset(featureSetRef={"name": "a"}, **_PLACE)],
        good=[_dataset(featureSetRef={"name": "a"}), _dataset(**_PLACE)],
        base=GATE,
    ),
    Case(
        "gate dataset digest",
        "a dataset by uri needs its digest and format: evidence must say on which rows it was taken",
        bad=[
            _dataset(uri="s3://bucket/a.parquet", format="Parquet"),
            _dataset(uri="s3://bucket/a.parquet", digest=DIGEST),
        ],
        good=[_dataset(**_PLACE), _dataset(**_PLACE, credentialsSecretRef={"name": "bucket"})],
        base=GATE,
    ),
    Case(
        "gate dataset of a FeatureSet",
        "digest, format and credentialsSecretRef go with uri; a FeatureSet has its own",
        bad=[
            _dataset(featureSetRef={"name": "a"}, digest=DIGEST),
            _dataset(featureSetRef={"name": "a"}, format="CSV"),
            _dataset(featureSetRef={"name": "a"}, credentialsSecretRef={"name": "a"}),
        ],
        base=GATE,
    ),
    Case(
        "gate label of a uri",
        "a dataset by uri needs label.column: which column has the right answers?",
        bad=[
            {"spec.dataset": _PLACE},
            {"spec.dataset": _PLACE, "spec.label": {"positiveClass": "yes"}},
        ],
        good=[_dataset(**_PLACE), {"spec.label": {"positiveClass": "yes"}}, {}],
        base=GATE,
    ),
    Case(
        "gate metric demands",
        "a metric needs min, max, slices or versusChampion: what must it show?",
        bad=[_metric(), _error()],
        good=[
            _metric(min="0.7"),
            _error(max="0.7"),
            _metric(slices={"by": ["carrier"], "min": "0.7"}),
            _metric(versusChampion=_VERSUS | {"absoluteMin": "0.7"}),
        ],
        base=GATE,
    ),
    Case(
        "gate metric smaller is better",
        "smaller is better for this metric: write max (absoluteMax), not min",
        bad=[
            _error(min="0.1"),
            {"spec.metrics": [{"name": "brier", "min": "0.1"}]},
            {"spec.metrics": [{"name": "mae", "min": "0.1"}]},
            {"spec.metrics": [{"name": "rmse", "min": "0.1"}]},
            _error(max="0.5", slices={"by": ["carrier"], "min": "0.7"}),
            _error(versusChampion=_VERSUS | {"absoluteMin": "0.7"}),
        ],
        good=[
            _error(max="0.7", slices={"by": ["carrier"], "max": "0.9"}),
            _error(versusChampion=_VERSUS | {"absoluteMax": "0.7"}),
        ],
        base=GATE,
    ),
    Case(
        "gate metric larger is better",
        "larger is better for this metric: write min (absoluteMin), not max",
        bad=[
            _metric(max="0.9"),
            {"spec.metrics": [{"name": "r2", "max": "0.1"}]},
            _metric(min="0.5", slices={"by": ["carrier"], "max": "0.7"}),
            _metric(versusChampion=_VERSUS | {"absoluteMax": "0.7"}),
        ],
        good=[{"spec.metrics": [{"name": "r2", "min": "-1.5"}]}],
        base=GATE,
    ),
    Case(
        "gate versusChampion without a floor",
        "versusChampion needs absoluteMin or absoluteMax: it decides where the champion gives no answers",
        bad=[_metric(versusChampion=_VERSUS), _error(versusChampion=_VERSUS)],
        good=[_metric(min="0.7", versusChampion=_VERSUS), _error(max="0.7", versusChampion=_VERSUS)],
        base=GATE,
    ),
    Case(
        "gate versusChampion has one floor",
        "versusChampion takes absoluteMin or absoluteMax, not both",
        bad=[_metric(min="0.7", versusChampion=_VERSUS | {"absoluteMin": "0.7", "absoluteMax": "0.9"})],
        good=[_metric(versusChampion=_VERSUS | {"absoluteMin": "0.7"})],
        base=GATE,
    ),
    Case(
        "gate slices",
        "slices need min or max, one of them: what every slice must reach",
        bad=[
            _metric(min="0.7", slices={"by": ["carrier"]}),
            _metric(min="0.7", slices={"by": ["carrier"], "min": "0.1", "max": "0.9"}),
        ],
        good=[_metric(slices={"by": ["carrier", "origin"], "min": "0.1", "minSamples": 1})],
        base=GATE,
    ),
    Case(
        "gate metric id",
        "an id has lower-case letters, digits and '-' only",
        bad=[_metric(min="0.7", id="A"), _metric(min="0.7", id="-a"), _metric(min="0.7", id="1")],
        good=[_metric(min="0.7", id="a-1"), _metric(min="0.7", id="")],
        base=GATE,
    ),
    Case(
        "gate metrics are of one kind",
        "metrics are either of numbers (mae, rmse, r2) or of classes, not both; make two gates",
        bad=[{"spec.metrics": [{"name": "mae", "max": "3"}, {"name": "accuracy", "min": "0.9"}]}],
        good=[{"spec.metrics": [{"name": "mae", "max": "3"}, {"name": "r2", "min": "0.1"}]}],
        base=GATE,
    ),
    Case(
        "gate fairness of decisions",
        "fairness compares decisions: it does not go with mae, rmse and r2",
        bad=[{"spec.metrics": [{"name": "mae", "max": "3"}], "spec.fairness": _FAIR}],
        good=[{"spec.fairness": _FAIR}],
        base=GATE,
    ),
    Case(
        "gate numbers",
        _NUMBER,
        bad=[_metric(min="much"), _metric(min="0.7", versusChampion={"maxRegression": "1 %"})],
        good=[_metric(min="7e-1")],
        base=GATE,
    ),
    Case(
        "gate margins",
        "the number is not below 0",
        bad=[
            _metric(min="0.7", versusChampion={"maxRegression": "-0.1"}),
            {"spec.fairness": _FAIR | {"metrics": [{"name": "equalized_odds_difference", "max": "-0.1"}]}},
        ],
        good=[_metric(min="0.7", versusChampion={"maxRegression": "0"})],
        base=GATE,
    ),
    Case(
        "gate confidence is text",
        'confidence is written as text between "0.5" and "0.9999", such as "0.95"',
        bad=_each("spec.confidence", "95%", "1.0", ".95"),
        good=_each("spec.confidence", "0.95", "0.5"),
        base=GATE,
    ),
    Case(
        "gate confidence",
        'confidence is at least "0.5" and at most "0.9999", such as "0.95"',
        bad=_each("spec.confidence", "0.49", "0.99995"),
        good=_each("spec.confidence", "0.5", "0.9999"),
        base=GATE,
    ),
    Case(
        "gate threshold",
        "threshold is larger than 0 and smaller than 1",
        bad=_each("spec.threshold", "0", "1", "1.0"),
        good=_each("spec.threshold", "0.001", "0.999"),
        base=GATE,
    ),
    Case(
        "gate threshold is text",
        'a fraction is written as text from "0" to "1", such as "0.01"',
        bad=_each("spec.threshold", "2", "half"),
        base=GATE,
    ),
    Case(
        "gate column names",
        "a column's name has letters, digits, '_', '-' and '.' only and starts with a letter or '_'",
        bad=[
            {"spec.label": {"column": "1st"}},
            _metric(slices={"by": ["a b"], "min": "0.7"}),
            {"spec.fairness": _FAIR | {"protected": ["$"]}},
        ],
        good=[{"spec.label": {"column": "is_late.2"}}],
        base=GATE,
    ),
]
