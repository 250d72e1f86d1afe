"""Exported segments out of the artifact store."""

from __future__ import annotations

from pathlib import Path

from penstock.artifact.errors import ArtifactError
from penstock.artifact.logstore import LogStore, StoredSegment
from penstock.cli.cluster import Trouble
from penstock.domain.audit.segment import Segment, read_statement
from penstock.domain.audit.verify import KnownLog


def segments(log: KnownLog, store: str, *, docker_config: Path | None, insecure: bool) -> list[Segment]:
    """Return the exported segments of a log, the oldest first; raises Trouble if the store cannot be read."""
    hosts = frozenset({store.partition("/")[0]}) if insecure else frozenset[str]()
    try:
        with LogStore(store, docker_config=docker_config, insecure_registries=hosts) as opened:
            found = list(opened.chain(log.namespace, log.model, log.model_uid))
    except ArtifactError as error:
        raise Trouble(error.message) from None
    return [_read(item) for item in reversed(found)]


def _read(stored: StoredSegment) -> Segment:
    try:
        statement = read_statement(stored.statement)
    except ValueError as error:
        raise Trouble(f"The segment {stored.digest} has no statement that can be read: {error}") from None
    return Segment(statement, stored.content, stored.signature, stored.key, stored.digest)
