"""One log in the artifact store: how far it is there, proven, and the next segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from penstock.api.v1alpha1.checkpoint import Checkpoint
from penstock.artifact.logstore import LogStore, StoredSegment
from penstock.domain.audit.chain import Head
from penstock.domain.audit.heads import KnownHead, open_quarantines
from penstock.domain.audit.segment import (
    Segment,
    Statement,
    Verifier,
    flaws,
    joined,
    read_lines,
    read_statement,
    write_lines,
)
from penstock.domain.audit.segment import statement as make_statement
from penstock.domain.audit.signature import Signer

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class LogKey:
    """Whose log."""

    namespace: str
    model: str
    uid: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.model} ({self.uid})"


@dataclass(frozen=True, slots=True)
class Exported:
    """How far a log is outside: its newest segment, and what was signed about that. None: nothing yet."""

    digest: str | None = None
    statement: Statement | None = None

    @property
    def last(self) -> int:
        """The number of the last record outside, 0 for none."""
        return self.statement.last if self.statement is not None else 0

    @property
    def head(self) -> Head:
        """The end of what is outside."""
        return Head(self.last, self.statement.head if self.statement is not None else "")


class ArchiveError(Exception):
    """Store and cluster do not agree about a log: nothing is written or deleted; the message says why."""


class Archive:
    """The store with our key. Methods raise ArtifactError for a store that fails, ArchiveError for one that lies."""

    def __init__(self, store: LogStore, signer: Signer, verify: Verifier) -> None:
        self._store = store
        self._signer = signer
        self._verify = verify

    def exported(self, key: LogKey) -> Exported:
        """Return how far a log is outside, by a statement with a signature of ours about this very log."""
        digest = self._store.newest(key.namespace, key.model, key.uid)
        if digest is None:
            return Exported()
        stored = self._store.statement(key.namespace, key.model, digest)
        said = _statement(stored)
        wrong = self._verify(stored.statement, stored.signature, stored.key)
        if wrong:
            raise ArchiveError(f"the newest segment {digest}: {wrong}")
        if (said.namespace, said.model, said.model_uid) != (key.namespace, key.model, key.uid):
            raise ArchiveError(f"the newest segment {digest} is about the log of {said.namespace}/{said.model}")
        return Exported(digest, said)

    def holds(self, key: LogKey, exported: Exported, hashes: dict[int, str]) -> None:
        """Read back what is to be deleted: raises ArchiveError unless the store gives every one of these records.

        `hashes`: of the records, by their numbers.
        """
        digest, missing, after = exported.digest, dict(hashes), None
        while digest is not None and missing:
            stored = self._store.segment(key.namespace, key.model, digest)
            segment = _segment(stored)
            said = segment.statement
            wrong = self._verify(stored.statement, stored.signature, stored.key)
            broken = wrong or next(iter(_own_flaws(segment)), None)
            if broken or stored.before != said.segment_before or (after is not None and not joined(after, said)):
                raise ArchiveError(f"the segment {digest} is not as it was written: {broken or 'it is linked wrongly'}")
            objects = read_lines(stored.content)
            for obj in objects:
                number, content_hash = obj["spec"]["sequence"], obj["spec"]["hash"]
                if missing.get(number, content_hash) != content_hash:
                    raise ArchiveError(f"record {number} was exported with another content")
                missing.pop(number, None)
            digest, after = stored.before, objects[0]["spec"] if objects else after
        if missing:
            raise ArchiveError(f"the store does not give record {min(missing)}")

    def known_head(self, key: LogKey, exported: Exported) -> KnownHead:
        """Return the end of what is outside, with the quarantines that were open then."""
        if exported.digest is None:
            raise ArchiveError("nothing was exported")
        stored = self._store.segment(key.namespace, key.model, exported.digest)
        segment = _segment(stored)
        wrong = self._verify(stored.statement, stored.signature, stored.key) or next(iter(_own_flaws(segment)), None)
        if wrong:
            raise ArchiveError(f"the newest segment {exported.digest}: {wrong}")
        spec = read_lines(stored.content)[-1]["spec"]
        state = Checkpoint.model_validate(spec["result"])
        return KnownHead(sequence=exported.head.sequence, hash=exported.head.hash, quarantines=open_quarantines(state))

    def append(self, key: LogKey, exported: Exported, objects: Sequence[Json]) -> Exported:
        """Write DecisionRecords as the next segment, sign it, and return how far the log is outside then."""
        content = write_lines(objects)
        said = make_statement(key.namespace, objects, content, exported.digest)
        signed = said.signed()
        digest = self._store.append(
            key.namespace,
            key.model,
            key.uid,
            first=said.first,
            statement=signed,
            content=content,
            signature=self._signer.sign(signed),
            key=self._signer.key_id,
            before=exported.digest,
        )
        return Exported(digest, said)


def _statement(stored: StoredSegment) -> Statement:
    try:
        return read_statement(stored.statement)
    except ValueError as error:
        raise ArchiveError(f"the segment {stored.digest} has no statement that can be read: {error}") from None


def _segment(stored: StoredSegment) -> Segment:
    return Segment(_statement(stored), stored.content, stored.signature, stored.key, stored.digest)


def _own_flaws(segment: Segment) -> list[str]:
    """What is wrong with one segment, its place in the chain aside."""
    return [said for said in flaws([segment], None) if not said.endswith("does not name the segment before it")]
