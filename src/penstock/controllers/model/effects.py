"""Makes the cluster look as the head of the decision log orders. Level-triggered: repeating it changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from penstock.api.v1alpha1.base import API_VERSION
from penstock.api.v1alpha1.decisionrecord import DecisionRecordSpec
from penstock.api.v1alpha1.model import Model
from penstock.api.v1alpha1.modelrevision import FeatureSnapshot, Images, ModelRevisionSpec
from penstock.api.v1alpha1.serving import Runtime, ServerSettings
from penstock.controllers.config import OperatorConfig
from penstock.controllers.model import children, names
from penstock.controllers.model.scope import Scope
from penstock.controllers.resources import MODELREVISIONS
from penstock.domain.lifecycle.desired import Desired, DesiredWorkload, Role, desired
from penstock.domain.revision import revision_name
from penstock.kube.applier import Applier
from penstock.kube.cache import Cache
from penstock.kube.client import KubeClient
from penstock.kube.errors import AlreadyExists, NotFound
from penstock.kube.resources import DEPLOYMENTS, JOBS, SERVICES, Resource, uid_of
from penstock.routing.protocol import Mirror, Preview, Target

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it: whether anything in the cluster was changed, and which ModelRevisions are missing.

    Missing is one that is needed and was deleted, when nothing else says what it was.
    """

    changed: bool
    missing: tuple[str, ...] = ()


