"""What one process of the operator leaves to the next: never less than it was given."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.controllers import handover
from penstock.domain.audit.heads import KnownHead
from tests.unit.domain.given import spec_hash


def head(sequence: int) -> KnownHead:
    return KnownHead(sequence=sequence, hash=spec_hash(str(sequence)))


def test_it_is_read_as_it_was_left_and_knows_more_each_time(tmp_path: Path) -> None:
    file = tmp_path / "handover.json"
    assert handover.read(file) == {}
    handover.leave(file, {"a": head(7), "b": head(3)})
    assert handover.read(file) == {"a": head(7), "b": head(3)}
    handover.leave(file, {"a": head(5), "c": head(1)})
    assert handover.read(file) == {"a": head(7), "b": head(3), "c": head(1)}
    assert [item.name for item in tmp_path.iterdir()] == ["handover.json"]


def test_nowhere_to_leave_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(handover.HANDOVER_FILE, raising=False)
    assert handover.path() is None
    handover.leave(None, {"a": head(7)})
    assert handover.read(None) == {}
    monkeypatch.setenv(handover.HANDOVER_FILE, "/tmp/somewhere.json")
    assert handover.path() == Path("/tmp/somewhere.json")


def test_a_file_that_cannot_be_read_or_written_does_not_stop_the_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "handover.json"
    file.write_text("{")
    assert handover.read(file) == {}
    assert "cannot be read" in caplog.text
    handover.leave(tmp_path / "missing" / "handover.json", {"a": head(7)})
    assert "cannot leave" in caplog.text
