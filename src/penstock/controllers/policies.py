"""Checks that the admission policies are in force: without them, anybody could forge what decisions rest on."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from penstock.kube.client import KubeClient
from penstock.kube.errors import ApiError, NotFound
from penstock.kube.resources import VALIDATING_POLICIES, VALIDATING_POLICY_BINDINGS, Resource

Json = dict[str, Any]
logger = logging.getLogger(__name__)

POLICIES_FILE = "PENSTOCK_POLICIES"
CHECK_SECONDS = 300.0
# While something is wrong it is looked at more often, so that mending it is seen soon.
RECHECK_SECONDS = 15.0
KINDS: Mapping[str, Resource] = {kind.kind: kind for kind in (VALIDATING_POLICIES, VALIDATING_POLICY_BINDINGS)}
# What the API server adds to a policy that says nothing about it.
_DEFAULTS: Mapping[str, Any] = {
    "namespaceSelector": {},
    "objectSelector": {},
    "matchPolicy": "Equivalent",
    "scope": "*",
}


def load_expected() -> list[Json]:
    """Read the policies that have to be there from the file that PENSTOCK_POLICIES names; none: nothing is required."""
    path = Path(os.environ.get(POLICIES_FILE, ""))
    if not path.is_file():
        return []
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def difference(expected: Json, live: Json | None) -> str | None:
    """Say in which way a policy or binding is not as expected, or None if it is."""
    name = f"{expected['kind']} {expected['metadata']['name']}"
    if live is None:
        return f"{name} is missing"
    if _without_defaults(live.get("spec", {})) != _without_defaults(expected["spec"]):
        return f"{name} was altered"
    if live["metadata"].get("deletionTimestamp"):
        return f"{name} is being deleted"
    return None


def _without_defaults(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_defaults(item)
            for key, item in value.items()
            if key not in _DEFAULTS or item != _DEFAULTS[key]
        }
    if isinstance(value, list):
        return [_without_defaults(item) for item in value]
    return value


class PolicyGuard:
    """Looks at the policies at start and every few minutes. `wrong`: a sentence, empty if all is well."""

    def __init__(self, client: KubeClient, expected: Sequence[Json], on_change: Callable[[], None]) -> None:
        self.wrong = ""
        self._client = client
        self._expected = tuple(expected)
        self._on_change = on_change

    async def check(self) -> None:
        """Look once. An API server that does not answer changes nothing of what is known."""
        found = [difference(item, await self._live(item)) for item in self._expected]
        wrong = "; ".join(text for text in found if text)
        if wrong != self.wrong:
            logger.warning("admission policies: %s", wrong or "in force")
            self.wrong = wrong
            self._on_change()

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while self._expected:
            await asyncio.sleep(RECHECK_SECONDS if self.wrong else CHECK_SECONDS)
            try:
                await self.check()
            except ApiError as error:
                logger.warning("cannot look at the admission policies: %s", error)

    async def _live(self, expected: Json) -> Json | None:
        try:
            return await self._client.get(KINDS[expected["kind"]], None, expected["metadata"]["name"])
        except NotFound:
            return None
