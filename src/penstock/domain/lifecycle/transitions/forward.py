"""How a candidate comes forward: proven, compared, approved, promoted."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from penstock.api.v1alpha1.checkpoint import Blindness, Checkpoint, PreviousRevision
from penstock.api.v1alpha1.conditions import Reason
from penstock.api.v1alpha1.fields import rfc3339
from penstock.api.v1alpha1.modelstatus import Outcome, Stage
from penstock.domain.lifecycle import evidence
from penstock.domain.lifecycle.observed import Failure, GateFinding, Observed
from penstock.domain.lifecycle.plan import asked_before_traffic, merged, missing_gates, next_stage, tightened
from penstock.domain.lifecycle.stages import Verdict
from penstock.domain.lifecycle.transitions import back
from penstock.domain.lifecycle.transitions.step import (
    FAIL,
    MAX_PROOFS,
    Step,
    candidate_of,
    champion,
    held_up,
    history,
    moved,
    proof_from,
)

MAX_PREVIOUS = 2
_LIVE = frozenset({Stage.SHADOW, Stage.CANARY})
NOT_APPLICABLE = "NotApplicable"


def ready(state: Checkpoint, seen: Observed) -> Step | None:
    """The started candidate answers: on to what its plan asks for first."""
    candidate = candidate_of(state)
    workload = seen.workload(candidate.revision)
    inputs = {
        "ready": workload.ready,
        "required": max(1, seen.replicas),
        "smoke": seen.smoke[candidate.revision].message,
        **({"lineage": workload.lineage} if workload.lineage else {}),
    }
    said = f"Revision {candidate.revision} is ready ({workload.ready} pods, smoke prediction passed)"
    return advance(state, seen, said, inputs)


def advance(state: Checkpoint, seen: Observed, said: str, inputs: Mapping[str, Any]) -> Step | None:
    """Go on to the next stage of the plan; None while a freeze or missing pods forbid it."""
    return enter(state, seen, next_stage(state), said, inputs)


def enter(state: Checkpoint, seen: Observed, stage: Stage, said: str, inputs: Mapping[str, Any]) -> Step | None:
    """Put the candidate into a stage, with the weights that belong to it."""
    candidate = candidate_of(state)
    changes: dict[str, Any] = {
        "stage": stage,
        "since": seen.now,
        # While people are asked the traffic stays as it is: the share of a step, or held back.
        "step": candidate.step if stage is Stage.AWAITING_APPROVAL else 0,
        "applied_at": None,
        "hold": candidate.hold if stage is Stage.AWAITING_APPROVAL else None,
        "blind": Blindness(),
    }
    weights, verdict, found = state.weights, Verdict.ADVANCE, dict(inputs)
    if stage is Stage.AWAITING_APPROVAL:
        snapshot = evidence.snapshot(state, seen)
        changes |= {"evidence": evidence.digest(snapshot), "approvals": [], "approved": False}
        found |= {"evidence": snapshot, "evidenceDigest": changes["evidence"]}
        verdict, what = Verdict.AWAIT, f"it waits for approval of evidence {changes['evidence']}"
    elif stage is Stage.EVALUATING:
        what = "its gates are asked"
    elif stage is Stage.SHADOW:
        what = "copies of live requests are compared"
    elif stage is Stage.CANARY:
        return _canary_step(state, seen, 0, said, found)
    else:
        if held_up(state, seen, 100):
            return None
        weights, verdict, what = {candidate.revision: 100}, Verdict.PROMOTE, "it gets the traffic"
    result = state.model_copy(update={"candidate": moved(state, seen, **changes), "weights": weights})
    return Step(verdict, f"{said}: {what}", result, found)


def record_proofs(state: Checkpoint, seen: Observed) -> Step | None:
    """Gates have answered: one failure takes the candidate out, and when all have passed it goes on."""
    candidate = candidate_of(state)
    fresh = [proof_from(finding, candidate.revision, candidate.evaluation, seen) for finding in news(state, seen)]
    proofs = [item for item in candidate.proofs if item.gate not in {proof.gate for proof in fresh}] + fresh
    noted = state.model_copy(update={"candidate": candidate.model_copy(update={"proofs": proofs})})
    inputs = {"proofs": [proof.as_json() for proof in fresh]}
    failed = next((proof for proof in fresh if proof.verdict == FAIL), None)
    if failed is not None:
        failure = Failure(Reason.GATE_FAILED, f"gate {failed.gate}: {failed.message}", permanent=True)
        return back.take_back(noted, seen, failure, inputs=inputs)
    said = "; ".join(f"gate {proof.gate}: {proof.verdict}" for proof in fresh)
    if candidate.stage is Stage.EVALUATING and not missing_gates(candidate_of(noted)):
        step = advance(noted, seen, f"Revision {candidate.revision} passed its gates ({said})", inputs)
        if step is not None:
            return step
    if candidate.stage is Stage.AWAITING_APPROVAL:
        return enter(noted, seen, Stage.AWAITING_APPROVAL, f"There is new evidence ({said})", inputs)
    if candidate.stage in _LIVE and asked_before_traffic(candidate_of(noted)):
        # What was approved was other evidence: without traffic until people have seen this one.
        back_again = noted.model_copy(update={"weights": champion(state, seen)})
        unheld = candidate_of(noted).model_copy(update={"step": 0, "hold": None})
        back_again = back_again.model_copy(update={"candidate": unheld})
        return enter(back_again, seen, Stage.AWAITING_APPROVAL, f"There is new evidence ({said})", inputs)
    return Step(Verdict.PROVEN, f"Revision {candidate.revision}: {said}.", noted, inputs)


def news(state: Checkpoint, seen: Observed) -> list[GateFinding]:
    """Return what gates have answered and the log does not know yet."""
    candidate = state.candidate
    if candidate is None or candidate.plan is None:
        return []
    known = {
        (item.gate, item.spec_hash, item.evaluation, item.attempt, item.dataset_digest) for item in candidate.proofs
    }
    found = (seen.gates.get(gate.name) for gate in candidate.plan.gates if gate.spec_hash is not None)
    hashes = {gate.name: gate.spec_hash for gate in candidate.plan.gates}
    return [
        item
        for item in found
        if item is not None
        and item.verdict is not None
        and item.spec_hash == hashes[item.name]
        # With a stable revision to compare with, that nothing could be compared is no answer.
        and not (item.verdict == NOT_APPLICABLE and state.stable is not None)
        and (item.name, item.spec_hash, candidate.evaluation, item.attempt, item.dataset_digest) not in known
    ]


def gates_passed(state: Checkpoint, seen: Observed) -> Step | None:
    """Every gate has passed; what held the candidate up then (a freeze, missing pods) is gone."""
    return advance(state, seen, f"Revision {candidate_of(state).revision} passed its gates", {})


def shadow_passed(state: Checkpoint, seen: Observed) -> Step | None:
    """The answers to copied requests agree as far as the holdout let expect."""
    shadow = seen.shadow
    if shadow is None:
        return None
    shown = {"verdict": shadow.verdict, "n": shadow.n, "until": rfc3339(seen.now), "numbers": dict(shadow.numbers)}
    noted = state.model_copy(update={"candidate": candidate_of(state).model_copy(update={"shadow": shown})})
    said = f"Revision {candidate_of(state).revision} passed its shadow ({shadow.message})"
    return advance(noted, seen, said, {"shadow": shown})


def step_applied(state: Checkpoint, seen: Observed) -> Step | None:
    """The gateway shares the traffic as ordered: the step's time begins."""
    candidate = candidate_of(state)
    result = state.model_copy(update={"candidate": moved(state, seen, applied_at=seen.now)})
    weight = state.weights.get(candidate.revision, 0)
    message = f"Revision {candidate.revision} gets {weight} % of the traffic."
    return Step(Verdict.APPLIED, message, result, {"route": dict(seen.route.weights)})


