"""What the comparator is told, in environment variables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from penstock.domain.shadow.agreement import AnswerRule


@dataclass(frozen=True, slots=True)
class TrackSettings:
    """A revision and the name under which the addresses of its pods are found, with the port of their rings."""

    revision: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Settings:
    """Which two revisions of which model are compared, and how.

    `window`: for so many seconds the two answers to a request are waited for. It is longer than a cluster's DNS may
    take to name a new pod, whose answers would be missing otherwise. `poll`: seconds between two rounds.
    """

    model: str
    champion: TrackSettings
    candidate: TrackSettings
    rule: AnswerRule
    percent: int
    host: str
    port: int
    window: float = 45.0
    poll: float = 1.0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the variables PENSTOCK_*; raises ValueError if one is missing or wrong."""

        def needed(name: str) -> str:
            value = environment.get(name, "")
            if not value:
                raise ValueError(f"the variable {name} is missing")
            return value

        def track(name: str) -> TrackSettings:
            host, _, port = needed(f"PENSTOCK_{name}_RINGS").rpartition(":")
            return TrackSettings(needed(f"PENSTOCK_{name}_REVISION"), host, int(port))

        return cls(
            model=needed("PENSTOCK_MODEL_NAME"),
            champion=track("CHAMPION"),
            candidate=track("CANDIDATE"),
            rule=AnswerRule.from_json(json.loads(needed("PENSTOCK_RULE"))),
            percent=int(environment.get("PENSTOCK_PERCENT", "100")),
            host=environment.get("PENSTOCK_HOST", "0.0.0.0"),  # noqa: S104 - a pod serves on its own address
            port=int(environment.get("PENSTOCK_PORT", "8080")),
            window=float(environment.get("PENSTOCK_WINDOW_SECONDS", "45")),
            poll=float(environment.get("PENSTOCK_POLL_SECONDS", "1")),
        )
