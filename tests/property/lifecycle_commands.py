"""What people do in the world of a Model: every command, right or wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from penstock.api.v1alpha1.checkpoint import Checkpoint
from penstock.api.v1alpha1.modelaction import ActionType
from penstock.domain.approval import Action
from tests.property.lifecycle_world import REVISIONS, USERS, World
from tests.unit.domain.given import spec_hash

Choose = Callable[[Sequence[Any]], Any]
Move = Callable[[World, Choose], None]


def approves(world: World, choose: Choose) -> None:
    """Somebody who looked at the evidence approves."""
    candidate = world.state.candidate if world.state else None
    if candidate is not None and candidate.evidence is not None:
        _act(world, ActionType.APPROVE, choose(USERS), candidate.revision, digest=candidate.evidence)


def people_act(world: World, choose: Choose) -> None:
    """Somebody gives some command, right or wrong."""
    kind = choose(list(ActionType))
    state = world.state or Checkpoint()
    near = state.candidate.revision if state.candidate else choose(REVISIONS)
    former = [item.revision for item in state.previous] or [None]
    rejected = [item.revision for item in state.rejected] or [near]
    about = {
        ActionType.ROLLBACK: choose([*former, None, choose(REVISIONS)]),
        ActionType.RETRY: choose(rejected),
        ActionType.RELEASE_QUARANTINE: choose(rejected),
    }.get(kind, choose([near, near, choose(REVISIONS)]))
    digest = None
    if kind is ActionType.APPROVE:
        digest = choose([state.candidate.evidence if state.candidate else None, spec_hash("else")])
    sequence = choose([None, None, len(world.log), max(1, len(world.log) - 3), len(world.log) + 5])
    _act(world, kind, choose(USERS), about, digest=digest, sequence=sequence, bypass=choose([False, False, True]))


def rolls_back(world: World, choose: Choose) -> None:
    """Somebody wants the former revision back."""
    _act(world, ActionType.ROLLBACK, choose(USERS), None)


def rejects(world: World, choose: Choose) -> None:
    """Somebody rejects the candidate."""
    if world.state is not None and world.state.candidate is not None:
        _act(world, ActionType.REJECT, choose(USERS), world.state.candidate.revision)


def tries_again(world: World, choose: Choose) -> None:
    """Somebody releases what was rejected last, or has it tried again."""
    if world.state is not None and world.state.rejected:
        which = world.state.rejected[0]
        kind = ActionType.RELEASE_QUARANTINE if which.quarantined else ActionType.RETRY
        _act(world, kind, choose(USERS), which.revision)


def promotes(world: World, choose: Choose) -> None:
    """Somebody does not want to wait."""
    if world.state is not None and world.state.candidate is not None:
        bypass = choose([True, False])
        _act(world, ActionType.PROMOTE, choose(USERS), world.state.candidate.revision, bypass=bypass)


def evaluates(world: World, choose: Choose) -> None:
    """Somebody has the gates asked again."""
    if world.state is not None and world.state.candidate is not None:
        _act(world, ActionType.EVALUATE, choose(USERS), world.state.candidate.revision)


def evaluates_the_stable(world: World, choose: Choose) -> None:
    """Somebody has the gates asked about the revision that serves, also where a candidate is under way."""
    if world.state is not None and world.state.stable is not None:
        _act(world, ActionType.EVALUATE, choose(USERS), world.state.stable)


def gate_answers_about_the_stable(world: World, choose: Choose) -> None:
    """A gate says something about the revision that serves, perhaps after somebody has asked."""
    if world.state is not None and world.state.candidate is None and choose([True, False]):
        evaluates_the_stable(world, choose)
        world.decide()
    asked = world.state.evaluation if world.state is not None else None
    if asked is not None and asked.gates:
        verdict = choose(["Pass", "Pass", "Fail", "Inconclusive", "NoData", "NotApplicable", "Error"])
        world.answers.setdefault(("stable", asked.revision, asked.round, choose(asked.gates)), (verdict, False, 1))


def _act(
    world: World,
    kind: ActionType,
    user: str,
    about: str | None,
    *,
    digest: str | None = None,
    sequence: int | None = None,
    bypass: bool = False,
) -> None:
    world.given += 1
    world.actions.append(
        Action(
            uid=f"{world.given:08x}-0000-0000-0000-000000000000",
            name=f"action-{world.given}",
            type=kind,
            revision=about,
            user=user,
            evidence_digest=digest or (spec_hash("none") if kind is ActionType.APPROVE else None),
            sequence=sequence,
            reason="because",
            created=world.now.replace(microsecond=0),
            bypass=bypass and kind is ActionType.PROMOTE,
        )
    )


def actions_are_cleaned_up(world: World, choose: Choose) -> None:
    """Commands that were dealt with are deleted; an old one may be listed again with what it was."""
    handled = set(world.state.handled) if world.state else set()
    world.actions = [action for action in world.actions if action.uid not in handled]
