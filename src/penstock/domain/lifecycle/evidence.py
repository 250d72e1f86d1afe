"""What is known about a candidate when people are asked: the snapshot they sign, and what it lacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from penstock.api.v1alpha1.checkpoint import CandidateState, Checkpoint
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.domain.approval import EvidenceSnapshot, GateEvidence, LiveEvidence, evidence_digest
from penstock.domain.lifecycle.observed import Finding, Observed
from penstock.domain.lifecycle.plan import PASSING, missing_gates, proof_of

# The version of the rules by which verdicts are made; a change of them is a change of the evidence.
RULES_VERSION = "1"


def snapshot(state: Checkpoint, seen: Observed) -> dict[str, Any]:
    """Return everything that an approval of the candidate rests on, as JSON values."""
    candidate = state.candidate
    if candidate is None or candidate.plan is None:
        raise ValueError("there is evidence about a candidate with a plan only")
    gates = tuple(
        GateEvidence(
            name=proof.gate,
            spec_hash=proof.spec_hash,
            dataset_digest=proof.dataset_digest,
            verdict=proof.verdict,
            numbers={str(item.get("id", index)): dict(item) for index, item in enumerate(proof.numbers)},
        )
        for proof in candidate.proofs
    )
    return EvidenceSnapshot(
        model=seen.model,
        model_uid=seen.model_uid,
        revision=candidate.revision,
        plan=candidate.plan.as_json(),
        policy_version=RULES_VERSION,
        gates=gates,
        shadow=_shadow(candidate),
        analysis=tuple(_live(item, seen) for item in seen.live.findings),
    ).as_json()


def digest(content: Mapping[str, Any]) -> str:
    """Return the digest by which an approval names the snapshot."""
    return evidence_digest(content)


def findings(seen: Observed) -> list[dict[str, Any]]:
    """Return what live traffic shows, as it is written down with a decision."""
    return [{"name": item.name, "verdict": item.verdict, "n": item.n, **item.numbers} for item in seen.live.findings]


def verdicts(state: Checkpoint, seen: Observed) -> dict[str, str]:
    """Return the verdict of every gate and comparison that the candidate's plan asks for."""
    candidate = state.candidate
    if candidate is None or candidate.plan is None:
        return {}
    found: dict[str, str] = {}
    lacking = set(missing_gates(candidate))
    for gate in candidate.plan.gates:
        proof = proof_of(candidate, gate.name)
        # What the gate said before it was edited says nothing about what it asks now.
        said = proof.verdict if proof is not None and proof.spec_hash == gate.spec_hash else "NoData"
        found[f"gate {gate.name}"] = said if gate.name in lacking else "Pass"
    if state.stable is None or candidate.cites:
        return found
    if candidate.plan.shadow is not None and candidate.stage in (Stage.EVALUATING, Stage.SHADOW):
        found["shadow"] = seen.shadow.verdict if seen.shadow else "NoData"
    if candidate.plan.canary is not None and candidate.stage is not Stage.PROMOTING:
        shown = {item.name: item.verdict for item in seen.live.findings}
        for analysis in candidate.plan.canary.analysis:
            found[f"analysis {analysis.name}"] = shown.get(analysis.name, "NoData")
    return found


def missing(state: Checkpoint, seen: Observed) -> list[str]:
    """Return what has no verdict in the candidate's favour."""
    return [name for name, verdict in verdicts(state, seen).items() if verdict not in PASSING]


def _shadow(candidate: CandidateState) -> LiveEvidence | None:
    shown = candidate.shadow
    if shown is None:
        return None
    return LiveEvidence(
        name="shadow",
        verdict=shown["verdict"],
        n=shown["n"],
        window_end=shown["until"],
        numbers=shown["numbers"],
    )


def _live(finding: Finding, seen: Observed) -> LiveEvidence:
    return LiveEvidence(
        name=finding.name, verdict=finding.verdict, n=finding.n, window_end=seen.now, numbers=dict(finding.numbers)
    )
