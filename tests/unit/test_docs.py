"""The pages a user is sent to say what the code says."""

from pathlib import Path

from penstock.api.v1alpha1.conditions import ConditionType, Reason

DOCS = Path(__file__).parents[2] / "docs"


def test_every_condition_and_reason_has_a_line() -> None:
    page = (DOCS / "conditions.md").read_text()
    missing = [name for name in [*ConditionType, *Reason] if f"`{name.value}`" not in page]
    assert missing == []


def test_every_decision_note_is_in_the_index() -> None:
    index = (DOCS / "decisions" / "README.md").read_text()
    notes = {path.name for path in (DOCS / "decisions").glob("[0-9]*.md")}
    assert {name for name in notes if f"({name})" in index} == notes
