"""Pods that ended by themselves while clients were answered by them: harm, whatever the counters say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from penstock.api.v1alpha1.checkpoint import Checkpoint
from penstock.api.v1alpha1.modelstatus import Outcome, Stage

Json = dict[str, Any]
# While the stable revision's pods end too, something else is the cause.
TOGETHER_SECONDS = 60
# One pod of a stable revision that ended once is repaired by the kubelet; twice is a habit.
STABLE_RESTARTS = 2
_LIVE = frozenset({Stage.CANARY, Stage.AWAITING_APPROVAL, Stage.PROMOTING})


def crashed(state: Checkpoint, pods: Mapping[str, Iterable[Json]], now: datetime) -> dict[str, str]:
    """Return, by revision, the sentence about pods that ended by themselves: candidate with traffic, young stable.

    `pods`: by revision, those that are believed. A container counts that ended with an error (also out of memory, or
    restarted because it did not answer its liveness probe) on a node that could say so, in a pod that nobody was
    taking away.
    """
    found: dict[str, str] = {}
    candidate, stable = state.candidate, state.stable
    stable_ends = _ends(pods.get(stable, ()) if stable else (), 1)
    if candidate is not None and candidate.stage in _LIVE and state.weights.get(candidate.revision, 0) > 0:
        since = candidate.applied_at or candidate.since
        ends = [end for end in _ends(pods.get(candidate.revision, ()), 1) if end[0] >= since]
        together = timedelta(seconds=TOGETHER_SECONDS)
        alone = [end for end in ends if all(abs(end[0] - other) > together for other, _ in stable_ends)]
        if alone:
            found[candidate.revision] = alone[0][1]
    if candidate is None and stable is not None and (promoted := _promoted_at(state, now)) is not None:
        again = [end for end in _ends(pods.get(stable, ()), STABLE_RESTARTS) if end[0] >= promoted]
        if again:
            found[stable] = again[0][1]
    return found


def _promoted_at(state: Checkpoint, now: datetime) -> datetime | None:
    """When the stable revision got the traffic, if its predecessor is still kept for the way back."""
    if not state.previous or state.previous[0].warm_until <= now or not state.history:
        return None
    last = state.history[0]
    return last.at if last.revision == state.stable and last.outcome is Outcome.STABLE else None


def _ends(pods: Iterable[Json], restarts: int) -> list[tuple[datetime, str]]:
    found = []
    for pod in pods:
        status = pod.get("status", {})
        disrupted = any(c["type"] == "DisruptionTarget" and c["status"] == "True" for c in status.get("conditions", []))
        if disrupted or pod["metadata"].get("deletionTimestamp"):
            continue
        for container in status.get("containerStatuses", []):
            ended = container.get("state", {}).get("terminated") or container.get("lastState", {}).get("terminated")
            count = int(container.get("restartCount", 0)) + ("terminated" in container.get("state", {}))
            if not ended or ended.get("exitCode") == 0 or not ended.get("finishedAt") or count < restarts:
                continue
            at = datetime.fromisoformat(ended["finishedAt"]).astimezone(UTC)
            cause = ended.get("reason", "Error")
            found.append((at, f"pod {pod['metadata']['name']} exited with {ended.get('exitCode')} ({cause})"))
    return sorted(found)
