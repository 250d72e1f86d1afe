"""Which revision may answer when, from the decision log and the moments at which the API server stored it."""

from dataclasses import dataclass
from datetime import datetime

from tests.e2e import audit
from tests.e2e.world import World

ENDLESS = float("inf")


@dataclass(frozen=True)
class Turn:
    """A revision may answer from the record that gives it traffic until the Model's status names another one."""

    revision: str
    begin: float
    end: float


def turns(world: World, name: str) -> list[Turn]:
    """Return the turns of all revisions so far, oldest first."""
    ordered, settled = _ordered(world, name), _settled(world, name)
    open_since: dict[str, float] = {}
    found = []
    for record in world.records(name):
        moment = ordered.get(record["sequence"], _seconds(record["time"]))
        state = record["result"]
        for revision in state.get("weights", {}):
            open_since.setdefault(revision, moment)
        over = []
        if record["verdict"] == "Promoted":
            moment = next((at for at, stable in settled if stable == state["stable"] and at >= moment), moment + 2)
            over = [revision for revision in open_since if revision != state["stable"]]
        if record["verdict"] == "RolledBack":
            over = [revision for revision in open_since if revision != state["stable"]]
        found += [Turn(revision, open_since.pop(revision), moment) for revision in over]
    return found + [Turn(revision, begin, ENDLESS) for revision, begin in open_since.items()]


def _ordered(world: World, name: str) -> dict[int, float]:
    """Sequence -> when the request that stored the record arrived."""
    found: dict[int, float] = {}
    for event in world.audit.events(world.namespace) if world.audit else ():
        created = event["verb"] == "create" and event["objectRef"]["resource"] == "decisionrecords"
        if created and audit.succeeded(event):
            spec = event["responseObject"]["spec"]
            if spec["modelName"] == name:
                found[spec["sequence"]] = audit.received(event)
    return found


def _settled(world: World, name: str) -> list[tuple[float, str]]:
    """When the Model's status was stored, and the stable revision it names."""
    found = []
    for event in world.audit.events(world.namespace) if world.audit else ():
        about = event["objectRef"]
        if (about["resource"], about.get("subresource"), about.get("name")) != ("models", "status", name):
            continue
        if event["verb"] == "patch" and audit.succeeded(event):
            stable = event["responseObject"]["status"].get("stable", {}).get("revision", "")
            found.append((audit.completed(event), stable))
    return found


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()
