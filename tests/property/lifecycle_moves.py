"""What can happen in the world of a Model: every move is drawn, and takes its details from the same source."""

from __future__ import annotations

from penstock.api.v1alpha1.checkpoint import Checkpoint, RejectedRevision
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.api.v1alpha1.rollout import ApprovalPolicy, Before, Canary, OnMissingEvidence, Step
from penstock.domain.lifecycle.desired import desired
from penstock.domain.lifecycle.observed import Failure, LostHead, RouteView
from tests.property.lifecycle_commands import (
    Choose,
    Move,
    actions_are_cleaned_up,
    approves,
    evaluates,
    evaluates_the_stable,
    gate_answers_about_the_stable,
    people_act,
    promotes,
    rejects,
    rolls_back,
    tries_again,
)
from tests.property.lifecycle_world import ANALYSES, CANARY, GATES, NAMES, REVISIONS, SHADOW, USERS, World
from tests.unit.domain.given import spec_hash


def goes_well(world: World, choose: Choose) -> None:
    """Whatever the candidate waits for comes: the ordinary way through the stages."""
    for which in world.wanted() & set(world.pods):
        world.pods[which].ready, world.pods[which].failure = world.replicas, None
        if world.smoke.get(which) is None:
            world.smoke[which] = True
    gateway_takes(world, choose)
    world.decide()
    state = world.state or Checkpoint()
    candidate, about = state.candidate, world.about(state)
    if candidate is None:
        return
    if candidate.stage is Stage.EVALUATING:
        for planned in candidate.plan.gates if candidate.plan else ():
            _answer(world, planned.name, "Pass", accepted=False)
    elif candidate.stage is Stage.SHADOW:
        world.shadows.setdefault(about, "Pass")
    elif candidate.stage is Stage.CANARY:
        world.sighted = True
        world.requests[about] = 1000
        world.findings.setdefault((candidate.revision, candidate.entered), dict.fromkeys(ANALYSES, "Pass"))
        world.pass_time(61)
    elif candidate.stage is Stage.AWAITING_APPROVAL:
        approves(world, choose)


def gateway_takes(world: World, choose: Choose) -> None:
    """The gateway serves what is ordered, and knows the candidate."""
    state = world.state
    if state is None:
        return
    wanted = desired(state, world.look())
    if state.weights:
        world.route = RouteView(present=True, weights=dict(state.weights), mirror=dict(wanted.mirror), accepted=True)
        world.reached = True
    if state.candidate is not None:
        world.known.add((state.candidate.revision, frozenset(world.route.weights.items())))


def gateway_is_late(world: World, choose: Choose) -> None:
    """The route is written; it is not accepted, not reached or not known yet."""
    state = world.state
    if state is not None and state.weights:
        accepted = choose([True, False])
        world.route = RouteView(present=True, weights=dict(state.weights), accepted=accepted)
        world.reached = choose([None, False, True])
        if choose([True, False]):
            world.known.clear()


def gateway_refuses(world: World, choose: Choose) -> None:
    """The gateway says no to the route as it is ordered."""
    if world.state is not None and world.state.weights:
        mirror = dict(desired(world.state, world.look()).mirror)
        world.route = RouteView(
            present=True, weights=dict(world.state.weights), mirror=mirror, refused="BackendNotFound"
        )
        world.reached = None
        world.known.clear()


def route_is_edited(world: World, choose: Choose) -> None:
    """Somebody else changes the live route."""
    if world.route.present:
        world.route = RouteView(present=True, weights={choose(REVISIONS): 40, UNROUTED: 60}, accepted=True)


UNROUTED = "f" * 12


def pods_change(world: World, choose: Choose) -> None:
    """Pods of a revision become ready or are lost."""
    if world.pods:
        world.pods[choose(sorted(world.pods))].ready = choose([0, 0, 1, world.replicas])


def stable_pods_change(world: World, choose: Choose) -> None:
    """Pods of the stable revision are lost, or come back."""
    stable = world.state.stable if world.state else None
    if stable in world.pods:
        world.pods[stable].ready = choose([0, 1, world.replicas])


