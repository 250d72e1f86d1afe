"""What must never follow from asking gates about the stable revision: a part of `lifecycle_never`."""

from __future__ import annotations

from dataclasses import dataclass, field

from penstock.api.v1alpha1.checkpoint import Checkpoint
from penstock.domain.lifecycle.decide import Commit
from penstock.domain.lifecycle.observed import Observed
from tests.property.lifecycle_settled import must


@dataclass
class AboutStable:
    """The account of what was asked and heard about one Model's stable revisions."""

    heard: set[tuple[int, str]] = field(default_factory=set)
    """Round and gate of every answer."""

    def decided(self, old: Checkpoint, new: Checkpoint, seen: Observed, commit: Commit, event: str) -> None:
        """Judge what is asked and heard about the stable revision: it is written down once, and nothing follows."""
        was, now = old.evaluation, new.evaluation
        if now is not None:
            must(now.revision == new.stable, "what is asked is asked about what serves", commit.rule)
            must(now.ended is not None or new.candidate is None, "it is not asked beside a candidate", commit.rule)
        ordered = now is not None and (was is None or was.round != now.round)
        must(not ordered or (event == "EvaluateAsked" and bool(commit.user)), "a person orders it", commit.rule)
        of_it = event in ("StableAnswered", "EvaluationExpired") or (event == "EvaluateAsked" and old.candidate is None)
        if of_it:
            else_ = {"evaluation": old.evaluation, "handled": old.handled}
            must(
                new.model_copy(update=else_) == old, "nothing follows from what the stable revision shows", commit.rule
            )
        if event == "StableAnswered":
            must(was is not None and was.ended is None, "who is not asked answers nothing", commit.rule)
            for proof in commit.inputs["proofs"]:
                must(proof["verdict"] == seen.gates[proof["gate"]].verdict, "an answer is written as it was", proof)
                must((proof["evaluation"], proof["gate"]) not in self.heard, "an answer is written once", proof)
                self.heard.add((proof["evaluation"], proof["gate"]))
            bad = any(proof["verdict"] == "Fail" for proof in commit.inputs["proofs"])
            must(bad == (commit.verdict.value == "StableFailed"), "a failure is said", commit.verdict.value)
        if event == "EvaluationExpired" and was is not None:
            waited = (seen.now - was.since).total_seconds()
            must(waited >= seen.limits.stage_deadline, "an evaluation has its whole time", waited)