def step_done(state: Checkpoint, seen: Observed) -> Step | None:
    """The step lasted long enough and nothing speaks against the next one."""
    candidate = candidate_of(state)
    plan = candidate.plan
    if plan is None or plan.canary is None:
        return None
    inputs = {"analysis": evidence.findings(seen), "requests": seen.live.requests}
    said = f"Revision {candidate.revision} did well with {state.weights.get(candidate.revision, 0)} % of the traffic"
    if candidate.step + 1 < len(plan.canary.steps):
        return _canary_step(state, seen, candidate.step + 1, said, inputs)
    return advance(state, seen, said, inputs)


def _canary_step(state: Checkpoint, seen: Observed, index: int, said: str, inputs: Mapping[str, Any]) -> Step | None:
    candidate = candidate_of(state)
    if candidate.plan is None or candidate.plan.canary is None or state.stable is None:
        return None
    weight = candidate.plan.canary.steps[index].weight
    if held_up(state, seen, weight):
        return None
    changes: dict[str, Any] = {
        "stage": Stage.CANARY,
        "step": index,
        "since": seen.now,
        "applied_at": None,
        "hold": None,
        "blind": Blindness(),
    }
    result = state.model_copy(
        update={
            "candidate": moved(state, seen, **changes),
            "weights": {state.stable: 100 - weight, candidate.revision: weight},
        }
    )
    return Step(Verdict.ADVANCE, f"{said}: it gets {weight} % of the traffic", result, inputs)


