"""The way of a candidate: which stages its plan sends it through, and whether an edited plan asks for more."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from penstock.api.v1alpha1.checkpoint import CandidateState, Checkpoint, Plan, Proof
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.api.v1alpha1.rollout import Before, Canary, Shadow

PASSING = frozenset({"Pass", "NotApplicable"})
INCONCLUSIVE = "Inconclusive"


def stages(state: Checkpoint) -> list[Stage]:
    """Return the stages of the candidate after Starting, in order.

    A first revision has nobody to be compared with: neither shadow nor canary. A way back to a
    revision that served lately relies on what was proven then.
    """
    candidate = state.candidate
    if candidate is None or candidate.cites:
        return [Stage.PROMOTING]
    plan = candidate.plan or Plan()
    beside = state.stable is not None
    asked, first = needs_approval(candidate), asked_before_traffic(candidate)
    ways = (
        (Stage.EVALUATING, bool(plan.gates)),
        (Stage.AWAITING_APPROVAL, first),
        (Stage.SHADOW, beside and plan.shadow is not None),
        (Stage.CANARY, beside and plan.canary is not None),
        (Stage.AWAITING_APPROVAL, asked and not first),
        (Stage.PROMOTING, True),
    )
    return [stage for stage, there in ways if there]


def next_stage(state: Checkpoint) -> Stage:
    """Return the stage after the candidate's present one; stages before Evaluating lead to the first."""
    candidate = state.candidate
    order = stages(state)
    if candidate is None or candidate.stage not in order:
        return order[0]
    return order[order.index(candidate.stage) + 1]


def needs_approval(candidate: CandidateState) -> bool:
    """Whether people have to agree: by the plan, or because a gate could not decide and leaves it to them."""
    plan = candidate.plan or Plan()
    return plan.approval.required or any(proof.verdict == INCONCLUSIVE and proof.accepted for proof in candidate.proofs)


def asked_before_traffic(candidate: CandidateState) -> bool:
    """Whether people have to agree before the candidate gets any live traffic."""
    plan = candidate.plan or Plan()
    return needs_approval(candidate) and plan.approval.before is Before.ROLLOUT


def missing_gates(candidate: CandidateState) -> list[str]:
    """Return the gates of the plan without a proof that lets the candidate go on."""
    plan = candidate.plan or Plan()
    return [gate.name for gate in plan.gates if not _passed(proof_of(candidate, gate.name), gate.spec_hash)]


def proof_of(candidate: CandidateState, gate: str) -> Proof | None:
    """Return what a gate found about the candidate."""
    return next((proof for proof in candidate.proofs if proof.gate == gate), None)


def _passed(proof: Proof | None, spec_hash: str | None) -> bool:
    if proof is None or proof.spec_hash != spec_hash:
        return False
    return proof.verdict in PASSING or (proof.verdict == INCONCLUSIVE and proof.accepted)


def merged(old: Plan, new: Plan, unproven: Collection[str]) -> Plan:
    """Return the plan in force after an edit: part by part the new one where it asks for more, else the old one.

    `unproven`: gates that have not answered yet, which are taken as they are now.
    """
    stricter = {reason.split(":")[0].split(" asks")[0] for reason in _gates(old, new)}
    before = {gate.name: gate for gate in old.gates}
    gates = [
        gate
        if gate.name not in before or f"gate {gate.name}" in stricter or gate.name in unproven
        else before[gate.name]
        for gate in new.gates
    ]
    kept = [gate for gate in old.gates if gate.name not in {item.name for item in new.gates}]
    return Plan(
        gates=[*gates, *kept],
        shadow=new.shadow if any(_shadow(old.shadow, new.shadow)) else old.shadow,
        canary=new.canary if any(_canary(old.canary, new.canary)) else old.canary,
        approval=new.approval if any(_approval(old, new)) else old.approval,
        on_missing_evidence=old.on_missing_evidence,
        stage_deadline_seconds=old.stage_deadline_seconds,
    )


def tightened(old: Plan, new: Plan) -> list[str]:
    """Say in what an edited plan asks for more than the one in force; empty if it asks for no more."""
    return [*_gates(old, new), *_shadow(old.shadow, new.shadow), *_canary(old.canary, new.canary), *_approval(old, new)]


def _gates(old: Plan, new: Plan) -> Iterator[str]:
    before = {gate.name: gate for gate in old.gates}
    for gate in new.gates:
        known = before.get(gate.name)
        if known is None:
            yield f"gate {gate.name} is new"
            continue
        for bar, value in gate.bars.items():
            if bar not in known.bars:
                yield f"gate {gate.name} asks for {bar}"
            elif _stricter(bar, known.bars[bar], value):
                yield f"gate {gate.name}: {bar} {known.bars[bar]} becomes {value}"


def _stricter(bar: str, old: str, new: str) -> bool:
    """Bars end in the direction they are read in: `…:max` gets stricter downwards, everything else upwards."""
    try:
        before, after = float(old), float(new)
    except ValueError:
        return old != new
    return after < before if bar.endswith(":max") else after > before


def _shadow(old: Shadow | None, new: Shadow | None) -> Iterator[str]:
    if new is None:
        return
    if old is None:
        yield "a shadow is asked for"
        return
    if new.min_samples > old.min_samples:
        yield "shadow.minSamples is larger"
    if float(new.max_excess_disagreement) < float(old.max_excess_disagreement):
        yield "shadow.maxExcessDisagreement is smaller"
    if _below(new.max_latency_increase_percent, old.max_latency_increase_percent):
        yield "shadow.maxLatencyIncreasePercent is smaller"


def _canary(old: Canary | None, new: Canary | None) -> Iterator[str]:
    if new is None:
        return
    if old is None:
        yield "a canary is asked for"
        return
    before = {step.weight: step for step in old.steps}
    for step in new.steps:
        known = before.get(step.weight)
        if known is None:
            if step.weight < old.steps[-1].weight:
                yield f"canary has a step of {step.weight} %"
        elif step.min_requests > known.min_requests or step.min_seconds > known.min_seconds:
            yield f"the canary step of {step.weight} % lasts longer"
    known_analyses = {item.name: item for item in old.analysis}
    for item in new.analysis:
        was = known_analyses.get(item.name)
        if was is None:
            yield f"analysis {item.name} is new"
        elif (
            _below(_number(item.margin), _number(was.margin))
            or item.max_increase_percent < was.max_increase_percent
            or _below(_number(item.max), _number(was.max))
            or _below(_opposite(item.min), _opposite(was.min))
        ):
            yield f"analysis {item.name} allows less"


def _approval(old: Plan, new: Plan) -> Iterator[str]:
    if new.approval.required and not old.approval.required:
        yield "an approval is asked for"
    elif new.approval.required and new.approval.quorum > old.approval.quorum:
        yield "more approvals are asked for"
    elif new.approval.required and new.approval.separation_of_duties and not old.approval.separation_of_duties:
        yield "duties are separated"


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


def _opposite(text: str | None) -> float | None:
    return None if text is None else -float(text)


def _below(new: float | None, old: float | None) -> bool:
    return new is not None and (old is None or new < old)
