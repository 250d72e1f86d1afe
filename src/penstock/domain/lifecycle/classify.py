"""Which events hold at this moment, given the checkpoint and what is seen."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from penstock.api.v1alpha1.conditions import Reason
from penstock.api.v1alpha1.decisionrecord import Checkpoint
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.domain.lifecycle.observed import Observed
from penstock.domain.lifecycle.stages import Event

_NOT_BEGUN = frozenset({Stage.PENDING, Stage.STARTING})


def stage_of(state: Checkpoint) -> Stage | None:
    """Return the stage of the candidate, or None while no candidate is under way."""
    return state.candidate.stage if state.candidate else None


def events(state: Checkpoint, seen: Observed) -> Iterator[Event]:
    """Yield the events that hold now, most important first.

    While a Model is suspended only what protects traffic is left: the pause itself, harm and the
    end of a rollback that has begun.
    """
    held = set(_holding(state, seen))
    if seen.suspended:
        held &= {Event.SUSPENDED, Event.CANDIDATE_LOST, Event.ROUTE_REFUSED}
        if stage_of(state) is Stage.ROLLING_BACK:
            held |= {Event.ROUTE_APPLIED} & set(_holding(state, seen))
    yield from (event for event in Event if event in held)


def deadline_of(state: Checkpoint, seen: Observed) -> datetime | None:
    """Return when the candidate's stage runs out of time; None where nothing runs out."""
    candidate = state.candidate
    if candidate is None or candidate.paused_since is not None:
        return None
    return candidate.since + timedelta(seconds=seen.limits.stage_deadline)


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
    previewed = seen.previewed.get(state.candidate.revision)
    return previewed is not None and previewed.passed is True


def _wants_another(state: Checkpoint, seen: Observed) -> bool:
    """Whether the spec asks for something else than the log says is wanted.

    A candidate of which nothing was made is nothing yet: it follows its FeatureSet. Afterwards an
    edit of the FeatureSet makes no revision, only an edit of the spec does.
    """
    if state.wanted is None or seen.spec_hash != state.wanted.spec_hash:
        return True
    candidate = state.candidate
    return candidate is not None and candidate.stage in _NOT_BEGUN and candidate.revision != seen.revision


def _holding(state: Checkpoint, seen: Observed) -> Iterator[Event]:
    candidate = state.candidate
    if candidate is not None:
        if seen.suspended and candidate.paused_since is None:
            yield Event.SUSPENDED
        if not seen.suspended and candidate.paused_since is not None:
            yield Event.RESUMED
    if not seen.undecided and _wants_another(state, seen):
        back_to_stable = state.stable is not None and state.stable == seen.revision
        yield Event.WANTED_STABLE if back_to_stable else Event.WANTED_CHANGED
    yield Event.BLOCKED if seen.blockers else Event.UNBLOCKED
    if candidate is None:
        return
    workload = seen.workload(candidate.revision)
    smoke = seen.smoke.get(candidate.revision)
    if workload.failure is not None and workload.failure.permanent:
        yield Event.CANDIDATE_FAILED
    if smoke is not None and smoke.passed is False:
        yield Event.CANDIDATE_FAILED
    if workload.ready == 0:
        yield Event.CANDIDATE_LOST
    ready = workload.present and workload.ready >= max(1, seen.replicas)
    # Without the admission policies anybody could have made the pods that look ready.
    believed = all(blocker.reason != Reason.POLICY_MISSING for blocker in seen.blockers)
    if ready and believed and smoke is not None and smoke.passed is True and _known_to_the_gateway(state, seen):
        yield Event.CANDIDATE_READY
    if seen.route.refused and dict(seen.route.weights) == {candidate.revision: 100}:
        yield Event.ROUTE_REFUSED
    target = candidate.revision
    if stage_of(state) is Stage.ROLLING_BACK and state.stable is not None:
        target = state.stable
    if serves_alone(seen, target):
        yield Event.ROUTE_APPLIED
    due = deadline_of(state, seen)
    if due is not None and seen.now >= due:
        yield Event.DEADLINE
