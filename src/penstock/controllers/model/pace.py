"""When a status may wait: counters, numbers and sentences about progress are not worth a write each."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

Json = dict[str, Any]

PROGRESS_SECONDS = 2.0
MEASURED_SECONDS = 30.0
_COUNTERS = frozenset({"replicas", "readyReplicas", "waitingFor"})
# What changes with every look at live traffic.
_MEASURED = frozenset({"analysis", "shadow", "tests", "eta"})
_CONDITION = ("type", "status", "reason", "observedGeneration")
# Live traffic changes these sentences too, and one that is half a minute old is still true enough.
_STAGES_OF_TRAFFIC = frozenset({"Shadow", "Canary"})


class Pace:
    """Lets everything that matters through at once, mere progress and mere numbers only after some waiting.

    `now` is any monotonic clock's reading in seconds.
    """

    def __init__(self) -> None:
        self._waiting: dict[Hashable, float] = {}

    def hold(self, key: Hashable, before: Json, after: Json, now: float) -> float:
        """Return for how many seconds to wait before `after` replaces `before`; 0: write it now."""
        if _essence(before) != _essence(after):
            return 0.0
        measured = (after.get("candidate") or {}).get("stage") in _STAGES_OF_TRAFFIC
        same = _without(before, _MEASURED) == _without(after, _MEASURED)
        most = MEASURED_SECONDS if measured or same else PROGRESS_SECONDS
        return max(0.0, self._waiting.setdefault(key, now) + most - now)

    def settle(self, key: Hashable) -> None:
        """Note that what is stored is as it should be."""
        self._waiting.pop(key, None)


def _essence(status: Json) -> Json:
    kept = _without(status, _COUNTERS | _MEASURED)
    kept["conditions"] = [[condition.get(field) for field in _CONDITION] for condition in status.get("conditions", ())]
    return kept


def _without(status: Json, names: frozenset[str]) -> Json:
    kept = {name: value for name, value in status.items() if name not in names}
    for role in ("stable", "candidate"):
        if role in kept:
            kept[role] = {name: value for name, value in kept[role].items() if name not in names}
    return kept
