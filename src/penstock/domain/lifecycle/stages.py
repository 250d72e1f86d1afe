"""The names of the state machine beside the stages: events that move a candidate, verdicts that say how."""

from __future__ import annotations

from enum import StrEnum


class Event(StrEnum):
    """What can be seen to have happened. Order = priority: the first with an effect decides."""

    # What was decided is not in the log any more: nothing else can be decided before that is said.
    RESTORED = "Restored"
    # What stops everything else.
    SUSPENDED = "Suspended"
    RESUMED = "Resumed"
    # What protects traffic.
    REJECT_ASKED = "RejectAsked"
    ROLLBACK_ASKED = "RollbackAsked"
    CANDIDATE_CRASHED = "CandidateCrashed"
    CANDIDATE_FAILED = "CandidateFailed"
    HARM_SHOWN = "HarmShown"
    SHADOW_FAILED = "ShadowFailed"
    STABLE_HARMED = "StableHarmed"
    CANDIDATE_LOST = "CandidateLost"
    ROUTE_REFUSED = "RouteRefused"
    STABLE_LOST = "StableLost"
    STABLE_BACK = "StableBack"
    # An answer about the stable revision, before another one is begun: then it is not asked any more.
    STABLE_ANSWERED = "StableAnswered"
    # What is wanted, and what it has to go through.
    WANTED_STABLE = "WantedStable"
    WANTED_CHANGED = "WantedChanged"
    PLAN_TIGHTENED = "PlanTightened"
    # What people say.
    ACTION_REFUSED = "ActionRefused"
    APPROVE_ASKED = "ApproveAsked"
    PROMOTE_ASKED = "PromoteAsked"
    RETRY_ASKED = "RetryAsked"
    EVALUATE_ASKED = "EvaluateAsked"
    RELEASE_ASKED = "ReleaseAsked"
    # What brings it forward.
    BLOCKED = "Blocked"
    UNBLOCKED = "Unblocked"
    CANDIDATE_READY = "CandidateReady"
    GATE_ANSWERED = "GateAnswered"
    GATES_PASSED = "GatesPassed"
    SHADOW_PASSED = "ShadowPassed"
    STEP_APPLIED = "StepApplied"
    STEP_DONE = "StepDone"
    APPROVED = "Approved"
    ROUTE_APPLIED = "RouteApplied"
    # What runs out.
    EVIDENCE_LOST = "EvidenceLost"
    EVIDENCE_BACK = "EvidenceBack"
    APPROVAL_EXPIRED = "ApprovalExpired"
    DEADLINE = "Deadline"
    EVALUATION_EXPIRED = "EvaluationExpired"


PROTECTIVE = frozenset(
    {
        Event.RESTORED,
        Event.SUSPENDED,
        Event.REJECT_ASKED,
        Event.ROLLBACK_ASKED,
        Event.CANDIDATE_CRASHED,
        Event.HARM_SHOWN,
        Event.SHADOW_FAILED,
        Event.STABLE_HARMED,
        Event.CANDIDATE_LOST,
        Event.ROUTE_REFUSED,
        Event.STABLE_LOST,
        Event.STABLE_BACK,
        Event.ACTION_REFUSED,
    }
)
"""What is still decided while a Model is suspended or its log is full, beside the end of a way back that has begun."""


class Verdict(StrEnum):
    """What a DecisionRecord decided."""

    START = "Start"
    WAIT = "Wait"
    NOTED = "Noted"
    ADVANCE = "Advance"
    PROVEN = "Proven"
    STABLE_FAILED = "StableFailed"
    AWAIT = "Await"
    APPROVE = "Approve"
    APPLIED = "Applied"
    HOLD = "Hold"
    RELEASE = "Release"
    RECONSIDER = "Reconsider"
    PROMOTE = "Promote"
    PROMOTED = "Promoted"
    RETRY = "Retry"
    ROLL_BACK = "RollBack"
    ROLLED_BACK = "RolledBack"
    REJECT = "Reject"
    REFUSE = "Refuse"
    SUPERSEDE = "Supersede"
    FAILOVER = "Failover"
    FAILBACK = "Failback"
    PAUSE = "Pause"
    RESUME = "Resume"
    RESTORED = "Restored"
