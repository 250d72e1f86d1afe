"""Shows on each ModelRevision how its rollout ended. The log says it; this is only a view, never read back."""

from __future__ import annotations

from penstock.api.v1alpha1.base import API_VERSION
from penstock.api.v1alpha1.conditions import Reason
from penstock.api.v1alpha1.decisionrecord import Checkpoint
from penstock.api.v1alpha1.modelrevision import ModelRevisionStatus
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.controllers.model import names
from penstock.controllers.model.log import Identity
from penstock.controllers.resources import MODELREVISIONS
from penstock.kube.cache import Cache
from penstock.kube.client import KubeClient
from penstock.kube.errors import NotFound

STATUS_MANAGER = "penstock-status"


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


async def show(client: KubeClient, cache: Cache, identity: Identity, state: Checkpoint) -> None:
    """Write the endings that are not shown yet."""
    for revision in {entry.revision for entry in state.history}:
        status = ending(state, revision)
        name = names.revision_name(identity.name, identity.uid, revision)
        live = cache.get(MODELREVISIONS, identity.namespace, name)
        if status is None or live is None or live.get("status") == status.as_json():
            continue
        body = {
            "apiVersion": API_VERSION,
            "kind": MODELREVISIONS.kind,
            "metadata": {"name": name, "namespace": identity.namespace, "uid": live["metadata"]["uid"]},
            "status": status.as_json(),
        }
        try:
            shown = await client.apply(MODELREVISIONS, body, field_manager=STATUS_MANAGER, subresource="status")
        except NotFound:
            continue
        cache.upsert(MODELREVISIONS, shown)
