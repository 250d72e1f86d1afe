"""What the status of a Model shows: a pure view of the log, the cluster and the time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from penstock.api.v1alpha1.checkpoint import CandidateState, Checkpoint
from penstock.api.v1alpha1.conditions import (
    Condition,
    ConditionStatus,
    ConditionType,
    Reason,
    describe,
    find_condition,
    set_condition,
)
from penstock.api.v1alpha1.decisionrecord import DecisionRecordSpec
from penstock.api.v1alpha1.modelstatus import (
    Address,
    ModelStatus,
    Role,
    ServedRevision,
    Source,
    Stage,
    Traffic,
)
from penstock.controllers.model import candidates, names, waits
from penstock.controllers.model.scope import Scope
from penstock.domain.lifecycle.classify import deadline_of, stage_of
from penstock.domain.lifecycle.observed import Failure

TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN
_STAGE_REASONS = {
    Stage.STARTING: Reason.DEPLOYING,
    Stage.EVALUATING: Reason.EVALUATING,
    Stage.SHADOW: Reason.SHADOW,
    Stage.CANARY: Reason.CANARY,
    Stage.AWAITING_APPROVAL: Reason.AWAITING_APPROVAL,
    Stage.PROMOTING: Reason.PROMOTING,
    Stage.ROLLING_BACK: Reason.ROLLING_BACK,
}


@dataclass(frozen=True, slots=True)
class _Said:
    """A condition as it should read; absent ones are taken away."""

    type: ConditionType
    status: ConditionStatus
    reason: str
    message: str


def build(scope: Scope, head: DecisionRecordSpec | None, state_lost: str) -> ModelStatus:
    """Return the whole status. `state_lost`: why the log and the cluster disagree, empty if they do not."""
    state, sequence, digest = _known(scope.model.status, head)
    seen = scope.seen
    conditions: list[Condition] = []
    for said in _conditions(scope, state, state_lost):
        before = find_condition(scope.model.status.conditions, said.type)
        base = [*conditions, before] if before else conditions
        conditions = set_condition(
            base,
            said.type,
            said.status,
            reason=said.reason,
            message=said.message,
            generation=scope.model.metadata.generation,
            now=seen.now,
        )
    selected = state.stable or (state.candidate.revision if state.candidate else None)
    return ModelStatus(
        observed_generation=scope.model.metadata.generation,
        conditions=conditions,
        url=scope.url,
        address=Address(url=scope.cluster_url),
        sequence=sequence,
        head=digest,
        wanted=state.wanted,
        stable=candidates.stable(scope, state, _served(scope, state.stable)) if state.stable else None,
        candidate=candidates.show(scope, state),
        traffic=_traffic(scope, state),
        analysis=candidates.analyses(scope),
        shadow=candidates.shadow(scope),
        tests=candidates.tests(scope, state),
        burstiness=dict(scope.gathered.burstiness) if scope.gathered.burstiness else None,
        replicas=seen.workload(selected).replicas if selected else None,
        selector=_selector(scope, selected),
        history=state.history,
    )


def _known(shown: ModelStatus, head: DecisionRecordSpec | None) -> tuple[Checkpoint, int | None, str | None]:
    """Return the newest known state, with number and hash of its decision.

    That is what status shows already if the log ends earlier: showing less would destroy the last
    trace of the decisions that were lost, and they would be taken a second time.
    """
    if (shown.sequence or 0) <= (head.sequence if head else 0):
        return (head.result, head.sequence, head.hash) if head else (Checkpoint(), None, None)
    candidate = shown.candidate
    state = Checkpoint(
        wanted=shown.wanted,
        stable=shown.stable.revision if shown.stable else None,
        candidate=CandidateState(revision=candidate.revision, stage=candidate.stage, since=candidate.since)
        if candidate
        else None,
        history=shown.history,
    )
    return state, shown.sequence, shown.head


def _conditions(scope: Scope, state: Checkpoint, state_lost: str) -> Iterator[_Said]:
    ready = _ready(scope, state)
    yield ready
    unready_for = _unready_for(scope, ready)
    stalled = _stalled(scope, state, ready, unready_for, state_lost)
    if stalled is None and ready.status is not TRUE and ready.reason != Reason.SUSPENDED:
        yield _Said(ConditionType.RECONCILING, TRUE, ready.reason, ready.message)
    if stalled is not None:
        yield stalled
    yield _progressing(scope, state, state_lost)
    yield from _spec_served(scope, state)
    yield from _of_the_candidate(scope, state)
    if state.failover and state.stable is not None:
        message = describe(Reason.FAILED_OVER, revision=state.stable)
        yield _Said(ConditionType.DEGRADED, TRUE, Reason.FAILED_OVER, message)
    yield from _features(scope, state)
    for blocker in scope.seen.blockers:
        if blocker.reason == Reason.CONFLICT:
            yield _Said(ConditionType.CONFLICT, TRUE, Reason.CONFLICT, blocker.message)
        elif blocker.reason == Reason.POLICY_MISSING:
            yield _Said(ConditionType.POLICY_MISSING, TRUE, Reason.POLICY_MISSING, blocker.message)


def _ready(scope: Scope, state: Checkpoint) -> _Said:
    kind, seen = ConditionType.READY, scope.seen
    if state.stable is not None:
        if seen.workload(state.stable).ready > 0:
            return _Said(kind, TRUE, Reason.SERVING, describe(Reason.SERVING, revision=state.stable))
        failure = seen.workload(state.stable).failure
        detail = f"{failure.reason}: {failure.message}" if failure else None
        return _Said(
            kind, FALSE, Reason.UNAVAILABLE, describe(Reason.UNAVAILABLE, revision=state.stable, detail=detail)
        )
    if state.candidate is None:
        refused = next((item for item in state.rejected if item.revision == seen.revision), None)
        if refused is not None:
            return _Said(kind, FALSE, refused.reason, refused.message)
        if seen.undecided and seen.blockers:
            return _Said(kind, FALSE, seen.blockers[-1].reason, seen.blockers[-1].message)
        reason = Reason.SUSPENDED if seen.suspended else Reason.PENDING
        return _Said(kind, UNKNOWN, reason, describe(reason))
    if seen.blockers and state.candidate.stage in (Stage.PENDING, Stage.STARTING):
        return _Said(kind, FALSE, seen.blockers[0].reason, seen.blockers[0].message)
    failure = _first_failure(scope, state)
    if failure is not None:
        return _Said(kind, FALSE, failure.reason, waits.explain(failure, state.candidate.revision))
    if seen.suspended:
        return _Said(kind, UNKNOWN, Reason.SUSPENDED, describe(Reason.SUSPENDED))
    return _Said(kind, UNKNOWN, Reason.PROGRESSING, waits.sentence(scope, state) or describe(Reason.PROGRESSING))


def _first_failure(scope: Scope, state: Checkpoint) -> Failure | None:
    """Why a first revision does not come up, if there is a reason by now."""
    candidate, seen = state.candidate, scope.seen
    if candidate is None:
        return None
    workload = seen.workload(candidate.revision)
    if workload.failure is not None:
        return workload.failure
    smoke = seen.smoke.get(candidate.revision)
    if smoke is not None and smoke.passed is False:
        return Failure(Reason.SMOKE_FAILED, smoke.message, permanent=True)
    if candidate.stage is Stage.PROMOTING and seen.route.refused:
        return Failure(Reason.ROUTE_NOT_ACCEPTED, seen.route.refused, permanent=False)
    due = deadline_of(state, seen)
    if due is not None and seen.now >= due:
        return Failure(Reason.DEADLINE_EXCEEDED, waits.sentence(scope, state) or "", permanent=False)
    return None


def _unready_for(scope: Scope, ready: _Said) -> timedelta:
    """How long Ready has had its present status."""
    before = find_condition(scope.model.status.conditions, ConditionType.READY)
    if before is None or before.status != ready.status:
        return timedelta(0)
    return scope.seen.now - before.last_transition_time


def _stalled(scope: Scope, state: Checkpoint, ready: _Said, unready_for: timedelta, state_lost: str) -> _Said | None:
    kind = ConditionType.STALLED
    if state_lost:
        return _Said(kind, TRUE, Reason.STATE_LOST, describe(Reason.STATE_LOST, detail=state_lost))
    if ready.status is not FALSE or (scope.seen.undecided and state.stable is None):
        return None
    waits = state.candidate is not None and state.candidate.stage is Stage.PENDING
    if waits and ready.reason != Reason.ROUTING_UNSUPPORTED:
        return None
    due = deadline_of(state, scope.seen)
    overdue = due is not None and scope.seen.now >= due
    failure = _first_failure(scope, state) if state.stable is None else None
    given_up = state.stable is None and (state.candidate is None or (failure is not None and failure.permanent))
    too_long = state.stable is not None and unready_for.total_seconds() >= scope.seen.limits.stage_deadline
    if given_up or overdue or too_long or ready.reason == Reason.ROUTING_UNSUPPORTED:
        return _Said(kind, TRUE, ready.reason, ready.message)
    return None


def _progressing(scope: Scope, state: Checkpoint, state_lost: str) -> _Said:
    kind, seen, candidate = ConditionType.PROGRESSING, scope.seen, state.candidate
    if state_lost:
        return _Said(kind, FALSE, Reason.STATE_LOST, describe(Reason.STATE_LOST, detail=state_lost))
    if candidate is None:
        if seen.undecided and seen.blockers:
            return _Said(kind, UNKNOWN, seen.blockers[-1].reason, seen.blockers[-1].message)
        refused = next((item for item in state.rejected if item.revision == seen.revision), None)
        if refused is not None and state.stable != seen.revision:
            return _Said(kind, FALSE, refused.reason, refused.message)
        if waits.stands_for_export(scope, state):
            return _Said(kind, UNKNOWN, Reason.LOG_EXPORT_BLOCKED, waits.export_blocked(scope, None))
        if state.stable is None:
            return _Said(kind, UNKNOWN, Reason.PENDING, describe(Reason.PENDING))
        return _Said(kind, FALSE, Reason.COMPLETE, describe(Reason.COMPLETE, revision=state.stable))
    if seen.suspended:
        return _Said(kind, UNKNOWN, Reason.SUSPENDED, describe(Reason.SUSPENDED, revision=candidate.revision))
    message = waits.sentence(scope, state) or ""
    if seen.blockers and candidate.stage in (Stage.PENDING, Stage.STARTING):
        return _Said(kind, UNKNOWN, seen.blockers[0].reason, message)
    if (held := waits.held(scope, state)) is not None:
        return _Said(kind, UNKNOWN, held, message)
    if candidate.stage is Stage.PENDING:
        return _Said(kind, UNKNOWN, Reason.PENDING, message)
    if candidate.stage is Stage.AWAITING_APPROVAL:
        return _Said(kind, UNKNOWN, Reason.AWAITING_APPROVAL, message)
    return _Said(kind, TRUE, _STAGE_REASONS[candidate.stage], message)


def _of_the_candidate(scope: Scope, state: Checkpoint) -> Iterator[_Said]:
    """Whether the candidate's pods answer, and whether people have agreed to it."""
    candidate = state.candidate
    if candidate is None or candidate.stage in (Stage.PENDING, Stage.ROLLING_BACK):
        return
    there = scope.seen.workload(candidate.revision).ready > 0 and candidate.stage is not Stage.STARTING
    reason = Reason.SERVING if there else Reason.DEPLOYING
    message = f"Revision {candidate.revision} has {scope.seen.workload(candidate.revision).ready} pods that answer."
    yield _Said(ConditionType.CANDIDATE_READY, TRUE if there else FALSE, reason, message)
    if candidate.stage is Stage.AWAITING_APPROVAL:
        message = waits.sentence(scope, state) or ""
        yield _Said(ConditionType.APPROVED, FALSE, Reason.AWAITING_APPROVAL, message)


