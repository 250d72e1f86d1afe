"""Condition types, their reasons with the sentence each one says, and how a condition is set."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from penstock.api.v1alpha1.base import ApiType
from penstock.api.v1alpha1.fields import MESSAGE_LIMIT, CamelCaseWord, Count, Message, Timestamp


class ConditionType(StrEnum):
    """What a condition is about, in the order in which `status.conditions` lists them."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    PROGRESSING = "Progressing"
    SPEC_SERVED = "SpecServed"
    CANDIDATE_REJECTED = "CandidateRejected"
    CONFLICT = "Conflict"
    POLICY_MISSING = "PolicyMissing"
    VALID = "Valid"
    FRESH = "Fresh"
    FEATURES_CHANGED = "FeaturesChanged"
    CANDIDATE_READY = "CandidateReady"
    APPROVED = "Approved"
    DEGRADED = "Degraded"


class ConditionStatus(StrEnum):
    """Whether a condition holds."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Reason(StrEnum):
    """Why a condition has its status; part of the API, so that alerts may match on it."""

    PENDING = "Pending"
    DEPLOYING = "Deploying"
    PROGRESSING = "Progressing"
    SERVING = "Serving"
    COMPLETE = "Complete"
    PROMOTING = "Promoting"
    ROLLING_BACK = "RollingBack"
    SUSPENDED = "Suspended"
    SUPERSEDED = "Superseded"

    DIGEST_MISMATCH = "DigestMismatch"
    ARTIFACT_NOT_FOUND = "ArtifactNotFound"
    ARTIFACT_UNAVAILABLE = "ArtifactUnavailable"
    UNSAFE_FORMAT = "UnsafeFormat"
    TOO_LARGE = "TooLarge"
    INVALID_REFERENCE = "InvalidReference"
    SCHEMA_MISMATCH = "SchemaMismatch"
    LOAD_FAILED = "LoadFailed"
    CRASH_LOOP = "CrashLoop"
    IMAGE_PULL = "ImagePull"
    QUOTA = "Quota"
    UNSCHEDULABLE = "Unschedulable"
    SMOKE_FAILED = "SmokeFailed"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    DEADLINE_NEAR = "DeadlineNear"

    SHADOW = "Shadow"
    CANARY = "Canary"
    AWAITING_APPROVAL = "AwaitingApproval"
    SHADOW_HARM = "ShadowHarm"
    CANARY_HARM = "CanaryHarm"
    REJECTED = "Rejected"
    ROLLED_BACK = "RolledBack"
    NOT_APPROVED = "NotApproved"
    EVIDENCE_MISSING = "EvidenceMissing"
    NO_METRIC_SOURCE = "NoMetricSource"
    TOO_LITTLE_TRAFFIC = "TooLittleTraffic"
    FROZEN = "Frozen"
    NO_FREE_SLOT = "NoFreeSlot"
    HELD = "Held"
    FAILED_OVER = "FailedOver"

    ROUTE_NOT_ACCEPTED = "RouteNotAccepted"
    GATEWAY_MISSING = "GatewayMissing"
    ROUTING_UNSUPPORTED = "RoutingUnsupported"

    UNAVAILABLE = "Unavailable"
    PREVIOUS_TERMINATING = "PreviousTerminating"
    CONFLICT = "Conflict"
    REFUSED = "Refused"
    STATE_LOST = "StateLost"
    LOG_EXPORT_BLOCKED = "LogExportBlocked"
    POLICY_MISSING = "PolicyMissing"

    FEATURE_SET_MISSING = "FeatureSetMissing"
    FEATURE_SET_NOT_VALID = "FeatureSetNotValid"
    FEATURE_SET_PENDING = "FeatureSetPending"
    FEATURES_CURRENT = "FeaturesCurrent"
    FEATURES_CHANGED = "FeaturesChanged"

    VALIDATING = "Validating"
    VALID = "Valid"
    CHECKS_FAILED = "ChecksFailed"
    CHECKS_FAILED_WARNING = "ChecksFailedWarning"
    FRESH = "Fresh"
    STALE = "Stale"
    AGE_UNKNOWN = "AgeUnknown"
    INVALID_SPEC = "InvalidSpec"
    SOURCE_NOT_FOUND = "SourceNotFound"
    SOURCE_ACCESS_DENIED = "SourceAccessDenied"
    SOURCE_UNAVAILABLE = "SourceUnavailable"
    SOURCE_CHANGED = "SourceChanged"
    SOURCE_DIGEST_MISMATCH = "SourceDigestMismatch"
    CORRUPT_FILE = "CorruptFile"
    EMPTY_DATASET = "EmptyDataset"
    DATASET_TOO_LARGE = "DatasetTooLarge"
    OUT_OF_MEMORY = "OutOfMemory"
    BASELINE_UNAVAILABLE = "BaselineUnavailable"
    STORE_UNAVAILABLE = "StoreUnavailable"
    CREDENTIALS_MISSING = "CredentialsMissing"
    VALIDATION_TIMEOUT = "ValidationTimeout"
    VALIDATION_ERROR = "ValidationError"

    EVALUATING = "Evaluating"
    GATE_READY = "GateReady"
    GATE_MISSING = "GateMissing"
    GATE_PASSED = "GatePassed"
    GATE_FAILED = "GateFailed"
    GATE_INCONCLUSIVE = "GateInconclusive"
    GATE_NO_DATA = "GateNoData"
    HOLDOUT_MISSING = "HoldoutMissing"
    HOLDOUT_NOT_VALID = "HoldoutNotValid"
    HOLDOUT_PENDING = "HoldoutPending"
    HOLDOUT_IS_TRAINING_DATA = "HoldoutIsTrainingData"
    LABEL_MISSING = "LabelMissing"
    COLUMN_MISSING = "ColumnMissing"
    METRIC_NOT_FINITE = "MetricNotFinite"
    WRONG_REVISION = "WrongRevision"
    PREDICTIONS_FAILED = "PredictionsFailed"
    RESULT_TOO_LARGE = "ResultTooLarge"
    EVALUATION_TIMEOUT = "EvaluationTimeout"
    EVALUATION_ERROR = "EvaluationError"


SENTENCES: dict[Reason, str] = {
    Reason.SHADOW: "{subject} answers copies of live requests, which are compared",
    Reason.CANARY: "{subject} gets a share of the traffic and is compared with the stable revision",
    Reason.AWAITING_APPROVAL: "{subject} waits for approval; look at the evidence: kubectl penstock status",
    Reason.SHADOW_HARM: "{subject} answers live requests otherwise than its holdout let expect; it is quarantined",
    Reason.CANARY_HARM: "{subject} did harm under live traffic; it is quarantined",
    Reason.REJECTED: "{subject} was rejected by a person; it is quarantined until somebody releases it",
    Reason.ROLLED_BACK: "{subject} was taken back by a person; it is quarantined until somebody releases it",
    Reason.NOT_APPROVED: "{subject} was not approved in time; ask for it again with kubectl penstock retry",
    Reason.EVIDENCE_MISSING: "Nothing can be measured about {subject}; bring the source of the numbers back",
    Reason.NO_METRIC_SOURCE: (
        "{subject} cannot have a canary, since its server or the stable one's counts no requests; let both show the"
        " counters of the model server at port 9090, set a MetricSource over the gateway's, or leave rollout.canary out"
    ),
    Reason.TOO_LITTLE_TRAFFIC: (
        "{subject} gets too little traffic to be judged before its deadline; give it more, or promote it by hand"
    ),
    Reason.FROZEN: "{subject} gets no more traffic during a freeze of spec.rollout.freeze",
    Reason.NO_FREE_SLOT: "{subject} waits until another rollout is done",
    Reason.HELD: "{subject} gets no traffic until enough of its pods are ready",
    Reason.FAILED_OVER: "The fallback revision serves, since no pod of {subject} is ready",
    Reason.PENDING: "{subject} waits for the operator to look at it",
    Reason.DEPLOYING: "{subject} is starting",
    Reason.PROGRESSING: "{subject} is on its way to serving",
    Reason.SERVING: "{subject} serves all traffic",
    Reason.COMPLETE: "{subject} is rolled out; nothing is left to do",
    Reason.PROMOTING: "{subject} is ready and is being given the traffic",
    Reason.ROLLING_BACK: "{subject} is taken back; the traffic returns to the stable revision",
    Reason.SUSPENDED: "{subject} waits because spec.suspend is true; set it to false to go on",
    Reason.SUPERSEDED: "{subject} was replaced by a newer one before it served",
    Reason.DIGEST_MISMATCH: (
        "The bytes of {subject} do not have the digest in spec.artifact.digest; correct the digest or the artifact"
    ),
    Reason.ARTIFACT_NOT_FOUND: "The artifact of {subject} does not exist; correct spec.artifact.uri",
    Reason.ARTIFACT_UNAVAILABLE: "The artifact of {subject} cannot be read now; the download is tried again",
    Reason.UNSAFE_FORMAT: (
        "The artifact of {subject} holds something its format does not allow; export the model again without it"
    ),
    Reason.TOO_LARGE: "The artifact of {subject} is larger than the operator allows",
    Reason.INVALID_REFERENCE: "The artifact of {subject} cannot be addressed; correct spec.artifact.uri",
    Reason.SCHEMA_MISMATCH: (
        "The model of {subject} does not fit its metadata.json or its FeatureSet; train it with the present definition"
        " and push it again"
    ),
    Reason.LOAD_FAILED: "The model server cannot load {subject}; see the logs of its pods",
    Reason.CRASH_LOOP: "The container of {subject} keeps exiting; see the logs of its pods",
    Reason.IMAGE_PULL: ("An image of {subject} cannot be pulled; check its name and spec.serving.pod.imagePullSecrets"),
    Reason.QUOTA: (
        "The namespace's quota has no room for {subject}; raise the quota or lower spec.serving.resources or replicas"
    ),
    Reason.UNSCHEDULABLE: (
        "No node can take a pod of {subject}; check spec.serving.resources and spec.serving.pod, or add nodes"
    ),
    Reason.SMOKE_FAILED: "{subject} started but did not answer its test prediction; see the logs of its pods",
    Reason.DEADLINE_NEAR: "Half of the time that {subject} has for its stage is over",
    Reason.DEADLINE_EXCEEDED: (
        "{subject} was not ready within spec.rollout.stageDeadlineSeconds; see the events of its pods"
    ),
    Reason.ROUTE_NOT_ACCEPTED: (
        "The Gateway does not accept the route of {subject}; check spec.route and the Gateway's listeners"
    ),
    Reason.GATEWAY_MISSING: ("The Gateway of {subject} does not exist; create it or correct spec.route.gatewayRef"),
    Reason.ROUTING_UNSUPPORTED: (
        "The Gateway of {subject} cannot do what spec.route asks; choose another Gateway in spec.route.gatewayRef"
    ),
    Reason.UNAVAILABLE: "No pod of {subject} is ready; see the events and logs of its pods",
    Reason.PREVIOUS_TERMINATING: ("{subject} waits until the objects of a deleted Model of the same name are gone"),
    Reason.CONFLICT: (
        "An object that {subject} needs exists already and belongs to somebody else; rename or delete one of them"
    ),
    Reason.REFUSED: "The API server refuses an object that {subject} needs; mend what it names",
    Reason.STATE_LOST: (
        "The decision log of {subject} does not explain what the cluster runs; traffic is kept as it is, "
        "restore the DecisionRecords"
    ),
    Reason.LOG_EXPORT_BLOCKED: (
        "{subject} goes no further until its decisions are exported; see why the archiver fails: "
        "kubectl logs job/JOB in the operator's namespace"
    ),
    Reason.POLICY_MISSING: (
        "The admission policies of Penstock are missing or altered; install the chart's policies again"
    ),
    Reason.FEATURE_SET_MISSING: (
        "{subject} waits for its FeatureSet, which does not exist; create it or correct spec.features.featureSetRef"
    ),
    Reason.FEATURE_SET_NOT_VALID: (
        "{subject} waits for valid data; see kubectl describe featureset, mend the data and it goes on by itself"
    ),
    Reason.FEATURE_SET_PENDING: "{subject} waits until its FeatureSet has been validated",
    Reason.FEATURES_CURRENT: "{subject} was made with the present definition of its FeatureSet",
    Reason.FEATURES_CHANGED: (
        "{subject} was made with another definition of its FeatureSet; train the model again and push it"
    ),
    Reason.VALIDATING: "{subject} is being validated",
    Reason.VALID: "{subject} passed its checks",
    Reason.CHECKS_FAILED: (
        "{subject} failed checks; mend the data or, if it is right, the definition, and it is looked at again"
    ),
    Reason.CHECKS_FAILED_WARNING: "{subject} failed checks, and spec.validation.onFailure is Warn: it may be used",
    Reason.FRESH: "{subject} is young enough",
    Reason.STALE: "The newest row of {subject} is older than spec.source.freshnessSeconds; bring newer data",
    Reason.AGE_UNKNOWN: "{subject} has no row whose time could be read from spec.timestampField",
    Reason.INVALID_SPEC: "The definition of {subject} cannot be used; correct what is named here",
    Reason.SOURCE_NOT_FOUND: "There is no file of {subject} at spec.source.uri; correct the uri or bring the file",
    Reason.SOURCE_ACCESS_DENIED: (
        "The source of {subject} refuses the credentials; correct the Secret in spec.source.credentialsSecretRef"
    ),
    Reason.SOURCE_UNAVAILABLE: "The source of {subject} cannot be reached now; it is tried again",
    Reason.SOURCE_CHANGED: "The source of {subject} changed while it was read; it is read again",
    Reason.SOURCE_DIGEST_MISMATCH: (
        "The files of {subject} do not have the digest in spec.source.digest; correct the digest or the files"
    ),
    Reason.CORRUPT_FILE: "A file of {subject} cannot be read in spec.source.format; write it again",
    Reason.EMPTY_DATASET: "{subject} has no rows; nothing can be said about it",
    Reason.DATASET_TOO_LARGE: "{subject} does not fit on the Job's disk; raise spec.validation.scratchGibibytes",
    Reason.OUT_OF_MEMORY: (
        "The validation of {subject} ran out of memory; raise spec.validation.resources.limits.memory"
    ),
    Reason.BASELINE_UNAVAILABLE: "The baseline of {subject} cannot be read; correct spec.baseline",
    Reason.STORE_UNAVAILABLE: (
        "The artifact store does not take the profile of {subject}; see the operator's artifactStore setting"
    ),
    Reason.CREDENTIALS_MISSING: (
        "The Secret with the credentials of {subject} is missing or lacks a key; create it in the same namespace"
    ),
    Reason.VALIDATION_TIMEOUT: (
        "The validation of {subject} took too long; raise spec.validation.deadlineSeconds or its resources"
    ),
    Reason.VALIDATION_ERROR: "The validation of {subject} ended without a result; see the logs of its Job",
    Reason.EVALUATING: "{subject} is being evaluated by its gates",
    Reason.GATE_READY: "{subject} can be used",
    Reason.GATE_MISSING: "{subject} does not exist; create it or correct spec.rollout.gates",
    Reason.GATE_PASSED: "{subject} met what its gate demands",
    Reason.GATE_FAILED: "{subject} does not meet what a gate demands; see the numbers, train it again and push it",
    Reason.GATE_INCONCLUSIVE: (
        "The held-out rows are too few to tell whether {subject} meets what a gate demands; bring more rows"
    ),
    Reason.GATE_NO_DATA: "What a gate demands of {subject} could not be measured; see what is missing",
    Reason.HOLDOUT_MISSING: (
        "The FeatureSet of {subject} does not exist; create it or correct spec.dataset.featureSetRef"
    ),
    Reason.HOLDOUT_NOT_VALID: (
        "The held-out rows of {subject} are not valid; see kubectl describe featureset and mend the data"
    ),
    Reason.HOLDOUT_PENDING: "{subject} waits until its held-out rows have been validated",
    Reason.HOLDOUT_IS_TRAINING_DATA: (
        "The held-out rows are the ones that {subject} was trained on; name others in the gate's spec.dataset"
    ),
    Reason.LABEL_MISSING: "{subject} does not say which column has the right answers; set spec.label.column",
    Reason.COLUMN_MISSING: (
        "The held-out rows lack a column that the gate of {subject} names; correct the gate or bring the column"
    ),
    Reason.METRIC_NOT_FINITE: "A metric of {subject} is no finite number, which is never a pass; see the report",
    Reason.WRONG_REVISION: "Another revision than {subject} answered the evaluation; it is tried again",
    Reason.PREDICTIONS_FAILED: (
        "{subject} did not answer all held-out rows; see the logs of its pods, the evaluation is tried again"
    ),
    Reason.RESULT_TOO_LARGE: "The evaluation of {subject} has more numbers than fit into its answer; use two gates",
    Reason.EVALUATION_TIMEOUT: (
        "The evaluation of {subject} took too long; raise the gate's spec.timeoutSeconds or resources, or set maxRows"
    ),
    Reason.EVALUATION_ERROR: "The evaluation of {subject} ended without a result; see the logs of its Job",
}
"""The sentence of each reason; {subject} is a revision, the Model or the dataset. It says what a person can do."""


class Condition(ApiType):
    """One observation in the form of metav1.Condition."""

    type: CamelCaseWord
    """What the condition is about, such as Ready."""
    status: ConditionStatus
    """Whether it holds: True, False or Unknown."""
    observed_generation: Count | None = None
    """The metadata.generation that was looked at."""
    last_transition_time: Timestamp
    """When the status last changed."""
    reason: CamelCaseWord
    """One CamelCase word that says why."""
    message: Message
    """One sentence for people: what is so and what to do."""


def describe(
    reason: Reason, *, revision: str | None = None, subject: str = "the Model", detail: str | None = None
) -> str:
    """Return the sentence of `reason` about a revision, or `subject` where none is named.

    `detail` (an error text, a number) is added in parentheses, on one line and without control characters.
    """
    sentence = SENTENCES[reason].format(subject=f"revision {revision}" if revision else subject)
    sentence = sentence[0].upper() + sentence[1:]
    if detail:
        sentence += f" ({_one_line(detail)})"
    return _within_limit(sentence)


def find_condition(conditions: Sequence[Condition], type: str) -> Condition | None:
    """Return the condition of that type, if there is one."""
    return next((condition for condition in conditions if condition.type == type), None)


def set_condition(
    conditions: Sequence[Condition],
    type: ConditionType,
    status: ConditionStatus,
    reason: str,
    message: str,
    *,
    generation: int,
    now: datetime,
) -> list[Condition]:
    """Return `conditions` with one of them set, in the order of ConditionType; unknown types come last.

    `now` (aware) becomes lastTransitionTime only if the status changes. The result equals the input
    if nothing changed, so that callers can compare before they write.
    """
    previous = find_condition(conditions, type)
    kept = previous is not None and previous.status == status
    changed = Condition(
        type=type.value,
        status=status,
        observed_generation=generation,
        last_transition_time=previous.last_transition_time if previous is not None and kept else now,
        reason=str(reason),
        message=_within_limit(message),
    )
    others = [condition for condition in conditions if condition.type != type]
    return sorted([*others, changed], key=lambda condition: _POSITION.get(condition.type, len(_POSITION)))


_POSITION: dict[str, int] = {type_.value: position for position, type_ in enumerate(ConditionType)}


def _one_line(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _within_limit(text: str) -> str:
    return text if len(text) <= MESSAGE_LIMIT else text[: MESSAGE_LIMIT - 1] + "…"
