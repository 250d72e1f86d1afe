"""The gates asked about the stable revision, because a person wants to know. Traffic stays, whatever they say."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from penstock.api.v1alpha1.checkpoint import Checkpoint, Proof, StableEvaluation
from penstock.api.v1alpha1.fields import MESSAGE_LIMIT
from penstock.domain.lifecycle.observed import GateFinding, Observed
from penstock.domain.lifecycle.stages import Verdict
from penstock.domain.lifecycle.transitions.step import FAIL, Step, handled, proof_from

# There is no champion for the champion: what a record says of how high the bars were.
BARS = "absolute"


def evaluate(state: Checkpoint, seen: Observed) -> Step | None:
    """Order one evaluation by the gates that the Model names now; one that is under way begins anew."""
    action, former = seen.actions[0], state.evaluation
    if state.stable is None:
        return None
    names = [gate.name for gate in seen.plan.gates]
    about = former.proofs if former is not None and former.revision == state.stable else []
    asked = StableEvaluation(
        revision=state.stable, round=seen.sequence + 1, since=seen.now, gates=names, proofs=list(about)
    )
    result = state.model_copy(update={"evaluation": asked, "handled": handled(state, seen, action)})
    message = (
        f"{action.user} has {_gates(names)} asked about the stable revision {state.stable}, by absolute bars only:"
        f" {action.reason}"
    )
    return Step(Verdict.NOTED, message, result, {"gates": names, "bars": BARS, "reason": action.reason}, action)


def record(state: Checkpoint, seen: Observed) -> Step | None:
    """Write down what gates have answered; after the last one the evaluation is over."""
    under_way = running(state)
    if under_way is None:
        return None
    fresh = [_proof(finding, under_way, seen) for finding in answers(state, seen)]
    # Without their numbers, which are in this record: the state stands in every record from now on.
    brief = [proof.model_copy(update={"numbers": []}) for proof in fresh]
    answered = {proof.gate for proof in fresh}
    proofs = [item for item in under_way.proofs if item.gate not in answered] + brief
    noted = under_way.model_copy(update={"proofs": proofs})
    if not unanswered(noted):
        noted = noted.model_copy(update={"ended": seen.now})
    result = state.model_copy(update={"evaluation": noted})
    inputs = {"proofs": [proof.as_json() for proof in fresh], "bars": BARS, "evaluation": under_way.round}
    failed = [proof for proof in fresh if proof.verdict == FAIL]
    if failed:
        said = "; ".join(f"gate {proof.gate}: {proof.message}" for proof in failed)
        message = f"The stable revision {under_way.revision} fails, and keeps its traffic: {said}"
        return Step(Verdict.STABLE_FAILED, message, result, inputs)
    said = "; ".join(f"gate {proof.gate}: {proof.verdict}" for proof in fresh)
    return Step(Verdict.PROVEN, f"The stable revision {under_way.revision}: {said}.", result, inputs)


def expire(state: Checkpoint, seen: Observed) -> Step | None:
    """Give up what has no answer within the time of a stage; somebody can ask again."""
    under_way = running(state)
    if under_way is None:
        return None
    missing = unanswered(under_way)
    findings = (seen.gates.get(name) for name in missing)
    last = "; ".join(f"{item.name}: {item.message}" for item in findings if item is not None and item.message)
    message = f"No answer within {seen.limits.stage_deadline} s about the stable revision {under_way.revision}"
    message = f"{message} from {_gates(missing)}{f' ({last})' if last else ''}."[:MESSAGE_LIMIT]
    result = state.model_copy(update={"evaluation": given_up(state, seen.now, message)})
    return Step(Verdict.NOTED, message, result, {"gates": missing, "evaluation": under_way.round})


def running(state: Checkpoint) -> StableEvaluation | None:
    """Return the evaluation of the stable revision whose gates are being asked."""
    found = state.evaluation
    return found if found is not None and found.ended is None else None


def unanswered(evaluation: StableEvaluation) -> list[str]:
    """Return the gates that have not answered in this round."""
    answered = {proof.gate for proof in of_round(evaluation)}
    return [name for name in evaluation.gates if name not in answered]


def of_round(evaluation: StableEvaluation) -> list[Proof]:
    """Return what was answered in this round."""
    return [proof for proof in evaluation.proofs if proof.evaluation == evaluation.round]


def answers(state: Checkpoint, seen: Observed) -> list[GateFinding]:
    """Return what gates have answered about the stable revision and the log does not know yet."""
    under_way = running(state)
    if under_way is None or state.candidate is not None:
        return []
    found = (seen.gates.get(name) for name in unanswered(under_way))
    return [item for item in found if item is not None and item.verdict is not None]


def due(state: Checkpoint, seen: Observed) -> datetime | None:
    """Return when the evaluation of the stable revision is given up; None while none is under way."""
    under_way = running(state)
    return under_way.since + timedelta(seconds=seen.limits.stage_deadline) if under_way is not None else None


def given_up(state: Checkpoint, now: datetime, why: str) -> StableEvaluation | None:
    """Return what is kept of the evaluation where it goes on no more; one that has ended stays as it is."""
    under_way = running(state)
    return state.evaluation if under_way is None else under_way.model_copy(update={"ended": now, "message": why})


def _proof(finding: GateFinding, asked: StableEvaluation, seen: Observed) -> Proof:
    found = proof_from(finding, asked.revision, asked.round, seen)
    # What only a candidate goes on with.
    return found.model_copy(update={"expected": None, "accepted": False})


def _gates(names: Sequence[str]) -> str:
    return f"gate{'s' if len(names) > 1 else ''} {', '.join(names)}"