def candidate_pods_change(world: World, choose: Choose) -> None:
    """Pods of the candidate are lost, or come back."""
    candidate = world.state.candidate if world.state else None
    if candidate is not None and candidate.revision in world.pods:
        world.pods[candidate.revision].ready = choose([0, 1, world.replicas])


def pods_fail(world: World, choose: Choose) -> None:
    """Pods of a revision do not come up."""
    if world.pods:
        reason = choose(["DigestMismatch", "CrashLoop", "ImagePull", "UnsafeFormat"])
        failure = Failure(reason, "broken", permanent=reason != "ImagePull")
        pods = world.pods[choose(sorted(world.pods))]
        pods.ready, pods.failure = 0, failure


def smoke_answers(world: World, choose: Choose) -> None:
    """A smoke prediction is answered, wrongly, or not at all."""
    if world.pods:
        world.smoke[choose(sorted(world.pods))] = choose([True, True, False, None])


def candidate_crashes(world: World, choose: Choose) -> None:
    """Pods of the candidate end by themselves."""
    if world.state is not None and world.state.candidate is not None:
        world.crashes.add(world.about(world.state))


def stable_crashes(world: World, choose: Choose) -> None:
    """Pods of the stable revision end by themselves again and again."""
    if world.state is not None and world.state.stable is not None:
        world.crashes.add(("stable", world.state.stable, world.state.stable_since))


def gate_answers(world: World, choose: Choose) -> None:
    """A gate says something about the candidate."""
    verdict = choose(["Pass", "Pass", "Fail", "Inconclusive", "NoData", "NotApplicable"])
    _answer(world, choose(GATES), verdict, accepted=verdict == "Inconclusive" and choose([True, False]))


def _answer(world: World, gate: str, verdict: str, *, accepted: bool) -> None:
    candidate = world.state.candidate if world.state else None
    if candidate is None:
        return
    key = (candidate.revision, candidate.entered, world.gate(gate).spec_hash, candidate.evaluation)
    before = world.answers.get(key)
    if before is None or before[0] in ("NoData", "Inconclusive"):
        world.answers[key] = (verdict, accepted, before[2] + 1 if before else 1)


def gate_is_edited(world: World, choose: Choose) -> None:
    """A gate asks for more, for less, or for the same in other words."""
    name = choose(GATES)
    version, bar = world.definitions[name]
    world.definitions[name] = (version + 1, min(99, max(50, bar + choose([-5, 0, 5]))))


def gates_are_edited(world: World, choose: Choose) -> None:
    """The Model names other gates."""
    world.rollout["gates"] = choose([(), GATES[:1], GATES[1:], GATES])


def rollout_is_edited(world: World, choose: Choose) -> None:
    """The Model's rollout asks for more or less."""
    what, value = choose(
        [
            ("shadow", None),
            ("shadow", SHADOW),
            ("shadow", SHADOW.model_copy(update={"min_samples": 5000})),
            ("canary", None),
            ("canary", CANARY),
            ("canary", Canary(steps=[Step(weight=5, min_seconds=600), Step(weight=50)], analysis=CANARY.analysis)),
            ("canary", Canary(steps=[Step(weight=30)], analysis=CANARY.analysis[:1])),
            ("approval", ApprovalPolicy()),
            ("approval", ApprovalPolicy(required=True, quorum=2)),
            ("approval", ApprovalPolicy(required=True, before=Before.ROLLOUT)),
            ("on_missing_evidence", choose(list(OnMissingEvidence))),
        ]
    )
    world.rollout[what] = value


def shadow_says(world: World, choose: Choose) -> None:
    """The shadow comes to a verdict."""
    if world.state is not None:
        world.shadows[world.about(world.state)] = choose(["Pass", "Fail", "Inconclusive", "NoData"])


