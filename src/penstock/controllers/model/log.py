"""The decision log of a Model: a chain of immutable records; creating one is the commit.

Status is a view of it. The records of all Models are not kept in memory, only each head.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from penstock.api.v1alpha1.base import API_VERSION
from penstock.api.v1alpha1.checkpoint import RejectedRevision
from penstock.api.v1alpha1.decisionrecord import Decision, DecisionRecordSpec, seal
from penstock.controllers.model import names
from penstock.controllers.model.parsed import Recent
from penstock.controllers.resources import DECISIONRECORDS
from penstock.domain.audit import broken_link
from penstock.domain.audit.heads import KnownHead, open_quarantines
from penstock.domain.lifecycle import replay
from penstock.domain.lifecycle.decide import Commit
from penstock.domain.lifecycle.observed import Observed
from penstock.domain.lifecycle.slots import is_moving, takes_slot
from penstock.kube.client import KubeClient
from penstock.kube.errors import AlreadyExists
from penstock.kube.packing import Packing

Json = dict[str, Any]
ACTOR = "penstock"
# Those of the Models that are handled at a time, and some more.
HEADS_PARSED = 64


@dataclass(frozen=True, slots=True)
class Identity:
    """Which Model: its name may be used again after deletion, its uid never is."""

    namespace: str
    name: str
    uid: str


class StateLostError(Exception):
    """The log cannot explain what is there; the message says where it breaks."""


class DecisionLog:
    """Appends to and reads the decision logs of all Models."""

    def __init__(self, client: KubeClient, permit: Callable[[], Awaitable[None]]) -> None:
        """`permit`: waits until one more write may be sent, and raises for who may not decide any more."""
        self._client = client
        self._permit = permit
        # Sequence and packed JSON of each: as Python objects they are many times that size.
        self._heads: dict[str, tuple[int, bytes]] = {}
        self._packing = Packing()
        self._parsed: Recent[DecisionRecordSpec] = Recent(HEADS_PARSED)
        self._under_way: set[str] = set()
        self._moving: set[str] = set()
        # By namespace and name, then by uid: what a later Model of that name inherits.
        self._quarantines: dict[tuple[str, str], dict[str, tuple[RejectedRevision, ...]]] = {}

    def observe(self, obj: Json) -> bool:
        """Take in a record seen by the watch; whether it is a new head."""
        known = self._heads.get(obj["spec"]["modelUID"])
        if known is not None and obj["spec"]["sequence"] <= known[0]:
            return False
        record = self._note_head(obj["spec"])
        self._note_quarantines(obj["metadata"]["namespace"], record)
        return True

    def inherited(self, model: Identity) -> tuple[RejectedRevision, ...]:
        """Return the quarantines of former Models of this name: deleting a Model lifts none."""
        former = self._quarantines.get((model.namespace, model.name), {})
        found = {item.revision: item for uid, items in former.items() if uid != model.uid for item in items}
        return tuple(found.values())

    def rollouts(self, besides: str) -> int:
        """Return how many Models change what serves now, without the one with that uid."""
        return len(self._under_way - {besides})

    def is_moving(self, uid: str) -> bool:
        """Whether a candidate is on its way beside what serves, so that looks at it must not wait behind a crowd."""
        return uid in self._moving

    def _note_head(self, spec: Json) -> DecisionRecordSpec:
        """Keep a record as a head; what its decision looked at is read from the cluster if it is needed."""
        uid = spec["modelUID"]
        kept = self._heads[uid] = (spec["sequence"], self._packing.pack({**spec, "inputs": {}}))
        head = self._parse(kept)
        self._count(uid, head)
        return head

    def _parse(self, kept: tuple[int, bytes]) -> DecisionRecordSpec:
        return self._parsed.get(kept, lambda: DecisionRecordSpec.model_validate(self._packing.unpack(kept[1])))

    def _count(self, uid: str, head: DecisionRecordSpec | None) -> None:
        _keep(self._under_way, uid, head is not None and takes_slot(head.result))
        _keep(self._moving, uid, head is not None and is_moving(head.result))

    def _note_quarantines(self, namespace: str, record: DecisionRecordSpec) -> None:
        held = tuple(open_quarantines(record.result))
        of_name = self._quarantines.setdefault((namespace, record.model_name), {})
        of_name[record.model_uid] = held
        if not any(of_name.values()):
            del self._quarantines[namespace, record.model_name]

    def forget(self, uid: str) -> None:
        """Drop the head of a Model that is gone; its records stay in the cluster."""
        self._heads.pop(uid, None)
        self._count(uid, None)

    def known_heads(self) -> dict[str, KnownHead]:
        """Return how far every log has come, by uid."""
        return {
            uid: KnownHead(sequence=head.sequence, hash=head.hash, quarantines=open_quarantines(head.result))
            for uid in self._heads
            if (head := self.head(uid)) is not None
        }

    def head(self, uid: str) -> DecisionRecordSpec | None:
        """Return the newest record this process knows of a Model."""
        kept = self._heads.get(uid)
        return self._parse(kept) if kept is not None else None

    async def reload(self, model: Identity) -> DecisionRecordSpec | None:
        """Read the log from the API server, prove its chain, and return the head.

        Raises StateLostError if the chain is broken.
        """
        specs = await self.read(model)
        broken = broken_link(specs)
        if broken:
            raise StateLostError(broken)
        self.forget(model.uid)
        if specs:
            self._note_head(specs[-1])
        return self.head(model.uid)

    async def read(self, model: Identity) -> list[Json]:
        """Return the specs of all records of a Model that are there, oldest first."""
        objects, _ = await self._client.list(
            DECISIONRECORDS, model.namespace, label_selector=f"{names.MODEL_UID_LABEL}={model.uid}"
        )
        return sorted((obj["spec"] for obj in objects), key=lambda spec: int(spec["sequence"]))

    async def append(self, model: Identity, commit: Commit, seen: Observed, now: datetime) -> bool:
        """Write a decision as the next record. False: somebody else wrote that number first.

        `seen`: what the decision looked at; with it the decision can be taken again years later.
        If False, the stored record is the truth, whoever wrote it: it is taken as the head and the
        caller has to decide again. An error of the API server leaves the head as it was; if the
        write did get through, the next attempt meets it as such a stored record. A number that is
        known to be used up (`seen.lost`) is not used again.
        """
        head, lost = self.head(model.uid), seen.lost
        known, digest = (head.sequence, head.hash) if head else (0, lost.hash if lost else None)
        spec = seal(
            Decision(
                model_name=model.name,
                model_uid=model.uid,
                sequence=max(known, lost.sequence if lost else 0) + 1,
                previous_hash=digest,
                time=now,
                actor=commit.user or ACTOR,
                rule=commit.rule,
                requested_by=_requester(head, commit),
                origin=_origin(head, commit),
                inputs={
                    **commit.inputs,
                    "message": commit.message,
                    replay.RULES: replay.RULES_VERSION,
                    replay.SEEN: replay.facts(seen),
                },
                verdict=commit.verdict.value,
                result=commit.result,
            )
        )
        name = names.record_name(model.name, model.uid, spec["sequence"])
        obj: Json = {
            "apiVersion": API_VERSION,
            "kind": DECISIONRECORDS.kind,
            "metadata": {
                "name": name,
                "namespace": model.namespace,
                "labels": {**names.labels(model.name), names.MODEL_UID_LABEL: model.uid},
            },
            "spec": spec,
        }
        if takes_slot(commit.result):
            self._under_way.add(model.uid)  # before the write: nobody else takes that slot meanwhile
        try:
            await self._permit()
            self.observe(await self._client.create(DECISIONRECORDS, obj))
        except AlreadyExists:
            self.observe(await self._client.get(DECISIONRECORDS, model.namespace, name))
            return False
        finally:
            self._count(model.uid, self.head(model.uid))
        return True


def _keep(uids: set[str], uid: str, belongs: bool) -> None:
    (uids.add if belongs else uids.discard)(uid)


def _changes_wanted(head: DecisionRecordSpec | None, commit: Commit) -> bool:
    before = head.result.wanted if head else None
    return commit.result.wanted != before


def _requester(head: DecisionRecordSpec | None, commit: Commit) -> str | None:
    wanted = commit.result.wanted
    return wanted.requested_by if wanted is not None and _changes_wanted(head, commit) else None


def _origin(head: DecisionRecordSpec | None, commit: Commit) -> str | None:
    wanted = commit.result.wanted
    return wanted.source.value if wanted is not None and _changes_wanted(head, commit) else None
