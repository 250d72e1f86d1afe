"""Whether a Model can have a shadow at all. What cannot be done is refused with its reason, never left out silently."""

from __future__ import annotations

from penstock.api.v1alpha1.rollout import Shadow, SideEffects
from penstock.api.v1alpha1.serving import Runtime


def refusal(shadow: Shadow, champion: Runtime, candidate: Runtime, *, has_gateway: bool, can_mirror: bool) -> str:
    """Return the sentence that says why there is no shadow; empty if there can be one.

    `can_mirror`: the route's own capability. The answers come from the rings of the Penstock runtime: a server of
    another kind keeps none, and asking both a second time would be load that nobody asked for.
    """
    if shadow.side_effects is not SideEffects.NONE:
        return "A shadow asks the candidate a second time: it needs shadow.sideEffects: None."
    if not has_gateway:
        return "A shadow needs a Gateway that copies requests; this Model has none. Leave rollout.shadow out."
    if not can_mirror:
        return "The route of this Model cannot copy requests; leave rollout.shadow out."
    if Runtime.CUSTOM in (champion, candidate):
        return (
            "A shadow compares the answers that the Penstock runtime keeps for it; with serving.runtime: Custom there"
            " are none. Leave rollout.shadow out."
        )
    return ""
