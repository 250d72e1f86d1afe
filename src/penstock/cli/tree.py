"""A Model as a tree: what serves, what is on its way, what it waits for, and its pods."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from penstock.api.v1alpha1.conditions import Condition, ConditionStatus, ConditionType
from penstock.api.v1alpha1.model import Model
from penstock.api.v1alpha1.modelstatus import (
    AnalysisStatus,
    CandidateRevision,
    GateStatus,
    ModelStatus,
    Role,
    ServedRevision,
    Stage,
)
from penstock.cli.text import Node, moment, short

Json = dict[str, Any]

REVISION_LABEL = "penstock.dev/revision"
# What is said of a Model that is well; everything else is worth a line.
_USUAL = frozenset(
    {
        (ConditionType.READY, ConditionStatus.TRUE),
        (ConditionType.SPEC_SERVED, ConditionStatus.TRUE),
        (ConditionType.CANDIDATE_READY, ConditionStatus.TRUE),
        (ConditionType.FEATURES_CHANGED, ConditionStatus.FALSE),
        (ConditionType.PROGRESSING, ConditionStatus.TRUE),
        (ConditionType.PROGRESSING, ConditionStatus.FALSE),
    }
)
_SAID_ELSEWHERE = frozenset({ConditionType.RECONCILING, ConditionType.APPROVED})
HISTORY_SHOWN = 3


def draw(model: Model, pods: Sequence[Json] | None) -> Node:
    """Return the tree. `pods` None: who asks may not see them."""
    status = model.status
    top = Node(f"Model {model.metadata.namespace}/{model.metadata.name}: {_headline(model)}")
    if status.url:
        top.add(f"url {status.url}")
    if model.spec.owner is not None:
        contact = f", {model.spec.owner.contact}" if model.spec.owner.contact else ""
        top.add(f"owner {model.spec.owner.team}{contact}")
    for condition in notable(model):
        top.add(f"{condition.type} {condition.status}, {condition.reason}: {condition.message}")
    if status.observed_generation != model.metadata.generation:
        top.add("the operator has not looked at the present spec yet; what follows is about an older one")
    shown = {status.stable.revision} if status.stable else set()
    if status.stable is not None:
        serving = top.add(_served("stable", status.stable, status))
        if status.stable.evaluated is not None:
            serving.add(f"its gates were asked {moment(status.stable.evaluated)}")
        for gate in status.stable.gates or ():
            serving.add(_gate_line(gate))
        _pods(serving, pods, status.stable.revision)
    if status.candidate is not None:
        shown.add(status.candidate.revision)
        _candidate(top, status, status.candidate, pods)
    for traffic in status.traffic:
        if traffic.revision not in shown:
            _pods(top.add(f"{traffic.role.lower()} {traffic.revision}: {traffic.weight} %"), pods, traffic.revision)
            shown.add(traffic.revision)
    for revision in sorted({_revision(pod) for pod in pods or ()} - shown):
        _pods(top.add(f"kept {revision}"), pods, revision)
    if pods is None:
        top.add("pods: not shown, since you may not list them here")
    for entry in status.history[:HISTORY_SHOWN]:
        top.add(f"{moment(entry.at)} {entry.revision}: {entry.outcome}, {entry.reason}")
    return top


def notable(model: Model) -> Iterator[Condition]:
    """Yield the conditions that a person should read."""
    ready = next((item for item in model.status.conditions if item.type == ConditionType.READY), None)
    for condition in model.status.conditions:
        again = ready is not None and condition is not ready and condition.message == ready.message
        if (condition.type, condition.status) not in _USUAL and condition.type not in _SAID_ELSEWHERE and not again:
            yield condition


def analysis_line(item: AnalysisStatus) -> str:
    """Return a comparison in one line."""
    numbers = ""
    if item.candidate is not None and item.champion is not None:
        numbers = f", candidate {item.candidate}, stable {item.champion}"
    if item.difference is not None:
        numbers += f", difference {item.difference}"
    if item.lower is not None and item.upper is not None:
        numbers += f" ({item.lower} to {item.upper})"
    return f"analysis {item.name}: {item.verdict}{numbers}, n {item.n}"


def evidence_lines(status: ModelStatus, candidate: CandidateRevision) -> Iterator[str]:
    """Yield what is known about a candidate: gates, shadow, comparisons."""
    for gate in candidate.gates:
        yield _gate_line(gate)
    if status.shadow is not None:
        shadow = status.shadow
        excess = f", excess {shadow.excess}" if shadow.excess is not None else ""
        yield f"shadow: {shadow.verdict}, {shadow.disagreements} of {shadow.pairs} answers differ{excess}"
    for item in status.analysis:
        yield analysis_line(item)


def _gate_line(gate: GateStatus) -> str:
    return f"gate {gate.name}: {gate.verdict}{f': {gate.message}' if gate.message else ''}"


def rows(models: Iterable[Model], *, everywhere: bool) -> tuple[list[str], list[list[str]]]:
    """Return a table of Models: its head and its rows."""
    head = ["MODEL", "READY", "STABLE", "CANDIDATE", "STAGE", "TRAFFIC", "WAITING FOR"]
    found = []
    for model in models:
        status, candidate = model.status, model.status.candidate
        name = f"{model.metadata.namespace}/{model.metadata.name}" if everywhere else model.metadata.name
        ready = next((item for item in status.conditions if item.type == ConditionType.READY), None)
        weight = next((item.weight for item in status.traffic if item.role is Role.CANDIDATE), None)
        found.append(
            [
                name,
                ready.reason if ready else "",
                status.stable.revision if status.stable else "",
                candidate.revision if candidate else "",
                _stage(candidate) if candidate else "",
                f"{weight} %" if weight is not None else "",
                (candidate.waiting_for or "") if candidate else "",
            ]
        )
    return head, found


def _headline(model: Model) -> str:
    ready = next((item for item in model.status.conditions if item.type == ConditionType.READY), None)
    said = f"{ready.message.rstrip('.')} ({ready.reason})" if ready else "nothing is known yet"
    return f"{said}, decision {model.status.sequence}" if model.status.sequence else said


def _candidate(top: Node, status: ModelStatus, candidate: CandidateRevision, pods: Sequence[Json] | None) -> None:
    below = top.add(_served("candidate", candidate, status))
    below.add(f"stage {_stage(candidate)} since {moment(candidate.since)}")
    if candidate.waiting_for:
        below.add(f"waits for: {candidate.waiting_for}")
    if candidate.eta is not None:
        below.add(f"expected {moment(candidate.eta)}")
    if candidate.deadline is not None:
        below.add(f"taken back {moment(candidate.deadline)} if it is still there")
    for line in evidence_lines(status, candidate):
        below.add(line)
    if candidate.evidence_digest:
        below.add(f"evidence {candidate.evidence_digest}")
    if candidate.approvals:
        below.add(f"approved by {', '.join(candidate.approvals)}")
    _pods(below, pods, candidate.revision)


def _stage(candidate: CandidateRevision) -> str:
    return f"{candidate.stage.value} {candidate.step}" if candidate.step else candidate.stage.value


def _served(role: str, served: ServedRevision, status: ModelStatus) -> str:
    traffic = next((item for item in status.traffic if item.revision == served.revision), None)
    weight = f"{traffic.weight} %" if traffic else "no traffic"
    if traffic is not None and traffic.mirror_percent:
        weight += f" and copies of {traffic.mirror_percent} %"
    pods = f"{served.ready_replicas} of {served.replicas} pods ready"
    return f"{role} {served.revision}: {weight}, {pods}, {short(served.digest)}"


def _revision(pod: Json) -> str:
    return str(pod["metadata"].get("labels", {}).get(REVISION_LABEL, "of no revision"))


def _pods(node: Node, pods: Sequence[Json] | None, revision: str) -> None:
    for pod in pods or ():
        if _revision(pod) == revision:
            node.add(f"pod {pod['metadata']['name']}: {_pod(pod)}")


def _pod(pod: Json) -> str:
    status = pod.get("status", {})
    containers = status.get("containerStatuses", [])
    restarts = sum(int(item.get("restartCount", 0)) for item in containers)
    states = [item.get("state", {}) for item in [*status.get("initContainerStatuses", []), *containers]]
    waiting = next((state["waiting"].get("reason") for state in states if "waiting" in state), None)
    ready = any(item["type"] == "Ready" and item["status"] == "True" for item in status.get("conditions", []))
    word = "ready" if ready else waiting or status.get("phase", "Unknown")
    if pod["metadata"].get("deletionTimestamp"):
        word = "ends"
    return f"{word}, restarted {restarts} times" if restarts else str(word)


def is_waiting(status: ModelStatus) -> bool:
    """Whether people are asked about the candidate."""
    return status.candidate is not None and status.candidate.stage is Stage.AWAITING_APPROVAL
