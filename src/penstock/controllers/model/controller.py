"""Reconciles one Model: load what is there, decide, write the decision down, then make it so."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from penstock.api.v1alpha1.base import API_VERSION
from penstock.api.v1alpha1.checkpoint import CandidateState, Checkpoint
from penstock.api.v1alpha1.conditions import Reason, describe
from penstock.api.v1alpha1.decisionrecord import DecisionRecordSpec
from penstock.api.v1alpha1.model import Model
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.controllers.config import OperatorConfig
from penstock.controllers.model import revisions
from penstock.controllers.model import scope as scopes
from penstock.controllers.model import status as statuses
from penstock.controllers.model.commands import Commands
from penstock.controllers.model.effects import Effects, Outcome
from penstock.controllers.model.evidence import Evidence
from penstock.controllers.model.gateways import Gateways, GatewayView, parent_of
from penstock.controllers.model.log import DecisionLog, Identity, StateLostError
from penstock.controllers.model.pace import Pace
from penstock.controllers.model.parsed import Parsed
from penstock.controllers.model.prober import ModelKey, Prober
from penstock.controllers.model.recall import MEMORY, Recall
from penstock.controllers.model.reminders import Reminders
from penstock.controllers.model.rollout import Plans
from penstock.controllers.model.scope import Scope
from penstock.controllers.resources import MODELS
from penstock.domain.lifecycle import freeze, slots
from penstock.domain.lifecycle.classify import approval_deadline, deadline_of, half_time_of
from penstock.domain.lifecycle.decide import Commit, decide
from penstock.domain.lifecycle.desired import next_change
from penstock.domain.lifecycle.observed import Blocker
from penstock.domain.lifecycle.stages import Verdict
from penstock.kube.applier import Applier, OwnerConflict, SequenceFenced
from penstock.kube.cache import Cache
from penstock.kube.client import KubeClient
from penstock.kube.errors import Forbidden, Invalid, NotFound
from penstock.kube.events import EventRecorder, EventType
from penstock.kube.resources import version_of
from penstock.routing.gateway_api import GatewayRouter, Parent
from penstock.routing.protocol import Router
from penstock.routing.service import ServiceRouter

Json = dict[str, Any]
logger = logging.getLogger(__name__)

# More steps at one look than any chain of decisions and effects needs: reaching it is a bug, not a long rollout.
MAX_STEPS = 16
AGAIN_SECONDS = 0.2
ASKING_SECONDS = 1.0
BLOCKED_SECONDS = 5.0
_WARNINGS = frozenset({Verdict.REJECT, Verdict.ROLL_BACK, Verdict.ROLLED_BACK, Verdict.STABLE_FAILED})


def utc_now() -> datetime:
    """The clock of everything that is decided."""
    return datetime.now(UTC)


class ModelController:
    """Brings Models to what their log orders, and their log forward. One call handles one Model."""

    def __init__(
        self,
        client: KubeClient,
        cache: Cache,
        applier: Applier,
        log: DecisionLog,
        prober: Prober,
        events: EventRecorder,
        config: OperatorConfig,
        evidence: Evidence,
        commands: Commands,
        recall: Recall,
        clock: Callable[[], datetime] = utc_now,
        policies_wrong: Callable[[], str] = str,
        reads: Callable[[ModelKey], None] = lambda _: None,
    ) -> None:
        """`reads`: told when all that a look looks at is about to be read (`WorkQueue.reads`)."""
        self._applier = applier
        self._cache = cache
        self._log = log
        self._prober = prober
        self._events = events
        self._config = config
        self._clock = clock
        self._policies_wrong = policies_wrong
        self._reads = reads
        self._evidence = evidence
        self._commands = commands
        self._recall = recall
        self._plans = Plans(cache)
        self._effects = Effects(client, cache, applier, config)
        self._gateways = Gateways(client, config.gateway)
        self._parsed = Parsed()
        self._pace = Pace()
        self._reminders = Reminders()
        # What kept the last look from being carried out; goes away when it can be.
        self._obstacles: dict[ModelKey, Blocker] = {}
        self._unmirrored: dict[ModelKey, Blocker] = {}

    async def reconcile(self, key: ModelKey) -> float | None:
        """Handle one Model; return the seconds after which to look again, None if only events matter."""
        obj = self._cache.get(MODELS, *key)
        if obj is None or obj["metadata"].get("deletionTimestamp"):
            self._forget(key, obj)
            if obj is None:
                await self._commands.refuse(*key, self._clock())
            return None
        model = self._parsed.model(obj)
        identity = Identity(*key, model.metadata.uid)
        try:
            return await self._step(key, model, identity)
        except SequenceFenced as fenced:
            # Somebody decided more than we know: read the whole log before deciding anything.
            logger.warning("%s/%s: %s", *key, fenced)
            await self._log.reload(identity)
            return AGAIN_SECONDS
        except Forbidden as error:
            if error.namespace_terminating:
                return None
            raise

    async def _step(self, key: ModelKey, model: Model, identity: Identity) -> float | None:
        parent = parent_of(identity.namespace, model.spec, self._config.gateway)
        gateway = await self._gateways.view(parent) if parent else None
        router: Router = GatewayRouter(parent) if parent else ServiceRouter()
        await self._note_mirror(key, model, parent)
        head = self._log.head(identity.uid)
        scope = await self._load(model, head, router, gateway)
        lost = ""
        if scope.seen.lost is not None or scope.highest_sequence > (head.sequence if head else 0):
            head, lost = await self._catch_up(identity, scope)
            scope = await self._load(model, head, router, gateway)
        if lost:
            await self._write_status(scope, head, lost)
            return BLOCKED_SECONDS
        for _ in range(MAX_STEPS):
            commit = decide(head.result if head else None, scope.seen)
            if commit is not None:
                if await self._log.append(identity, commit, scope.seen, self._clock()):
                    self._tell(model, commit)
                head = self._log.head(identity.uid)
            elif head is not None:
                outcome = await self._make_so(key, scope, head)
                lost = _lost(outcome)
                if not outcome.changed:
                    break
            else:
                break
            # The answers to our own writes are in the cache: what they change is seen at this same look.
            scope = await self._load(model, head, router, gateway)
        else:
            raise RuntimeError(f"{identity.namespace}/{identity.name}: decisions and effects do not come to an end")
        if key in self._obstacles:  # for the status alone: nothing is decided by it
            scope = await self._load(model, head, router, gateway, acts=False)
        held = await self._write_status(scope, head, lost)
        if head is not None:
            await self._commands.answer(identity, head.result, self._clock())
            await revisions.show(self._applier, self._cache, identity, head.result, scope.seen.workloads)
            if said := self._reminders.due(key, scope, head.result):
                self._event(model, "Warning", Reason.DEADLINE_NEAR, "Remind", said)
        return self._next_look(scope, head, held, bool(lost))

    async def _load(
        self,
        model: Model,
        head: DecisionRecordSpec | None,
        router: Router,
        gateway: GatewayView | None,
        *,
        acts: bool = True,
    ) -> Scope:
        """`acts`: whether what it shows is acted on, so that nobody needs to look again because of it."""
        key = (model.metadata.namespace, model.metadata.name)
        if acts and version_of(self._cache.get(MODELS, *key) or {}) == model.metadata.resource_version:
            self._reads(key)
        now = self._clock()
        scope = scopes.load(
            model,
            head.result if head else None,
            self._cache,
            self._parsed,
            self._prober,
            router,
            gateway,
            self._hindrances(key),
            self._plans.of(model),
            head.sequence if head else 0,
            self._log.inherited(Identity(*key, model.metadata.uid)),
            now,
        )
        state = head.result if head else Checkpoint()
        found = await self._evidence.look(scope, state, now)
        # Last, and without a wait before the decision: two Models must not take the same slot.
        taken = self._log.rollouts(besides=model.metadata.uid)
        uid = model.metadata.uid
        return scope.with_findings(
            found,
            crowded=slots.sentence(state, taken, self._config.max_rollouts),
            exported=self._recall.exported(uid),
            lost=self._recall.lost(uid, head),
        )

    def _hindrances(self, key: ModelKey) -> tuple[Blocker, ...]:
        """What stands in the way of this Model beside what can be seen of it: the gravest first."""
        found = []
        if wrong := self._policies_wrong():
            found.append(Blocker(Reason.POLICY_MISSING, describe(Reason.POLICY_MISSING, detail=wrong)))
        found += [noted[key] for noted in (self._obstacles, self._unmirrored) if key in noted]
        return tuple(found)

    async def _note_mirror(self, key: ModelKey, model: Model, parent: Parent | None) -> None:
        """Note what the Model's Gateway says against copying requests, where the rollout asks for that."""
        shadow = model.spec.rollout.shadow
        refused = await self._gateways.mirror_refusal(parent, shadow.percent) if shadow and parent else ""
        if refused:
            self._unmirrored[key] = Blocker(
                Reason.ROUTING_UNSUPPORTED, describe(Reason.ROUTING_UNSUPPORTED, detail=refused)
            )
        else:
            self._unmirrored.pop(key, None)

    async def _catch_up(self, identity: Identity, scope: Scope) -> tuple[DecisionRecordSpec | None, str]:
        """A higher number than those in the log we know is in use: read the log itself."""
        try:
            head = await self._log.reload(identity)
        except StateLostError as error:
            return self._log.head(identity.uid), str(error)
        known, remembered = head.sequence if head else 0, scope.seen.lost
        # What we did ourselves after the state was set back, and before we saw that, is explained by what we remember.
        explained = remembered.sequence if remembered is not None and remembered.known_by == MEMORY else 0
        if scope.highest_sequence > max(known, explained):
            return head, f"decision {scope.highest_sequence} took effect, but the log ends at {known}"
        return head, ""

    async def _make_so(self, key: ModelKey, scope: Scope, head: DecisionRecordSpec) -> Outcome:
        """Carry out what the log orders, and note what keeps us from it."""
        try:
            outcome = await self._effects.apply(scope, head)
            self._obstacles.pop(key, None)
            return outcome
        except OwnerConflict as conflict:
            obstacle = Blocker(Reason.CONFLICT, describe(Reason.CONFLICT, detail=str(conflict)))
        except (Forbidden, Invalid) as error:
            if isinstance(error, Forbidden) and error.namespace_terminating:
                raise
            reason = Reason.QUOTA if "exceeded quota" in error.message else Reason.REFUSED
            obstacle = Blocker(reason, describe(reason, detail=error.message))
        logger.warning("%s/%s: %s", *key, obstacle.message)
        self._obstacles[key] = obstacle
        return Outcome(changed=False)

    async def _write_status(self, scope: Scope, head: DecisionRecordSpec | None, lost: str) -> float:
        """Write the status if it differs; return for how many seconds a difference may wait, 0 if there is none."""
        status = statuses.build(scope, head, lost).as_json()
        identity = scope.identity
        key = (identity.namespace, identity.name)
        live = self._cache.get(MODELS, *key)
        if live is None or status == live.get("status"):
            self._pace.settle(key)
            return 0.0
        if held := self._pace.hold(key, live.get("status", {}), status, time.monotonic()):
            return held
        body = {
            "apiVersion": API_VERSION,
            "kind": "Model",
            "metadata": {"name": identity.name, "namespace": identity.namespace, "uid": identity.uid},
            "status": status,
        }
        try:
            written = await self._applier.apply_status(MODELS, body)
        except NotFound:
            return 0.0
        self._cache.take_answer(MODELS, written)
        self._pace.settle(key)
        return 0.0

    def _next_look(self, scope: Scope, head: DecisionRecordSpec | None, held: float, blocked: bool) -> float | None:
        waits = [*([held] if held else []), *([BLOCKED_SECONDS] if blocked else [])]
        if head is None:
            waits += [BLOCKED_SECONDS] if scope.seen.blockers else []
            return min(waits, default=None)
        probes = [*scope.seen.smoke.values(), *scope.seen.previewed.values(), *scope.seen.reached.values()]
        if any(probe.passed is not True for probe in probes):
            waits.append(ASKING_SECONDS)
        waits_for_slot = bool(scope.seen.crowded) and head.result.candidate is not None
        if waits_for_slot or scope.seen.blockers or (scope.identity.namespace, scope.identity.name) in self._obstacles:
            waits.append(BLOCKED_SECONDS)
        moments = [half_time_of(head.result, scope.seen), deadline_of(head.result, scope.seen)]
        moments += [next_change(head.result, scope.seen.now), scope.gathered.again]
        candidate = head.result.candidate
        if candidate is not None:
            moments += [approval_deadline(candidate), *_steps_end(candidate), *_freezes(scope)]
        waits += [(moment - scope.seen.now).total_seconds() for moment in moments if moment and moment > scope.seen.now]
        return min(waits) + 0.01 if waits else None

    def _tell(self, model: Model, commit: Commit) -> None:
        kind: EventType = "Warning" if commit.verdict in _WARNINGS else "Normal"
        self._event(model, kind, commit.verdict.value, commit.rule.replace("/", ""), commit.message)

    def _event(self, model: Model, kind: EventType, reason: str, action: str, note: str) -> None:
        meta = model.metadata
        named = {
            "name": meta.name,
            "namespace": meta.namespace,
            "uid": meta.uid,
            "resourceVersion": meta.resource_version,
        }
        about = {"apiVersion": API_VERSION, "kind": "Model", "metadata": named}
        self._events.record(about, type=kind, reason=reason, action=action, note=note)

    def _forget(self, key: ModelKey, obj: Json | None) -> None:
        self._prober.forget(key)
        self._evidence.forget(key)
        self._pace.settle(key)
        self._reminders.forget(key)
        self._obstacles.pop(key, None)
        self._unmirrored.pop(key, None)
        if obj is not None:
            self._log.forget(obj["metadata"]["uid"])


def _lost(outcome: Outcome) -> str:
    """Say which ModelRevisions are gone: no blocker, since another revision is the way out."""
    if not outcome.missing:
        return ""
    return f"ModelRevision {', '.join(outcome.missing)} was deleted; restore it, or roll out another revision"


def _steps_end(candidate: CandidateState) -> Iterator[datetime]:
    """When the present canary step has lasted as long as it has to."""
    canary = candidate.plan.canary if candidate.plan else None
    if canary is not None and candidate.applied_at is not None and candidate.stage is Stage.CANARY:
        yield candidate.applied_at + timedelta(seconds=canary.steps[candidate.step].min_seconds)


def _freezes(scope: Scope) -> Iterator[datetime]:
    """When the freeze that is on ends, or the next one begins."""
    freezes = scope.model.spec.rollout.freeze
    ends = freeze.end_of_freeze(freezes, scope.seen.now) or freeze.next_begin(freezes, scope.seen.now)
    if ends is not None and ends.year < datetime.max.year:
        yield ends
