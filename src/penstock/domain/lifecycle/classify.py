"""Which events hold at this moment, given the checkpoint and what is seen."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from penstock.api.v1alpha1.checkpoint import CandidateState, Checkpoint
from penstock.api.v1alpha1.conditions import Reason
from penstock.api.v1alpha1.modelaction import ActionType
from penstock.api.v1alpha1.modelstatus import Source, Stage
from penstock.domain.approval.rules import WAYS_BACK
from penstock.domain.lifecycle.observed import Observed
from penstock.domain.lifecycle.people import next_action, refusal_of
from penstock.domain.lifecycle.plan import PASSING, missing_gates, tightened
from penstock.domain.lifecycle.stages import PROTECTIVE, Event
from penstock.domain.lifecycle.transitions import stable as stable_gates
from penstock.domain.lifecycle.transitions.forward import news
from penstock.domain.lifecycle.transitions.step import carries_traffic, goes_back, has_capacity, hindrances

_NOT_BEGUN = frozenset({Stage.PENDING, Stage.STARTING})
_LIVE = frozenset({Stage.SHADOW, Stage.CANARY})
_OF_A_WAY_BACK = frozenset({Event.UNBLOCKED, Event.CANDIDATE_FAILED, Event.CANDIDATE_READY, Event.ROUTE_APPLIED})
_RANKS = {event: rank for rank, event in enumerate(Event)}
_ASKED = {
    ActionType.APPROVE: Event.APPROVE_ASKED,
    ActionType.REJECT: Event.REJECT_ASKED,
    ActionType.PROMOTE: Event.PROMOTE_ASKED,
    ActionType.ROLLBACK: Event.ROLLBACK_ASKED,
    ActionType.RETRY: Event.RETRY_ASKED,
    ActionType.EVALUATE: Event.EVALUATE_ASKED,
    ActionType.RELEASE_QUARANTINE: Event.RELEASE_ASKED,
}


def stage_of(state: Checkpoint) -> Stage | None:
    """Return the stage of the candidate, or None while no candidate is under way."""
    return state.candidate.stage if state.candidate else None


def events(state: Checkpoint, seen: Observed) -> Iterator[Event]:
    """Yield the events that hold now, most important first.

    While a Model is suspended, or too much of its log waits for export, only what protects traffic is left: the
    pause itself, harm and the end of a rollback that has begun.
    """
    held = set(_holding(state, seen))
    if seen.suspended or seen.log_blocked:
        held &= PROTECTIVE | _goes_on(state)
    if seen.log_blocked and seen.actions and seen.actions[0].type not in WAYS_BACK:
        held.discard(Event.ACTION_REFUSED)  # it waits: refusals alone could fill the log
    yield from sorted(held, key=_RANKS.__getitem__)


def _goes_on(state: Checkpoint) -> frozenset[Event]:
    """Return what is decided while a Model stands still because it ends what protects: a way back that has begun."""
    if stage_of(state) is Stage.ROLLING_BACK:
        return frozenset({Event.ROUTE_APPLIED})
    if state.candidate is not None and state.candidate.cites and goes_back(state):
        return _OF_A_WAY_BACK
    return frozenset()


def deadline_of(state: Checkpoint, seen: Observed) -> datetime | None:
    """Return when the candidate's stage runs out of time; None where nothing runs out.

    Time without evidence does not count, up to one more deadline.
    """
    candidate = state.candidate
    if candidate is None or candidate.paused_since is not None or candidate.stage is Stage.AWAITING_APPROVAL:
        return None
    limit = seen.limits.stage_deadline
    blind = candidate.blind.seconds
    if candidate.blind.since is not None:
        blind += int((seen.now - candidate.blind.since).total_seconds())
    return candidate.since + timedelta(seconds=limit + min(blind, limit))


def half_time_of(state: Checkpoint, seen: Observed) -> datetime | None:
    """Return when half of the stage's time is over; None where nothing runs out."""
    due = deadline_of(state, seen)
    if due is None or state.candidate is None or state.candidate.stage is Stage.PENDING:
        return None
    return due - timedelta(seconds=seen.limits.stage_deadline / 2)


def approval_deadline(candidate: CandidateState) -> datetime | None:
    """Return until when people can approve the candidate; None while they are not asked, or their clock stands."""
    if candidate.stage is not Stage.AWAITING_APPROVAL or candidate.plan is None or candidate.paused_since is not None:
        return None
    return candidate.since + timedelta(seconds=candidate.plan.approval.expires_after_seconds)


