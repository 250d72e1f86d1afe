"""Compares what we want with what is there, by the fields that server-side apply says are ours.

``owned`` is the ``fieldsV1`` tree of our manager's Apply entry (structured-merge-diff): ``f:<name>`` is a field,
``k:<json>`` an item of a keyed list, ``v:<json>`` an item of a set, an empty tree a leaf or an atomic value.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

import orjson

Json = dict[str, Any]

# Never listed in managedFields, so they say nothing about ownership.
_TYPE_FIELDS = frozenset({"apiVersion", "kind"})
_IDENTITY_FIELDS = frozenset(
    {"name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink"}
)

# What the API server fills in inside atomic values, by (parent field, field). There a field that we stopped wanting
# looks the same as a defaulted one, so only these values are taken for defaults; anything else counts as a difference.
_DEFAULTS: dict[tuple[str, str], Any] = {
    ("parentRefs", "group"): "gateway.networking.k8s.io",
    ("parentRefs", "kind"): "Gateway",
    ("backendRefs", "group"): "",
    ("backendRefs", "kind"): "Service",
    ("backendRefs", "weight"): 1,
    ("backendRef", "group"): "",
    ("backendRef", "kind"): "Service",
    ("rules", "matches"): [{"path": {"type": "PathPrefix", "value": "/"}}],
    ("matches", "path"): {"type": "PathPrefix", "value": "/"},
    ("path", "type"): "PathPrefix",
    ("path", "value"): "/",
    ("headers", "type"): "Exact",
    ("queryParams", "type"): "Exact",
    ("fieldRef", "apiVersion"): "v1",
    ("ports", "protocol"): "TCP",
}

_QUANTITY_PARENTS = frozenset({"limits", "requests", "hard"})
_QUANTITY_FIELDS = frozenset({"sizeLimit", "storage", "divisor"})
_SUFFIXES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    **{letter: Decimal(10) ** (3 * power) for power, letter in enumerate("kMGTPE", start=1)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
}


def applied_fields(obj: Json, manager: str) -> Json | None:
    """The fields of ``obj`` that ``manager`` owns by apply on the main resource; None if it never applied it."""
    entries = [
        entry
        for entry in obj.get("metadata", {}).get("managedFields") or ()
        if entry.get("manager") == manager and entry.get("operation") == "Apply" and not entry.get("subresource")
    ]
    if len(entries) != 1:
        return None
    fields: Json | None = entries[0].get("fieldsV1")
    return fields


def first_difference(desired: Json, live: Json, owned: Json | None) -> str | None:
    """The path of the first field for which applying ``desired`` would change ``live``, or None if nothing would.

    Differs: a wanted field that is absent, has another value or is not ours any more, and a field of ours that is no
    longer wanted. Fields of others and the API server's defaults are ignored.
    """
    if owned is None:
        return "metadata.managedFields"
    wanted = {name: value for name, value in desired.items() if name not in _TYPE_FIELDS}
    metadata = {name: value for name, value in wanted.pop("metadata", {}).items() if name not in _IDENTITY_FIELDS}
    if metadata:
        wanted["metadata"] = metadata
    return _in_object(wanted, live, owned, ())


def _in_object(desired: Json, live: Any, owned: Json, path: tuple[str, ...]) -> str | None:
    if not isinstance(live, dict):
        return _text(path)
    for name, value in desired.items():
        here = (*path, name)
        if value is None or (name not in live and _is_empty(value)):
            continue
        child = owned.get(f"f:{name}")
        if child is None or name not in live:
            return _text(here)
        if (difference := _in_value(value, live[name], child, here)) is not None:
            return difference
    for key in owned:
        if key != "." and desired.get(key[2:]) is None:
            return _text((*path, key[2:]))
    return None


def _in_value(desired: Any, live: Any, owned: Json, path: tuple[str, ...]) -> str | None:
    parts = [key for key in owned if key != "."]
    if not parts:
        return None if _same(desired, live, path) else _text(path)
    if isinstance(desired, dict):
        return _in_object(desired, live, owned, path)
    if isinstance(desired, list) and isinstance(live, list):
        if parts[0].startswith("k:"):
            return _in_keyed_list(desired, live, owned, path)
        if parts[0].startswith("v:"):
            wanted = {orjson.dumps(item) for item in desired}
            present = {orjson.dumps(item) for item in live}
            ours = {orjson.dumps(orjson.loads(part[2:])) for part in parts}
            return None if wanted == ours and wanted <= present else _text(path)
    return _text(path)


def _in_keyed_list(desired: list[Any], live: list[Any], owned: Json, path: tuple[str, ...]) -> str | None:
    unmatched = {part: orjson.loads(part[2:]) for part in owned if part != "."}
    for item in desired:
        part = next((part for part, keys in unmatched.items() if _is_item(item, keys)), None)
        if part is None:
            return _text(path)
        keys = unmatched.pop(part)
        here = (*path, part[2:])
        found = next((other for other in live if all(other.get(key) == value for key, value in keys.items())), None)
        if found is None:
            return _text(here)
        # Keys that we left out were defaulted; owning them is part of the item's identity, not of our intent.
        defaulted = {f"f:{key}" for key in keys if key not in item}
        ours = {name: child for name, child in owned[part].items() if name not in defaulted}
        if (difference := _in_value(item, found, ours, here)) is not None:
            return difference
    return _text((*path, next(iter(unmatched))[2:])) if unmatched else None


def _is_item(item: Any, keys: Json) -> bool:
    """Whether ``item`` is the one with these keys; a key it does not state is defaulted by the API server."""
    if not isinstance(item, dict):
        return False
    stated = [key for key in keys if key in item]
    return bool(stated) and all(item[key] == keys[key] for key in stated)


def _same(desired: Any, live: Any, path: tuple[str, ...]) -> bool:
    """Equality of a leaf or of an atomic value, but for defaults inside it and the spelling of quantities."""
    if isinstance(desired, dict) and isinstance(live, dict):
        parent = path[-1] if path else ""
        return all(
            _same(value, live[name], (*path, name)) if name in live else _is_empty(value)
            for name, value in desired.items()
            if value is not None
        ) and all(_DEFAULTS.get((parent, name)) == value for name, value in live.items() if desired.get(name) is None)
    if isinstance(desired, list) and isinstance(live, list):
        return len(desired) == len(live) and all(
            _same(one, other, path) for one, other in zip(desired, live, strict=True)
        )
    if isinstance(desired, bool) is not isinstance(live, bool):
        return False
    return desired == live or (_holds_quantity(path) and _quantity(desired) == _quantity(live) is not None)


def _holds_quantity(path: tuple[str, ...]) -> bool:
    return bool(path) and (path[-1] in _QUANTITY_FIELDS or (len(path) > 1 and path[-2] in _QUANTITY_PARENTS))


def _quantity(value: Any) -> Decimal | None:
    text = str(value)
    number = text.rstrip("numkMGTPEKi")
    factor = _SUFFIXES.get(text[len(number) :])
    try:
        return None if factor is None else Decimal(number) * factor
    except InvalidOperation:
        return None


def _is_empty(value: Any) -> bool:
    """Whether Go's omitempty drops the value, so that its absence is no difference."""
    return value in (None, False, 0, "", [], {})


def _text(path: tuple[str, ...]) -> str:
    return ".".join(path) or "the object"
