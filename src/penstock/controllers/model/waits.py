"""What a candidate waits for, in one sentence, and when that is expected."""

from __future__ import annotations

from datetime import datetime, timedelta

from penstock.api.v1alpha1.checkpoint import CandidateState, Checkpoint
from penstock.api.v1alpha1.conditions import Reason, describe
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.controllers.model.scope import Scope
from penstock.domain.audit.retention import BLOCKED_ABOVE, unexported
from penstock.domain.lifecycle.classify import wants_another
from penstock.domain.lifecycle.observed import Failure
from penstock.domain.lifecycle.plan import PASSING, missing_gates, next_stage
from penstock.domain.lifecycle.transitions.step import goes_back, pods_needed


def sentence(scope: Scope, state: Checkpoint) -> str | None:
    """Say in one sentence what the candidate waits for."""
    seen, candidate = scope.seen, state.candidate
    if candidate is None:
        return None
    if seen.suspended:
        return describe(Reason.SUSPENDED, revision=candidate.revision)
    if stands_for_export(scope, state):
        return export_blocked(scope, candidate.revision)
    if seen.blockers and candidate.stage in (Stage.PENDING, Stage.STARTING):
        return seen.blockers[0].message
    if candidate.hold is not None:
        return describe(Reason.HELD, revision=candidate.revision, detail=candidate.hold.message)
    if candidate.blind.since is not None:
        return describe(Reason.EVIDENCE_MISSING, revision=candidate.revision, detail=seen.live.message)
    if candidate.stage is Stage.PENDING:
        if seen.crowded and not seen.frozen:
            return describe(Reason.NO_FREE_SLOT, revision=candidate.revision, detail=seen.crowded)
        return describe(Reason.FROZEN, revision=candidate.revision, detail=seen.frozen) if seen.frozen else None
    said = _BY_STAGE.get(candidate.stage)
    return said(scope, state, candidate) if said else _route(scope, candidate)


def held(scope: Scope, state: Checkpoint) -> Reason | None:
    """Why the candidate stands still, where a person should know."""
    candidate = state.candidate
    if candidate is None:
        return None
    if stands_for_export(scope, state):
        return Reason.LOG_EXPORT_BLOCKED
    if candidate.hold is not None:
        return Reason.HELD
    if candidate.blind.since is not None:
        return Reason.EVIDENCE_MISSING
    if scope.seen.frozen and candidate.stage is not Stage.ROLLING_BACK:
        return Reason.FROZEN
    if scope.seen.crowded and candidate.stage is Stage.PENDING:
        return Reason.NO_FREE_SLOT
    if scope.gathered.too_little:
        return Reason.TOO_LITTLE_TRAFFIC
    return None


def stands_for_export(scope: Scope, state: Checkpoint) -> bool:
    """Whether what is asked for waits because too few decisions are exported; a way back does not."""
    if not scope.seen.log_blocked:
        return False
    candidate = state.candidate
    if candidate is None:
        return not scope.seen.undecided and wants_another(state, scope.seen)
    return candidate.stage is not Stage.ROLLING_BACK and not (candidate.cites and goes_back(state))


def export_blocked(scope: Scope, revision: str | None) -> str:
    """Say how many decisions wait for their export, and what a person can do."""
    waiting = unexported(scope.seen.sequence, scope.seen.exported)
    detail = f"{waiting} are only in the cluster, at most {BLOCKED_ABOVE} may be"
    return describe(Reason.LOG_EXPORT_BLOCKED, revision=revision, detail=detail)


def explain(failure: Failure, revision: str) -> str:
    """Return the sentence of a failure, with what a person can do."""
    try:
        return describe(Reason(failure.reason), revision=revision, detail=failure.message)
    except ValueError:
        return f"{failure.reason}: {failure.message}"


def eta(scope: Scope, state: Checkpoint) -> datetime | None:
    """Return when what it waits for is expected at the present rate; None where nobody knows."""
    candidate = state.candidate
    canary = candidate.plan.canary if candidate is not None and candidate.plan is not None else None
    if candidate is None or canary is None or candidate.stage is not Stage.CANARY or candidate.applied_at is None:
        return None
    step = canary.steps[candidate.step]
    ends = candidate.applied_at + timedelta(seconds=step.min_seconds)
    lacking = step.min_requests - scope.seen.live.requests
    if lacking > 0:
        passed = (scope.seen.now - candidate.applied_at).total_seconds()
        if scope.seen.live.requests == 0 or passed <= 0:
            return None
        rate = scope.seen.live.requests / passed
        ends = max(ends, scope.seen.now + timedelta(seconds=lacking / rate))
    last = candidate.step + 1 == len(canary.steps)
    if last and scope.gathered.eta is not None:
        ends = max(ends, scope.gathered.eta)
    return ends if ends > scope.seen.now else None