def _spec_served(scope: Scope, state: Checkpoint) -> Iterator[_Said]:
    kind, seen = ConditionType.SPEC_SERVED, scope.seen
    refused = next((item for item in state.rejected if item.revision == seen.revision), None)
    if state.stable is None:
        reason = refused.reason if refused else Reason.PROGRESSING
        yield _Said(kind, FALSE, reason, "No revision serves yet.")
    elif (
        state.wanted is not None and state.wanted.source is Source.ROLLBACK and state.wanted.spec_hash == seen.spec_hash
    ):
        message = f"Revision {state.wanted.revision} was asked for as a way back; the spec asks for another one."
        yield _Said(kind, FALSE, Reason.ROLLED_BACK, message)
    elif seen.undecided and seen.blockers:
        yield _Said(kind, FALSE, seen.blockers[-1].reason, seen.blockers[-1].message)
    elif state.stable == seen.revision:
        yield _Said(kind, TRUE, Reason.SERVING, describe(Reason.SERVING, revision=state.stable))
    else:
        reason = refused.reason if refused else Reason.PROGRESSING
        message = f"Revision {state.stable} serves, the spec asks for {seen.revision}."
        yield _Said(kind, FALSE, reason, message)
    if refused is not None and state.stable != seen.revision and state.candidate is None:
        message = f"Revision {refused.revision} was refused: {refused.reason}: {refused.message}"
        yield _Said(ConditionType.CANDIDATE_REJECTED, TRUE, refused.reason, message)


