"""Exported segments: whatever of them is touched is found, and with the live records they are one chain."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from penstock.domain.audit.segment import Segment, digest_of, flaws, read_lines, read_statement, statement, write_lines
from penstock.domain.audit.signature import Signer, public_key, verifier
from penstock.domain.audit.verify import KnownLog, verify
from tests.unit.domain.audit_given import MODEL, NAMESPACE, UID, log_of, objects, resealed

Json = dict[str, Any]

PRIVATE = Ed25519PrivateKey.from_private_bytes(b"7" * 32)
SIGNER = Signer(PRIVATE)
SIGNED = verifier([PRIVATE.public_key()])
RECORDS = log_of(60)
CUTS = (0, 10, 25, 40)


def segment(stored: list[Json], before: Segment | None, signer: Signer = SIGNER) -> Segment:
    content = write_lines(stored)
    said = statement(NAMESPACE, stored, content, before.digest if before else None)
    return Segment(said, content, signer.sign(said.signed()), signer.key_id, digest_of(said.signed()))


def exported(records: list[Json] = RECORDS) -> list[Segment]:
    """The first forty records in three segments."""
    found: list[Segment] = []
    for begin, end in itertools.pairwise(CUTS):
        found.append(segment(objects(records)[begin:end], found[-1] if found else None))
    return found


def problems(segments: list[Segment], live: list[Json]) -> list[str]:
    log = KnownLog(NAMESPACE, MODEL, UID, records=objects(live), segments=segments)
    return verify(log, SIGNED).problems


def test_segments_and_live_records_are_one_chain() -> None:
    assert problems(exported(), RECORDS) == []
    assert problems(exported(), RECORDS[30:]) == []
    assert problems(exported(), RECORDS[40:]) == []
    assert problems(exported(), []) == []
    assert verify(KnownLog(NAMESPACE, MODEL, UID, objects(RECORDS[40:]), exported()), SIGNED).chain == RECORDS


def test_what_was_pruned_too_far_is_missing() -> None:
    assert problems(exported(), RECORDS[41:]) == ["record 41 is missing before record 42"]


def test_a_missing_segment_is_found() -> None:
    first, second, third = exported()
    assert problems([second, third], RECORDS[40:]) == [
        "the segment of records 11 to 25 does not name the segment before it",
        "records 1 to 10 are not here; they may have been exported to the artifact store",
    ]
    assert problems([first, third], RECORDS[40:]) == [
        "the segment of records 26 to 40 does not name the segment before it",
        "the segment of records 26 to 40 does not begin where the segment before ends, at 10",
        "records 11 to 25 are missing before record 26",
    ]


def test_a_record_that_differs_from_what_was_exported_is_found() -> None:
    live = log_of(60)[30:]
    live[0]["actor"] += " or somebody"
    live[0] = resealed(live[0])
    assert "record 31 is not the one that was exported under that number" in problems(exported(), live)


def test_a_changed_segment_is_found_by_every_mark_it_leaves() -> None:
    segments = exported()
    lines = segments[1].content.replace(b'"actor":"penstock"', b'"actor":"eve"', 1)
    said = problems([segments[0], replace(segments[1], content=lines), segments[2]], RECORDS[40:])
    assert "the segment of records 11 to 25 does not have the content that was signed" in said
    assert any("does not have the content its hash was made from" in item for item in said)


def test_a_statement_that_names_other_records_is_found() -> None:
    (only,) = exported()[:1]
    for changes in (
        {"last": 11},
        {"first": 2},
        {"records": 9},
        {"head": RECORDS[0]["hash"]},
        {"previous_hash": RECORDS[1]["hash"]},
    ):
        said = only.statement.model_copy(update=changes)
        signed = replace(only, statement=said, signature=SIGNER.sign(said.signed()))
        found = [item for item in flaws([signed], SIGNED) if "holds other records than its statement names" in item]
        assert found, changes


def test_only_known_keys_sign() -> None:
    stranger = Signer(Ed25519PrivateKey.from_private_bytes(b"8" * 32))
    forged = segment(objects(RECORDS)[:10], None, stranger)
    name = "the segment of records 1 to 10"
    assert list(flaws([forged], SIGNED)) == [
        f"{name}: it was signed by the key {stranger.key_id}, which is not one of those given"
    ]
    assert list(flaws([replace(forged, key=SIGNER.key_id)], SIGNED)) == [f"{name}: its signature is wrong"]
    assert list(flaws([forged], None)) == []


def test_content_that_is_none() -> None:
    (only,) = exported()[:1]
    said = [item for item in flaws([replace(only, content=b'{"spec": {}}\n')], None)]
    assert said[-1] == "the segment of records 1 to 10 cannot be read: line 1 is no DecisionRecord"


def test_lines_come_back() -> None:
    assert [obj["spec"] for obj in read_lines(write_lines(objects(RECORDS)))] == RECORDS
    assert write_lines(read_lines(write_lines(objects(RECORDS)))) == write_lines(objects(RECORDS))


def test_a_statement_is_read_in_its_own_form_only() -> None:
    said = exported()[1].statement
    assert read_statement(said.signed()) == said
    for content in (b"{}", json.dumps(said.as_json(), indent=1).encode(), said.signed()[:-1] + b',"x":1}'):
        with pytest.raises(ValueError):  # noqa: PT011 - pydantic's own
            read_statement(content)


def test_keys() -> None:
    pem = PRIVATE.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    signer = Signer.from_pem(pem)
    assert signer.key_id == SIGNER.key_id
    assert verifier([public_key(signer.public_pem())])(b"x", signer.sign(b"x"), signer.key_id) is None
    for read in (Signer.from_pem, public_key):
        with pytest.raises(ValueError, match=r"no .*Ed25519 p"):
            read(b"nothing")
    with pytest.raises(ValueError, match="no Ed25519 public key"):
        public_key(pem)
