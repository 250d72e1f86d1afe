"""What must never be, whatever fails: rules over the history of a namespace and over what the operator sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from penstock.controllers.model import names
from penstock.controllers.resources import DECISIONRECORDS, MODELREVISIONS, MODELS
from penstock.domain.audit import broken_link
from penstock.kube.resources import DEPLOYMENTS, HTTPROUTES, SERVICES, controller_of, uid_of, version_of
from tests.faults.history import CHILDREN, Key, Version, content
from tests.faults.proxy import Call

Json = dict[str, Any]

HINDRANCES = frozenset({"Conflict", "Quota", "Refused"})
NEVER_REPLACED = frozenset({"decisionrecords", "modelrevisions"})


@dataclass
class Moment:
    """One stored version and all that was there just before it. `records`: of each Model's uid, the oldest first.

    `is_ours`: whether the operator wrote it.
    """

    version: Version
    live: Mapping[Key, Json]
    records: Mapping[str, list[Json]]
    models: set[str]
    is_ours: bool

    @property
    def before(self) -> Json | None:
        """The same object as it was."""
        return self.live.get(self.version.key)

    @property
    def obj(self) -> Json:
        """The object as it is."""
        return self.version.obj

    @property
    def is_new_form(self) -> bool:
        """Whether somebody has changed more than the status."""
        return self.version.type != "DELETED" and (self.before is None or content(self.before) != content(self.obj))

    @property
    def model_uid(self) -> str:
        """Whose it is."""
        if self.version.kind is MODELREVISIONS:
            return str(self.obj["spec"]["modelUID"])
        return str((controller_of(self.obj) or {}).get("uid", ""))

    def record(self, uid: str, sequence: int) -> Json | None:
        """A decision, if it had been written down."""
        return next((spec for spec in self.records.get(uid, ()) if spec["sequence"] == sequence), None)

    def stable(self, uid: str) -> str | None:
        """Which revision the newest decision calls stable."""
        found = self.records.get(uid)
        return found[-1]["result"].get("stable") if found else None


Rule = Callable[[Moment], Iterator[str]]


def log_is_whole(now: Moment) -> Iterator[str]:
    """Records follow each other and are never changed."""
    if now.version.kind is not DECISIONRECORDS:
        return
    if now.version.type != "ADDED":
        yield f"a record was {now.version.type.lower()}"
        return
    spec = now.obj["spec"]
    broken = broken_link([*now.records.get(spec["modelUID"], ()), spec])
    if broken:
        yield broken


def effects_follow_records(now: Moment) -> Iterator[str]:
    """What is written names a decision that was there before, and the newest one."""
    if now.version.kind not in (*CHILDREN, MODELREVISIONS) or not now.is_new_form or not now.is_ours:
        return
    sequence, known = names.sequence_of(now.obj), now.records.get(now.model_uid, [])
    if not sequence:
        yield "it names no decision"
    elif now.record(now.model_uid, sequence) is None:
        yield f"it names decision {sequence}, of which there were {len(known)}"
    elif sequence < known[-1]["sequence"]:
        yield f"it names decision {sequence}, although {known[-1]['sequence']} had been made"


def effects_are_ordered(now: Moment) -> Iterator[str]:
    """What is written is what the decision says: these revisions, these weights, this pointer."""
    if now.version.kind not in CHILDREN or not now.is_new_form or not now.is_ours:
        return
    record = now.record(now.model_uid, names.sequence_of(now.obj))
    if record is None:
        return
    result = record["result"]
    candidate = result.get("candidate", {})
    mentioned = {result.get("stable"), *(item["revision"] for item in result.get("previous", ()))}
    if candidate.get("stage", "Pending") != "Pending":
        mentioned.add(candidate["revision"])
    revision = now.obj["metadata"]["labels"].get(names.REVISION_LABEL)
    if revision is not None and revision not in mentioned:
        yield f"decision {record['sequence']} says nothing of revision {revision}"
    if now.version.kind is HTTPROUTES and weights(now.obj) != result.get("weights", {}):
        yield f"it has weights {weights(now.obj)}, decision {record['sequence']} says {result.get('weights')}"
    if now.version.kind is SERVICES and revision is None:
        selected = result.get("stable") or candidate.get("revision")
        if selected_by(now.obj) != selected:
            yield f"it selects {selected_by(now.obj)}, by decision {record['sequence']} it is {selected}"


def traffic_is_whole_and_served(now: Moment) -> Iterator[str]:
    """Weights add to 100, and no revision is given traffic before it is ready."""
    if now.version.kind is not HTTPROUTES or not now.is_new_form:
        return
    given, had = weights(now.obj), weights(now.before) if now.before else {}
    if sum(given.values()) != 100:
        yield f"weights {given} do not add to 100"
    for revision in given.keys() - had.keys():
        name = names.workload_name(now.obj["metadata"]["name"], revision)
        if not is_ready(now.live.get((DEPLOYMENTS, name))):
            yield f"revision {revision} is given traffic, but is not ready"
        if (SERVICES, name) not in now.live:
            yield f"revision {revision} is given traffic, but has no Service"


def what_serves_does_not_shrink(now: Moment) -> Iterator[str]:
    """Pods that the route or the Model's Service names, and those of the stable revision, stay."""
    before = now.before
    if before is None or now.version.kind is not DEPLOYMENTS or now.model_uid not in now.models:
        return
    gone = now.version.type == "DELETED"
    if not gone and int(now.obj["spec"]["replicas"]) >= int(before["spec"]["replicas"]):
        return
    labels = before["metadata"]["labels"]
    model, revision = labels[names.MODEL_LABEL], labels[names.REVISION_LABEL]
    route, service = now.live.get((HTTPROUTES, model)), now.live.get((SERVICES, model))
    for what, named in (
        ("the route", set(weights(route)) if route else set()),
        ("the Model's Service", {selected_by(service)} if service else set()),
        ("the log", {now.stable(now.model_uid)}),
    ):
        if revision in named:
            yield f"it is {'deleted' if gone else 'made smaller'}, although {what} names it"