def live_says(world: World, choose: Choose) -> None:
    """A comparison under live traffic comes to a verdict."""
    candidate = world.state.candidate if world.state else None
    if candidate is not None:
        found = world.findings.setdefault((candidate.revision, candidate.entered), {})
        found[choose(ANALYSES)] = choose(["Pass", "Fail", "Inconclusive", "NoData"])
        world.requests[world.about(world.state or Checkpoint())] = choose([0, 99, 100])


def source_fails(world: World, choose: Choose) -> None:
    """Nothing can be measured, or it can again."""
    world.sighted, world.unmeasurable = choose([False, False, True, None]), choose([True, False])


def spec_changes(world: World, choose: Choose) -> None:
    """The spec asks for something; who asked is in an annotation."""
    world.name, world.requester = choose(NAMES), choose([*USERS, "", "ann"])


def fallback_is_declared(world: World, choose: Choose) -> None:
    """The spec names a fallback revision, or none."""
    world.fallback = choose([None, *REVISIONS])


def suspends(world: World, choose: Choose) -> None:
    """spec.suspend is edited."""
    world.suspended = choose([True, False, False])


def freezes(world: World, choose: Choose) -> None:
    """A freeze begins or ends."""
    world.frozen = choose([True, False, False])


def blockers_change(world: World, choose: Choose) -> None:
    """Something that a candidate waits for, or the admission policies, come and go."""
    reasons = ["GatewayMissing", "FeatureSetNotValid", "PolicyMissing"]
    world.blockers = frozenset(choose([[], [], [choose(reasons)]]))
    world.undecided = choose([False, False, True])


def replicas_change(world: World, choose: Choose) -> None:
    """The spec asks for more or fewer pods."""
    world.replicas = choose([1, 2, 3])


def time_passes(world: World, choose: Choose) -> None:
    """Time passes: seconds, a stage's deadline, a day, a week."""
    seconds = choose([1, 30, 61, 61, 599, 601, 1201, 90_000, 700_000])
    world.pass_time(seconds)


def operator_restarts(world: World, choose: Choose) -> None:
    """Everything but the log is forgotten: probes are asked anew, the head of the log is read again."""
    world.smoke = {which: None for which, passed in world.smoke.items() if passed}
    world.known.clear()
    world.reached = None
    world.stale = None
    if world.state is not None:
        world.state = Checkpoint.model_validate(world.state.as_json())


def watch_lags(world: World, choose: Choose) -> None:
    """From now on pods and routes are seen as they were, until the watch has caught up."""
    world.stale = choose([None, world.look()])


def spec_goes_back(world: World, choose: Choose) -> None:
    """The spec asks for the former stable revision again, as a Git revert does."""
    if world.state is not None and world.state.previous:
        world.name = NAMES[REVISIONS.index(world.state.previous[0].revision)]


def step_runs(world: World, choose: Choose) -> None:
    """A step of the canary is at its end, with or without what it takes."""
    state = world.state or Checkpoint()
    candidate = state.candidate
    if candidate is None or candidate.stage is not Stage.CANARY:
        goes_well(world, choose)
        return
    gateway_takes(world, choose)
    world.decide()
    world.pass_time(choose([59, 61]))
    world.sighted, world.unmeasurable = choose([True, True, False, None]), choose([True, False])
    world.requests[world.about(world.state or state)] = choose([99, 100, 100])
    found = world.findings.setdefault((candidate.revision, candidate.entered), {})
    found.update({name: choose(["Pass", "Pass", "Inconclusive", "NoData", "Fail"]) for name in ANALYSES[:1]})
    found.setdefault(ANALYSES[1], "Pass")


def evidence_is_new(world: World, choose: Choose) -> None:
    """The gates are asked once more, and one says something else."""
    evaluates(world, choose)
    world.decide()
    gate_answers(world, choose)


def gate_asks_for_more(world: World, choose: Choose) -> None:
    """A gate is edited after it answered, and somebody does not want to wait for what it says now."""
    name = choose(GATES)
    version, bar = world.definitions[name]
    world.definitions[name] = (version + 1, min(99, bar + 5))
    world.decide()
    promotes(world, choose)


