"""What is asked for changes while a candidate is under way, in each stage: a further model, a gate edited both ways."""

from __future__ import annotations

from tests.e2e.conduct import FEATURE
from tests.e2e.dsl import NAME
from tests.e2e.release import SHADOW, canary, misbehaving, plan
from tests.e2e.traffic import PER_SECOND, newest_fresh
from tests.e2e.world import Json, World

APPROVER = "olga"
ROLLOUT = plan(canary=canary([{"weight": 50, "minRequests": 60}]), approval={"required": True})
SHADOWED = {**ROLLOUT, "shadow": SHADOW}
# A candidate's way by that plan from its start to its end, as its decisions.
WHOLE_WAY = [
    "Start",
    "Advance",  # to Evaluating
    "Advance",  # to Canary
    "Applied",
    "Await",
    "Promote",
    "Promoted",
]


def healthy(world: World, number: int) -> Json:
    """The artifact of one more model that never misbehaves: it would do so at an hour that no day has."""
    return misbehaving(world, "lies", on=(FEATURE, 100.0 + number))


def bars(decision: Json) -> list[str]:
    """What the gate asks for by the plan that the decision was taken with."""
    return [gate["bars"]["roc_auc:min"] for gate in decision["result"]["candidate"]["plan"]["gates"]]


def test_further_models_and_edited_gates_in_every_stage_are_decided_anew(given, when, then, world, release):
    user = given.user(APPROVER)
    first = given.model("logistic")

    def gate_asks_for(auc: str) -> None:
        release.gate(metrics=[{"name": "roc_auc", "min": auc}])

    def tightened(auc: str, times: int) -> Json:
        """The gate asks for more; returns the decision that begins with it again."""
        gate_asks_for(auc)

        def begun_again() -> list[Json]:
            found = [record for record in world.records(NAME) if record["verdict"] == "Reconsider"]
            return found if len(found) == times else []

        decision = world.wait("the candidate is looked at again", begun_again)[-1]
        old, new = decision["inputs"]["old"]["gates"], decision["inputs"]["new"]["gates"]
        assert float(new[0]["bars"]["roc_auc:min"]) > float(old[0]["bars"]["roc_auc:min"])
        assert decision["result"]["weights"] == {first: 100}
        assert decision["result"]["candidate"]["stage"] == "Evaluating"
        release.reaches("Evaluating")
        return decision

    def copied() -> bool:
        return any("mirrorPercent" in item for item in world.model(NAME)["status"]["traffic"])

    gate_asks_for("0.8")
    with given.traffic() as traffic:
        when.spec_is(healthy(world, 1), rollout=SHADOWED)
        a = release.reaches("Evaluating", first)["revision"]
        when.spec_is(healthy(world, 2), rollout=SHADOWED)
        b = release.reaches("Shadow", a)["revision"]
        world.wait("copies are made", copied)
        assert tightened("0.82", times=1)["result"]["candidate"]["revision"] == b
        release.reaches("Shadow", a)
        world.wait("copies are made again", copied)
        when.spec_is(healthy(world, 3), rollout=ROLLOUT)
        waiting = release.reaches("AwaitingApproval", b)
        c = waiting["revision"]
        assert tightened("0.84", times=2)["result"]["candidate"]["revision"] == c
        again = release.reaches("AwaitingApproval", b)
        stale = release.action("Approve", user, revision=c, evidenceDigest=waiting["evidenceDigest"])
        assert release.answered(stale)["reason"] == "EvidenceChanged"
        gate_asks_for("0.81")
        when.clients_have_asked(traffic, 2 * PER_SECOND)
        now = release.candidate()
        assert [now[part] for part in ("stage", "revision", "evidenceDigest")] == [
            "AwaitingApproval",
            c,
            again["evidenceDigest"],
        ], "a gate that asks for less waits for the next revision"
        when.spec_is("boosted", rollout=ROLLOUT)
        d = release.reaches("AwaitingApproval", c)["revision"]
        assert release.approve(user)["state"] == "Done"
        assert then.serves("boosted") == d
        when.clients_have_asked(traffic, 2 * PER_SECOND)

    then.no_client_saw_an_error(traffic)
    assert {answer.revision for answer in traffic.answers} == {first, c, d}
    assert {answer.revision for answer in traffic.inside} == {first, d}
    assert newest_fresh(traffic.inside) == d
    records = world.records(NAME)
    verdicts = release.log_replays(then)
    release.commands_agree()
    assert verdicts.count("Reconsider") == 2
    assert verdicts[-len(WHOLE_WAY) :] == WHOLE_WAY, "the last one went all the way, from the start"
    starts = [record for record in records if record["verdict"] == "Start"][1:]
    assert [record["result"]["candidate"]["revision"] for record in starts] == [a, b, c, d]
    # Two had no traffic and are replaced at once; the third gives back its share first, which is decided apart.
    assert [record["inputs"].get("superseded") for record in starts] == [None, a, b, None]
    back = [record for record in records if record["verdict"] in ("RollBack", "RolledBack")]
    assert [(record["inputs"]["reason"], record["result"]["weights"]) for record in back] == [
        ("Superseded", {first: 100}),
        ("Superseded", {first: 100}),
    ]
    ended = [(entry["revision"], entry["reason"]) for entry in records[-1]["result"]["history"]]
    assert ended == [(d, "Serving"), *((revision, "Superseded") for revision in (c, b, a)), (first, "Serving")]
    assert not records[-1]["result"].get("rejected"), "nobody is to blame"
    assert [bars(record) for record in starts] == [["0.8"], ["0.8"], ["0.82"], ["0.81"]]
    for record in records:
        weights = record["result"]["weights"]
        assert set(weights) <= {first, c} or set(weights) <= {first, d}, record
        for proof in record["inputs"].get("proofs", []):
            assert proof["revision"] == record["result"]["candidate"]["revision"], "judged by what was said of another"
