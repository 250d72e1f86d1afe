"""The names of the state machine beside the stages: events that move a candidate, verdicts that say how."""

from __future__ import annotations

from enum import StrEnum


class Event(StrEnum):
    """What can be seen to have happened. Order = priority: the first with an effect decides."""

    SUSPENDED = "Suspended"
    RESUMED = "Resumed"
    CANDIDATE_FAILED = "CandidateFailed"
    CANDIDATE_LOST = "CandidateLost"
    ROUTE_REFUSED = "RouteRefused"
    WANTED_STABLE = "WantedStable"
    WANTED_CHANGED = "WantedChanged"
    BLOCKED = "Blocked"
    UNBLOCKED = "Unblocked"
    CANDIDATE_READY = "CandidateReady"
    ROUTE_APPLIED = "RouteApplied"
    DEADLINE = "Deadline"


class Verdict(StrEnum):
    """What a DecisionRecord decided."""

    START = "Start"
    WAIT = "Wait"
    NOTED = "Noted"
    PROMOTE = "Promote"
    PROMOTED = "Promoted"
    RETRY = "Retry"
    ROLL_BACK = "RollBack"
    ROLLED_BACK = "RolledBack"
    REJECT = "Reject"
    SUPERSEDE = "Supersede"
    PAUSE = "Pause"
    RESUME = "Resume"
