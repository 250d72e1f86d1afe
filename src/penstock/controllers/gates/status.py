"""What the status of an EvaluationGate shows: a pure view of who names it, its rows and its Jobs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from penstock.api.v1alpha1.conditions import Condition, ConditionStatus, ConditionType, Reason, describe, set_condition
from penstock.api.v1alpha1.evaluationgate import EvaluationGate
from penstock.api.v1alpha1.evaluationgatestatus import (
    LAST_RUNS,
    SEEN_LIMIT,
    USERS_LIMIT,
    EvaluationGateStatus,
    GateRun,
    Holdout,
)
from penstock.controllers.gates.outcome import Noted
from penstock.domain.gates.holdout import Rows, Unusable

RUNNING = "Running"
ENDED = "Ended"


@dataclass(frozen=True, slots=True)
class SeenRun:
    """A Job of the gate. `outcome`: Running, Complete or the reason of an error."""

    job: str
    model: str
    noted: Noted
    outcome: str


def show(
    gate: EvaluationGate, rows: Rows | Unusable, models: Iterable[str], seen: Sequence[SeenRun], now: datetime
) -> EvaluationGateStatus:
    """Return the whole status. `models`: the Models of the namespace that name the gate."""
    known, users = gate.status, sorted(models)
    runs = _runs(known.runs, seen)
    generation = gate.metadata.generation
    subject = f"EvaluationGate {gate.metadata.name}"
    conditions: list[Condition] = []
    for type_, status, reason, detail in _conditions(rows):
        message = describe(reason, subject=subject, detail=detail or None)
        base = [*conditions, *(item for item in known.conditions if item.type == type_)]
        conditions = set_condition(base, type_, status, reason, message, generation=generation, now=now)
    return EvaluationGateStatus(
        observed_generation=generation,
        conditions=conditions,
        used_by=len(users),
        models=users[:USERS_LIMIT],
        holdout=_holdout(known.holdout, rows, seen),
        last=_line(runs[0]) if runs else None,
        runs=runs,
    )


def _conditions(rows: Rows | Unusable) -> list[tuple[ConditionType, ConditionStatus, Reason, str]]:
    if isinstance(rows, Rows):
        return [(ConditionType.READY, ConditionStatus.TRUE, Reason.GATE_READY, "")]
    if rows.reason is Reason.HOLDOUT_PENDING:
        return [
            (ConditionType.READY, ConditionStatus.UNKNOWN, rows.reason, rows.detail),
            (ConditionType.RECONCILING, ConditionStatus.TRUE, rows.reason, rows.detail),
        ]
    return [
        (ConditionType.READY, ConditionStatus.FALSE, rows.reason, rows.detail),
        (ConditionType.STALLED, ConditionStatus.TRUE, rows.reason, rows.detail),
    ]


def _holdout(known: Holdout | None, rows: Rows | Unusable, seen: Iterable[SeenRun]) -> Holdout | None:
    """Count the different revisions that were evaluated on the present rows; other rows are a new count."""
    if isinstance(rows, Unusable):
        return known
    before = known if known is not None and known.digest == rows.digest else Holdout(digest=rows.digest, revisions=0)
    names = {
        f"{run.model}/{run.noted.target.revision}" for run in seen if run.noted.target.dataset_digest == rows.digest
    }
    new = sorted(names - set(before.seen))
    if not new:
        return before
    # What no longer fits is counted once more if it comes again: rather too many looks than too few.
    return Holdout(digest=rows.digest, revisions=before.revisions + len(new), seen=[*before.seen, *new][-SEEN_LIMIT:])


def _runs(known: Iterable[GateRun], seen: Iterable[SeenRun]) -> list[GateRun]:
    """Return the last runs, the newest first. A Job that is gone was taken into its Model's log."""
    found = {run.job: run.model_copy(update={"outcome": ENDED}) if run.outcome == RUNNING else run for run in known}
    for item in seen:
        found[item.job] = GateRun(
            job=item.job,
            model=item.model,
            revision=item.noted.target.revision,
            attempt=item.noted.attempt,
            started=item.noted.started,
            outcome=item.outcome,
        )
    return sorted(found.values(), key=lambda run: (run.started, run.job), reverse=True)[:LAST_RUNS]


def _line(run: GateRun) -> str:
    return f"{run.model} {run.revision}, {run.started:%Y-%m-%d %H:%M} UTC: {run.outcome}"[:160]
