"""A campaign that was cut off goes on where it was, unless the operator has changed since."""

import json
from pathlib import Path

from tests.faults.ledger import Ledger, tree
from tests.faults.oracles import Violation
from tests.faults.stage import Outcome, Reference

NO_REFERENCE = Reference({}, {}, {}, [])


def outcome(name: str, *violations: Violation) -> Outcome:
    return Outcome(name, True, list(violations), 1.25, NO_REFERENCE)


def test_what_was_tried_is_known_to_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    Ledger(path).add(outcome("first: before patch services flight", Violation("quiet", "patch services flight")))

    entry = Ledger(path).entries()["first: before patch services flight"]

    assert entry.violations == ["quiet: patch services flight"]
    assert entry.reached


def test_what_was_tried_on_another_source_counts_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    Ledger(path).add(outcome("first: before patch services flight"))
    line = json.loads(path.read_text())
    assert line["tree"] == tree()
    path.write_text(json.dumps({**line, "tree": "another"}) + "\n")

    assert Ledger(path).entries() == {}


def test_without_a_file_only_this_run_counts() -> None:
    ledger = Ledger(None)
    ledger.add(outcome("first: lost patch services flight"))

    assert set(ledger.entries()) == {"first: lost patch services flight"}
    assert Ledger(None).entries() == {}
