"""Finds the Gateway of a Model and how it is reached."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass

from penstock.api.v1alpha1.model import ModelSpec
from penstock.controllers.config import GatewaySettings
from penstock.kube.client import KubeClient
from penstock.kube.errors import NotFound
from penstock.kube.resources import GATEWAYCLASSES, GATEWAYS, Json
from penstock.routing.features import mirror_refusal
from penstock.routing.gateway_api import Parent

REFRESH_SECONDS = 15.0
# What a kind of gateway can do changes with its release.
CLASS_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class GatewayView:
    """A Gateway as it is. `url`: for clients, `probe_url`: for the operator; empty if it has no address yet."""

    exists: bool
    url: str = ""
    probe_url: str = ""


def parent_of(namespace: str, spec: ModelSpec, default: GatewaySettings) -> Parent | None:
    """Return the Gateway a Model's route attaches to; None: the Model has no Gateway, its Service is its route."""
    reference = spec.route.gateway_ref
    if reference is not None:
        return Parent(reference.namespace or namespace, reference.name, reference.section_name)
    if default.name:
        return Parent(default.namespace, default.name, default.section_name or None)
    return None


class Gateways:
    """Reads Gateways live and keeps each answer for a few seconds: there are few, and they seldom change."""

    def __init__(self, client: KubeClient, default: GatewaySettings) -> None:
        self._client = client
        self._default = default
        self._locks: defaultdict[Parent, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._seen: dict[Parent, tuple[float, GatewayView]] = {}
        self._classes: dict[Parent, tuple[float, Json | None]] = {}

    async def view(self, parent: Parent) -> GatewayView:
        """Return what is known of a Gateway."""
        async with self._locks[parent]:  # of many Models that ask at once, one reads
            known = self._seen.get(parent)
            if known is not None and known[1].exists and time.monotonic() - known[0] < REFRESH_SECONDS:
                return known[1]
            try:
                view = self._read(parent, await self._client.get(GATEWAYS, parent.namespace, parent.name))
            except NotFound:
                view = GatewayView(exists=False)
            self._seen[parent] = (time.monotonic(), view)
            return view

    async def mirror_refusal(self, parent: Parent, percent: int) -> str:
        """Return why this Gateway cannot copy so many percent of the requests, as its class says; empty if it may."""
        known = self._classes.get(parent)
        if known is None or time.monotonic() - known[0] >= CLASS_SECONDS:
            try:
                gateway = await self._client.get(GATEWAYS, parent.namespace, parent.name)
                found = await self._client.get(GATEWAYCLASSES, None, gateway["spec"]["gatewayClassName"])
            except NotFound:
                found = None
            known = self._classes[parent] = (time.monotonic(), found)
        return mirror_refusal(known[1], percent)

    def _read(self, parent: Parent, gateway: Json) -> GatewayView:
        listeners = [
            listener
            for listener in gateway["spec"].get("listeners", [])
            if parent.section is None or listener["name"] == parent.section
        ]
        addresses = gateway.get("status", {}).get("addresses", [])
        derived = ""
        if listeners and addresses:
            # Plain HTTP first: the operator's own question needs no certificate then.
            listener = min(listeners, key=lambda item: item["protocol"] != "HTTP")
            scheme = "http" if listener["protocol"] == "HTTP" else "https"
            derived = f"{scheme}://{addresses[0]['value']}:{listener['port']}"
        is_default = (parent.namespace, parent.name) == (self._default.namespace, self._default.name)
        url = (self._default.url if is_default else "") or derived
        probe_url = (self._default.probe_url if is_default else "") or derived or url
        return GatewayView(exists=True, url=url.rstrip("/"), probe_url=probe_url.rstrip("/"))
