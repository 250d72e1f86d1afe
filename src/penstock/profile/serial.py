"""The profile file: canonical JSON (RFC 8785) with compressed counts; see docs/profile.md."""

import base64
import binascii
import zlib
from math import isfinite
from typing import Any

import numpy as np
import orjson

from penstock.api.canonical import canonical
from penstock.profile.errors import ProfileError
from penstock.profile.profile import FORMAT_VERSION, FeatureProfile, Profile
from penstock.stats.blocks import BlockCounts, Blocking, BlockTable
from penstock.stats.columns import FeatureType
from penstock.stats.grid import CategoricalGrid, Grid, GridError, NumericGrid
from penstock.stats.groups import MOST
from penstock.stats.histogram import Counts, Histogram, Moments

MAX_BYTES = 8 << 20
# What JSON's numbers carry exactly.
_LARGEST_COUNT = 2**53 - 1
# How much of a strange value stands in a message.
_SHOWN = 80

Json = dict[str, Any]


def dump_profile(profile: Profile) -> bytes:
    """The bytes of the file: the same profile always gives the same bytes."""
    document: Json = {
        "formatVersion": FORMAT_VERSION,
        "schemaDigest": profile.schema_digest,
        "datasetDigest": profile.dataset_digest,
        "createdAt": profile.created_at,
        "rows": profile.rows,
        "features": [_feature(feature) for feature in profile.features],
    }
    if profile.blocks is not None:
        document["blocks"] = _blocks(profile.blocks, [feature.name for feature in profile.features])
    return canonical(document) + b"\n"


def load_profile(content: bytes) -> Profile:
    """Reads a file's bytes; raises `ProfileError` for anything that `dump_profile` does not write."""
    if len(content) > MAX_BYTES:
        raise ProfileError(f"The profile is larger than {MAX_BYTES} bytes.")
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise ProfileError(f"The profile is no JSON: {error}.") from None
    if not isinstance(document, dict) or "formatVersion" not in document:
        raise ProfileError("This is no Penstock profile: it has no formatVersion.")
    version = document["formatVersion"]
    if version != FORMAT_VERSION or isinstance(version, bool):
        raise ProfileError(
            f"The profile has format {str(version)[:_SHOWN]}, this Penstock reads format {FORMAT_VERSION}: "
            "use the version of Penstock that wrote it, or make the profile again."
        )
    try:
        features = tuple(_read_feature(feature) for feature in _list(document, "features"))
        return Profile(
            _whole(document, "rows"),
            features,
            _text(document, "schemaDigest"),
            _text(document, "datasetDigest"),
            _text(document, "createdAt"),
            _read_blocks(_object(document, "blocks"), features) if "blocks" in document else None,
        )
    except GridError as error:
        raise ProfileError(f"The profile is damaged: {error}") from None


def _feature(feature: FeatureProfile) -> Json:
    document: Json = {
        "name": feature.name,
        "type": feature.type.value,
        "grid": _grid(feature.grid),
        "counts": pack_counts(feature.histogram.counts),
    }
    moments = feature.histogram.moments
    if moments is not None:
        document["moments"] = {
            "finite": moments.finite,
            "infinite": moments.infinite,
            "minimum": _finite(moments.minimum),
            "maximum": _finite(moments.maximum),
            "total": _finite(moments.total),
            "squares": _finite(moments.squares),
        }
    return document


def _grid(grid: Grid) -> Json:
    if isinstance(grid, NumericGrid):
        return {"low": grid.low, "high": grid.high, "cells": grid.cells}
    return {"categories": list(grid.categories)}


def _finite(number: float) -> float | None:
    return number if isfinite(number) else None


def _read_feature(document: object) -> FeatureProfile:
    if not isinstance(document, dict):
        raise ProfileError("The profile is damaged: a feature is no object.")
    name = _text(document, "name")
    try:
        kind = FeatureType(_text(document, "type"))
    except ValueError:
        raise ProfileError(f"The profile is damaged: feature '{name[:_SHOWN]}' is of an unknown type.") from None
    grid = _read_grid(_object(document, "grid"))
    counts = unpack_counts(_text(document, "counts"), grid.size)
    moments = _read_moments(document, counts) if isinstance(grid, NumericGrid) else None
    return FeatureProfile(name, kind, Histogram(grid, counts, moments))


def _read_grid(document: Json) -> Grid:
    if "categories" not in document:
        return NumericGrid(_number(document, "low"), _number(document, "high"), _whole(document, "cells"))
    categories = _list(document, "categories")
    if not all(isinstance(category, str) for category in categories):
        raise ProfileError("The profile is damaged: a category is no text.")
    return CategoricalGrid(tuple(categories))


