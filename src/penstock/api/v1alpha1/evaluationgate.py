"""The kind EvaluationGate: what a new revision must show on held-out data before it may get traffic."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from penstock.api.v1alpha1.base import ApiObject, ApiType, Column, Crd
from penstock.api.v1alpha1.conditions import ConditionStatus, ConditionType, Reason, describe
from penstock.api.v1alpha1.evaluationgatestatus import EvaluationGateStatus
from penstock.api.v1alpha1.featureset import ColumnName, DatasetFormat, DatasetUri, SecretRef
from penstock.api.v1alpha1.fields import SET, WRITTEN, Decimal, Digest, Fraction, cel, explained, list_map
from penstock.api.v1alpha1.model import FeatureSetRef
from penstock.api.v1alpha1.serving import Resources

GATE_NAME_PATTERN = "^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$"
GATE_NAME_MESSAGE = (
    "the name of an EvaluationGate has at most 40 lower-case letters, digits and '-', starts with a letter "
    "and ends with a letter or digit"
)


class GateKind(StrEnum):
    """What kind of model a gate evaluates."""

    TABULAR = "Tabular"


class MetricName(StrEnum):
    """What is measured on the held-out rows."""

    ROC_AUC = "roc_auc"
    AVERAGE_PRECISION = "average_precision"
    ACCURACY = "accuracy"
    PRECISION = "precision"
    RECALL = "recall"
    F1 = "f1"
    LOG_LOSS = "log_loss"
    BRIER = "brier"
    MAE = "mae"
    RMSE = "rmse"
    R2 = "r2"


LOWER_IS_BETTER = frozenset({MetricName.LOG_LOSS, MetricName.BRIER, MetricName.MAE, MetricName.RMSE})
REGRESSION = frozenset({MetricName.MAE, MetricName.RMSE, MetricName.R2})


class FairnessName(StrEnum):
    """How far apart a model treats groups of people or things; 0 is alike."""

    DEMOGRAPHIC_PARITY_DIFFERENCE = "demographic_parity_difference"
    EQUALIZED_ODDS_DIFFERENCE = "equalized_odds_difference"
    EQUAL_OPPORTUNITY_DIFFERENCE = "equal_opportunity_difference"


class OnInconclusive(StrEnum):
    """What follows where the held-out rows are too few to tell."""

    HOLD = "Hold"
    FAIL = "Fail"
    REQUIRE_APPROVAL = "RequireApproval"


def _listed(names: frozenset[MetricName]) -> str:
    return "[" + ", ".join(f"'{name.value}'" for name in MetricName if name in names) + "]"


_LOWER = _listed(LOWER_IS_BETTER)
_REGRESSION = _listed(REGRESSION)

NonNegativeDecimal = Annotated[
    Decimal, Field(json_schema_extra=cel(("double(self) >= 0.0", "the number is not below 0")))
]

Confidence = Annotated[
    str,
    Field(
        min_length=3,
        max_length=8,
        pattern="^0[.][0-9]{1,6}$",
        json_schema_extra=explained('confidence is written as text between "0.5" and "0.9999", such as "0.95"')
        | cel(
            (
                "double(self) >= 0.5 && double(self) <= 0.9999",
                'confidence is at least "0.5" and at most "0.9999", such as "0.95"',
            )
        ),
    ),
]

Threshold = Annotated[
    Fraction,
    Field(
        json_schema_extra=cel(
            ("double(self) > 0.0 && double(self) < 1.0", "threshold is larger than 0 and smaller than 1")
        )
    ),
]


class GateDataset(ApiType):
    """The held-out rows: of a FeatureSet, or by their place and digest."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "has(self.featureSetRef) != has(self.uri)",
                "a gate's dataset is either featureSetRef or uri, one of them",
            ),
            (
                "!has(self.uri) || has(self.digest) && has(self.format)",
                "a dataset by uri needs its digest and format: evidence must say on which rows it was taken",
            ),
            (
                "has(self.uri) || !has(self.digest) && !has(self.format) && !has(self.credentialsSecretRef)",
                "digest, format and credentialsSecretRef go with uri; a FeatureSet has its own",
            ),
        )
    )

    feature_set_ref: FeatureSetRef | None = None
    """The FeatureSet whose dataset is held out; what it says of label and source is taken from it."""
    uri: DatasetUri | None = None
    """Where the files are: s3://, https://, pvc:// or oci://."""
    digest: Digest | None = None
    """The digest that the dataset must have, as `penstock digest` prints it."""
    format: DatasetFormat | None = None
    """How the files are written: Parquet or CSV (UTF-8, comma, with a header)."""
    credentials_secret_ref: SecretRef | None = None
    """The Secret with the credentials for the source, mounted into the Job; the operator never reads it."""