def pods_of_a_step_are_lost(world: World, choose: Choose) -> None:
    """Pods are lost that a share of the traffic needs, and some come back."""
    candidate = world.state.candidate if world.state else None
    if candidate is not None and candidate.stage in (Stage.CANARY, Stage.AWAITING_APPROVAL, Stage.PROMOTING):
        for ready in (choose([0, 1]), choose([0, 1, world.replicas])):
            if candidate.revision in world.pods:
                world.pods[candidate.revision].ready = ready
            world.decide()


def stable_is_lost(world: World, choose: Choose) -> None:
    """Every pod of the stable revision is gone, and a fallback is declared that is ready."""
    former = sorted(world.started & set(world.pods))
    if world.state is not None and world.state.stable in world.pods and former:
        world.pods[world.state.stable].ready = 0
        world.fallback = choose(former)
        world.pods[world.fallback].ready = 0 if world.fallback == world.state.stable else world.replicas


def export_falls_behind(world: World, choose: Choose) -> None:
    """The archiver stops, catches up, or is switched on or off."""
    world.lag = choose([None, 0, 150, 201])


def state_is_set_back(world: World, choose: Choose) -> None:
    """The decisions of the last time are lost, and what was quarantined by them is known, or nothing is."""
    if world.state is None:
        return
    entry = RejectedRevision(
        revision=choose(REVISIONS), reason="CanaryHarm", message="It was.", quarantined=True, at=world.now
    )
    number = world.sequence() + choose([1, 7, 300])
    known = choose([(), (entry,)])
    world.lost = LostHead(number, spec_hash("lost"), spec_hash("found"), choose(["memory", "export"]), known)


MOVES: tuple[Move, ...] = (
    *[goes_well] * 22,
    *[gateway_takes] * 3,
    gateway_is_late,
    gateway_refuses,
    route_is_edited,
    pods_change,
    stable_pods_change,
    *[candidate_pods_change] * 2,
    pods_fail,
    smoke_answers,
    *[candidate_crashes] * 1,
    stable_crashes,
    *[gate_answers] * 3,
    gate_is_edited,
    gates_are_edited,
    rollout_is_edited,
    shadow_says,
    *[live_says] * 2,
    source_fails,
    *[spec_changes] * 3,
    *[step_runs] * 5,
    *[evidence_is_new] * 2,
    gate_asks_for_more,
    *[pods_of_a_step_are_lost] * 2,
    fallback_is_declared,
    *[suspends] * 2,
    *[freezes] * 2,
    blockers_change,
    replicas_change,
    *[time_passes] * 3,
    operator_restarts,
    watch_lags,
    *[approves] * 2,
    *[people_act] * 3,
    *[rolls_back] * 2,
    rejects,
    *[tries_again] * 3,
    *[promotes] * 2,
    evaluates,
    *[spec_goes_back] * 2,
    stable_is_lost,
    actions_are_cleaned_up,
)
"""What is drawn from: the ordinary way often enough that late stages are reached."""

ALL_MOVES: tuple[Move, ...] = (
    *MOVES,
    *[export_falls_behind] * 2,
    state_is_set_back,
    evaluates_the_stable,
    *[gate_answers_about_the_stable] * 2,
)
"""With what can happen to the log itself, and what people ask about the revision that serves."""


def heal(world: World, choose: Choose) -> None:
    """Everything that is out of order is put in order, except what was proven."""
    world.suspended = world.frozen = world.undecided = False
    world.blockers, world.stale, world.sighted, world.lag = frozenset(), None, True, None
    world.smoke = {which: True for which in world.pods}
    for key, said in world.answers.items():
        if said[0] in ("NoData", "Inconclusive", "NotApplicable") and not said[1]:
            world.answers[key] = ("Pass", False, said[2] + 1)
    for found in world.findings.values():
        found.update({name: "Pass" for name in ANALYSES if found.get(name) != "Fail"})
    world.shadows = {key: "Pass" if said != "Fail" else said for key, said in world.shadows.items()}
