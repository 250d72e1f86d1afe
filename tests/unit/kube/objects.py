"""Builders of plain Kubernetes objects."""

from penstock.kube.resources import Json


def make(
    name: str,
    version: int | str,
    *,
    namespace: str = "ns",
    uid: str | None = None,
    owner: str | None = None,
    labels: dict[str, str] | None = None,
    managed: list[Json] | None = None,
    **rest: object,
) -> Json:
    """An object as the API server sends it; its uid is made from its name unless given."""
    metadata: Json = {
        "namespace": namespace,
        "name": name,
        "uid": uid or f"uid-{name}",
        "resourceVersion": str(version),
        "managedFields": managed or [],
    }
    if owner:
        metadata["ownerReferences"] = [{"kind": "Owner", "name": "owner", "uid": owner, "controller": True}]
    if labels:
        metadata["labels"] = labels
    return {"metadata": metadata, **rest}
