"""What a gateway says about itself that it can do, as far as it says it."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

# The names of GEP-2162.
MIRROR = "HTTPRouteRequestMirror"
PERCENTAGE = "HTTPRouteRequestPercentageMirror"


def mirror_refusal(gateway_class: Json | None, percent: int) -> str:
    """Return why a gateway of this GatewayClass cannot copy so many percent of the requests; empty if it may.

    One that lists no features is believed: if it cannot, it refuses the route, or no copy ever arrives.
    """
    status = (gateway_class or {}).get("status", {})
    named = {item["name"] if isinstance(item, dict) else item for item in status.get("supportedFeatures", [])}
    if not named:
        return ""
    if MIRROR not in named:
        return "The gateway says that it cannot copy requests (HTTPRouteRequestMirror)."
    if percent != 100 and PERCENTAGE not in named:
        return (
            "The gateway says that it cannot copy a part of the requests (HTTPRouteRequestPercentageMirror); set"
            " shadow.percent to 100."
        )
    return ""