class GateLabel(ApiType):
    """The column with the right answers."""

    column: ColumnName | None = None
    """The name of the column; the FeatureSet's label if absent."""
    positive_class: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """The value that counts as yes, as text; true or 1 if absent."""


class SliceRule(ApiType):
    """What must hold for every part of the rows too."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            ("has(self.min) != has(self.max)", "slices need min or max, one of them: what every slice must reach")
        )
    )

    by: Annotated[list[ColumnName], Field(min_length=1, max_length=4, json_schema_extra=SET)]
    """The columns; every value of each of them is a slice."""
    min_samples: Annotated[int, Field(ge=1, le=1_000_000, json_schema_extra=WRITTEN)] = 100
    """How many rows a slice needs to be looked at."""
    min: Decimal | None = None
    """What every slice must reach at least."""
    max: Decimal | None = None
    """What no slice may exceed."""
    required: bool = False
    """Whether a slice that cannot be told keeps the gate from passing; else it is only said."""


class ChampionRule(ApiType):
    """How much worse than the stable revision the new one may be, on the same rows."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "!has(self.absoluteMin) || !has(self.absoluteMax)",
                "versusChampion takes absoluteMin or absoluteMax, not both",
            )
        )
    )

    max_regression: NonNegativeDecimal
    """How much worse the metric may be, in its own unit; 0 for not at all."""
    absolute_min: Decimal | None = None
    """What must be reached in any case, and decides alone where the champion gives no answers."""
    absolute_max: Decimal | None = None
    """What must not be exceeded in any case, and decides alone where the champion gives no answers."""


class GateMetric(ApiType):
    """One metric and what it must show."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "has(self.min) || has(self.max) || has(self.slices) || has(self.versusChampion)",
                "a metric needs min, max, slices or versusChampion: what must it show?",
            ),
            (
                f"!(self.name in {_LOWER}) || !has(self.min) && (!has(self.slices) || !has(self.slices.min))"
                " && (!has(self.versusChampion) || !has(self.versusChampion.absoluteMin))",
                "smaller is better for this metric: write max (absoluteMax), not min",
            ),
            (
                f"self.name in {_LOWER} || !has(self.max) && (!has(self.slices) || !has(self.slices.max))"
                " && (!has(self.versusChampion) || !has(self.versusChampion.absoluteMax))",
                "larger is better for this metric: write min (absoluteMin), not max",
            ),
            (
                "!has(self.versusChampion) || has(self.min) || has(self.max)"
                " || has(self.versusChampion.absoluteMin) || has(self.versusChampion.absoluteMax)",
                "versusChampion needs absoluteMin or absoluteMax: it decides where the champion gives no answers",
            ),
        )
    )

    name: MetricName
    """What is measured."""
    id: Annotated[
        str,
        Field(
            max_length=20,
            pattern="^([a-z]([-a-z0-9]*[a-z0-9])?)?$",
            json_schema_extra=WRITTEN | explained("an id has lower-case letters, digits and '-' only"),
        ),
    ] = ""
    """Tells two entries of the same metric apart; empty where there is one."""
    min: Decimal | None = None
    """What it must be at least, with confidence."""
    max: Decimal | None = None
    """What it may be at most, with confidence."""
    slices: SliceRule | None = None
    """What must hold for every part of the rows too."""
    versus_champion: ChampionRule | None = None
    """How much worse than the stable revision it may be."""

    @property
    def key(self) -> str:
        """The name by which results and verdicts tell metrics apart: `NAME`, or `NAME.ID` where it has an id."""
        return f"{self.name.value}.{self.id}" if self.id else self.name.value


class FairnessMetric(ApiType):
    """One difference between groups and how large it may be."""

    name: FairnessName
    """What is measured."""
    max: NonNegativeDecimal
    """How large the difference may be, with confidence."""


class Fairness(ApiType):
    """Between which groups the model must not differ."""

    protected: Annotated[list[ColumnName], Field(min_length=1, max_length=4, json_schema_extra=SET)]
    """The columns whose values are the groups; each is looked at on its own, and need not be a feature."""
    metrics: Annotated[list[FairnessMetric], Field(min_length=1, max_length=3, json_schema_extra=list_map("name"))]
    """How the groups are compared."""


class Latency(ApiType):
    """How fast the revision must answer the Job's requests, one row each."""

    p99_milliseconds: Annotated[int, Field(ge=1, le=600_000)]
    """In how many milliseconds 99 of 100 requests must be answered, with confidence."""