def services_outlive_traffic(now: Moment) -> Iterator[str]:
    """The Service of a revision with traffic is not deleted, nor is a route, while the Model lives."""
    if now.version.type != "DELETED" or now.model_uid not in now.models:
        return
    if now.version.kind is HTTPROUTES:
        yield "a route is deleted under a living Model"
    if now.version.kind is SERVICES:
        labels = now.obj["metadata"]["labels"]
        route = now.live.get((HTTPROUTES, labels[names.MODEL_LABEL]))
        if route and labels.get(names.REVISION_LABEL) in weights(route):
            yield "it is deleted, although the route names it"


def promotion_is_seen(now: Moment) -> Iterator[str]:
    """A revision becomes stable only when the gateway has accepted a route that gives it everything."""
    if now.version.kind is not DECISIONRECORDS or now.version.type != "ADDED":
        return
    spec = now.obj["spec"]
    stable, before = spec["result"].get("stable"), now.stable(spec["modelUID"])
    if stable == before:
        return
    route = now.live.get((HTTPROUTES, spec["modelName"]))
    if route is None or weights(route) != {stable: 100}:
        yield f"{stable} is called stable, but the route says {weights(route) if route else None}"
    elif not is_accepted(route):
        yield f"{stable} is called stable, but the gateway has not accepted the route"