def serves_alone(seen: Observed, revision: str) -> bool:
    """Whether the live route sends everything to `revision` and the data plane shows it."""
    reached = seen.reached.get(revision)
    return (
        seen.route.present
        and seen.route.accepted
        and dict(seen.route.weights) == {revision: 100}
        and reached is not None
        and reached.passed is True
    )


def _known_to_the_gateway(state: Checkpoint, seen: Observed) -> bool:
    """Whether traffic can be moved without meeting a gateway that has not heard of the candidate's pods.

    Ready pods do not prove it: their endpoints reach the gateway later, under load or after an
    outage much later. A first revision takes traffic from nobody.
    """
    if state.stable is None or state.candidate is None:
        return True
    if seen.route.refused and state.candidate.revision in {*seen.route.weights, *seen.route.mirror}:
        return False
    previewed = seen.previewed.get(state.candidate.revision)
    return previewed is not None and previewed.passed is True


def wants_another(state: Checkpoint, seen: Observed) -> bool:
    """Whether the spec asks for something else than the log says is wanted.

    A candidate of which nothing was made is nothing yet: it follows its FeatureSet. Afterwards an
    edit of the FeatureSet makes no revision, only an edit of the spec does.
    """
    if state.wanted is None or seen.spec_hash != state.wanted.spec_hash:
        return True
    if state.wanted.source is not Source.SPEC:
        return False
    candidate = state.candidate
    return candidate is not None and candidate.stage in _NOT_BEGUN and candidate.revision != seen.revision


def _holding(state: Checkpoint, seen: Observed) -> Iterator[Event]:
    yield from _of_the_model(state, seen)
    yield from _of_people(state, seen)
    candidate = state.candidate
    if candidate is None:
        return
    yield from _of_pods(state, candidate, seen)
    yield from _of_evidence(state, candidate, seen)
    yield from _of_the_route(state, candidate, seen)
    yield from _of_time(state, candidate, seen)


def _of_the_model(state: Checkpoint, seen: Observed) -> Iterator[Event]:
    candidate, stable = state.candidate, state.stable
    if seen.lost is not None and seen.lost.sequence > seen.sequence:
        yield Event.RESTORED
    if candidate is not None:
        stands = seen.suspended or seen.log_blocked or bool(seen.frozen)
        if stands and candidate.paused_since is None:
            yield Event.SUSPENDED
        if not stands and candidate.paused_since is not None:
            yield Event.RESUMED
    if stable is not None:
        if stable in seen.crashed:
            yield Event.STABLE_HARMED
        yield Event.STABLE_LOST if seen.workload(stable).ready == 0 else Event.STABLE_BACK
    if stable_gates.answers(state, seen):
        yield Event.STABLE_ANSWERED
    end = stable_gates.due(state, seen)
    if end is not None and seen.now >= end:
        yield Event.EVALUATION_EXPIRED
    if not seen.undecided and wants_another(state, seen):
        yield Event.WANTED_STABLE if stable is not None and stable == seen.revision else Event.WANTED_CHANGED
    if candidate is not None and candidate.plan != seen.plan and _edited(candidate, seen):
        yield Event.PLAN_TIGHTENED
    free = candidate is not None and (candidate.cites > 0 or goes_back(state))
    yield Event.BLOCKED if any(hindrances(seen, free=free)) else Event.UNBLOCKED


def _edited(candidate: CandidateState, seen: Observed) -> bool:
    """Whether the edited plan concerns the candidate: it asks for more, or a gate changed before it answered."""
    if candidate.plan is None or candidate.cites:
        return False
    if tightened(candidate.plan, seen.plan):
        return True
    now = {gate.name: gate.spec_hash for gate in seen.plan.gates}
    waiting = set(missing_gates(candidate))
    asked = (gate for gate in candidate.plan.gates if gate.name in waiting and gate.name in now)
    return any(now[gate.name] != gate.spec_hash for gate in asked)


def _of_people(state: Checkpoint, seen: Observed) -> Iterator[Event]:
    action = next_action(state, seen)
    if action is not None:
        refused = refusal_of(action, state, seen)
        yield _ASKED[action.type] if refused is None else Event.ACTION_REFUSED


