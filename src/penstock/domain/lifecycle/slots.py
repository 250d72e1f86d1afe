"""How many rollouts may be under way at once: a change that reaches many Models must not reach all of them together."""

from __future__ import annotations

from penstock.api.v1alpha1.checkpoint import Checkpoint
from penstock.api.v1alpha1.modelstatus import Stage

# One that waits for people takes none: they may be away for days.
_TAKING = frozenset({Stage.STARTING, Stage.EVALUATING, Stage.SHADOW, Stage.CANARY, Stage.PROMOTING})


def takes_slot(state: Checkpoint) -> bool:
    """Whether the Model changes what serves. A first revision does not, nor what is on its way back."""
    candidate = state.candidate
    if candidate is None or state.stable is None or candidate.cites:
        return False
    return candidate.stage in _TAKING


def is_moving(state: Checkpoint) -> bool:
    """Whether a candidate is on its way beside what serves: what is seen of it may take it back within seconds."""
    candidate = state.candidate
    return candidate is not None and state.stable is not None and candidate.stage is not Stage.PENDING


def sentence(state: Checkpoint, taken: int, most: int) -> str:
    """Say why the Model may not begin a rollout now; empty if it may.

    `taken`: rollouts under way in the cluster; `most`: how many may be, 0 for any number.
    """
    if not most or taken < most or state.stable is None or takes_slot(state):
        return ""
    are = "rollout is" if taken == 1 else "rollouts are"
    return f"{taken} {are} under way, as many as maxRollouts of the operator allows"
