"""What a process leaves to the one after it when the API server's state was set back: how far each log had come.

Everything else in memory is void then. This is not: those decisions were taken, and their numbers are used up.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from penstock.domain.audit.heads import KnownHead, newer

HANDOVER_FILE = "PENSTOCK_HANDOVER"
logger = logging.getLogger(__name__)
_HEADS: TypeAdapter[dict[str, KnownHead]] = TypeAdapter(dict[str, KnownHead])


def path() -> Path | None:
    """Return where it is left, None if nothing outlives the process."""
    name = os.environ.get(HANDOVER_FILE, "")
    return Path(name) if name else None


def read(where: Path | None) -> dict[str, KnownHead]:
    """Return what was left, by uid of the Model. It stays there: what was decided remains decided."""
    if where is None or not where.is_file():
        return {}
    try:
        return _HEADS.validate_json(where.read_bytes())
    except (OSError, ValidationError) as error:
        logger.error("what the process before this one left cannot be read: %s", error)
        return {}


def leave(where: Path | None, heads: Mapping[str, KnownHead]) -> None:
    """Leave it to the next process, together with what was left to this one. A disk that fails is only logged."""
    if where is None:
        return
    merged = read(where)
    merged |= {uid: newer(merged.get(uid), head) for uid, head in heads.items()}
    fresh = where.with_suffix(".new")
    try:
        fresh.write_text(json.dumps({uid: head.as_json() for uid, head in merged.items()}))
        fresh.replace(where)
    except OSError as error:
        logger.error("cannot leave to the next process how far the decision logs had come: %s", error)
