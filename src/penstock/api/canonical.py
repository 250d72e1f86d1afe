"""Canonical JSON (RFC 8785): the one text of a value, which hashes and signatures are about."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import orjson
import rfc8785

CanonicalizationError = rfc8785.CanonicalizationError

_OPTIONS = (
    orjson.OPT_SORT_KEYS
    | orjson.OPT_STRICT_INTEGER
    | orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)
# Numbers with a fraction or an exponent, as the value of a key and in a list. A text that looks like one does no harm.
_FLOATS = (re.compile(rb'":-?[0-9]+[.eE]'), re.compile(rb"[,\[]-?[0-9]+[.eE]"))


def canonical(value: Any) -> bytes:
    """Return the RFC 8785 form of a JSON value.

    The reference is `rfc8785`; orjson writes the same several times faster, where nothing speaks against it.
    Raises CanonicalizationError for what JSON cannot hold exactly.
    """
    try:
        text = orjson.dumps(value, option=_OPTIONS)
    except TypeError:
        return _by_the_reference(value)
    return text if _is_canonical(text, value) else _by_the_reference(value)


def canonical_digest(value: Any) -> str:
    """Return `sha256:<hex>` of the RFC 8785 (canonical JSON) form of a JSON value; raises as `canonical`."""
    return f"sha256:{hashlib.sha256(canonical(value)).hexdigest()}"


def _by_the_reference(value: Any) -> bytes:
    try:
        return rfc8785.dumps(value)
    except UnicodeEncodeError as error:  # of a key that is no text in Unicode; for a value it raises its own
        raise CanonicalizationError(str(error)) from error


def _is_canonical(text: bytes, value: Any) -> bool:
    """Whether orjson's text of a value is the canonical one for sure."""
    if isinstance(value, float) or any(floats.search(text) for floats in _FLOATS):
        return False  # it writes 1.0 where the standard has 1
    if not text.isascii():
        return False  # UTF-16, by which keys are sorted, has another order than UTF-8 for rare characters
    return b"null" not in text or _is_finite(value)  # it writes NaN and infinity so


def _is_finite(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True
