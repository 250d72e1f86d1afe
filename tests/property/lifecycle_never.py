"""What must never be decided, whatever happens: written against the design, not with the functions it judges.

It follows a Model from decision to decision and keeps its own account of what was shown, said and ordered.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from penstock.api.v1alpha1.checkpoint import CandidateState, Checkpoint
from penstock.api.v1alpha1.modelstatus import Source, Stage
from penstock.domain.lifecycle import decide as machine
from penstock.domain.lifecycle import replay
from penstock.domain.lifecycle.decide import Commit
from penstock.domain.lifecycle.observed import Observed
from tests.property.lifecycle_never_stable import AboutStable
from tests.property.lifecycle_settled import is_full, must, settled

QUARANTINE = {"DigestMismatch", "UnsafeFormat", "GateFailed", "ShadowHarm", "CanaryHarm", "Rejected", "RolledBack"}
# Beside what carries out Reject and Rollback, refusals, and the end of a way back that has begun.
WHILE_SUSPENDED = {
    "Restored",
    "Suspended",
    "RejectAsked",
    "RollbackAsked",
    "CandidateCrashed",
    "HarmShown",
    "ShadowFailed",
    "StableHarmed",
    "CandidateLost",
    "RouteRefused",
    "StableLost",
    "StableBack",
    "ActionRefused",
}


@dataclass
class Never:
    """The account of one Model."""

    handled: Counter[str] = field(default_factory=Counter)
    quarantined: set[str] = field(default_factory=set)
    served: dict[str, Any] = field(default_factory=dict)
    """When a revision that had been stable was left, by revision."""
    asked: set[str] = field(default_factory=set)
    """The gates that the candidate's plan has ever named."""
    passed: set[Stage] = field(default_factory=set)
    """The stages that the candidate has finished since it was last looked at from the start."""
    bypassed: bool = False
    promoted: bool = False
    """Whether a person promoted the candidate, past soak and waiting; by `bypassed` past missing evidence too."""
    snapshot: Mapping[str, Any] | None = None
    given: dict[str, set[str]] = field(default_factory=dict)
    """Who approved, by digest of the evidence."""
    ran: float = 0
    """Seconds that the candidate's clock has run in its stage or step."""
    applied: float = 0
    """Seconds that it has run since the weight of the step was applied."""
    stood: bool = False
    stage: Any = None
    share: int = 0
    """What a hold took."""
    about_stable: AboutStable = field(default_factory=AboutStable)
    slow: bool = True
    """Whether the costly checks (JSON, purity) are made: on every decision, or left to other sequences."""

    def time_passes(self, seconds: float) -> None:
        """Count it, unless the clock stands."""
        self.ran += 0 if self.stood else seconds
        self.applied += 0 if self.stood else seconds

    def decided(self, before: Checkpoint | None, seen: Observed, commit: Commit) -> None:
        """Judge one decision."""
        old, new = before or Checkpoint(), commit.result
        event = str(commit.inputs["event"])
        if self.slow:
            _is_a_record(before, seen, commit)
        must(new != before or event == "Restored", "every decision changes something", commit.rule)
        self._people(old, seen, commit, event)
        self._quarantine(old, seen, commit, event)
        self._suspension(old, seen, commit, event)
        self._lost(old, seen, commit, event)
        self._traffic(old, new, seen, commit)
        self._promotion(old, new, seen, commit, event)
        self.about_stable.decided(old, new, seen, commit, event)
        self._clock(old, new, seen, commit, event)
        self._way(old, new, seen, commit, event)

    def _people(self, old: Checkpoint, seen: Observed, commit: Commit, event: str) -> None:
        fresh = set(commit.result.handled) - set(old.handled)
        named = commit.inputs.get("action", {}).get("uid")
        must(fresh <= {named}, "a command is dealt with by the decision that names it", fresh)
        for uid in fresh:
            self.handled[uid] += 1
            must(self.handled[uid] == 1, "a command is dealt with once", uid)
        if named is not None:
            must(named in fresh, "a command that was carried out is dealt with", commit.rule)
            must(bool(commit.user), "who gave a command is in the record", commit.rule)
            believed = all(blocker.reason != "PolicyMissing" for blocker in seen.blockers)
            must(believed or commit.verdict.value == "Refuse", "no command without admission policies", commit.rule)
        if event == "ApproveAsked" and commit.verdict.value != "Refuse" and old.candidate is not None:
            self.given.setdefault(old.candidate.evidence or "", set()).add(commit.user)
            action = next(a for a in seen.actions if _is(a, commit))
            must(action.evidence_digest == old.candidate.evidence, "an approval names the evidence", commit.rule)
        if event == "PromoteAsked":
            self.promoted = True
            action = next(a for a in seen.actions if _is(a, commit))
            self.bypassed |= bool(commit.inputs["bypass"])
            must(action.bypass or not commit.inputs["bypass"], "missing evidence is skipped by name only", commit.rule)
            lacking = [gate.name for gate in _planned(old) if not _says_pass(old, gate)]
            must(not lacking or action.bypass, "what a gate does not say now is skipped by name only", lacking)

    def _quarantine(self, old: Checkpoint, seen: Observed, commit: Commit, event: str) -> None:
        new = commit.result
        if event == "ReleaseAsked":
            self.quarantined.discard(next(a.revision or "" for a in seen.actions if _is(a, commit)))
        ended = str(commit.inputs.get("reason", ""))
        if commit.verdict.value in ("Reject", "RolledBack") and new.candidate is None and old.candidate is not None:
            entry = next((item for item in new.rejected if item.revision == old.candidate.revision), None)
            if entry is not None and ended in (entry.reason, entry.message):
                must(entry.quarantined == (entry.reason in QUARANTINE), "quarantine is for what showed harm", entry)
        if event in ("StableHarmed", "RollbackAsked") and commit.verdict.value in ("Start", "Wait") and old.stable:
            bad = {item.revision for item in new.rejected if item.quarantined}
            must(old.stable in bad, "what is left is quarantined", commit.rule)
        now = {item.revision for item in new.rejected if item.quarantined}
        must(self.quarantined <= now, "a quarantine ends by a named release only", self.quarantined - now)
        self.quarantined |= now
        candidate = new.candidate
        if candidate is not None and candidate.stage is not Stage.ROLLING_BACK:
            must(candidate.revision not in self.quarantined, "no quarantined revision comes back", commit.rule)
        gained = {which for which, weight in new.weights.items() if weight > old.weights.get(which, 0)}
        must(not (gained - {new.stable}) & self.quarantined, "no quarantined revision gets traffic", commit.rule)
        # A candidate that is no way back and cannot be measured gives its share to what serves, whatever that did.
        edited = event in ("WantedChanged", "WantedStable") and old.candidate is not None
        if edited or (event == "EvidenceLost" and _ordered_back(old)):
            back = gained & self.quarantined
            must(not back, "no quarantined revision gets traffic because the spec was edited", commit.rule)

    def _suspension(self, old: Checkpoint, seen: Observed, commit: Commit, event: str) -> None:
        new = commit.result
        going_back = _ordered_back(old) or (old.candidate is not None and old.candidate.stage is Stage.ROLLING_BACK)
        full = is_full(seen)
        if seen.suspended or full:
            must(event in WHILE_SUSPENDED or going_back, "suspended: protective decisions only", commit.rule)
        if full and event == "ActionRefused":
            said = commit.inputs["action"]["type"]
            must(said in ("Reject", "Rollback"), "a log that is full is not filled with refusals", said)
        if event == "EvidenceLost" and seen.live.unmeasurable and old.candidate is not None:
            shown = new.weights.get(old.candidate.revision, 0)
            must(going_back or not shown, "nobody is shown what nothing counts", commit.rule)
        if seen.suspended or seen.frozen or full:
            exempt = _ordered_back(new) or (new.candidate is not None and new.candidate.cites > 0)
            must(exempt or not _gains(old, new), "no more traffic while suspended or frozen", commit.rule)
            left = (
                old.candidate is not None and old.candidate.stage is Stage.PENDING and commit.verdict.value == "Start"
            )
            must(exempt or not left, "nothing leaves Pending while suspended or frozen", commit.rule)

    def _lost(self, old: Checkpoint, seen: Observed, commit: Commit, event: str) -> None:
        """Judge the decision after a restoration of the cluster's state: it is the first, and gives nobody more."""
        must((event == "Restored") == (seen.lost is not None), "what was lost is said first", commit.rule)
        if event != "Restored" or seen.lost is None:
            return
        new, was = commit.result, old.candidate
        heads = commit.inputs["heads"]
        named = [heads[key]["sequence"] for key in ("found", "lost")]
        must(named == [seen.sequence, seen.lost.sequence], "both ends are named", named)
        must(not _gains(old, new) and new.stable == old.stable, "nobody gets more by a restoration", commit.rule)
        serves = {old.stable} if old.stable else set(old.weights)
        known = {item.revision for item in seen.lost.quarantines} - serves
        must(known <= {item.revision for item in new.rejected if item.quarantined}, "quarantines are taken over", known)
        goes_on = was is None or old.stable is None or was.stage is Stage.ROLLING_BACK or _ordered_back(old)
        left = new.candidate is None or new.candidate.stage is Stage.ROLLING_BACK
        must(goes_on or left, "a candidate of which something is not known goes back", commit.rule)

    def _traffic(self, old: Checkpoint, new: Checkpoint, seen: Observed, commit: Commit) -> None:
        weights = new.weights
        must(not weights or sum(weights.values()) == 100, "weights add to 100", weights)
        candidate, left = new.candidate, old.candidate
        named = {*weights, new.stable, candidate and candidate.revision, new.wanted and new.wanted.revision}
        must("0" * 12 not in named, "what is not known is never wanted", named)
        gone = left is not None and (candidate is None or candidate.revision != left.revision)
        gone = gone and not old.failover  # then its share is the fallback's, if it is both
        if left is not None and gone and old.weights.get(left.revision) and new.stable and new.stable != left.revision:
            over = commit.inputs["event"] == "RouteApplied" or left.revision in new.weights
            must(over, "a candidate with traffic gives it back first", commit.rule)
        if commit.verdict.value == "RolledBack" and old.weights:
            shown = dict(seen.route.weights) == dict(old.weights) and seen.route.accepted
            probes = [seen.reached.get(which) for which in old.weights]
            asked = all(probe is not None and probe.passed is True for probe in probes)
            must(shown and asked, "the data plane shows a way back before the pods go", seen.route)
        share = weights.get(candidate.revision, 0) if candidate is not None else 0
        if candidate is not None and _gains(old, new):
            serving = seen.workload(new.stable).ready if new.stable else 0
            needed = max(1, seen.replicas) if share == 100 else max(1, ceil(max(1, serving) * share / 100))
            must(seen.workload(candidate.revision).ready >= needed, "traffic goes to ready pods only", commit.rule)
            self._proven(candidate, new, commit)
        stands_in = seen.fallback if new.failover else None
        # A fallback that the spec does not name any more serves until the stable revision is back.
        known = {
            new.stable,
            stands_in,
            *([candidate.revision] if candidate else []),
            *(old.weights if old.failover else ()),
        }
        must(set(weights) <= known, "traffic goes to the stable revision, the candidate or the fallback", weights)
        self._held(old, new, commit)
        if old.failover and weights.get(new.stable or "", 0) > old.weights.get(new.stable or "", 0):
            stands = seen.fallback is not None and seen.workload(seen.fallback).ready > 0
            free = stands and seen.fallback not in self.quarantined
            back = seen.workload(new.stable or "").ready > 0 or new.stable != old.stable
            must(back or not free, "a fallback gives back to a ready stable revision only", commit.rule)
        if new.failover and not old.failover:
            must(seen.workload(old.stable or "").ready == 0, "a healthy stable revision is not replaced", commit.rule)
            must(
                seen.workload(seen.fallback or "").ready > 0, "a fallback that is not ready takes nothing", commit.rule
            )
        if old.stable and weights.get(old.stable, 0) < old.weights.get(old.stable, 0) and not new.failover:
            must(
                commit.verdict.value in ("Advance", "Promote", "Release"),
                "the stable revision loses traffic to a candidate that goes on only",
                commit.rule,
            )

    def _held(self, old: Checkpoint, new: Checkpoint, commit: Commit) -> None:
        """Follow a candidate whose share is held back: the same comes back."""
        was, now = old.candidate, new.candidate
        if was is None or now is None:
            return
        if was.hold is None and now.hold is not None:
            self.share = old.weights.get(was.revision, 0)
        if was.hold is not None and now.hold is None and commit.verdict.value == "Release":
            must(new.weights.get(now.revision) == self.share, "what was held back comes back, and no more", commit.rule)

    def _proven(self, candidate: CandidateState, new: Checkpoint, commit: Commit) -> None:
        """Judge a candidate at the moment it gets more traffic."""
        if candidate.cites:
            served = candidate.revision in self.served
            must(served, "a fast way back is for what was stable before", candidate.revision)
            return
        plan = candidate.plan
        must(plan is not None, "no traffic without a plan", commit.rule)
        names = {gate.name for gate in plan.gates} if plan else set()
        must(self.asked <= names, "no gate of the plan is forgotten", self.asked - names)
        for gate in plan.gates if plan else ():
            proof = next((item for item in candidate.proofs if item.gate == gate.name), None)
            ok = proof is not None and proof.spec_hash == gate.spec_hash and proof.revision == candidate.revision
            fine = (
                ok
                and proof is not None
                and (
                    proof.verdict == "Pass"
                    or (proof.verdict == "NotApplicable" and new.stable is None)
                    or (proof.verdict == "Inconclusive" and proof.accepted)
                )
            )
            must(fine or self.bypassed, "no traffic without real evidence or a recorded bypass", (commit.rule, proof))
            must(proof is None or proof.verdict != "Fail", "nobody skips a failed gate", commit.rule)
        before = plan is not None and plan.approval.before.value == "Rollout"
        if before and _asks(candidate):
            self._approved(candidate, commit)

    def _approved(self, candidate: CandidateState, commit: Commit) -> None:
        plan = candidate.plan
        must(candidate.evidence is not None and self.snapshot is not None, "people are asked first", commit.rule)
        if plan is None or self.snapshot is None:
            return
        people = self.given.get(candidate.evidence or "", set())
        if plan.approval.separation_of_duties:
            people = people - set(candidate.requesters)
        must(len(people) >= plan.approval.quorum, "no traffic without the approvals it needs", (commit.rule, people))
        shown = {gate["name"]: (gate["verdict"], gate["specHash"]) for gate in self.snapshot["gates"]}
        known = {proof.gate: (proof.verdict, proof.spec_hash) for proof in candidate.proofs}
        must(shown == known, "people have seen the newest evidence", commit.rule)
        must(self.snapshot["plan"] == plan.as_json(), "people have seen the plan in force", commit.rule)

    def _promotion(self, old: Checkpoint, new: Checkpoint, seen: Observed, commit: Commit, event: str) -> None:
        if new.stable == old.stable:
            return
        candidate = old.candidate
        must(event == "RouteApplied" and candidate is not None, "promotion follows the route", commit.rule)
        if candidate is None:
            return
        reached = seen.reached.get(candidate.revision)
        shown = seen.route.accepted and dict(seen.route.weights) == {candidate.revision: 100}
        must(new.stable == candidate.revision, "the candidate is promoted", new.stable)
        must(shown and reached is not None and reached.passed is True, "the data plane shows a promotion", seen.route)
        if _asks(candidate) and not candidate.cites:
            self._approved(candidate, commit)
        if old.stable is not None:
            self.served[old.stable] = seen.now
            bad = old.stable in self.quarantined
            warm = any(item.revision == old.stable for item in new.previous)
            must(warm != bad, "the old revision stays warm", commit.rule)

    def _clock(self, old: Checkpoint, new: Checkpoint, seen: Observed, commit: Commit, event: str) -> None:
        limit = seen.limits.stage_deadline
        candidate = old.candidate
        if event == "Deadline" and candidate is not None:
            must(self.ran >= limit, "a stage has its whole time", (candidate.stage, self.ran))
        if event == "StepDone" and candidate is not None and candidate.plan and candidate.plan.canary:
            step = candidate.plan.canary.steps[candidate.step]
            must(self.applied >= step.min_seconds, "a step lasts as long as it says", self.applied)
            must(seen.live.requests >= step.min_requests, "a step has the requests it needs", seen.live.requests)
            must(seen.live.sighted is True, "a step ends by what was measured", seen.live)
        if event == "ApprovalExpired" and candidate is not None and candidate.plan is not None:
            must(self.ran >= candidate.plan.approval.expires_after_seconds, "people have their whole time", self.ran)
        place = _place(new.candidate)
        # An edit before anything was measured begins nothing anew.
        anew = commit.rule != "Starting/PlanTightened" and commit.verdict.value in ("Await", "Reconsider", "Retry")
        if place != self.stage or anew:
            self.ran = 0
        if event == "StepApplied":
            self.applied = 0
        self.stage = place

    def _way(self, old: Checkpoint, new: Checkpoint, seen: Observed, commit: Commit, event: str) -> None:
        """Follow the candidate along its plan, and forget what was about another one."""
        candidate, was = new.candidate, old.candidate
        if candidate is None or was is None or was.entered != candidate.entered:
            self.asked, self.passed, self.bypassed, self.promoted = set(), set(), False, False
            self.snapshot, self.given = None, {}
        elif event in ("PlanTightened", "RouteRefused"):
            self.passed, self.promoted = set(), False
            self.bypassed = False
        elif was.stage is not candidate.stage:
            self.passed.add(was.stage)
        if "evidence" in commit.inputs and commit.verdict.value == "Await":
            self.snapshot = commit.inputs["evidence"]
            asked = new.candidate
            must(asked is not None and asked.evidence == commit.inputs["evidenceDigest"], "people are asked about it")
            must(asked is not None and not asked.approvals and not asked.approved, "new evidence voids approvals")
        if candidate is None:
            return
        self.asked |= {gate.name for gate in candidate.plan.gates} if candidate.plan else set()
        if was is not None and was.stage is Stage.STARTING and event == "CandidateReady":
            smoke, known = seen.smoke.get(was.revision), seen.previewed.get(was.revision)
            trusted = all(blocker.reason != "PolicyMissing" for blocker in seen.blockers)
            must(smoke is not None and smoke.passed is True, "no start without a smoke prediction", was.revision)
            must(seen.workload(was.revision).ready >= seen.replicas, "no start without all pods", was.revision)
            must(old.stable is None or (known is not None and known.passed is True), "the gateway knows it first")
            must(trusted, "without admission policies no pod is believed", was.revision)
        if commit.verdict.value == "Promote" and not candidate.cites and not self.promoted and candidate.plan:
            beside = new.stable is not None
            for stage, there in (
                (Stage.EVALUATING, bool(candidate.plan.gates)),
                (Stage.SHADOW, beside and candidate.plan.shadow is not None),
                (Stage.CANARY, beside and candidate.plan.canary is not None),
            ):
                must(stage in self.passed or not there, "no stage of the plan is left out", (stage, commit.rule))
        if candidate.stage is Stage.CANARY and (was is None or was.stage is not Stage.CANARY):
            must(candidate.step == 0, "a canary begins with its first step", candidate.step)
        if event == "StepDone" and was is not None and was.plan and was.plan.canary:
            last = was.step + 1 == len(was.plan.canary.steps)
            shown = {item.name: item.verdict for item in seen.live.findings}
            lacking = [item.name for item in was.plan.canary.analysis if shown.get(item.name) != "Pass"]
            must(not (last and lacking), "the last step is left with every comparison passed", lacking)
            must(last or candidate.step == was.step + 1, "one step follows the other", candidate.step)

    def converged(self, head: Checkpoint | None, seen: Observed) -> None:
        """Judge what is left when there is nothing to decide."""
        self.stood = bool(seen.suspended or seen.frozen) or is_full(seen)
        if self.slow:
            must(machine.decide(head, seen) is None, "a converged look stays converged")
        if head is None:
            must(seen.suspended or seen.undecided, "a Model begins")
            return
        settled(head, seen, self.quarantined, self.ran)