def _starting(scope: Scope, state: Checkpoint, candidate: CandidateState) -> str | None:
    seen = scope.seen
    workload = seen.workload(candidate.revision)
    if workload.failure:
        return explain(workload.failure, candidate.revision)
    if workload.ready < max(1, seen.replicas):
        return f"{workload.ready} of {seen.replicas} pods are ready."
    smoke = seen.smoke.get(candidate.revision)
    if smoke is None or smoke.passed is not True:
        return f"The smoke prediction: {smoke.message if smoke else 'not asked yet'}."
    previewed = seen.previewed.get(candidate.revision)
    if state.stable is not None and (previewed is None or previewed.passed is not True):
        return f"The gateway does not know it yet: {previewed.message if previewed else 'not asked yet'}."
    return _more_traffic(scope, state)


def _evaluating(scope: Scope, state: Checkpoint, candidate: CandidateState) -> str | None:
    lacking = missing_gates(candidate)
    if not lacking:
        return _more_traffic(scope, state)
    parts = []
    for name in lacking:
        finding = scope.seen.gates.get(name)
        said = scope.gathered.waiting.get(name) or (finding.message if finding else "")
        parts.append(f"gate {name}: {said or 'is asked'}")
    return "; ".join(parts)


def _shadow(scope: Scope, state: Checkpoint, candidate: CandidateState) -> str | None:
    shadow = scope.seen.shadow
    if shadow is not None and shadow.verdict in PASSING:
        return _more_traffic(scope, state)
    return shadow.message if shadow else "Copies of live requests are about to be compared."


def _canary(scope: Scope, state: Checkpoint, candidate: CandidateState) -> str | None:
    canary = candidate.plan.canary if candidate.plan else None
    if canary is None:
        return None
    weight = canary.steps[candidate.step].weight
    if candidate.applied_at is None:
        return f"The gateway does not share the traffic by {weight} % yet."
    if scope.gathered.too_little:
        return scope.gathered.too_little
    step, seen = canary.steps[candidate.step], scope.seen
    parts = []
    ends = candidate.applied_at + timedelta(seconds=step.min_seconds)
    if ends > seen.now:
        parts.append(f"{step.min_seconds} s of this step, until {ends:%H:%M:%S} UTC")
    if seen.live.requests < step.min_requests:
        parts.append(f"{seen.live.requests} of {step.min_requests} requests")
    if candidate.step + 1 == len(canary.steps):
        shown = {item.name: item for item in seen.live.findings}
        for analysis in canary.analysis:
            finding = shown.get(analysis.name)
            if finding is None or finding.verdict not in PASSING:
                parts.append(f"{analysis.name}: {finding.message if finding else 'no numbers yet'}")
    if not parts and seen.live.sighted is not True:
        parts.append(f"numbers of both revisions: {seen.live.message}")
    return "; ".join(parts) or _more_traffic(scope, state)


def _approval(scope: Scope, state: Checkpoint, candidate: CandidateState) -> str | None:
    approval = candidate.plan.approval if candidate.plan else None
    quorum = approval.quorum if approval else 1
    if candidate.approved:
        return _more_traffic(scope, state)
    given = ", ".join(item.user for item in candidate.approvals)
    had = f" ({given})" if given else ""
    return f"{len(candidate.approvals)} of {quorum} approvals{had} of evidence {candidate.evidence}."


def _more_traffic(scope: Scope, state: Checkpoint) -> str | None:
    """What holds up a candidate that could go on: a freeze, or missing pods."""
    candidate = state.candidate
    if candidate is None:
        return None
    if scope.seen.frozen:
        return describe(Reason.FROZEN, revision=candidate.revision, detail=scope.seen.frozen)
    if next_stage(state) is Stage.PROMOTING:
        ready, needed = scope.seen.workload(candidate.revision).ready, pods_needed(state, scope.seen, 100)
        if ready < needed:
            return f"{ready} of the {needed} pods are ready that all traffic needs."
    return None


def _route(scope: Scope, candidate: CandidateState) -> str | None:
    seen = scope.seen
    if seen.route.refused:
        return describe(Reason.ROUTE_NOT_ACCEPTED, revision=candidate.revision, detail=seen.route.refused)
    if not seen.route.accepted:
        return "The Gateway has not accepted the route yet."
    probe = next(iter(seen.reached.values()), None)
    return f"The data plane: {probe.message if probe else 'not asked yet'}."


_BY_STAGE = {
    Stage.STARTING: _starting,
    Stage.EVALUATING: _evaluating,
    Stage.SHADOW: _shadow,
    Stage.CANARY: _canary,
    Stage.AWAITING_APPROVAL: _approval,
}
