"""What status shows of both revisions: stage, gates, comparison, approvals. Numbers are text, rounded for people."""

from __future__ import annotations

from typing import Any

from penstock.api.v1alpha1.checkpoint import Checkpoint, StableEvaluation
from penstock.api.v1alpha1.fields import MESSAGE_LIMIT
from penstock.api.v1alpha1.modelstatus import (
    AnalysisStatus,
    CandidateRevision,
    GateStatus,
    ServedRevision,
    ShadowStatus,
    StableRevision,
    Stage,
)
from penstock.controllers.model import waits
from penstock.controllers.model.scope import Scope
from penstock.domain.lifecycle.classify import approval_deadline, deadline_of
from penstock.domain.lifecycle.plan import proof_of
from penstock.domain.lifecycle.transitions import stable as stable_gates
from penstock.domain.lifecycle.transitions.forward import news

DIGITS = 3


def show(scope: Scope, state: Checkpoint) -> CandidateRevision | None:
    """Return what is shown of the candidate, None without one."""
    candidate = state.candidate
    if candidate is None:
        return None
    workload, shown = scope.seen.workload(candidate.revision), scope.model.status.candidate
    if candidate.revision in scope.revisions:
        digest = scope.revisions[candidate.revision].artifact.digest
    elif candidate.revision == scope.seen.revision:
        digest = scope.model.spec.artifact.digest
    elif shown is not None and shown.revision == candidate.revision:
        digest = shown.digest
    else:
        return None
    canary = candidate.plan.canary if candidate.plan else None
    steps = len(canary.steps) if canary else 0
    asked = candidate.stage is Stage.AWAITING_APPROVAL
    return CandidateRevision(
        revision=candidate.revision,
        digest=digest,
        replicas=workload.replicas,
        ready_replicas=workload.ready,
        stage=candidate.stage,
        step=f"{candidate.step + 1}/{steps}" if candidate.stage is Stage.CANARY else None,
        since=candidate.since,
        deadline=approval_deadline(candidate) if asked else _deadline(scope, state),
        waiting_for=_short(waits.sentence(scope, state)),
        eta=waits.eta(scope, state),
        evidence_digest=candidate.evidence if asked else None,
        approvals=[item.user for item in candidate.approvals],
        gates=_gates(scope, state),
    )


def stable(scope: Scope, state: Checkpoint, served: ServedRevision | None) -> StableRevision | None:
    """Return what is shown of the stable revision: its pods, and what its gates say once somebody had them asked."""
    if served is None:
        return None
    asked = state.evaluation
    gates = [_gate_of_the_stable(scope, asked, name) for name in asked.gates] if asked is not None else None
    return StableRevision(**served.model_dump(), evaluated=asked.since if asked is not None else None, gates=gates)


def analyses(scope: Scope) -> list[AnalysisStatus]:
    """Return how the candidate compares under live traffic."""
    found = []
    for item in scope.seen.live.findings:
        numbers = {
            key: rounded(item.numbers.get(key)) for key in ("champion", "candidate", "difference", "lower", "upper")
        }
        found.append(
            AnalysisStatus(
                name=item.name,
                n=item.n,
                verdict=item.verdict,
                log_e=rounded(item.numbers.get("log_harm")),
                **numbers,
            )
        )
    return found


def shadow(scope: Scope) -> ShadowStatus | None:
    """Return how the candidate's answers to copied requests compare, None without a shadow."""
    finding = scope.seen.shadow
    if finding is None:
        return None
    numbers = finding.numbers
    return ShadowStatus(
        pairs=int(numbers.get("pairs", 0)),
        disagreements=int(numbers.get("disagreements", 0)),
        expected=rounded(numbers.get("expected")),
        excess=rounded(numbers.get("excess")),
        verdict=finding.verdict,
    )


def tests(scope: Scope, state: Checkpoint) -> dict[str, Any] | None:
    """Return the state a restarted operator goes on from: the newest, while there is a comparison."""
    kept = scope.seen.live.tests
    if kept is not None:
        return dict(kept)
    candidate, shown = state.candidate, scope.model.status.tests
    if candidate is None or shown is None or shown.get("entered") != candidate.entered:
        return None
    return shown


def rounded(value: object) -> str | None:
    """Return a number with three significant digits, as text; None for what is none."""
    if value is None or isinstance(value, bool):
        return None
    try:
        return f"{float(str(value)):.{DIGITS}g}"
    except ValueError:
        return None


def _deadline(scope: Scope, state: Checkpoint) -> Any:
    candidate = state.candidate
    if candidate is None or candidate.stage in (Stage.PENDING, Stage.ROLLING_BACK) or candidate.blind.since is not None:
        return None  # it moves with every second without evidence
    return deadline_of(state, scope.seen)


def _gates(scope: Scope, state: Checkpoint) -> list[GateStatus]:
    candidate = state.candidate
    if candidate is None or candidate.plan is None or candidate.cites:
        return []
    # What a Model that stands still may not write down yet is known all the same.
    heard = {finding.name: finding for finding in news(state, scope.seen)}
    found = []
    for gate in candidate.plan.gates:
        told = heard.get(gate.name) or proof_of(candidate, gate.name)
        if told is None or told.verdict is None:
            found.append(_pending(scope, gate.name))
            continue
        message, report = _short(told.message) or "", told.report_digest
        found.append(GateStatus(name=gate.name, verdict=told.verdict, message=message, report_digest=report))
    return found


def _gate_of_the_stable(scope: Scope, asked: StableEvaluation, name: str) -> GateStatus:
    proof = next((item for item in stable_gates.of_round(asked) if item.gate == name), None)
    if proof is not None:
        message = proof.message
        return GateStatus(name=name, verdict=proof.verdict, message=message, report_digest=proof.report_digest)
    if asked.ended is not None:
        return GateStatus(name=name, verdict="NoData", message=_short(asked.message) or "")
    return _pending(scope, name)


def _pending(scope: Scope, gate: str) -> GateStatus:
    return GateStatus(name=gate, verdict="Pending", message=_short(scope.gathered.waiting.get(gate)) or "")


def _short(text: str | None) -> str | None:
    return text if text is None or len(text) <= MESSAGE_LIMIT else text[: MESSAGE_LIMIT - 1] + "…"