def reconsider(state: Checkpoint, seen: Observed) -> Step | None:
    """The plan asks for more now: champion traffic, and the candidate is measured by the stricter plan."""
    candidate = candidate_of(state)
    old = candidate.plan
    if old is None:
        return None
    unproven = set(missing_gates(candidate))
    plan = merged(old, seen.plan, unproven)
    if plan == old:
        return None
    why = tightened(old, plan) or ["a gate was edited before it answered"]
    changes = {"plan": plan, "approvals": [], "approved": False, "evidence": None}
    planned = state.model_copy(update={"candidate": moved(state, seen, **changes)})
    inputs = {"old": old.as_json(), "new": plan.as_json()}
    again = candidate_of(planned).model_copy(
        update={
            "stage": Stage.EVALUATING,
            "since": seen.now,
            "step": 0,
            "applied_at": None,
            "hold": None,
            "blind": Blindness(),
            "bypassed": False,
            "tests": None,
        }
    )
    result = planned.model_copy(update={"candidate": again, "weights": champion(state, seen)})
    message = f"The plan asks for more ({', '.join(why[:4])}): revision {candidate.revision} is looked at again."
    return Step(Verdict.RECONSIDER, message, result, inputs)


def complete(state: Checkpoint, seen: Observed) -> Step | None:
    """The gateway serves the candidate: it is the stable revision now, the old one stays warm."""
    candidate = candidate_of(state)
    previous = [item for item in state.previous if item.revision != candidate.revision]
    left = {item.revision for item in state.rejected if item.quarantined}
    if state.stable is not None and state.stable != candidate.revision and state.stable not in left:
        old = PreviousRevision(
            revision=state.stable,
            full_until=seen.now + timedelta(seconds=seen.limits.rollback_full),
            warm_until=seen.now + timedelta(seconds=seen.limits.rollback_window),
            sequence=state.stable_since,
        )
        previous = [old, *(item for item in previous if item.revision != old.revision)]
    remembered = [proof.model_copy(update={"numbers": [], "expected": None}) for proof in candidate.proofs]
    result = state.model_copy(
        update={
            "stable": candidate.revision,
            "stable_since": seen.sequence + 1,
            "candidate": None,
            "previous": previous[:MAX_PREVIOUS],
            "weights": {candidate.revision: 100},
            "failover": False,
            "evaluation": None,
            "proofs": [*remembered, *state.proofs][:MAX_PROOFS],
            "history": history(state, seen, Outcome.STABLE, Reason.SERVING),
        }
    )
    return Step(
        Verdict.PROMOTED,
        f"Revision {candidate.revision} serves all traffic.",
        result,
        {"route": dict(seen.route.weights), "probe": seen.reached[candidate.revision].message},
    )
