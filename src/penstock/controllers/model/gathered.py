"""What was found out about a Model beside what its own objects show: gates, live traffic, commands of people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from penstock.domain.approval import Action
from penstock.domain.lifecycle.observed import Finding, GateFinding, LiveView

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Gathered:
    """One look at the evidence.

    `waiting`: by gate, what it waits for. `again`: when to look again if nothing happens. `jobs`, `gone`: evaluation
    Jobs that must exist, and those that may go. `burstiness`: how bursty the stable revision's errors are.
    """

    gates: Mapping[str, GateFinding] = field(default_factory=dict)
    waiting: Mapping[str, str] = field(default_factory=dict)
    again: datetime | None = None
    jobs: tuple[Json, ...] = ()
    gone: tuple[Json, ...] = ()
    shadow: Finding | None = None
    live: LiveView = field(default_factory=LiveView)
    eta: datetime | None = None
    too_little: str = ""
    actions: tuple[Action, ...] = ()
    existing: tuple[str, ...] = ()
    burstiness: Mapping[str, Any] | None = None
