"""A command of a person: which revision it is about, signed by who gives it, and what became of it."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable
from enum import IntEnum
from typing import Any

from penstock.api.v1alpha1.model import Model
from penstock.api.v1alpha1.modelaction import ActionState, ActionType
from penstock.cli import evidence
from penstock.cli.cluster import Cluster, Trouble
from penstock.cli.text import safe
from penstock.cli.tree import evidence_lines

Json = dict[str, Any]

LOOK_SECONDS = 0.5
_OF_THE_CANDIDATE = frozenset({ActionType.APPROVE, ActionType.REJECT, ActionType.PROMOTE, ActionType.EVALUATE})
Say = Callable[[str], None]


class Answer(IntEnum):
    """The exit status of a command."""

    DONE = 0
    ERROR = 1
    REFUSED = 2
    NO_ANSWER = 3


async def give(cluster: Cluster, kind: ActionType, options: argparse.Namespace, say: Say) -> int:
    """Give a command about a Model and tell what became of it; raises Trouble, ApiError."""
    model = Model.model_validate(await cluster.model(options.model))
    spec: Json = {"modelRef": {"name": options.model}, "action": kind.value}
    revision = options.revision or await _revision(cluster, model, kind)
    if revision:
        spec["revision"] = revision
    if kind is ActionType.APPROVE:
        spec["evidenceDigest"] = options.evidence or await _shown_evidence(cluster, model, options, say)
    elif options.evidence:
        spec["evidenceDigest"] = options.evidence
    if options.reason:
        spec["reason"] = options.reason
    if options.bypass:
        spec["bypass"] = True
    if model.status.sequence:
        spec["sequence"] = model.status.sequence
    spec["user"] = await cluster.whoami()
    created = await cluster.command(spec)
    name = str(created["metadata"]["name"])
    about = f" revision {revision}" if revision else ""
    say(f"{kind.value}{about} of {options.model} as {spec['user']} (ModelAction {name})")
    return await _outcome(cluster, name, options.timeout, say)


async def _revision(cluster: Cluster, model: Model, kind: ActionType) -> str | None:
    """Return the revision that a command is about where none is named. Raises Trouble if there is none to be meant."""
    status = model.status
    if kind is ActionType.EVALUATE and status.candidate is None and status.stable is not None:
        return status.stable.revision
    if kind in _OF_THE_CANDIDATE:
        if status.candidate is None:
            raise Trouble(f"No revision of {model.metadata.name} is under way.")
        return status.candidate.revision
    if kind is ActionType.ROLLBACK:
        return None
    rejected = await _rejected(cluster, model, quarantined=kind is ActionType.RELEASE_QUARANTINE)
    if kind is ActionType.RETRY and status.wanted is not None and status.wanted.revision in rejected:
        return status.wanted.revision
    if len(rejected) == 1:
        return rejected[0]
    word = "quarantined" if kind is ActionType.RELEASE_QUARANTINE else "rejected"
    if not rejected:
        raise Trouble(f"No revision of {model.metadata.name} is {word}.")
    raise Trouble(f"Several revisions are {word}; name one with --revision: {', '.join(rejected)}")


async def _rejected(cluster: Cluster, model: Model, *, quarantined: bool) -> list[str]:
    records = await cluster.records(model.metadata.name, model.metadata.uid)
    entries = records[-1]["spec"]["result"].get("rejected", []) if records else []
    return [item["revision"] for item in entries if bool(item.get("quarantined")) is quarantined]


async def _shown_evidence(cluster: Cluster, model: Model, options: argparse.Namespace, say: Say) -> str:
    """Show what an approval would be about, and return its digest."""
    status, candidate = model.status, model.status.candidate
    if candidate is None or candidate.evidence_digest is None:
        stage = candidate.stage.value if candidate else "not under way"
        raise Trouble(f"Nobody is asked to approve a revision of {model.metadata.name} now: it is {stage}.")
    records = await cluster.records(model.metadata.name, model.metadata.uid)
    found = evidence.snapshot([obj["spec"] for obj in records], candidate.evidence_digest)
    if found is None:
        raise Trouble(
            f"The evidence {candidate.evidence_digest} is not in the decision log, so that it cannot be shown;"
            " approve it by --evidence if you know it."
        )
    for line in evidence.describe(found, candidate.evidence_digest):
        say(safe(line))
    if status.analysis or status.shadow or candidate.gates:
        say("Now:")
        for line in evidence_lines(status, candidate):
            say(safe(f"  {line}"))
    if options.asks and not _agrees("Approve this evidence? [y/N] "):
        raise Trouble("Nothing was approved.")
    return candidate.evidence_digest


def _agrees(question: str) -> bool:
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


async def _outcome(cluster: Cluster, name: str, timeout: float, say: Say) -> int:
    """Wait for what becomes of a command, and say it."""
    deadline, told = time.monotonic() + timeout, ""
    while True:
        status = (await cluster.action(name)).get("status", {})
        state, message = status.get("state", ActionState.PENDING.value), safe(status.get("message") or "")
        if state == ActionState.DONE.value:
            say(f"Done: {message} (decision {status.get('sequence')})")
            return Answer.DONE
        if state == ActionState.REFUSED.value:
            say(f"Refused ({status.get('reason')}): {message}")
            return Answer.REFUSED
        if state == ActionState.ACCEPTED.value and message != told:
            say(f"Accepted: {message}")
            told = message
        if time.monotonic() > deadline:
            say(f"No answer within {timeout:g} s; it stays {state}: kubectl get modelaction {name}")
            return Answer.NO_ANSWER
        await asyncio.sleep(LOOK_SECONDS)
