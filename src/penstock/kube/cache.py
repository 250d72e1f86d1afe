"""The objects as the watches last showed them, with the look-ups that controllers need."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from penstock.kube.metrics import Children, KubeMetrics
from penstock.kube.ownership import applied_fields
from penstock.kube.packing import Packing
from penstock.kube.resources import Json, ObjectKey, Resource, controller_of, key_of, uid_of, version_of

_TOMBSTONES = 4096
# Those of some twenty Models, which is more than are handled at a time.
UNPACKED = 256
T = TypeVar("T")


@dataclass(slots=True)
class _Entry:
    """An object as Python objects while it is in use, else packed."""

    packing: Packing
    obj: Json | None
    packed: bytes | None
    uid: str
    version: int | None  # None if the server's resourceVersion is no number, which API conventions still allow
    owned_fields: bytes | None

    def read(self) -> Json:
        if self.obj is not None:
            return self.obj
        found: Json = self.packing.unpack(self.packed) if self.packed else {}
        return found

    def pack(self) -> None:
        self.packed = self.packed or self.packing.pack(self.obj)
        self.obj = None


class Cache:
    """Holds trimmed objects; callers must not change what they get, nor rely on getting the same one twice.

    ``field_manager``: of metadata.managedFields only this manager's applied fields are kept, packed, and are to be had
    from `owned_fields`. ``trims`` takes a copy of an object's top level per kind and returns what is worth keeping.
    ``label_indexes`` are the label keys that `by_label` finds without a scan.
    ``keep_unpacked``: how many objects, those used last, are held as Python objects; the others are unpacked when read.
    """

    def __init__(
        self,
        *,
        field_manager: str = "penstock",
        trims: dict[Resource, Callable[[Json], Json]] | None = None,
        label_indexes: Iterable[str] = (),
        keep_unpacked: int = UNPACKED,
        metrics: KubeMetrics | None = None,
    ) -> None:
        self._field_manager = field_manager
        self._trims = trims or {}
        self._label_keys = frozenset(label_indexes)
        self._keep_unpacked = keep_unpacked
        metrics = metrics or KubeMetrics()
        self._cached = Children(metrics.cached)
        self._pruned = Children(metrics.pruned)
        self._entries: dict[Resource, dict[ObjectKey, _Entry]] = defaultdict(dict)
        self._packings: dict[Resource, Packing] = defaultdict(Packing)
        self._field_packings: dict[Resource, Packing] = defaultdict(Packing)
        self._by_owner: dict[str, tuple[ObjectKey, ...]] = {}
        self._by_label: dict[tuple[Resource, str, str, str], tuple[ObjectKey, ...]] = {}
        self._unpacked: OrderedDict[ObjectKey, _Entry] = OrderedDict()
        self._deleted_at: OrderedDict[ObjectKey, int] = OrderedDict()
        self._highest: dict[Resource, int] = defaultdict(int)
        self.on_surprise: Callable[[Resource, Json], None] = lambda *_: None

    def upsert(self, resource: Resource, obj: Json) -> bool:
        """Takes in an object from a watch, a list or an answer.

        False if it is not newer than what is held, and was ignored.
        """
        key = key_of(resource, obj)
        version = _number(version_of(obj))
        held = self._entries[resource].get(key)
        if version is not None:
            if held is not None and held.version is not None and version <= held.version:
                return False
            if held is None and version <= self._deleted_at.get(key, -1):
                return False
            self._highest[resource] = max(self._highest[resource], version)
        if held is not None:
            self._unindex(key, held.read())
        owned = applied_fields(obj, self._field_manager)
        trimmed = self._trimmed(resource, obj)
        fields = self._field_packings[resource].pack(owned) if owned is not None else None
        packing = self._packings[resource]
        entry = self._entries[resource][key] = _Entry(packing, trimmed, None, uid_of(trimmed), version, fields)
        self._used(key, entry)
        self._index(key, trimmed)
        self._gauge(resource)
        return True

    def take_answer(self, resource: Resource, obj: Json) -> None:
        """Takes in what the API server answered to a write of a status.

        ``on_surprise`` is called if somebody else's change came with it: the event that tells of it comes later, is
        older than what is held then, and would be ignored.
        """
        where = obj["metadata"].get("namespace"), obj["metadata"]["name"]
        before = self.get(resource, *where)
        self.upsert(resource, obj)
        after = self.get(resource, *where)
        if before is not None and after is not None and _without_status(before) != _without_status(after):
            self.on_surprise(resource, after)

    def remove(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> Json | None:
        """Drops an object, unless ``uid`` says that another one of that name is meant. Returns what was held.

        ``resource_version`` is that of the DELETED event: nothing older is taken in again afterwards.
        """
        key = ObjectKey(resource, namespace or "", name)
        held = self._entries[resource].get(key)
        if held is not None and uid and held.uid != uid:
            return None
        version = _number(resource_version or "") or (held.version if held is not None else None)
        if version is not None:
            self._bury(key, version)
        if held is None:
            return None
        del self._entries[resource][key]
        self._unpacked.pop(key, None)
        obj = held.read()
        self._unindex(key, obj)
        self._gauge(resource)
        return obj

    def get(self, resource: Resource, namespace: str | None, name: str) -> Json | None:
        """The object, or None."""
        key = ObjectKey(resource, namespace or "", name)
        return self._read(key) if key in self._entries[resource] else None

    def owned_fields(self, resource: Resource, namespace: str | None, name: str) -> Json | None:
        """The ``fieldsV1`` tree of our field manager on the object, or None if it never applied it."""
        entry = self._entries[resource].get(ObjectKey(resource, namespace or "", name))
        if entry is None or entry.owned_fields is None:
            return None
        fields: Json = self._field_packings[resource].unpack(entry.owned_fields)
        return fields

    def list(self, resource: Resource, namespace: str | None = None) -> Sequence[Json]:
        """All objects of a kind, of one namespace or of all."""
        return [
            entry.read()
            for key, entry in self._entries[resource].items()
            if namespace is None or key.namespace == namespace
        ]

    def owned_by(self, uid: str) -> Sequence[tuple[Resource, Json]]:
        """The objects whose controller owner reference names this uid."""
        return [(key.resource, self._read(key)) for key in self._by_owner.get(uid, ())]

    def by_label(self, resource: Resource, namespace: str, label: str, value: str) -> Sequence[Json]:
        """The objects of a namespace with this label; a label that is not indexed costs a scan of the kind."""
        if label in self._label_keys:
            keys = self._by_label.get((resource, namespace, label, value), ())
            return [self._read(key) for key in keys]
        return [obj for obj in self.list(resource, namespace) if _labels(obj).get(label) == value]

    def keys(self, resource: Resource, namespace: str | None = None) -> Sequence[ObjectKey]:
        """The keys of all objects of a kind, of one namespace or of all."""
        return [key for key in self._entries[resource] if namespace is None or key.namespace == namespace]

    def uid(self, key: ObjectKey) -> str | None:
        """The uid of the object, None if it is not held."""
        entry = self._entries[key.resource].get(key)
        return entry.uid if entry is not None else None

    def version(self, key: ObjectKey) -> int | None:
        """The resourceVersion of the object, None if it is not held or its version is no number."""
        entry = self._entries[key.resource].get(key)
        return entry.version if entry is not None else None

    def highest_version(self, resource: Resource) -> int:
        """The highest resourceVersion ever seen for the kind; a later list below it means etcd was set back."""
        return self._highest[resource]

    def prune(
        self,
        resource: Resource,
        live: set[tuple[str, str, str]],
        resource_version: str,
        *,
        namespace: str | None = None,
    ) -> Sequence[Json]:
        """Drops what is not in ``live``, a set of (namespace, name, uid) listed at ``resource_version``.

        Objects newer than the list are kept: they were created after it. Returns the dropped objects.
        """
        listed_at = _number(resource_version)
        gone = [
            (key, entry.uid)
            for key, entry in self._entries[resource].items()
            if (namespace is None or key.namespace == namespace)
            and (key.namespace, key.name, entry.uid) not in live
            and (listed_at is None or entry.version is None or entry.version <= listed_at)
        ]
        removed = [self.remove(resource, key.namespace, key.name, uid, resource_version) for key, uid in gone]
        if removed:
            self._pruned(resource).inc(len(removed))
        return [obj for obj in removed if obj is not None]

    def _read(self, key: ObjectKey) -> Json:
        entry = self._entries[key.resource][key]
        obj = entry.obj = entry.read()
        self._used(key, entry)
        return obj

    def _used(self, key: ObjectKey, entry: _Entry) -> None:
        """Note the use of an unpacked entry, and pack the one that was not used for the longest time."""
        self._unpacked[key] = entry
        self._unpacked.move_to_end(key)
        if len(self._unpacked) > self._keep_unpacked:
            _, oldest = self._unpacked.popitem(last=False)
            oldest.pack()

    def _bury(self, key: ObjectKey, version: int) -> None:
        self._deleted_at[key] = max(version, self._deleted_at.pop(key, version))
        while len(self._deleted_at) > _TOMBSTONES:
            self._deleted_at.popitem(last=False)

    def _trimmed(self, resource: Resource, obj: Json) -> Json:
        metadata = {name: value for name, value in obj["metadata"].items() if name != "managedFields"}
        copy = {**obj, "metadata": metadata}
        trim = self._trims.get(resource)
        return copy if trim is None else trim(copy)

    def _index(self, key: ObjectKey, obj: Json) -> None:
        if (owner := controller_of(obj)) is not None:
            _enter(self._by_owner, owner["uid"], key)
        for label in self._label_keys & _labels(obj).keys():
            _enter(self._by_label, (key.resource, key.namespace, label, _labels(obj)[label]), key)

    def _unindex(self, key: ObjectKey, obj: Json) -> None:
        if (owner := controller_of(obj)) is not None:
            _discard(self._by_owner, owner["uid"], key)
        for label in self._label_keys & _labels(obj).keys():
            _discard(self._by_label, (key.resource, key.namespace, label, _labels(obj)[label]), key)

    def _gauge(self, resource: Resource) -> None:
        self._cached(resource).set(len(self._entries[resource]))


# Most entries of an index name one object or a few: tuples are a quarter of the size of anything that can grow.
def _enter(index: dict[T, tuple[ObjectKey, ...]], value: T, key: ObjectKey) -> None:
    index[value] = (*index.get(value, ()), key)


def _discard(index: dict[T, tuple[ObjectKey, ...]], value: T, key: ObjectKey) -> None:
    left = tuple(other for other in index[value] if other != key)
    if left:
        index[value] = left
    else:
        del index[value]


def _labels(obj: Json) -> dict[str, str]:
    labels: dict[str, str] = obj["metadata"].get("labels") or {}
    return labels


def _number(resource_version: str) -> int | None:
    return int(resource_version) if resource_version.isdecimal() else None


def _without_status(obj: Json) -> Json:
    kept = {key: value for key, value in obj.items() if key not in ("status", "apiVersion", "kind")}
    kept["metadata"] = {key: value for key, value in obj["metadata"].items() if key != "resourceVersion"}
    return kept
