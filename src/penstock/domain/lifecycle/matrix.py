"""The decision table: stage × event, total. It reads as design 4 is written."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.api.v1alpha1.modelstatus import Stage
from penstock.domain.lifecycle.stages import Event
from penstock.domain.lifecycle.transitions import back, begin, clock, forward, people, stable
from penstock.domain.lifecycle.transitions.restored import restored
from penstock.domain.lifecycle.transitions.step import Transition, ignore

# No candidate under way, then the stages in the order of the way.
COLUMNS: tuple[Stage | None, ...] = (
    None,
    Stage.PENDING,
    Stage.STARTING,
    Stage.EVALUATING,
    Stage.SHADOW,
    Stage.CANARY,
    Stage.AWAITING_APPROVAL,
    Stage.PROMOTING,
    Stage.ROLLING_BACK,
)
_ = ignore  # the event holds, and nothing follows from it in that stage

# fmt: off
_ROWS: Mapping[Event, tuple[Transition, ...]] = {
    #                         none                     Pending              Starting              Evaluating               Shadow                  Canary               AwaitingApproval        Promoting            RollingBack
    Event.RESTORED:          (restored,                restored,            restored,             restored,                restored,               restored,            restored,               restored,            restored),
    Event.SUSPENDED:         (_,                       clock.pause,         clock.pause,          clock.pause,             clock.pause,            clock.pause,         clock.pause,            clock.pause,         _),
    Event.RESUMED:           (_,                       clock.resume,        clock.resume,         clock.resume,            clock.resume,           clock.resume,        clock.resume,           clock.resume,        _),
    Event.REJECT_ASKED:      (_,                       back.reject_asked,   back.reject_asked,    back.reject_asked,       back.reject_asked,      back.reject_asked,   back.reject_asked,      back.reject_asked,   _),
    Event.ROLLBACK_ASKED:    (begin.roll_back_to,      begin.roll_back_to,  begin.roll_back_to,   begin.roll_back_to,      begin.roll_back_to,     back.make_way,       people.roll_back_asked, back.make_way,       _),
    Event.CANDIDATE_CRASHED: (_,                       _,                   _,                    _,                       _,                      back.crashed,        back.crashed,           back.crashed,        _),
    Event.CANDIDATE_FAILED:  (_,                       _,                   back.fail,            back.fail,               back.fail,              back.fail,           back.fail,              back.fail,           _),
    Event.HARM_SHOWN:        (_,                       _,                   _,                    _,                       _,                      back.harm_shown,     back.harm_shown,        _,                   _),
    Event.SHADOW_FAILED:     (_,                       _,                   _,                    _,                       back.shadow_failed,     _,                   _,                      _,                   _),
    Event.STABLE_HARMED:     (begin.roll_back_stable,  _,                   _,                    _,                       _,                      _,                   _,                      _,                   _),
    Event.CANDIDATE_LOST:    (_,                       _,                   _,                    _,                       _,                      back.hold,           back.hold,              back.hold,           _),
    Event.ROUTE_REFUSED:     (_,                       _,                   _,                    _,                       back.retreat,           back.retreat,        back.retreat,           back.retreat,        _),
    Event.STABLE_LOST:       (back.fail_over,          back.fail_over,      back.fail_over,       back.fail_over,          back.fail_over,         back.fail_over,      back.fail_over,         back.fail_over,      back.fail_over),
    Event.STABLE_BACK:       (back.fail_back,          back.fail_back,      back.fail_back,       back.fail_back,          back.fail_back,         back.fail_back,      back.fail_back,         _,                   _),
    Event.STABLE_ANSWERED:   (stable.record,           _,                   _,                    _,                       _,                      _,                   _,                      _,                   _),
    Event.WANTED_STABLE:     (back.note_wanted,        back.drop,           back.drop,            back.drop,               back.drop,              back.drop,           back.drop,              back.drop,           back.note_wanted),
    # Champion traffic first; from RollingBack the new candidate begins when that is over.
    Event.WANTED_CHANGED:    (begin.begin_candidate,   begin.begin_candidate, begin.begin_candidate, back.replace,          back.replace,           back.replace,        back.replace,           back.replace,        _),
    # Who may promote was decided by the plan of then: an edit while traffic moves waits for the next revision.
    Event.PLAN_TIGHTENED:    (_,                       _,                   begin.replan,         forward.reconsider,      forward.reconsider,     forward.reconsider,  forward.reconsider,     _,                   _),
    Event.ACTION_REFUSED:    (people.refuse,           people.refuse,       people.refuse,        people.refuse,           people.refuse,          people.refuse,       people.refuse,          people.refuse,       people.refuse),
    Event.APPROVE_ASKED:     (_,                       _,                   _,                    _,                       _,                      _,                   people.approve,         _,                   _),
    Event.PROMOTE_ASKED:     (_,                       _,                   _,                    people.promote,          people.promote,         people.promote,      people.promote,         _,                   _),
    Event.RETRY_ASKED:       (begin.retry,             _,                   _,                    _,                       _,                      _,                   _,                      _,                   _),
    Event.EVALUATE_ASKED:    (stable.evaluate,         _,                   _,                    people.evaluate,         people.evaluate,        people.evaluate,     people.evaluate,        _,                   _),
    Event.RELEASE_ASKED:     (begin.release,           begin.release,       begin.release,        begin.release,           begin.release,          begin.release,       begin.release,          begin.release,       begin.release),
    Event.BLOCKED:           (_,                       _,                   _,                    _,                       _,                      _,                   _,                      _,                   _),
    Event.UNBLOCKED:         (_,                       begin.start,         _,                    _,                       _,                      _,                   _,                      _,                   _),
    Event.CANDIDATE_READY:   (_,                       _,                   forward.ready,        _,                       _,                      back.lift_hold,      back.lift_hold,         back.lift_hold,      _),
    Event.GATE_ANSWERED:     (_,                       _,                   _,                    forward.record_proofs,   forward.record_proofs,  forward.record_proofs, forward.record_proofs, _,                  _),
    Event.GATES_PASSED:      (_,                       _,                   _,                    forward.gates_passed,    _,                      _,                   _,                      _,                   _),
    Event.SHADOW_PASSED:     (_,                       _,                   _,                    _,                       forward.shadow_passed,  _,                   _,                      _,                   _),
    Event.STEP_APPLIED:      (_,                       _,                   _,                    _,                       _,                      forward.step_applied, _,                     _,                   _),
    Event.STEP_DONE:         (_,                       _,                   _,                    _,                       _,                      forward.step_done,   _,                      _,                   _),
    Event.APPROVED:          (_,                       _,                   _,                    _,                       _,                      _,                   people.approved,        _,                   _),
    Event.ROUTE_APPLIED:     (_,                       _,                   _,                    _,                       _,                      _,                   _,                      forward.complete,    back.finish_rollback),
    Event.EVIDENCE_LOST:     (_,                       _,                   _,                    _,                       clock.evidence_lost,    clock.evidence_lost, _,                      _,                   _),
    Event.EVIDENCE_BACK:     (_,                       _,                   _,                    _,                       clock.evidence_back,    clock.evidence_back, _,                      _,                   _),
    Event.APPROVAL_EXPIRED:  (_,                       _,                   _,                    _,                       _,                      _,                   back.not_approved,      _,                   _),
    # Pending waits for others, and people have a time of their own.
    Event.DEADLINE:          (_,                       _,                   back.expire,          back.expire,             back.expire,            back.expire,         _,                      back.expire,         _),
    Event.EVALUATION_EXPIRED: (stable.expire,          _,                   _,                    _,                       _,                      _,                   _,                      _,                   _),
}
# fmt: on

MATRIX: Mapping[Stage | None, Mapping[Event, Transition]] = {
    stage: {event: row[position] for event, row in _ROWS.items()} for position, stage in enumerate(COLUMNS)
}
"""stage × event; a test counts the cells."""
