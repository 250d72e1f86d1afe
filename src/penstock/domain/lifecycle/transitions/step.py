"""What every transition is made of: the step it returns, and small changes of a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from penstock.api.v1alpha1.checkpoint import CandidateState, Checkpoint, Proof, RejectedRevision
from penstock.api.v1alpha1.conditions import Reason
from penstock.api.v1alpha1.modelstatus import HISTORY_LIMIT, HistoryEntry, Outcome, Source, Stage, Wanted
from penstock.domain.approval import Action
from penstock.domain.lifecycle.observed import Blocker, GateFinding, Observed
from penstock.domain.lifecycle.plan import missing_gates
from penstock.domain.lifecycle.stages import Verdict

_BEFORE_TRAFFIC = frozenset({Stage.PENDING, Stage.STARTING, Stage.EVALUATING, Stage.SHADOW})
MAX_REJECTED = 10
MAX_PROOFS = 8
MAX_REQUESTERS = 10
FAIL = "Fail"
_OF_DATA = frozenset({Reason.FEATURE_SET_NOT_VALID, Reason.FEATURE_SET_PENDING, Reason.FEATURE_SET_MISSING})


@dataclass(frozen=True, slots=True)
class Step:
    """The effect of one event: a verdict, its sentence, and the checkpoint that follows.

    `action`: whose command it carries out, None where a rule decided.
    """

    verdict: Verdict
    message: str
    result: Checkpoint
    inputs: Mapping[str, Any] = field(default_factory=dict)
    action: Action | None = None


Transition = Callable[[Checkpoint, Observed], Step | None]


def ignore(state: Checkpoint, seen: Observed) -> Step | None:
    """Nothing follows from the event in this stage."""
    return None


def candidate_of(state: Checkpoint) -> CandidateState:
    """Return the candidate, which this transition needs."""
    if state.candidate is None:
        raise ValueError("this transition needs a candidate")
    return state.candidate


def moved(state: Checkpoint, seen: Observed, **changes: Any) -> CandidateState:
    """Return the candidate with changes, and with what live traffic has shown by now."""
    tests = dict(seen.live.tests) if seen.live.tests is not None else candidate_of(state).tests
    return candidate_of(state).model_copy(update={"tests": tests, **changes})


def carries_traffic(state: Checkpoint) -> bool:
    """Whether clients are, or may be, answered by the candidate as such: as the fallback it answers for another."""
    candidate = state.candidate
    if candidate is None or (state.failover and candidate.stage in _BEFORE_TRAFFIC):
        return False
    return state.weights.get(candidate.revision, 0) > 0


def pods_needed(state: Checkpoint, seen: Observed, weight: int) -> int:
    """Return how many ready pods a candidate needs for that share of the traffic."""
    if weight >= 100:
        return max(1, seen.replicas)
    serving = seen.workload(state.stable).ready if state.stable else seen.replicas
    return max(1, ceil(max(1, serving) * weight / 100))


def has_capacity(state: Checkpoint, seen: Observed, weight: int) -> bool:
    """Whether enough of the candidate's pods are ready for that share of the traffic."""
    return seen.workload(candidate_of(state).revision).ready >= pods_needed(state, seen, weight)


def goes_back(state: Checkpoint) -> bool:
    """Whether the candidate is the way back that a person or harm has ordered, also if the spec asks for it by now."""
    candidate, asked = state.candidate, state.wanted
    if candidate is None:
        return False
    if asked is not None and asked.source is Source.ROLLBACK and candidate.revision == asked.revision:
        return True
    leaving = state.stable is not None and quarantine_of(state, state.stable) is not None
    return leaving and candidate.cites > 0


def hindrances(seen: Observed, *, free: bool) -> tuple[list[Blocker], str]:
    """Return what keeps a candidate in Pending. `free`: a way back waits neither for a freeze, a slot nor data."""
    if not free:
        return list(seen.blockers), seen.frozen or seen.crowded
    return [item for item in seen.blockers if item.reason not in _OF_DATA], ""


def held_up(state: Checkpoint, seen: Observed, weight: int) -> bool:
    """Whether more traffic has to wait: a freeze or suspension (which hold up no way back), or too few ready pods.

    While the fallback serves, there is no stable revision to share the traffic with. A gate that was asked once
    more and has no answer now holds too: an approval is not a bypass.
    """
    candidate = candidate_of(state)
    frozen = bool(seen.frozen) and not candidate.cites and not goes_back(state)
    suspended = seen.suspended and not (candidate.cites and goes_back(state))
    alone = state.failover and weight < 100
    unproven = not candidate.cites and not candidate.bypassed and bool(missing_gates(candidate))
    return frozen or suspended or alone or unproven or not has_capacity(state, seen, weight)


def champion(state: Checkpoint, seen: Observed) -> dict[str, int]:
    """Return the weights without the candidate: the stable revision's, or the fallback's while that stands in."""
    if state.stable is None:
        return {}
    if state.failover and seen.fallback is not None and quarantine_of(state, seen.fallback) is None:
        return {seen.fallback: 100}
    return {state.stable: 100}


def wanted(seen: Observed) -> Wanted:
    """Return what the spec asks for, as it is written down."""
    return Wanted(
        revision=seen.revision,
        source=Source.SPEC,
        spec_hash=seen.spec_hash,
        at=seen.now,
        requested_by=seen.requester or None,
    )


def handled(state: Checkpoint, seen: Observed, action: Action) -> list[str]:
    """Return the commands that were dealt with after this one; those that are gone need not be remembered."""
    return [*(uid for uid in state.handled if uid in seen.existing), action.uid]


def proof_from(finding: GateFinding, revision: str, evaluation: int, seen: Observed) -> Proof:
    """Return what a gate has said of a revision in a round, as it is written down."""
    return Proof(
        gate=finding.name,
        revision=revision,
        spec_hash=finding.spec_hash,
        dataset_digest=finding.dataset_digest,
        verdict=finding.verdict or "NoData",
        reason=finding.reason or "Evaluated",
        message=finding.message,
        attempt=finding.attempt,
        evaluation=evaluation,
        numbers=[dict(item) for item in finding.numbers],
        expected=dict(finding.expected) if finding.expected is not None else None,
        accepted=finding.accepted,
        report_digest=finding.report_digest,
        at=seen.now,
    )


def history(state: Checkpoint, seen: Observed, outcome: Outcome, reason: str) -> list[HistoryEntry]:
    """Return the history with the end of the present candidate at its head."""
    entry = HistoryEntry(revision=candidate_of(state).revision, outcome=outcome, reason=reason, at=seen.now)
    return [entry, *state.history][:HISTORY_LIMIT]


def refused(state: Checkpoint, entry: RejectedRevision) -> list[RejectedRevision]:
    """Return the rejected revisions with one more: the newest, and every quarantine whatever the limit.

    What is quarantined already stays so, though it ends for a lesser reason now.
    """
    if not entry.quarantined:
        entry = quarantine_of(state, entry.revision) or entry
    found = [entry, *(item for item in state.rejected if item.revision != entry.revision)]
    return found[:MAX_REJECTED] + [item for item in found[MAX_REJECTED:] if item.quarantined]


def quarantine_of(state: Checkpoint, revision: str) -> RejectedRevision | None:
    """Return why a revision must not come back without a named release."""
    return next((item for item in state.rejected if item.revision == revision and item.quarantined), None)
