"""Logs out of files: the forms in which auditors get them, and what was done to them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from penstock.cli import files
from penstock.cli.cluster import Trouble
from penstock.cli.main import main
from penstock.domain.audit.segment import write_lines
from tests.unit.domain.audit_given import MODEL, NAMESPACE, UID, objects, walk

KEY = (NAMESPACE, MODEL, UID)


def test_forms(tmp_path: Path) -> None:
    stored = objects(walk(1))
    (tmp_path / "lines").write_bytes(write_lines(stored))
    (tmp_path / "list").write_text(json.dumps({"kind": "List", "items": stored}))
    (tmp_path / "one").write_text(json.dumps(stored[0], indent=2))
    (tmp_path / "bare").write_text(json.dumps(stored[0]["spec"]))
    specs = [obj["spec"] for obj in stored]
    assert [obj["spec"] for obj in files.read([tmp_path / "lines"])[KEY]] == specs
    assert [obj["spec"] for obj in files.read([tmp_path / "list"])[KEY]] == specs
    assert [obj["spec"] for obj in files.read([tmp_path / "one"])[KEY]] == specs[:1]
    assert [obj["spec"] for obj in files.read([tmp_path / "bare"])["", MODEL, UID]] == specs[:1]


def test_parts_come_in_any_order(tmp_path: Path) -> None:
    stored = objects(walk(1))
    (tmp_path / "b").write_bytes(write_lines(stored[:5]))
    (tmp_path / "a").write_bytes(write_lines(stored[5:]))
    found = files.read([tmp_path / "a", tmp_path / "b"])[KEY]
    assert [obj["spec"]["sequence"] for obj in found] == list(range(1, len(stored) + 1))


@pytest.mark.parametrize("content", ["[]x", '{"spec": 1}', '{"a": 1}', "[1]", '{"items": [1]}', '{"spec": {}}\n{}'])
def test_what_is_no_record_is_said(tmp_path: Path, content: str) -> None:
    (tmp_path / "x").write_text(content)
    with pytest.raises(Trouble):
        files.read([tmp_path / "x"])


def test_verify_and_replay_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log.jsonl"
    stored = objects(walk(1))
    path.write_bytes(write_lines(stored))
    assert main(["audit", "verify", str(path)]) == 0
    assert main(["replay", str(path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{NAMESPACE}/{MODEL}: records 1 to {len(stored)} are one chain",
        f"{NAMESPACE}/{MODEL}: {len(stored)} decisions come out as they were recorded",
    ]
    path.write_bytes(write_lines(stored[3:]))
    assert main(["audit", "verify", str(path)]) == 1
    assert main(["audit", "verify", "--partial", str(path)]) == 0
    stored[4]["spec"]["actor"] = "eve"
    path.write_bytes(write_lines(stored))
    assert main(["replay", str(path)]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"{NAMESPACE}/{MODEL}: the log is not whole, so that its decisions were not taken again"
    )