def status_follows_log(now: Moment) -> Iterator[str]:
    """A status shows a decision that had been written down, and what that decision says."""
    if now.version.kind is not MODELS or now.version.type == "DELETED":
        return
    status = now.obj.get("status", {})
    if not status or status == (now.before or {}).get("status"):
        return
    sequence = status.get("sequence", 0)
    record = now.record(uid_of(now.obj), sequence)
    if record is None:
        if sequence or "stable" in status:
            yield f"status shows decision {sequence}, which was not written down"
        return
    if status.get("head") != record["hash"]:
        yield f"status shows another hash of decision {sequence}"
    shown = (status.get("stable", {}).get("revision"), status.get("candidate", {}).get("revision"))
    result = record["result"]
    said = (result.get("stable"), result.get("candidate", {}).get("revision"))
    if shown != said:
        yield f"status shows stable and candidate {shown}, decision {sequence} says {said}"
    older = (now.before or {}).get("status", {}).get("sequence", 0)
    if sequence < older:
        yield f"status goes back from decision {older} to {sequence}"


def status_follows_effects(now: Moment) -> Iterator[str]:
    """A status shows a decision only when its effects are there, unless something is in their way."""
    if now.version.kind is not MODELS or now.version.type == "DELETED":
        return
    status, before = now.obj.get("status", {}), (now.before or {}).get("status", {})
    record = now.record(uid_of(now.obj), status.get("sequence", 0))
    hindered = any(item["reason"] in HINDRANCES for item in status.get("conditions", ()))
    if record is None or hindered or status["sequence"] == before.get("sequence"):
        return
    result, model = record["result"], now.obj["metadata"]["name"]
    route, service = now.live.get((HTTPROUTES, model)), now.live.get((SERVICES, model))
    if result.get("weights", {}) and (route is None or weights(route) != result["weights"]):
        yield f"status shows decision {record['sequence']}, the route not yet"
    if result.get("stable") and (service is None or selected_by(service) != result["stable"]):
        yield f"status shows decision {record['sequence']}, the Model's Service not yet"


def nothing_is_adopted(now: Moment) -> Iterator[str]:
    """An object keeps its owner, belongs to a Model that lives, and is not touched if it is somebody else's."""
    if now.version.kind not in CHILDREN or not now.is_new_form or not now.is_ours:
        return
    before = now.before
    if before is not None and owner_of(before) != owner_of(now.obj):
        yield f"it was taken over from {owner_of(before) or 'nobody'}"
    if now.model_uid not in now.models:
        yield "it belongs to no living Model"
    others = [
        name
        for (kind, name), other in now.live.items()
        if kind in CHILDREN and (owner := owner_of(other)) and owner != now.model_uid and owner not in now.models
    ]
    if others and before is None:
        yield f"it is made while {others[0]} of a former Model is there"


def candidates_come_from_spec(now: Moment) -> Iterator[str]:
    """A rollout begins when the spec changes, and for nothing else."""
    if now.version.kind is not DECISIONRECORDS or now.version.type != "ADDED":
        return
    spec = now.obj["spec"]
    known = now.records.get(spec["modelUID"])
    if known and spec["verdict"] == "Start":
        last = known[-1]["result"]
        if last.get("wanted", {}).get("specHash") == spec["result"]["wanted"]["specHash"] and "candidate" not in last:
            yield "a rollout begins, although the spec is the same"


RULES: Sequence[Rule] = (
    log_is_whole,
    effects_follow_records,
    effects_are_ordered,
    traffic_is_whole_and_served,
    what_serves_does_not_shrink,
    services_outlive_traffic,
    promotion_is_seen,
    status_follows_log,
    status_follows_effects,
    nothing_is_adopted,
    candidates_come_from_spec,
)


@dataclass(frozen=True, slots=True)
class Violation:
    """What was broken, and where."""

    oracle: str
    what: str = field(compare=False)

    def __str__(self) -> str:
        return f"{self.oracle}: {self.what}"