class Effects:
    """Applies what a checkpoint orders for one Model at a time."""

    def __init__(self, client: KubeClient, cache: Cache, applier: Applier, config: OperatorConfig) -> None:
        self._client = client
        self._cache = cache
        self._applier = applier
        self._config = config
        self._environment = children.Environment(config.image_pull_policy, config.insecure_registries)

    async def apply(self, scope: Scope, head: DecisionRecordSpec) -> Outcome:
        """Create and update what must exist, then delete what must not.

        What runs of a revision without snapshot is left as it is.

        The order keeps traffic safe: pods and their Services first, then the route, then deletions,
        and those only for what the live route does not name.
        """
        wanted = desired(head.result, scope.seen)
        revisions = dict(scope.revisions)
        missing = []
        for workload in wanted.workloads:
            if workload.revision not in revisions:
                try:
                    revisions[workload.revision] = await self._snapshot(scope, head, workload.revision)
                except NotFound:
                    missing.append(names.revision_name(scope.identity.name, scope.identity.uid, workload.revision))
        changed = await self._apply_together(scope, head, self._workloads(scope, head, wanted, revisions))
        for kind, obj in self._traffic(scope, wanted, revisions):
            changed |= await self._apply(scope, head, kind, obj)
        changed |= await self._evaluate(scope)
        changed |= await self._retire(scope, wanted)
        return Outcome(changed or revisions.keys() != scope.revisions.keys(), tuple(missing))

    async def _snapshot(self, scope: Scope, head: DecisionRecordSpec, revision: str) -> ModelRevisionSpec:
        """Write down what a revision is, once; images are pinned here and never resolved again.

        A snapshot that somebody deleted is made again if the Model still asks for that revision. Raises NotFound if
        not: nothing else says what it was.
        """
        if revision != scope.seen.revision or not _can_be_made(scope, revision):
            # Its snapshot was taken before it was ever started: it is missing in the cache, or was deleted.
            name = names.revision_name(scope.identity.name, scope.identity.uid, revision)
            live = await self._client.get(MODELREVISIONS, scope.identity.namespace, name)
            return ModelRevisionSpec.model_validate(live["spec"])
        parent = head.result.stable if head.result.stable != revision else None
        images = self._images(scope, revision)
        spec = snapshot(scope.model, revision, scope.seen.spec_hash, parent, images, scope.asked.snapshot())
        obj: Json = {
            "apiVersion": API_VERSION,
            "kind": MODELREVISIONS.kind,
            "metadata": {
                "name": names.revision_name(scope.identity.name, scope.identity.uid, revision),
                "namespace": scope.identity.namespace,
                "labels": names.labels(scope.identity.name, revision),
                "annotations": {names.SEQUENCE_ANNOTATION: str(head.sequence)},
            },
            "spec": spec.as_json(),
        }
        try:
            live = await self._client.create(MODELREVISIONS, obj)
        except AlreadyExists:
            live = await self._client.get(MODELREVISIONS, scope.identity.namespace, obj["metadata"]["name"])
        self._cache.upsert(MODELREVISIONS, live)
        return ModelRevisionSpec.model_validate(live["spec"])

    def _images(self, scope: Scope, revision: str) -> Images:
        """The images of a new snapshot: of what runs already, so that making it again restarts nothing."""
        name = names.workload_name(scope.identity.name, revision)
        live = self._cache.get(DEPLOYMENTS, scope.identity.namespace, name)
        if live is not None and any(uid_of(child) == uid_of(live) for _, child in scope.children):
            pod = live["spec"]["template"]["spec"]
            return Images(runtime=pod["containers"][0]["image"], fetch=pod["initContainers"][0]["image"])
        serving = scope.model.spec.serving
        custom = serving.custom if serving.runtime is Runtime.CUSTOM else None
        return Images(runtime=custom.image if custom else self._config.runtime_image, fetch=self._config.runtime_image)

    def _workloads(
        self, scope: Scope, head: DecisionRecordSpec, wanted: Desired, revisions: dict[str, ModelRevisionSpec]
    ) -> Iterator[tuple[Resource, Json]]:
        model = scope.identity.name
        for workload in wanted.workloads:
            spec = revisions.get(workload.revision)
            if spec is None:
                continue
            yield SERVICES, children.revision_service(model, workload.revision, children.server_port(spec))
            kept = self._kept(scope, workload)
            size = self._size(scope, head, workload, kept)
            made_in = kept.get(names.ENVIRONMENT_ANNOTATION)
            environment = children.Environment.from_text(made_in) if made_in else self._environment
            yield DEPLOYMENTS, children.deployment(model, spec, workload.replicas, size, environment)

    def _traffic(
        self, scope: Scope, wanted: Desired, revisions: dict[str, ModelRevisionSpec]
    ) -> Iterator[tuple[Resource, Json]]:
        model, port = scope.identity.name, names.REVISION_PORT
        selected = scope.router.selected(wanted)
        if selected in revisions:
            yield SERVICES, children.model_service(model, selected, children.server_port(revisions[selected]))
        known = {*revisions, *scope.target.services}
        if not known >= {*wanted.weights, *wanted.mirror, *([wanted.preview] if wanted.preview else [])}:
            return  # nothing is left of one of them: its route stays as it is
        services = {revision: names.workload_name(model, revision) for revision in known}
        target = Target(scope.identity.namespace, model, scope.target.prefix, scope.target.hostnames, services, port)
        preview = None
        if wanted.preview is not None:
            token = names.preview_token(scope.identity.uid, wanted.preview, wanted.weights)
            preview = Preview(wanted.preview, token)
        mirror = next((Mirror(revision, percent) for revision, percent in wanted.mirror.items()), None)
        route = scope.router.route(target, wanted.weights, preview, mirror)
        if route is not None:
            kind, obj = route
            obj["metadata"]["labels"] = names.labels(model)
            yield kind, obj

    def _kept(self, scope: Scope, workload: DesiredWorkload) -> dict[str, str]:
        """The annotations of a workload's live Deployment: what it was made with."""
        name = names.workload_name(scope.identity.name, workload.revision)
        live = self._cache.get(DEPLOYMENTS, scope.identity.namespace, name)
        annotations: dict[str, str] = live["metadata"].get("annotations", {}) if live else {}
        return annotations

    @staticmethod
    def _size(scope: Scope, head: DecisionRecordSpec, workload: DesiredWorkload, kept: dict[str, str]) -> str:
        """Size and placement of a workload's pods.

        New values reach the stable revision only while no candidate is under way (a rolling
        update beside a rollout would blur which of them did harm), a revision that is only kept
        warm never: its pods must be there when they are needed.
        """
        deferred = workload.role is Role.PREVIOUS or (
            workload.role is Role.STABLE and head.result.candidate is not None
        )
        live = kept.get(names.SIZING_ANNOTATION)
        return live if live is not None and deferred else children.sizing(scope.model.spec)

    async def _apply_together(
        self, scope: Scope, head: DecisionRecordSpec, objects: Iterable[tuple[Resource, Json]]
    ) -> bool:
        """Apply objects that do not depend on each other; every write has ended when the failure of one is raised."""
        changed = False
        writes = (self._apply(scope, head, kind, obj) for kind, obj in objects)
        for result in await asyncio.gather(*writes, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result
            changed |= result
        return changed

    async def _apply(self, scope: Scope, head: DecisionRecordSpec, kind: Resource, obj: Json) -> bool:
        identity = scope.identity
        metadata = {
            **obj["metadata"],
            "namespace": identity.namespace,
            "ownerReferences": [names.owner_reference(identity.name, identity.uid)],
        }
        full = {"apiVersion": kind.api_version, "kind": kind.kind, **obj, "metadata": metadata}
        # An object names the decision that gave it its present form, not the newest one.
        live = self._cache.get(kind, identity.namespace, metadata["name"])
        if live is not None and names.sequence_of(live) <= head.sequence:
            unchanged = _with_sequence(full, names.sequence_of(live))
            if self._applier.holds(kind, unchanged, owner_uid=identity.uid):
                return False
        stamped = _with_sequence(full, head.sequence)
        return (await self._applier.apply(kind, stamped, owner_uid=identity.uid)).changed

    async def _evaluate(self, scope: Scope) -> bool:
        """Make the evaluation Jobs that are due; those whose results stand in the log go."""
        changed = False
        for job in scope.gathered.jobs:
            changed |= (await self._applier.apply(JOBS, job, owner_uid=scope.identity.uid)).changed
        for job in scope.gathered.gone:
            meta = job["metadata"]
            changed |= await self._applier.delete(JOBS, meta["namespace"], meta["name"], uid=uid_of(job))
        return changed

    async def _retire(self, scope: Scope, wanted: Desired) -> bool:
        """Delete pods and Services of revisions that are not wanted and that no live route names."""
        keep = {workload.revision for workload in wanted.workloads} | set(scope.seen.route.weights)
        keep |= set(scope.seen.route.mirror)
        services = {revision: names.workload_name(scope.identity.name, revision) for revision in wanted.weights}
        routed = scope.router.route(replace(scope.target, services=services), wanted.weights)
        changed = False
        for kind, child in scope.children:
            meta = child["metadata"]
            revision = meta.get("labels", {}).get(names.REVISION_LABEL)
            gone = revision is not None and revision not in keep
            # A route that is left over from before the Model lost its Gateway.
            gone |= kind not in (DEPLOYMENTS, SERVICES) and routed is None
            if gone and not meta.get("deletionTimestamp"):
                changed |= await self._applier.delete(kind, meta["namespace"], meta["name"], uid=uid_of(child))
        return changed


def _can_be_made(scope: Scope, revision: str) -> bool:
    """Whether the spec and the FeatureSet are still those that the revision was named after."""
    return revision_name(scope.asked.spec_hash, scope.asked.schema_digest) == revision


def snapshot(
    model: Model,
    revision: str,
    spec_hash: str,
    parent: str | None,
    images: Images,
    features: FeatureSnapshot | None,
) -> ModelRevisionSpec:
    """Return the immutable description of the revision that the Model's spec asks for now."""
    serving = model.spec.serving
    custom = serving.custom if serving.runtime is Runtime.CUSTOM else None
    return ModelRevisionSpec(
        model_name=model.metadata.name,
        model_uid=model.metadata.uid,
        revision=revision,
        spec_hash=spec_hash,
        parent_revision=parent,
        artifact=model.spec.artifact,
        features=features,
        runtime=serving.runtime,
        images=images,
        custom=ServerSettings.model_validate(custom.as_json()) if custom else None,
    )


def _with_sequence(obj: Json, sequence: int) -> Json:
    annotations = {**obj["metadata"].get("annotations", {}), names.SEQUENCE_ANNOTATION: str(sequence)}
    return {**obj, "metadata": {**obj["metadata"], "annotations": annotations}}
