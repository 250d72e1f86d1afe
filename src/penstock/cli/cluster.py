"""The cluster as a person at a terminal reaches it: by the kubeconfig, with that person's rights."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from kubernetes.aio import config as kube_config

from penstock.api.v1alpha1.base import ApiObject
from penstock.api.v1alpha1.decisionrecord import DecisionRecord
from penstock.api.v1alpha1.model import Model
from penstock.api.v1alpha1.modelaction import ModelAction
from penstock.kube import errors
from penstock.kube.client import KubeClient
from penstock.kube.connection import ConnectionSettingsError, load_connection
from penstock.kube.resources import PODS, Resource

Json = dict[str, Any]

MODEL_LABEL = "penstock.dev/model"
_SELF = Resource("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", namespaced=False)
_IN_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
AGENT = "kubectl-penstock"


class Trouble(Exception):
    """The command cannot go on; the message is one sentence for the person who gave it."""


def resource_of(kind: type[ApiObject]) -> Resource:
    """Return how the API server addresses one of our kinds."""
    group, _, version = str(kind.model_fields["api_version"].default).partition("/")
    return Resource(group, version, kind.crd.plural, str(kind.model_fields["kind"].default))


MODELS, DECISIONRECORDS, MODELACTIONS = (resource_of(kind) for kind in (Model, DecisionRecord, ModelAction))


class Cluster:
    """One namespace of one cluster. Every method raises `penstock.kube.errors.ApiError`."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self.client = client
        self.namespace = namespace

    async def model(self, name: str) -> Json:
        """Return a Model; raises Trouble if there is none of that name."""
        try:
            return await self.client.get(MODELS, self.namespace, name)
        except errors.NotFound:
            raise Trouble(f"There is no Model {name} in namespace {self.namespace}.") from None

    async def models(self, *, everywhere: bool = False) -> list[Json]:
        """Return all Models of the namespace, or of all namespaces."""
        found, _ = await self.client.list(MODELS, None if everywhere else self.namespace)
        return found

    async def records(self, name: str | None = None, uid: str | None = None) -> list[Json]:
        """Return the DecisionRecords of the namespace, of one Model or of one of its lives, ordered by name."""
        label = f"{MODEL_LABEL}={name}" if name else None
        found, _ = await self.client.list(DECISIONRECORDS, self.namespace, label_selector=label)
        mine = [obj for obj in found if uid is None or obj["spec"]["modelUID"] == uid]
        return sorted(mine, key=lambda obj: str(obj["metadata"]["name"]))

    async def pods(self, name: str) -> list[Json] | None:
        """Return the pods of a Model, None for who may not see them."""
        try:
            found, _ = await self.client.list(PODS, self.namespace, label_selector=f"{MODEL_LABEL}={name}")
        except errors.Forbidden:
            return None
        return sorted(found, key=lambda obj: str(obj["metadata"]["name"]))

    async def whoami(self) -> str:
        """Return the name by which the API server knows who asks."""
        body: Json = {"apiVersion": _SELF.api_version, "kind": _SELF.kind, "metadata": {}}
        answer = await self.client.create(_SELF, body)
        return str(answer["status"]["userInfo"]["username"])

    async def command(self, spec: Json) -> Json:
        """Create a ModelAction and return it."""
        metadata = {"generateName": f"{str(spec['action']).lower()}-", "namespace": self.namespace}
        body = {"apiVersion": MODELACTIONS.api_version, "kind": MODELACTIONS.kind, "metadata": metadata, "spec": spec}
        return await self.client.create(MODELACTIONS, body)

    async def action(self, name: str) -> Json:
        """Return a ModelAction."""
        return await self.client.get(MODELACTIONS, self.namespace, name)


@contextlib.asynccontextmanager
async def connect(options: argparse.Namespace) -> AsyncIterator[Cluster]:
    """Open the cluster that the options name; raises Trouble if there is no usable configuration."""
    try:
        namespace = options.namespace or _namespace(options.kubeconfig, options.context)
        connection = await load_connection(options.kubeconfig, os.environ, options.context)
    except ConnectionSettingsError as error:
        raise Trouble(str(error)) from None
    async with KubeClient(connection, user_agent=AGENT) as client:
        yield Cluster(client, namespace)


def run(work: Callable[[], Awaitable[int]]) -> int:
    """Run a command to its exit status; what goes wrong is told in one sentence."""
    try:
        return asyncio.run(_awaited(work))
    except KeyboardInterrupt:
        return 130


async def _awaited(work: Callable[[], Awaitable[int]]) -> int:
    return await work()


def _namespace(kubeconfig: Path | None, context: str | None) -> str:
    """Return the namespace that kubectl would take."""
    source = str(kubeconfig) if kubeconfig else os.environ.get("KUBECONFIG") or None
    if source is None and "KUBERNETES_SERVICE_HOST" in os.environ and _IN_POD.exists():
        return _IN_POD.read_text().strip()
    official: Any = kube_config
    try:
        contexts, current = official.list_kube_config_contexts(source)
    except (official.ConfigException, OSError) as error:
        raise Trouble(f"No cluster to talk to: {error}. Set KUBECONFIG to a usable file.") from None
    chosen = next((item for item in contexts if item["name"] == context), None) if context else current
    if chosen is None:
        raise Trouble(f"The kubeconfig has no context {context}.")
    return str(chosen["context"].get("namespace") or "default")
