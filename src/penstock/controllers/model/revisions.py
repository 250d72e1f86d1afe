"""Shows on each ModelRevision how its rollout ended. The log says it; this is only a view, never read back."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.api.v1alpha1.base import API_VERSION
from penstock.api.v1alpha1.checkpoint import Checkpoint
from penstock.api.v1alpha1.conditions import Reason
from penstock.api.v1alpha1.modelrevision import ModelRevisionStatus
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.controllers.model import names
from penstock.controllers.model.log import Identity
from penstock.controllers.resources import MODELREVISIONS
from penstock.domain.lifecycle.observed import WorkloadView
from penstock.kube.applier import Applier
from penstock.kube.cache import Cache
from penstock.kube.errors import NotFound


def ending(state: Checkpoint, revision: str) -> ModelRevisionStatus | None:
    """Return how the rollout of a revision ended; None while it is under way or was never begun."""
    if state.candidate is not None and state.candidate.revision == revision:
        return None
    last = next((entry for entry in state.history if entry.revision == revision), None)
    if last is None:
        return None
    if last.outcome.value == Stage.STABLE.value and state.stable != revision:
        following = state.history[max(state.history.index(last) - 1, 0)]
        return ModelRevisionStatus(stage=Stage.SUPERSEDED, reason=Reason.SUPERSEDED, at=following.at)
    return ModelRevisionStatus(stage=Stage(last.outcome.value), reason=last.reason, at=last.at)


async def show(
    applier: Applier, cache: Cache, identity: Identity, state: Checkpoint, workloads: Mapping[str, WorkloadView]
) -> None:
    """Write the endings that are not shown yet, with what the artifact says it was made of."""
    for revision in {entry.revision for entry in state.history}:
        status = ending(state, revision)
        name = names.revision_name(identity.name, identity.uid, revision)
        live = cache.get(MODELREVISIONS, identity.namespace, name)
        if status is None or live is None:
            continue
        before = live.get("status", {})
        found = workloads.get(revision, WorkloadView()).lineage
        status = status.model_copy(update={"lineage": before.get("lineage") or found})
        if before == status.as_json():
            continue
        body = {
            "apiVersion": API_VERSION,
            "kind": MODELREVISIONS.kind,
            "metadata": {"name": name, "namespace": identity.namespace, "uid": live["metadata"]["uid"]},
            "status": status.as_json(),
        }
        try:
            shown = await applier.apply_status(MODELREVISIONS, body)
        except NotFound:
            continue
        cache.take_answer(MODELREVISIONS, shown)
