"""After the cluster's state was set back, one record names both ends: that gap is no break, and no other one passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from penstock.api.v1alpha1.checkpoint import RejectedRevision
from penstock.domain.audit.again import differences
from penstock.domain.audit.chain import breaks
from penstock.domain.audit.heads import KnownHead, lost_head, newer
from penstock.domain.audit.segment import Segment, flaws, statement, write_lines
from penstock.domain.audit.verify import KnownLog, verify
from tests.unit.domain.audit_given import MODEL, NAMESPACE, UID, objects, resealed, set_back, walk
from tests.unit.domain.given import NOW, revision, spec_hash

Json = dict[str, Any]

FOUND, LOST = 12, 20


@pytest.fixture(scope="module")
def before() -> list[Json]:
    """A log as it was; record LOST is the newest that anybody remembers."""
    return walk(7)


@pytest.fixture(scope="module")
def after(before: list[Json]) -> list[Json]:
    """The same log, set back to record FOUND."""
    kept = before[:FOUND]
    return [*kept, set_back(kept, before[LOST - 1])]


def problems(records: list[Json], exported: list[Json] | None = None, **changes: Any) -> list[str]:
    segments = [segment(exported)] if exported else []
    return verify(KnownLog(NAMESPACE, MODEL, UID, objects(records), segments, **changes)).problems


def segment(records: list[Json], previous: str | None = None) -> Segment:
    content = write_lines(objects(records))
    said = statement(NAMESPACE, objects(records), content, previous)
    return Segment(said, content, b"", "key", spec_hash(str(records[0]["sequence"])))


def test_the_gap_is_no_break_and_the_decision_comes_out_again(after: list[Json]) -> None:
    assert after[-1]["sequence"] == LOST + 1
    assert after[-1]["previousHash"] == after[-2]["hash"]
    assert problems(after, sequence=LOST + 1, head=after[-1]["hash"]) == []
    assert list(differences(after)) == []


@pytest.mark.parametrize("end", [FOUND, FOUND + 3, LOST], ids=["found", "between", "lost"])
def test_it_joins_what_was_exported_before(before: list[Json], after: list[Json], end: int) -> None:
    found = verify(KnownLog(NAMESPACE, MODEL, UID, objects(after), [segment(before[:end])]))
    assert found.problems == []
    assert [spec["sequence"] for spec in found.chain] == [*range(1, end + 1), LOST + 1]
    assert list(differences(found.chain)) == []
    first = segment(before[:end])
    assert list(flaws([first, segment(after[-1:], first.digest)], None)) == []


def test_pruned_up_to_the_gap_it_can_be_the_oldest(before: list[Json], after: list[Json]) -> None:
    assert problems(after[-1:], before[:FOUND]) == []
    assert list(breaks(after[-1:])) == []
    assert problems(after[-1:])[0].startswith("records 1 to 20 are not here")


def test_a_log_of_which_nothing_is_left_begins_behind_the_lost_end(before: list[Json]) -> None:
    restored = set_back([], before[LOST - 1])
    assert (restored["sequence"], restored["previousHash"]) == (LOST + 1, before[LOST - 1]["hash"])
    assert problems([restored]) == []
    assert list(differences([restored])) == []
    assert problems([restored], before[:LOST]) == []


def _no_heads(record: Json) -> None:
    del record["inputs"]["heads"]


def _no_lost(record: Json) -> None:
    del record["inputs"]["heads"]["lost"]


def _other_found(record: Json) -> None:
    record["inputs"]["heads"]["found"]["hash"] = spec_hash("other")


def _other_number(record: Json) -> None:
    record["inputs"]["heads"]["lost"]["sequence"] += 1


def _other_verdict(record: Json) -> None:
    record["verdict"] = "Noted"


def _other_link(record: Json) -> None:
    record["previousHash"] = spec_hash("other")


@pytest.mark.parametrize("slip", [_no_heads, _no_lost, _other_found, _other_number, _other_verdict, _other_link])
def test_only_a_record_that_names_both_ends_passes(after: list[Json], slip: Callable[[Json], None]) -> None:
    changed = {**after[-1], "inputs": {**after[-1]["inputs"]}}
    changed["inputs"]["heads"] = {key: dict(head) for key, head in changed["inputs"]["heads"].items()}
    slip(changed)
    assert problems([*after[:-1], resealed(changed)]) == [f"records {FOUND + 1} to {LOST} are missing before record 21"]


def test_what_was_lost_and_exported_must_be_the_one_that_is_named(before: list[Json], after: list[Json]) -> None:
    other = resealed({**before[LOST - 1], "actor": "somebody"})
    assert problems(after, [*before[: LOST - 1], other]) == [
        f"record {LOST + 1} does not follow record {LOST}: the hashes differ"
    ]


def test_numbers_that_were_used_twice_are_seen(before: list[Json]) -> None:
    """The operator went on before anybody told it what was exported."""
    again = resealed({**before[FOUND], "actor": "somebody"})
    kept = [*before[:FOUND], again]
    found = problems([*kept, set_back(kept, before[LOST - 1])], before[:LOST])
    assert found == [
        f"record {FOUND + 1} is not the one that was exported under that number",
        f"record {LOST + 1} goes on from another record {FOUND + 1} than the one here",
    ]


def test_replay_needs_the_record_that_it_goes_on_from(before: list[Json], after: list[Json]) -> None:
    said = [item.sentence for item in differences([*before[FOUND:LOST], after[-1]])]
    assert said == [f"record {FOUND}, which it goes on from, is not here"]


def quarantine(name: str) -> RejectedRevision:
    return RejectedRevision(revision=revision(name), reason="CanaryHarm", quarantined=True, at=NOW)


def known(sequence: int, *names: str) -> KnownHead:
    return KnownHead(sequence=sequence, hash=spec_hash(str(sequence)), quarantines=[quarantine(name) for name in names])


def test_whoever_knows_most_names_the_end_and_all_quarantines_count() -> None:
    memory, export = known(9, "a", "b"), known(7, "b", "c")
    assert lost_head(9, "sha256:x", {"memory": memory, "export": export}) is None
    assert lost_head(0, "", {"memory": None}) is None
    found = lost_head(6, "sha256:x", {"memory": memory, "export": export})
    assert found is not None
    assert (found.sequence, found.hash, found.found, found.known_by) == (9, memory.hash, "sha256:x", "memory")
    assert {item.revision for item in found.quarantines} == {revision(name) for name in "abc"}
    only = lost_head(8, "sha256:x", {"memory": memory, "export": export})
    assert only is not None
    assert {item.revision for item in only.quarantines} == {revision("a"), revision("b")}
    assert newer(memory, export) is memory
    assert newer(export, memory) is memory
    assert newer(None, export) is export