class EvaluationGateSpec(ApiType):
    """What the owner of a gate demands."""

    model_config = ConfigDict(
        json_schema_extra=cel(
            (
                "has(self.dataset.featureSetRef) || has(self.label) && has(self.label.column)",
                "a dataset by uri needs label.column: which column has the right answers?",
            ),
            (
                f"self.metrics.all(m, m.name in {_REGRESSION}) || self.metrics.all(m, !(m.name in {_REGRESSION}))",
                "metrics are either of numbers (mae, rmse, r2) or of classes, not both; make two gates",
            ),
            (
                f"!has(self.fairness) || self.metrics.all(m, !(m.name in {_REGRESSION}))",
                "fairness compares decisions: it does not go with mae, rmse and r2",
            ),
        )
    )

    kind: Annotated[GateKind, Field(json_schema_extra=WRITTEN)] = GateKind.TABULAR
    """What kind of model is evaluated: Tabular."""
    dataset: GateDataset
    """The held-out rows; never the ones that a model was trained on."""
    label: GateLabel | None = None
    """The column with the right answers; the FeatureSet's label if absent."""
    output: Annotated[str, Field(min_length=1, max_length=128)] | None = None
    """The output tensor with the scores (of the positive class) or numbers; found by its shape if absent."""
    threshold: Annotated[Threshold, Field(json_schema_extra=WRITTEN)] = "0.5"
    """The score from which on a row counts as positive."""
    metrics: Annotated[list[GateMetric], Field(min_length=1, max_length=12, json_schema_extra=list_map("name", "id"))]
    """What is measured and what it must show."""
    fairness: Fairness | None = None
    """Between which groups the model must not differ."""
    latency: Latency | None = None
    """How fast it must answer."""
    confidence: Annotated[Confidence, Field(json_schema_extra=WRITTEN)] = "0.95"
    """How sure a verdict must be: the two-sided level of every interval."""
    on_inconclusive: Annotated[OnInconclusive, Field(json_schema_extra=WRITTEN)] = OnInconclusive.HOLD
    """What follows where the rows are too few to tell: Hold, Fail or RequireApproval."""
    timeout_seconds: Annotated[int, Field(ge=30, le=86400, json_schema_extra=WRITTEN)] = 1800
    """How many seconds one evaluation may take."""
    resources: Resources | None = None
    """What the Job's pod asks for; 1 CPU and 1Gi of memory if absent."""
    max_rows: Annotated[int, Field(ge=100, le=100_000_000)] | None = None
    """How many rows are used at most, drawn by a fixed seed; all of them if absent."""


_PENDING = {
    "type": ConditionType.READY.value,
    "status": ConditionStatus.UNKNOWN.value,
    "reason": Reason.PENDING.value,
    "message": describe(Reason.PENDING, subject="the EvaluationGate"),
    "lastTransitionTime": "1970-01-01T00:00:00Z",
}


class EvaluationGate(ApiObject):
    """What a new revision must show on held-out data before it may get traffic; Models name it."""

    crd: ClassVar[Crd] = Crd(
        plural="evaluationgates",
        short_name="pgate",
        columns=(
            Column("Ready", '.status.conditions[?(@.type=="Ready")].status', "Whether the gate can be used"),
            Column("Reason", '.status.conditions[?(@.type=="Ready")].reason', "Why it can be used or not"),
            Column("Models", ".status.usedBy", "How many Models name the gate", type="integer"),
            Column(
                "Looks",
                ".status.holdout.revisions",
                "How many revisions have been evaluated on the present holdout",
                type="integer",
            ),
            Column("Last", ".status.last", "The last evaluation in one line", priority=1),
        ),
        rules=((f"self.metadata.name.matches('{GATE_NAME_PATTERN}')", GATE_NAME_MESSAGE),),
        status_default={"observedGeneration": -1, "conditions": [_PENDING]},
    )

    kind: Literal["EvaluationGate"] = "EvaluationGate"
    spec: EvaluationGateSpec
    """What the owner demands."""
    status: EvaluationGateStatus = Field(default_factory=EvaluationGateStatus)
    """What the operator has seen of the gate."""