def _read_moments(document: Json, counts: Counts) -> Moments:
    found = _object(document, "moments")
    finite, infinite = _whole(found, "finite"), _whole(found, "infinite")
    if finite + infinite != int(counts[:-1].sum()):
        raise ProfileError("The profile is damaged: a feature's moments do not fit its counts.")
    infinity = float("inf")
    minimum, maximum = _number(found, "minimum", infinity), _number(found, "maximum", -infinity)
    if (minimum <= maximum) is not (finite > 0):
        raise ProfileError("The profile is damaged: a feature's minimum and maximum do not fit its counts.")
    total, squares = _number(found, "total", infinity), _number(found, "squares", infinity)
    return Moments(finite, infinite, minimum, maximum, total, squares)


def _blocks(blocks: BlockCounts, names: list[str]) -> Json:
    tables = [blocks.tables[name] for name in names]
    return {
        "offset": blocks.blocking.offset,
        "days": blocks.blocking.days,
        "index": [int(number) for number in blocks.blocking.index],
        "features": [
            {"groups": pack_counts(table.groups.astype(np.int64)), "counts": pack_counts(table.counts.reshape(-1))}
            for table in tables
        ],
    }


def _read_blocks(document: Json, features: tuple[FeatureProfile, ...]) -> BlockCounts:
    index = _list(document, "index")
    if not all(isinstance(number, int) and abs(number) <= _LARGEST_COUNT for number in index):
        raise ProfileError("The profile is damaged: a block is no whole number.")
    blocking = Blocking(_whole(document, "offset"), _whole(document, "days"), np.array(index, np.int64))
    packed = _list(document, "features")
    if len(packed) != len(features):
        raise ProfileError("The profile is damaged: its blocks have other features.")
    tables: dict[str, BlockTable] = {}
    for feature, item in zip(features, packed, strict=True):
        if not isinstance(item, dict):
            raise ProfileError("The profile is damaged: a feature's blocks are no object.")
        groups = unpack_counts(_text(item, "groups"), feature.grid.size - 1)
        columns = int(groups.max()) + 2
        if columns > MOST + 1:
            raise ProfileError("The profile is damaged: a feature has too many groups.")
        counts = unpack_counts(_text(item, "counts"), len(index) * columns)
        tables[feature.name] = BlockTable(groups.astype(np.intp), counts.reshape(len(index), columns))
    return BlockCounts(blocking, tables)


def pack_counts(counts: Counts) -> str:
    """Counts as base64 of zlib of their eight byte planes, lowest first: small counts leave most planes empty."""
    planes = counts.astype("<i8").view(np.uint8).reshape(-1, 8).T.tobytes()
    return base64.b64encode(zlib.compress(planes, 9)).decode()


def unpack_counts(text: str, size: int) -> Counts:
    """The reverse of `pack_counts`; never unpacks more than `size` numbers. Raises `ProfileError`."""
    damaged = ProfileError("The profile is damaged: the counts of a feature cannot be read.")
    unpacker = zlib.decompressobj()
    try:
        planes = unpacker.decompress(base64.b64decode(text, validate=True), size * 8 + 1)
    except (binascii.Error, zlib.error, ValueError):
        raise damaged from None
    if len(planes) != size * 8 or not unpacker.eof or unpacker.unused_data:
        raise damaged
    counts = np.ascontiguousarray(np.frombuffer(planes, np.uint8).reshape(8, size).T).view("<i8").reshape(size)
    # So that their sum cannot wrap around.
    if counts.min() < 0 or counts.max() > _LARGEST_COUNT // size:
        raise damaged
    return counts.astype(np.int64)


def _field(document: Json, name: str, kind: type | tuple[type, ...], what: str) -> Any:
    value = document.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ProfileError(f"The profile is damaged: '{name}' is no {what}.")
    return value


def _text(document: Json, name: str) -> str:
    return str(_field(document, name, str, "text"))


def _list(document: Json, name: str) -> list[Any]:
    return list(_field(document, name, list, "list"))


def _object(document: Json, name: str) -> Json:
    return dict(_field(document, name, dict, "object"))


def _whole(document: Json, name: str) -> int:
    value = int(_field(document, name, int, "whole number"))
    if not 0 <= value <= _LARGEST_COUNT:
        raise ProfileError(f"The profile is damaged: '{name}' is out of range.")
    return value


def _number(document: Json, name: str, missing: float | None = None) -> float:
    """A finite number; null stands for `missing` where one is given, which is how infinities are written."""
    if missing is not None and name in document and document[name] is None:
        return missing
    return float(_field(document, name, (int, float), "number"))
