"""A part of a decision log outside the cluster: its content, and the statement about it that is signed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from penstock.api.canonical import canonical
from penstock.api.v1alpha1.base import ApiType
from penstock.api.v1alpha1.fields import Count, Hash, ModelName, Uid
from penstock.api.v1alpha1.fields import Sequence as Number
from penstock.domain.audit.chain import Head, Json, breaks, follows, is_record

KEPT_METADATA = ("name", "namespace", "uid", "creationTimestamp", "labels")


class Statement(ApiType):
    """What the archiver signs about a segment. Everything in it can be checked against the content."""

    version: Literal["penstock.dev/log-segment/1"] = "penstock.dev/log-segment/1"
    """Stands in what is signed, so that a later form can never be taken for this one."""
    namespace: str
    model: ModelName
    model_uid: Annotated[Uid, Field(alias="modelUID")]
    first: Number
    """The number of its first record."""
    last: Number
    """The number of its last record."""
    records: Count
    previous_hash: Hash | None = None
    """The hash of the record before the first; absent if that is number 1."""
    head: Hash
    """The hash of the last record."""
    content: Hash
    """The sha256 of the segment's bytes."""
    segment_before: Hash | None = None
    """The digest of the manifest of the segment before; absent in the first segment."""

    def signed(self) -> bytes:
        """Return the bytes that the signature is about: RFC 8785 JSON."""
        found: bytes = canonical(self.as_json())
        return found


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment as it was read back. `digest`: of its manifest; `key`: which key is said to have signed it."""

    statement: Statement
    content: bytes
    signature: bytes
    key: str
    digest: str


# Returns a sentence if the signature over the bytes is not one of a trusted key.
Verifier = Callable[[bytes, bytes, str], str | None]


def kept(obj: Json) -> dict[str, Any]:
    """Return what an export keeps of a DecisionRecord: enough to create it again."""
    metadata = {key: value for key, value in obj.get("metadata", {}).items() if key in KEPT_METADATA}
    return {"apiVersion": "penstock.dev/v1alpha1", "kind": "DecisionRecord", "metadata": metadata, "spec": obj["spec"]}


def write_lines(objects: Sequence[Json]) -> bytes:
    """Return DecisionRecords as JSON lines; the same objects give the same bytes."""
    return b"".join(canonical(kept(obj)) + b"\n" for obj in objects)


def read_lines(content: bytes) -> list[dict[str, Any]]:
    """Return the objects that `write_lines` was called on. Raises ValueError for anything else."""
    found = []
    for number, line in enumerate(content.splitlines(), 1):
        obj = json.loads(line)
        if not isinstance(obj, dict) or not is_record(obj.get("spec")):
            raise ValueError(f"line {number} is no DecisionRecord")
        found.append(obj)
    return found


def statement(namespace: str, objects: Sequence[Json], content: bytes, segment_before: str | None) -> Statement:
    """Return the statement about records of one Model, oldest first, and their bytes."""
    first, last = objects[0]["spec"], objects[-1]["spec"]
    return Statement(
        namespace=namespace,
        model=first["modelName"],
        model_uid=first["modelUID"],
        first=first["sequence"],
        last=last["sequence"],
        records=len(objects),
        previous_hash=first.get("previousHash"),
        head=last["hash"],
        content=digest_of(content),
        segment_before=segment_before,
    )


def read_statement(signed: bytes) -> Statement:
    """Return the statement of these bytes. Raises ValueError unless they are exactly what it would sign."""
    found = Statement.model_validate_json(signed)
    if found.signed() != signed:
        raise ValueError("it is not in canonical form, or says more than this release knows")
    return found


def digest_of(content: bytes) -> str:
    """Return `sha256:` and the hex digest."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def flaws(segments: Sequence[Segment], verify: Verifier | None) -> Iterator[str]:
    """Yield what is wrong with exported segments, the oldest first. `verify` None: signatures are not looked at."""
    before: Segment | None = None
    for segment in segments:
        yield from _flaws(segment, before, verify)
        before = segment


def _flaws(segment: Segment, before: Segment | None, verify: Verifier | None) -> Iterator[str]:
    said = segment.statement
    name = f"the segment of records {said.first} to {said.last}"
    wrong = verify(said.signed(), segment.signature, segment.key) if verify is not None else None
    if wrong:
        yield f"{name}: {wrong}"
    if digest_of(segment.content) != said.content:
        yield f"{name} does not have the content that was signed"
    try:
        specs = [obj["spec"] for obj in read_lines(segment.content)]
    except ValueError as error:
        yield f"{name} cannot be read: {error}"
        return
    found = {
        "first": specs[0]["sequence"] if specs else None,
        "last": specs[-1]["sequence"] if specs else None,
        "records": len(specs),
        "head": specs[-1]["hash"] if specs else None,
        "previous_hash": specs[0].get("previousHash") if specs else None,
        "model_uid": specs[0]["modelUID"] if specs else None,
    }
    if any(getattr(said, key) != value for key, value in found.items()):
        yield f"{name} holds other records than its statement names"
    link = before.digest if before is not None else None
    if said.segment_before != link:
        yield f"{name} does not name the segment before it"
    if before is not None and specs and not joined(specs[0], before.statement):
        yield f"{name} does not begin where the segment before ends, at {before.statement.last}"
    yield from (f"{name}: {broken}" for broken in breaks(specs))


def joined(first: Json, before: Statement) -> bool:
    """Whether the segment with this first record may stand behind the one with that statement.

    The hashes of the records themselves are compared where they are looked at as one chain.
    """
    return first["sequence"] == before.last + 1 or follows(first, Head(before.last, before.head))


def records_of(segments: Sequence[Segment]) -> list[dict[str, Any]]:
    """Return the objects of all segments that can be read, in order."""
    found: list[dict[str, Any]] = []
    for segment in segments:
        try:
            found += read_lines(segment.content)
        except ValueError:
            continue
    return found
