"""A log that was not touched is whole and comes out again; whatever is touched is found."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.domain.audit import broken_link
from penstock.domain.audit.again import differences
from penstock.domain.audit.chain import breaks, misnamed
from penstock.domain.audit.verify import KnownLog, verify
from tests.unit.domain.audit_given import MODEL, NAMESPACE, UID, objects, resealed, walk

Json = dict[str, Any]

LOG = 7
"""The seed of a life with rollouts, approvals and rollbacks."""


def known(records: list[Json], **changes: Any) -> KnownLog:
    return KnownLog(NAMESPACE, MODEL, UID, records=objects(records), **changes)


def problems(records: list[Json], **changes: Any) -> list[str]:
    return verify(known(records, **changes)).problems


@pytest.mark.parametrize("seed", range(12))
def test_a_log_that_nobody_touched_is_whole_and_comes_out_again(seed: int) -> None:
    records = walk(seed)
    assert problems(records, sequence=len(records), head=records[-1]["hash"]) == []
    assert [f"{item.sequence}: {item.sentence}" for item in differences(records)] == []


def numbers_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places of all numbers and texts below a value."""
    if isinstance(value, dict):
        return [place for key, item in value.items() for place in numbers_in(item, (*path, key))]
    if isinstance(value, list):
        return [place for index, item in enumerate(value) for place in numbers_in(item, (*path, index))]
    return [] if value is None or isinstance(value, bool) else [path]


def change(record: Json, path: tuple[Any, ...]) -> None:
    """Change the value at a place."""
    place: Any = record
    for key in path[:-1]:
        place = place[key]
    old = place[path[-1]]
    place[path[-1]] = old + 1 if isinstance(old, int | float) else f"{old}x"


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 11), data=st.data())
def test_any_one_value_that_was_changed_is_found(seed: int, data: st.DataObject) -> None:
    records = walk(seed)
    index = data.draw(st.integers(0, len(records) - 1))
    places = [path for path in numbers_in(records[index]) if path[0] not in ("modelName", "modelUID")]
    change(records[index], data.draw(st.sampled_from(places)))
    assert problems(records)
    assert broken_link(records) is not None


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 11), data=st.data())
def test_a_record_that_was_taken_out_is_found(seed: int, data: st.DataObject) -> None:
    records = walk(seed)
    index = data.draw(st.integers(0, len(records) - 1))
    head = records[-1]
    del records[index]
    found = problems(records, sequence=head["sequence"], head=head["hash"])
    if index == 0:
        assert found == ["records 1 to 1 are not here; they may have been exported to the artifact store"]
    elif index == len(records):
        assert found == [f"the Model shows decision {head['sequence']}, and the log ends at {head['sequence'] - 1}"]
    else:
        assert found == [f"record {index + 1} is missing before record {index + 2}"]


def test_records_that_changed_places_are_found() -> None:
    records = walk(LOG)
    records[3], records[4] = records[4], records[3]
    assert problems(records)[:2] == ["record 4 is missing before record 5", "record 4 stands behind record 5"]
    stored = objects(walk(LOG))
    stored[3]["spec"], stored[4]["spec"] = stored[4]["spec"], stored[3]["spec"]
    assert misnamed(stored[3]) == (
        f"the object {MODEL}-{UID[:8]}-0000000004 holds record 5 of {MODEL}, which is {MODEL}-{UID[:8]}-0000000005"
    )
    assert verify(KnownLog(NAMESPACE, MODEL, UID, records=stored)).problems[:2] == [
        misnamed(stored[3]),
        misnamed(stored[4]),
    ]


def test_a_record_that_stands_there_twice_is_found() -> None:
    records = walk(LOG)
    assert problems([*records[:3], records[2], *records[3:]]) == ["record 3 is there twice"]


def test_a_new_hash_for_one_record_breaks_the_link_to_the_next() -> None:
    records = walk(LOG)
    records[5]["actor"] = "somebody"
    records[5] = resealed(records[5])
    assert problems(records) == ["record 7 does not follow record 6: the hashes differ"]