def _of_pods(state: Checkpoint, candidate: CandidateState, seen: Observed) -> Iterator[Event]:
    revision = candidate.revision
    workload, smoke = seen.workload(revision), seen.smoke.get(revision)
    if carries_traffic(state) and revision in seen.crashed:
        yield Event.CANDIDATE_CRASHED
    if workload.failure is not None and workload.failure.permanent:
        yield Event.CANDIDATE_FAILED
    if smoke is not None and smoke.passed is False:
        yield Event.CANDIDATE_FAILED
    weight = state.weights.get(revision, 0)
    if workload.ready == 0 or (0 < weight < 100 and not has_capacity(state, seen, weight)):
        yield Event.CANDIDATE_LOST
    # Without the admission policies anybody could have made the pods that look ready.
    believed = all(blocker.reason != Reason.POLICY_MISSING for blocker in seen.blockers)
    answers = smoke is not None and smoke.passed is True
    if candidate.stage is not Stage.STARTING:
        answers = workload.ready > 0
        ready = True
    else:
        ready = workload.present and workload.ready >= max(1, seen.replicas)
    if ready and answers and believed and _known_to_the_gateway(state, seen):
        yield Event.CANDIDATE_READY


def _of_evidence(state: Checkpoint, candidate: CandidateState, seen: Observed) -> Iterator[Event]:
    if any(item.verdict == "Fail" for item in seen.live.findings):
        yield Event.HARM_SHOWN
    if seen.shadow is not None and seen.shadow.verdict == "Fail":
        yield Event.SHADOW_FAILED
    if seen.shadow is not None and seen.shadow.verdict in PASSING:
        yield Event.SHADOW_PASSED
    if news(state, seen):
        yield Event.GATE_ANSWERED
    if candidate.plan is not None and not missing_gates(candidate):
        yield Event.GATES_PASSED
    if candidate.approved:
        yield Event.APPROVED
    if _step_is_done(candidate, seen):
        yield Event.STEP_DONE
    if candidate.stage in _LIVE and candidate.hold is None:
        if seen.live.sighted is False and candidate.blind.since is None:
            yield Event.EVIDENCE_LOST
        if seen.live.sighted is True and candidate.blind.since is not None:
            yield Event.EVIDENCE_BACK


def _step_is_done(candidate: CandidateState, seen: Observed) -> bool:
    """Whether the canary step may be left: its time and requests are there, and at the last one the proof."""
    canary = candidate.plan.canary if candidate.plan else None
    if canary is None or candidate.stage is not Stage.CANARY or candidate.applied_at is None:
        return False
    if candidate.blind.since is not None or candidate.hold is not None or seen.live.sighted is not True:
        return False
    step = canary.steps[candidate.step]
    # Time in which the clock stands is given back when it runs on, so it does not count now either.
    now = candidate.paused_since or seen.now
    if now < candidate.applied_at + timedelta(seconds=step.min_seconds) or seen.live.requests < step.min_requests:
        return False
    if candidate.step + 1 < len(canary.steps):
        return True
    shown = {item.name: item.verdict for item in seen.live.findings}
    return all(shown.get(item.name) in PASSING for item in canary.analysis)


def _of_the_route(state: Checkpoint, candidate: CandidateState, seen: Observed) -> Iterator[Event]:
    route = seen.route
    if route.refused and (route.weights.get(candidate.revision, 0) > 0 or candidate.revision in route.mirror):
        yield Event.ROUTE_REFUSED
    target = candidate.revision
    if candidate.stage is Stage.ROLLING_BACK:
        # The stable revision, or the fallback that stands in for it.
        target = next(iter(state.weights), target)
    if candidate.hold is None and serves_alone(seen, target):
        yield Event.ROUTE_APPLIED
    shared = route.present and route.accepted and dict(route.weights) == dict(state.weights)
    if shared and candidate.applied_at is None and candidate.hold is None and _known_to_the_gateway(state, seen):
        yield Event.STEP_APPLIED


def _of_time(state: Checkpoint, candidate: CandidateState, seen: Observed) -> Iterator[Event]:
    due = deadline_of(state, seen)
    if due is not None and seen.now >= due:
        yield Event.DEADLINE
    end = approval_deadline(candidate)
    if end is not None and seen.now >= end:
        yield Event.APPROVAL_EXPIRED