def _is_a_record(before: Checkpoint | None, seen: Observed, commit: Commit) -> None:
    json.dumps(dict(commit.inputs), allow_nan=False)
    must(len(commit.inputs) <= 60, "the record has room for its facts", len(commit.inputs))
    must(Checkpoint.model_validate(commit.result.as_json()) == commit.result, "a checkpoint survives its record")
    must(machine.decide(before, seen) == commit, "the same facts give the same decision", commit.rule)
    written = json.loads(json.dumps(replay.facts(seen)))
    again = machine.decide(before, replay.observed(written))
    must(again == commit, "a decision follows from what was written down", commit.rule)


def _planned(state: Checkpoint) -> list[Any]:
    return state.candidate.plan.gates if state.candidate and state.candidate.plan else []


def _says_pass(state: Checkpoint, gate: Any) -> bool:
    proofs = state.candidate.proofs if state.candidate else []
    about = [proof for proof in proofs if (proof.gate, proof.spec_hash) == (gate.name, gate.spec_hash)]
    return any(proof.verdict in ("Pass", "NotApplicable") or proof.accepted for proof in about)


def _is(action: Any, commit: Commit) -> bool:
    return bool(action.uid == commit.inputs.get("action", {}).get("uid"))


def _gains(old: Checkpoint, new: Checkpoint) -> bool:
    """Whether the candidate gets more of the traffic."""
    if new.candidate is None:
        return False
    revision = new.candidate.revision
    return new.weights.get(revision, 0) > old.weights.get(revision, 0) and not new.failover


def _asks(candidate: CandidateState) -> bool:
    plan = candidate.plan
    leaves_it = any(proof.verdict == "Inconclusive" and proof.accepted for proof in candidate.proofs)
    return plan is not None and (plan.approval.required or leaves_it)


def _ordered_back(state: Checkpoint) -> bool:
    """Whether a person or harm has ordered the candidate, also if the spec asks for it by now."""
    candidate, asked = state.candidate, state.wanted
    if candidate is None or asked is None:
        return False
    leaving = any(item.revision == state.stable and item.quarantined for item in state.rejected)
    ordered = asked.source is Source.ROLLBACK and asked.revision == candidate.revision
    return ordered or (leaving and candidate.cites > 0)


def _place(candidate: CandidateState | None) -> Any:
    if candidate is None:
        return None
    return (candidate.entered, candidate.attempt, candidate.stage, candidate.step)
