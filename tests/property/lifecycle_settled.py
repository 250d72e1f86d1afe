"""What must hold when there is nothing to decide: no harm waits, nobody is forgotten, nothing stays for ever."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from math import ceil
from typing import Any

from penstock.api.v1alpha1.checkpoint import CandidateState, Checkpoint
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.domain.lifecycle.observed import Observed

STAGES_WITH_TIME = {Stage.STARTING, Stage.EVALUATING, Stage.SHADOW, Stage.CANARY, Stage.PROMOTING}
LIVE = {Stage.CANARY, Stage.AWAITING_APPROVAL}
ASKED = {Stage.STARTING, Stage.EVALUATING, Stage.SHADOW, Stage.CANARY, Stage.AWAITING_APPROVAL}
NO_WAY_OVER = {Stage.PROMOTING, Stage.ROLLING_BACK}


class Violation(AssertionError):
    """Something happened that never may. `rule`: which sentence was broken."""

    def __init__(self, rule: str, detail: str = "") -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule


def must(holds: bool, rule: str, detail: object = "") -> None:
    """Raise a Violation unless the rule holds."""
    if not holds:
        raise Violation(rule, str(detail))


def is_full(seen: Observed) -> bool:
    """Whether more than 200 decisions wait for their export."""
    return seen.exported is not None and seen.sequence - seen.exported > 200


def settled(state: Checkpoint, seen: Observed, quarantined: Collection[str], ran: float) -> None:
    """Judge a converged look. `ran`: the seconds that the clock of the candidate has run in its stage."""
    candidate, stable = state.candidate, state.stable
    if state.failover and stable is not None and (candidate is None or candidate.stage not in NO_WAY_OVER):
        must(seen.workload(stable).ready == 0, "the stable revision takes over again", stable)
    waiting = [action.type.value for action in seen.actions if action.uid not in state.handled]
    full = is_full(seen)
    if full:
        waiting = [what for what in waiting if what in ("Reject", "Rollback")]
    if candidate is None:
        must(not waiting, "a command is carried out or refused", waiting)
        open_ = seen.suspended or full or seen.undecided
        asked = state.evaluation
        if asked is not None and asked.ended is None and not (seen.suspended or full):
            known = {proof.gate for proof in asked.proofs if proof.evaluation == asked.round}
            heard = {name for name, said in seen.gates.items() if said.verdict is not None}
            must(heard <= known, "an answer about the stable revision is written down", heard - known)
            late = (seen.now - asked.since).total_seconds() >= seen.limits.stage_deadline
            must(not late and set(asked.gates) - known != set(), "an evaluation comes to an end", asked.since)
        must(open_ or (state.wanted is not None and state.wanted.spec_hash == seen.spec_hash), "the spec is followed")
        return
    share = state.weights.get(candidate.revision, 0)
    standing, limit = seen.suspended or full or bool(seen.frozen), seen.limits.stage_deadline
    failed = [name for name, said in seen.gates.items() if said.verdict == "Fail" and _is_asked(candidate, said)]
    must(not failed or seen.suspended or full or candidate.stage not in ASKED, "a failed gate ends a candidate", failed)
    if candidate.stage in LIVE and share and stable is not None:
        bad = candidate.revision in seen.crashed or any(item.verdict == "Fail" for item in seen.live.findings)
        must(not bad, "harm ends a candidate at once", candidate.stage)
    if candidate.stage is Stage.PROMOTING and stable is not None and share and not _leaves_quarantined(state):
        must(candidate.revision not in seen.crashed, "a crash ends a candidate at once", candidate.stage)
    if 0 < share < 100 and stable is not None:
        needed = max(1, ceil(max(1, seen.workload(stable).ready) * share / 100))
        must(seen.workload(candidate.revision).ready >= needed, "lost pods lose their traffic", share)
    refused = seen.route.refused and seen.route.weights.get(candidate.revision)
    # The candidate's share under a failover is the fallback's, if it is both.
    must(not (refused and share and stable and not state.failover), "a refused route is taken back", candidate.stage)
    fallback = seen.fallback
    if stable is not None and fallback is not None and state.weights.get(stable) == 100:
        dead = seen.workload(stable).ready == 0 and seen.workload(fallback).ready > 0
        free = fallback != candidate.revision and fallback not in quarantined
        must(not (dead and free), "the fallback takes over", candidate.stage)
    if candidate.stage in STAGES_WITH_TIME and not standing and stable is not None:
        must(ran < 2 * limit, "no candidate stays in a stage for ever", (candidate.stage, ran))
    if standing:
        return
    if candidate.stage in ASKED and candidate.plan is not None and not candidate.cites:
        held = {gate.name: float(gate.bars["auc:min"]) for gate in candidate.plan.gates}
        bars = {gate.name: float(gate.bars["auc:min"]) for gate in seen.plan.gates}
        lax = [name for name, bar in bars.items() if held.get(name, 0) < bar]
        must(not lax, "an edit that asks for more holds for the candidate under way", lax)
        must(candidate.plan.approval.required or not seen.plan.approval.required, "an approval asked for is needed")
    if candidate.stage is Stage.AWAITING_APPROVAL:
        must("Reject" not in waiting, "one Reject ends it", waiting)
    if candidate.stage is Stage.PENDING:
        must(bool(seen.blockers), "Pending waits for something", candidate)
    if candidate.stage is Stage.AWAITING_APPROVAL and stable is not None and candidate.plan:
        end = candidate.since + timedelta(seconds=candidate.plan.approval.expires_after_seconds)
        must(seen.now < end, "a question has an end", end)


def _is_asked(candidate: CandidateState, said: Any) -> bool:
    asked = candidate.plan.gates if candidate.plan else ()
    return any((gate.name, gate.spec_hash) == (said.name, said.spec_hash) for gate in asked)


def _leaves_quarantined(state: Checkpoint) -> bool:
    return any(item.revision == state.stable and item.quarantined for item in state.rejected)
