"""What every router can be asked. Refuse, do not ignore: `capabilities` says what a backend can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from penstock.domain.lifecycle.desired import Desired
from penstock.domain.lifecycle.observed import RouteView
from penstock.kube.resources import Resource

Json = dict[str, Any]
PREVIEW_HEADER = "x-penstock-preview"
Lookup = Callable[[Resource, str, str], Json | None]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a backend can do beyond moving all traffic at once."""

    weights: bool
    mirror: bool


@dataclass(frozen=True, slots=True)
class Target:
    """A Model as a router needs to see it.

    `services`: the Service name of each revision. `prefix` always starts with a slash and has
    none at its end, but for the root.
    """

    namespace: str
    model: str
    prefix: str
    hostnames: tuple[str, ...]
    services: Mapping[str, str]
    port: int


@dataclass(frozen=True, slots=True)
class Preview:
    """A revision that can be asked through the route before it gets traffic.

    Only requests that carry `token` in the header PREVIEW_HEADER reach it.
    """

    revision: str
    token: str


@dataclass(frozen=True, slots=True)
class Mirror:
    """A revision that gets a copy of so many percent of the requests; nobody waits for its answers."""

    revision: str
    percent: int


class Router(Protocol):
    """One way to bring traffic to revisions."""

    capabilities: ClassVar[Capabilities]

    def route(
        self,
        target: Target,
        weights: Mapping[str, int],
        preview: Preview | None = None,
        mirror: Mirror | None = None,
    ) -> tuple[Resource, Json] | None:
        """Return the object that routes by `weights`, without metadata but its name; None if there is none.

        Raises ValueError for a mirror that cannot be: of a router without that capability, or of a revision that has
        weight itself, so that an original could not be told from a copy.
        """

    def selected(self, desired: Desired) -> str | None:
        """Return the revision that the Model's own Service selects."""

    def observe(self, target: Target, lookup: Lookup) -> RouteView:
        """Read back from the live objects what is applied."""