def judge(timeline: Sequence[Version], calls: Sequence[Call], waived: frozenset[str] = frozenset()) -> list[Violation]:
    """Hold every rule but the waived ones against every moment. `calls`: what the operator wrote."""
    answers = [call.answer for call in calls if call.code in (200, 201)]
    ours = {int(number) for answer in answers if (number := version_of(answer))}
    rules = [rule for rule in RULES if rule.__name__ not in waived]
    live: dict[Key, Json] = {}
    records: dict[str, list[Json]] = {}
    models: set[str] = set()
    found = []
    for version in timeline:
        moment = Moment(version, live, records, models, version.number in ours)
        where = f"{version.type} {version.kind.plural}/{version.obj['metadata']['name']} at {version.number}"
        found += [Violation(rule.__name__, f"{where}: {text}") for rule in rules for text in rule(moment)]
        if version.type == "DELETED":
            live.pop(version.key, None)
            models.discard(uid_of(version.obj))
            continue
        live[version.key] = version.obj
        if version.kind is MODELS:
            models.add(uid_of(version.obj))
        if version.kind is DECISIONRECORDS and version.type == "ADDED":
            records.setdefault(version.obj["spec"]["modelUID"], []).append(version.obj["spec"])
    return found


def manners(calls: Sequence[Call]) -> list[Violation]:
    """Rules for the single request: it can only do what was meant, whatever is there by then."""
    found = []
    for call in calls:
        metadata, options = call.body.get("metadata", {}), call.body.get("preconditions", {})
        if call.verb == "delete" and not options.get("uid"):
            found.append(Violation("manners", f"{call}: the uid is not named"))
        if call.verb == "create" and call.plural not in NEVER_REPLACED:
            found.append(Violation("manners", f"{call}: is not an apply"))
        if call.verb == "patch" and not metadata.get("uid") and metadata.get("resourceVersion") != "1":
            found.append(Violation("manners", f"{call}: could take over an object that is not ours"))
        if call.verb == "patch" and not call.subresource and not metadata.get("resourceVersion"):
            found.append(Violation("manners", f"{call}: could overwrite a later decision"))
    return found


def tracebacks(log: str, expected: str = "") -> list[Violation]:
    """What the operator's own code did not expect to happen, from its log; kopf's troubles are kopf's.

    `expected`: words of an error that is no surprise here.
    """
    entries = re.split(r"^(?=\d{4}-\d\d-\d\d )", log, flags=re.MULTILINE)
    unexpected = [entry for entry in entries if "Traceback" in entry and "src/penstock/" in entry]
    unexpected = [entry for entry in unexpected if not expected or expected not in entry]
    return [Violation("traceback", entry.strip()[-300:]) for entry in unexpected]


def misfits(log: str) -> list[Violation]:
    """Planted bugs that do not fit the source any more: they prove nothing, whatever else is broken."""
    found = re.findall(r"^(?:TypeError|AttributeError|ImportError|KeyError): .*", log, re.M)
    return [Violation("seed", text) for text in found if "tests/faults/bugs_in_" in log]


def weights(route: Json) -> dict[str, int]:
    """Percent by revision; a rule that asks for a header carries no traffic of clients."""
    model = route["metadata"]["name"]
    found: dict[str, int] = {}
    for rule in route["spec"].get("rules", ()):
        if any(match.get("headers") for match in rule.get("matches", ())):
            continue
        for backend in rule.get("backendRefs", ()):
            revision = backend["name"].removeprefix(f"{model}-")
            found[revision] = found.get(revision, 0) + int(backend.get("weight", 1))
    return found


def selected_by(service: Json) -> str:
    """The revision whose pods a Service selects."""
    return str(service["spec"].get("selector", {}).get(names.REVISION_LABEL, ""))


def is_ready(deployment: Json | None) -> bool:
    """Whether it has a ready pod."""
    return deployment is not None and int(deployment.get("status", {}).get("readyReplicas") or 0) > 0


def is_accepted(route: Json) -> bool:
    """Whether the gateway has accepted its present form."""
    return any(
        condition["type"] == "Accepted"
        and condition["status"] == "True"
        and condition["observedGeneration"] == route["metadata"]["generation"]
        for parent in route.get("status", {}).get("parents", ())
        for condition in parent.get("conditions", ())
    )


def owner_of(obj: Json) -> str:
    """The uid of its controller."""
    return str((controller_of(obj) or {}).get("uid", ""))