def _features(scope: Scope, state: Checkpoint) -> Iterator[_Said]:
    """Whether the stable revision was made with the schema that its FeatureSet has now."""
    snapshot = scope.revisions.get(state.stable) if state.stable else None
    made = snapshot.features if snapshot else None
    if made is None or not scope.asked.schema_digest:
        return
    kind = ConditionType.FEATURES_CHANGED
    if made.schema_digest == scope.asked.schema_digest:
        message = describe(Reason.FEATURES_CURRENT, revision=state.stable)
        yield _Said(kind, FALSE, Reason.FEATURES_CURRENT, message)
    else:
        message = describe(Reason.FEATURES_CHANGED, revision=state.stable)
        yield _Said(kind, TRUE, Reason.FEATURES_CHANGED, message)


def _served(scope: Scope, revision: str) -> ServedRevision | None:
    spec, shown = scope.revisions.get(revision), scope.model.status.stable
    if spec is not None:
        digest = spec.artifact.digest
    elif shown is not None and shown.revision == revision:
        digest = shown.digest
    else:
        return None
    workload = scope.seen.workload(revision)
    return ServedRevision(revision=revision, digest=digest, replicas=workload.replicas, ready_replicas=workload.ready)


def _traffic(scope: Scope, state: Checkpoint) -> list[Traffic]:
    """Read back from the route; a revision that no record names is not hidden by leaving it out of the sum."""
    if not scope.seen.route.accepted:
        return list(scope.model.status.traffic) if scope.seen.route.present else []
    stage = stage_of(state)
    candidate = state.candidate.revision if state.candidate and stage is not Stage.PENDING else None
    return [
        Traffic(
            revision=revision,
            role=_role(revision, candidate, state),
            weight=scope.seen.route.weights.get(revision, 0),
            mirror_percent=scope.seen.route.mirror.get(revision),
        )
        for revision in sorted({*scope.seen.route.weights, *scope.seen.route.mirror})
        if revision in scope.target.services
    ]


def _role(revision: str, candidate: str | None, state: Checkpoint) -> Role:
    if revision == candidate:
        return Role.CANDIDATE
    return Role.FALLBACK if state.failover and revision != state.stable else Role.STABLE


def _selector(scope: Scope, revision: str | None) -> str | None:
    if revision is None:
        return None
    return ",".join(f"{key}={value}" for key, value in names.selector(scope.identity.name, revision).items())
