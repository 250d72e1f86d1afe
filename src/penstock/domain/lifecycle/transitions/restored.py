"""What follows when the API server's state was set back to a backup: the log lacks decisions that were taken."""

from __future__ import annotations

from typing import Any

from penstock.api.v1alpha1.checkpoint import Checkpoint
from penstock.api.v1alpha1.conditions import Reason
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.domain.audit.chain import HEADS
from penstock.domain.lifecycle.observed import Failure, LostHead, Observed
from penstock.domain.lifecycle.stages import Verdict
from penstock.domain.lifecycle.transitions.back import take_back
from penstock.domain.lifecycle.transitions.step import Step, carries_traffic, goes_back, quarantine_of, refused


def restored(state: Checkpoint, seen: Observed) -> Step | None:
    """Name both ends, take over what was quarantined, and begin anew with what was under way.

    Nobody knows any more whether the candidate was approved, rejected or did harm meanwhile. The spec is looked at
    once more, as if it had just been written. A way back goes on, and so does what would leave nothing to serve.
    """
    lost = seen.lost
    if lost is None:
        return None
    known = _with_quarantines(state, lost)
    message = f"The cluster's state was set back: decisions after {seen.sequence} up to {lost.sequence} are lost."
    inputs: dict[str, Any] = {
        HEADS: {
            "found": {"sequence": seen.sequence, "hash": lost.found},
            "lost": {"sequence": lost.sequence, "hash": lost.hash},
        },
        "knownBy": lost.known_by,
        "quarantines": sorted(item.revision for item in lost.quarantines),
    }
    candidate = state.candidate
    if candidate is not None and candidate.stage is not Stage.ROLLING_BACK:
        refusal = quarantine_of(known, candidate.revision)
        stays = state.stable is None or goes_back(state)
        if refusal is not None:
            failure = Failure(refusal.reason, refusal.message, permanent=True)
        else:
            failure = Failure(Reason.SUPERSEDED, message, permanent=True)
        ended = take_back(known, seen, failure) if refusal is not None or not stays else None
        if ended is not None:
            message = f"{message} {ended.message}"
            known = ended.result.model_copy(update={"wanted": None})
    return Step(Verdict.RESTORED, message, known, inputs)


def _with_quarantines(state: Checkpoint, lost: LostHead) -> Checkpoint:
    """Take over the quarantines that are known; not of what serves now, which is watched as ever."""
    serves = {state.stable}
    if state.candidate is not None and state.stable is None and carries_traffic(state):
        serves.add(state.candidate.revision)
    result = state
    for entry in reversed(lost.quarantines):
        if entry.revision not in serves and quarantine_of(result, entry.revision) is None:
            result = result.model_copy(update={"rejected": refused(result, entry)})
    return result
