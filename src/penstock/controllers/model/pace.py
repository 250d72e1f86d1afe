"""When a status may wait: counters and sentences about progress are not worth a write each."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

Json = dict[str, Any]

PROGRESS_SECONDS = 2.0
_COUNTERS = frozenset({"replicas", "readyReplicas", "waitingFor"})
_CONDITION = ("type", "status", "reason", "observedGeneration")


class Pace:
    """Lets everything that matters through at once, and mere progress only after PROGRESS_SECONDS of waiting.

    `now` is any monotonic clock's reading in seconds.
    """

    def __init__(self) -> None:
        self._waiting: dict[Hashable, float] = {}

    def hold(self, key: Hashable, before: Json, after: Json, now: float) -> float:
        """Return for how many seconds to wait before `after` replaces `before`; 0: write it now."""
        if _essence(before) != _essence(after):
            return 0.0
        return max(0.0, self._waiting.setdefault(key, now) + PROGRESS_SECONDS - now)

    def settle(self, key: Hashable) -> None:
        """Note that what is stored is as it should be."""
        self._waiting.pop(key, None)


def _essence(status: Json) -> Json:
    kept = {name: value for name, value in status.items() if name not in _COUNTERS}
    for role in ("stable", "candidate"):
        if role in kept:
            kept[role] = {name: value for name, value in kept[role].items() if name not in _COUNTERS}
    kept["conditions"] = [[condition.get(field) for field in _CONDITION] for condition in status.get("conditions", ())]
    return kept
