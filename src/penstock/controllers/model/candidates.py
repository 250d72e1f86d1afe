"""What status shows of the candidate: stage, gates, comparison, approvals. Numbers are text, rounded for people."""

from __future__ import annotations

from typing import Any

from penstock.api.v1alpha1.checkpoint import CandidateState, Checkpoint
from penstock.api.v1alpha1.fields import MESSAGE_LIMIT
from penstock.api.v1alpha1.modelstatus import AnalysisStatus, CandidateRevision, GateStatus, ShadowStatus, Stage
from penstock.controllers.model import waits
from penstock.controllers.model.scope import Scope
from penstock.domain.lifecycle.classify import approval_deadline, deadline_of
from penstock.domain.lifecycle.plan import proof_of

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
        gates=_gates(scope, candidate),
    )


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


def _gates(scope: Scope, candidate: CandidateState) -> list[GateStatus]:
    found = []
    for gate in candidate.plan.gates if candidate.plan and not candidate.cites else []:
        proof = proof_of(candidate, gate.name)
        if proof is not None:
            said = GateStatus(
                name=gate.name, verdict=proof.verdict, message=proof.message, report_digest=proof.report_digest
            )
        else:
            said = GateStatus(
                name=gate.name, verdict="Pending", message=_short(scope.gathered.waiting.get(gate.name)) or ""
            )
        found.append(said)
    return found


def _short(text: str | None) -> str | None:
    return text if text is None or len(text) <= MESSAGE_LIMIT else text[: MESSAGE_LIMIT - 1] + "…"
