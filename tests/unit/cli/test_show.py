"""What the plugin draws and says, from what the API server shows."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from penstock.cli import evidence, logtable, text, tree, why
from penstock.domain.approval import evidence_digest
from tests.unit.cli.model_given import CANARY, DIGEST, NEW, OLD, condition, model, pod
from tests.unit.domain.audit_given import numbers, walk

Json = dict[str, Any]

READY = {"conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [{"restartCount": 0}]}
CRASHED = {"containerStatuses": [{"restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}]}


def test_tree_of_a_canary() -> None:
    pods = [pod("old-1", OLD, **READY), pod("new-1", NEW, **CRASHED), pod("kept-1", "cccccccccccc", phase="Pending")]
    drawn = text.lines(tree.draw(model(CANARY), pods))
    assert drawn == [
        "Model airline/flight: Revision 0123456789ab serves all traffic (Serving), decision 14",
        "├─ url http://example.com/airline/flight",
        "├─ owner ops",
        f"├─ stable {OLD}: 95 %, 2 of 2 pods ready, sha256:abababababab",
        "│  └─ pod old-1: ready",
        f"├─ candidate {NEW}: 5 % and copies of 10 %, 1 of 2 pods ready, sha256:abababababab",
        "│  ├─ stage Canary 1/3 since 2026-03-01 12:00:00Z",
        "│  ├─ waits for: 40 of 500 requests",
        "│  ├─ expected 2026-03-01 12:10:00Z",
        "│  ├─ taken back 2026-03-01 13:00:00Z if it is still there",
        "│  ├─ gate holdout: Pass: roc_auc 0.91",
        "│  ├─ shadow: Pass, 3 of 100 answers differ, excess 0.01",
        "│  ├─ analysis errors: Inconclusive, candidate 0.02, stable 0.01, difference 0.01 (-0.01 to 0.03), n 40",
        "│  └─ pod new-1: CrashLoopBackOff, restarted 3 times",
        "└─ kept cccccccccccc",
        "   └─ pod kept-1: Pending",
    ]


def test_tree_says_what_is_not_as_it_should_be() -> None:
    lost = model({"observedGeneration": 2}, condition("Stalled", "True", "StateLost", "no log"))
    drawn = text.lines(tree.draw(lost, None))
    assert "├─ Stalled True, StateLost: no log" in drawn
    assert "├─ the operator has not looked at the present spec yet; what follows is about an older one" in drawn
    assert drawn[-1] == "└─ pods: not shown, since you may not list them here"


def test_what_gates_say_of_the_stable_revision_is_shown() -> None:
    gates = [{"name": "holdout", "verdict": "Fail", "message": "roc_auc 0.6"}, {"name": "slices", "verdict": "Pass"}]
    stable = {"revision": OLD, "digest": DIGEST, "evaluated": "2026-03-01T12:00:00Z", "gates": gates}
    drawn = text.lines(tree.draw(model({"stable": stable}), [pod("old-1", OLD, **READY)]))
    assert drawn[-4:] == [
        "   ├─ its gates were asked 2026-03-01 12:00:00Z",
        "   ├─ gate holdout: Fail: roc_auc 0.6",
        "   ├─ gate slices: Pass",
        "   └─ pod old-1: ready",
    ]
    said = list(why.explain(model({"stable": stable}), []))
    assert said[1:2] == ["Gate holdout says Fail of it: roc_auc 0.6"]


def test_what_a_stranger_wrote_does_not_steer_the_terminal() -> None:
    odd = model({}, condition("SpecServed", "False", "RolledBack", "\x1b[2J\nrm"))
    assert all(line.isprintable() for line in text.lines(tree.draw(odd, [])))


def test_table_of_models() -> None:
    head, rows = tree.rows([model(), model(CANARY)], everywhere=True)
    assert text.table(head, rows) == [
        "MODEL            READY     STABLE         CANDIDATE      STAGE        TRAFFIC   WAITING FOR",
        "airline/flight   Serving   0123456789ab",
        "airline/flight   Serving   0123456789ab   ba9876543210   Canary 1/3   5 %       40 of 500 requests",
    ]


def harm() -> tuple[Json, Json]:
    """The record of a canary that was taken back, and the one before."""
    shown = numbers("errors", "Fail")
    analysis = {"verdict": "Fail", **shown.as_json()}
    before = {"result": {"candidate": {"revision": NEW}}}
    record = {
        "sequence": 14,
        "time": "2026-03-01T12:00:00Z",
        "actor": "penstock",
        "rule": "Canary/HarmShown",
        "verdict": "RollBack",
        "inputs": {"analysis": [analysis], "message": "Traffic goes back", "reason": "CanaryHarm"},
        "result": {"candidate": {"revision": NEW, "reversal": {"reason": "CanaryHarm", "message": "errors"}}},
    }
    return record, before


def test_why_a_revision_was_rolled_back() -> None:
    assert why.sentence(*harm()) == (
        f"Revision {NEW} was rolled back at 2026-03-01 12:00:00Z because of errors: worse by 0.05 (margin 0.005),"
        " 0.06 where the stable revision has 0.01, n 500, decided by rule Canary/HarmShown, record 14."
    )


def test_why_names_who_asked_and_what_is_missing() -> None:
    record, before = harm()
    record |= {"verdict": "Reject", "rule": "AwaitingApproval/RejectAsked", "actor": "ann"}
    record["inputs"] = {"reason": "Rejected", "detail": "ann: unfair", "action": {"uid": "1"}, "message": "x"}
    said = list(why.explain(model(CANARY), [before | record, record]))
    assert said == [
        f"Revision {OLD} serves and gets 95 % of the traffic.",
        f"Revision {NEW} is in Canary 1/3 since 2026-03-01 12:00:00Z.",
        "It waits for: 40 of 500 requests",
        "Analysis errors says Inconclusive (difference 0.01, n 40).",
        "At the present rate that is expected at 2026-03-01 12:10:00Z.",
        "If it is still there at 2026-03-01 13:00:00Z, it is taken back.",
        "The last 2 of 2 decisions that are kept, the newest first:",
        *[
            f"- Revision {NEW} was rejected at 2026-03-01 12:00:00Z because of Rejected: ann: unfair,"
            " decided by rule AwaitingApproval/RejectAsked for ann, record 14."
        ]
        * 2,
    ]


def test_every_decision_of_any_life_can_be_said() -> None:
    for seed in range(12):
        records = walk(seed, 150)
        said = [line for line in why.explain(model(), records, last=1000) if line.startswith("- ")]
        assert len(said) == len(records)
        assert all(f"record {record['sequence']}." in line for record, line in zip(records[::-1], said, strict=True))
        assert not [line for line in said if "None" in line]


def test_log_as_table_json_and_csv() -> None:
    records = walk(1, 150)
    records[0]["inputs"]["message"] = '=cmd|"x"'
    table = logtable.render(records, "table").splitlines()
    assert table[0].split() == ["SEQUENCE", "TIME", "ACTOR", "RULE", "VERDICT", "MESSAGE"]
    assert len(table) == len(records) + 1
    assert [json.loads(line) for line in logtable.render(records, "json").splitlines()] == records
    rows = list(csv.reader(io.StringIO(logtable.render(records, "csv"))))
    assert rows[1][-1] == '\'=cmd|"x"'
    assert [row[0] for row in rows[1:]] == [str(record["sequence"]) for record in records]


def test_evidence_is_shown_only_if_it_has_the_digest() -> None:
    gate = {"name": "holdout", "verdict": "Pass", "datasetDigest": DIGEST, "numbers": {"auc": {"value": "0.912345"}}}
    live = {"name": "errors", "verdict": "Pass", "n": 9, "numbers": {"difference": "0.00123456"}}
    content = {"model": "flight", "revision": NEW, "gates": [gate], "analysis": [live], "plan": {}}
    digest = evidence_digest(content)
    record = {"inputs": {"evidence": content, "evidenceDigest": digest}}
    found = evidence.snapshot([record], digest)
    assert found is not None
    assert list(evidence.describe(found, digest)) == [
        f"Revision {NEW} of Model flight",
        f"Evidence {digest}",
        f"  gate holdout: Pass, dataset {DIGEST}",
        "    auc: value 0.912",
        "  errors: Pass, n 9, difference 0.00123",
        "  approvals needed: 1",
    ]
    assert evidence.snapshot([record], DIGEST) is None
    record["inputs"]["evidence"] = {**content, "revision": OLD}
    assert evidence.snapshot([record], digest) is None