def test_a_new_hash_for_the_newest_record_differs_from_what_the_model_shows() -> None:
    records = walk(LOG)
    head = records[-1]["hash"]
    records[-1]["actor"] = "somebody"
    records[-1] = resealed(records[-1])
    assert problems(records) == []
    assert problems(records, sequence=len(records), head=head) == [
        f"the Model shows another hash for record {len(records)} than the record has"
    ]


def test_new_hashes_for_all_records_do_not_help_against_replay() -> None:
    records = walk(LOG)
    index = next(i for i, record in enumerate(records) if record["verdict"] == "Promoted")
    records[index]["result"]["weights"] = {}
    for later in range(index, len(records)):
        if later:
            records[later]["previousHash"] = records[later - 1]["hash"]
        records[later] = resealed(records[later])
    assert problems(records, sequence=len(records)) == []
    assert index + 1 in {item.sequence for item in differences(records)}


def cited(key: str) -> tuple[list[Json], int]:
    """A log and the place of a record that cites facts under that key."""
    for seed in range(200):
        records = walk(seed)
        for index, record in enumerate(records):
            if record["inputs"].get(key):
                return records, index
    raise AssertionError(f"no walk cites {key}")


def said_of(records: list[Json], index: int) -> list[str]:
    records[index] = resealed(records[index])
    return [item.sentence for item in differences(records) if item.sequence == index + 1]


def test_evidence_with_another_number_does_not_have_its_digest() -> None:
    records, index = cited("evidence")
    records[index]["inputs"]["evidence"]["policyVersion"] = "0"
    said = said_of(records, index)
    assert "what it says of evidence does not follow from what was seen" in said
    assert any(item.startswith("the evidence has the digest sha256:") for item in said)


def test_a_comparison_whose_numbers_say_otherwise_is_found() -> None:
    records, index = cited("analysis")
    found = records[index]["inputs"]["analysis"][0]
    other = {"Fail": "0.0001", "Pass": "0.5", "Inconclusive": "0.5", "NoData": "0.5"}[found["verdict"]]
    found |= {"step_difference": other, "log_harm": "9.0", "sources": True}
    said = said_of(records, index)
    assert "what it says of analysis does not follow from what was seen" in said
    assert any(item.startswith(f"the numbers of {found['name']} say ") for item in said), said


def test_numbers_that_the_decision_looked_at_are_judged_again() -> None:
    records, index = cited("analysis")
    live = records[index]["inputs"]["seen"]["live"]["findings"]
    live[0]["numbers"] |= {"step_difference": "0.5", "log_harm": "9.0", "log_go": "0.0"}
    live[0]["numbers"] |= {"step_difference": "0.0", "log_harm": "0.0"} if live[0]["verdict"] == "Fail" else {}
    assert any(item.startswith(f"the numbers of {live[0]['name']} say ") for item in said_of(records, index))


def test_another_name_for_who_decided_is_found() -> None:
    records, index = cited("action")
    was = records[index]["actor"]
    records[index]["actor"] = "eve" if was != "eve" else "ann"
    assert said_of(records, index) == [f"{was} decided it, the record names {records[index]['actor']}"]


def test_another_name_for_who_asked_is_found() -> None:
    records = walk(LOG)
    assert records[0]["requestedBy"] == "ann"
    records[0]["requestedBy"] = "eve"
    assert said_of(records, 0) == ["what it says of who asked for the revision does not follow from what was seen"]


def test_a_log_may_begin_anywhere_if_that_is_said() -> None:
    records = walk(LOG)[4:]
    assert broken_link(records) is None
    assert problems(records) == ["records 1 to 4 are not here; they may have been exported to the artifact store"]
    assert verify(known(records), whole=False).problems == []
    assert list(differences(records)) == []


def test_logs_of_two_models_are_told_apart() -> None:
    records = walk(LOG)
    other = copy.deepcopy(records[2])
    other["modelUID"] = UID.replace("1", "2")
    assert "record 3 is about another Model than record 2" in list(breaks([*records[:2], resealed(other)]))
