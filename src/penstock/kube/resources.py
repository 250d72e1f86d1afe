"""The kinds the toolkit talks about: how their URLs are built and how an object names itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of the API, e.g. ``Resource("apps", "v1", "deployments", "Deployment")``.

    ``group`` is empty for the core API.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    def __hash__(self) -> int:
        # Part of every key of the cache: hashing all five fields at each look-up is to be noticed.
        return hash(self.plural)

    @property
    def api_version(self) -> str:
        """The value of ``apiVersion`` in an object of this kind, e.g. ``apps/v1`` or ``v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """URL path of a collection (no name), an object, or a subresource of an object.

        ``namespace`` is ignored for cluster-scoped kinds; without it the path is the collection of all namespaces.
        """
        parts = ["/apis", self.group, self.version] if self.group else ["/api", self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        elif self.namespaced and name:
            raise ValueError(f"{self.kind} {name!r} needs a namespace: the kind is namespaced.")
        parts.append(self.plural)
        if name:
            parts.append(name)
            if subresource:
                parts.append(subresource)
        return "/".join(parts)

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


@dataclass(frozen=True, slots=True)
class ObjectKey:
    """Names one object; ``namespace`` is empty for cluster-scoped kinds."""

    resource: Resource
    namespace: str
    name: str

    def __hash__(self) -> int:
        return hash((self.name, self.namespace, self.resource.plural))

    def __str__(self) -> str:
        return (
            f"{self.resource.kind} {self.namespace}/{self.name}"
            if self.namespace
            else f"{self.resource.kind} {self.name}"
        )


def key_of(resource: Resource, obj: Json) -> ObjectKey:
    """The key of ``obj``; raises KeyError if it has no name."""
    metadata = obj["metadata"]
    return ObjectKey(resource, metadata.get("namespace") or "", metadata["name"])


def controller_of(obj: Json) -> Json | None:
    """The owner reference with ``controller: true``, or None."""
    references: Iterable[Json] = obj.get("metadata", {}).get("ownerReferences") or ()
    return next((reference for reference in references if reference.get("controller")), None)


def version_of(obj: Json) -> str:
    """The object's resourceVersion, empty if it has none (never came from the API server)."""
    return str(obj.get("metadata", {}).get("resourceVersion") or "")


def uid_of(obj: Json) -> str:
    """The object's uid, empty if it has none (never came from the API server)."""
    return str(obj.get("metadata", {}).get("uid") or "")


def micro_time() -> str:
    """The present moment as the API writes it where microseconds count (metav1.MicroTime)."""
    return datetime.now(UTC).isoformat(timespec="microseconds")[:26] + "Z"


CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
PODS = Resource("", "v1", "pods", "Pod")
SERVICES = Resource("", "v1", "services", "Service")
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
REPLICASETS = Resource("apps", "v1", "replicasets", "ReplicaSet")
JOBS = Resource("batch", "v1", "jobs", "Job")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
EVENTS = Resource("events.k8s.io", "v1", "events", "Event")
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
NETWORK_POLICIES = Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
DISRUPTION_BUDGETS = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
AUTOSCALERS = Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
GATEWAYS = Resource("gateway.networking.k8s.io", "v1", "gateways", "Gateway")
GATEWAYCLASSES = Resource("gateway.networking.k8s.io", "v1", "gatewayclasses", "GatewayClass", namespaced=False)
HTTPROUTES = Resource("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute")
DEFINITIONS = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
VALIDATING_POLICIES = Resource(
    "admissionregistration.k8s.io", "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", namespaced=False
)
VALIDATING_POLICY_BINDINGS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingadmissionpolicybindings",
    "ValidatingAdmissionPolicyBinding",
    namespaced=False,
)
ACCESS_REVIEWS = Resource("authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", namespaced=False)
SELF_ACCESS_REVIEWS = Resource(
    "authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", namespaced=False
)
