"""Plants bugs into the operator and checks that an oracle finds each of them.

python -m tests.faults.seeded [BUG ...]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.faults.api_faults import CASES, Case, try_case
from tests.faults.bugs import BUGS
from tests.faults.proxy import Mode
from tests.faults.scenarios import SCENARIOS
from tests.faults.stage import Outcome, Point, Reference, Stage, references, stage, together

PATIENCE = 60.0
HOPELESS_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a bug shows: in a scenario, at a point of it, or under a fault of the API server. `oracle`: who sees it."""

    oracle: str
    scenario: str
    label: str = ""
    mode: Mode = Mode.BEFORE
    case: Case | None = None

    def __str__(self) -> str:
        if self.case:
            return self.case.name
        return str(Point(self.scenario, self.label, 0, self.mode)) if self.label else f"{self.scenario}, no fault"


# There is nothing yet whose events could wake the Model.
FIRST_WRITE = "create decisionrecords flight-UID-0000000001"
PLACES: dict[str, Place] = {
    "uid_not_checked": Place("manners", "switch"),
    "create_takes_over": Place("manners", "taken"),
    "ownership_not_checked": Place("nothing_is_adopted", "taken"),
    "deleted_by_name": Place("manners", "refused"),
    "status_of_any_uid": Place("manners", "first"),
    "writes_without_timeout": Place("liveness", "switch", case=CASES["hanging writes"]),
    "record_after_effect": Place("effects_follow_records", "first"),
    "any_record_is_ours": Place("log_is_whole", "switch", case=CASES["a rival decides first"]),
    "fence_is_open": Place("effects_follow_records", "edited", case=CASES["a rival decides unheard"]),
    "status_before_effect": Place("status_follows_effects", "switch"),
    "route_before_readiness": Place("traffic_is_whole_and_served", "switch"),
    "old_pods_deleted_at_promotion": Place("what_serves_does_not_shrink", "switch"),
    "stable_scaled_down_at_promotion": Place("what_serves_does_not_shrink", "switch"),
    "stable_pointer_moves_early": Place("effects_are_ordered", "switch"),
    "nothing_is_retired": Place("liveness", "refused"),
    "route_is_replaced": Place("services_outlive_traffic", "switch"),
    "weights_do_not_add_up": Place("traffic_is_whole_and_served", "first"),
    "gateway_is_not_asked": Place("promotion_is_seen", "rollback"),
    "wanted_follows_generation": Place("end state", "touched"),
    "names_by_process": Place("created and deleted", "first", "patch httproutes flight", Mode.BEFORE),
    "failures_are_not_retried": Place("liveness", "first", FIRST_WRITE, Mode.REFUSED),
    "events_are_lost_while_working": Place("liveness", "first"),
    "nothing_is_pruned": Place("liveness", "deleted", case=CASES["DELETED events lost"]),
    "drift_is_not_seen": Place("liveness", "edited"),
    "status_never_settles": Place("quiet", "first"),
    "time_out_is_success": Place("liveness", "switch", case=CASES["outage"]),
}


async def hunt(stage: Stage, name: str, reference: Reference) -> Outcome:
    """Plant a bug and play where it shows."""
    place = PLACES[name]
    # What never comes need not be waited for as long as what comes late on a busy machine.
    patience = HOPELESS_SECONDS if place.oracle == "liveness" else PATIENCE
    if place.case is not None:
        return await try_case(stage, place.case, reference, bug=name, patience=patience)
    point = Point(place.scenario, place.label, 0, place.mode) if place.label else None
    return await stage.run(SCENARIOS[place.scenario], reference, point, bug=name, patience=patience)


async def hunt_all(stage: Stage, clean: Mapping[str, Outcome], bugs: Sequence[str], jobs: int) -> dict[str, Outcome]:
    """Play with each bug where it shows."""
    runs = [hunt(stage, name, clean[PLACES[name].scenario].reference) for name in bugs]
    return dict(zip(bugs, await together(jobs, runs), strict=True))


async def _hunt(ready: Stage, bugs: Sequence[str], jobs: int) -> dict[str, Outcome]:
    clean = await references(ready, (PLACES[name].scenario for name in bugs), jobs)
    return await hunt_all(ready, clean, bugs, jobs)


def is_caught(name: str, outcome: Outcome) -> bool:
    """Whether the oracle that is meant for a bug has seen it, and the bug fitted the source."""
    seen = {violation.oracle for violation in outcome.violations}
    return PLACES[name].oracle in seen and "seed" not in seen


def main() -> int:
    """Hunt all bugs, or those that are named; 1 if one gets away."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bug", nargs="*", choices=[[], *BUGS])
    parser.add_argument("--jobs", type=int, default=5)
    arguments = parser.parse_args()
    began = time.monotonic()
    with stage() as ready:
        outcomes = asyncio.run(_hunt(ready, arguments.bug or list(PLACES), arguments.jobs))
    for name, outcome in outcomes.items():
        seen = sorted({violation.oracle for violation in outcome.violations})
        print(f"{name:32} {PLACES[name]!s:45} {'caught' if is_caught(name, outcome) else 'MISSED'}: {', '.join(seen)}")
    missed = [name for name, outcome in outcomes.items() if not is_caught(name, outcome)]
    seconds = round(time.monotonic() - began, 1)
    print(json.dumps({"bugs": len(outcomes), "caught": len(outcomes) - len(missed), "missed": missed, "s": seconds}))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
