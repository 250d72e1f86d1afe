"""On a real cluster: the seconds from the first bad answer that a client gets until the candidate gets no request.

The champion and a candidate that fails on flights of the evening (23 % of the rows) serve behind Envoy, with Prometheus
and the operator as the chart installs them. Clients ask 50 times a second; the candidate has 20 % of that. What a
client sees counts: the end is when the HTTPRoute gives the candidate nothing *and* its last answer has come.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from hack.cluster import cluster as clusters
from hack.cluster.console import ClusterError, say
from hack.cluster.handle import Cluster
from hack.install import install
from tests.e2e import flights
from tests.e2e.dsl import NAME, Given, Then, When
from tests.e2e.release import Holdout, Release, misbehaving
from tests.e2e.traffic import PER_SECOND, Traffic
from tests.e2e.world import World, own_namespace
from tests.support.cluster import Cluster as ApiClient

REPEATS = 3
WEIGHT = 20
_POLL_SECONDS = 0.05
# A step that only harm ends, with the margin that holds where none is named.
_CANARY = {
    "steps": [{"weight": WEIGHT, "minSeconds": 600}],
    "analysis": [{"name": "errors", "type": "Errors", "margin": "0.005"}],
}


@dataclass(frozen=True)
class Rollback:
    """Seconds after the first bad answer. `shared` is how long the candidate had had its share then."""

    shared: float
    decided: float
    routed: float
    last_answer: float
    bad_answers: int

    @property
    def over(self) -> float:
        """From then on the candidate has no traffic."""
        return max(self.routed, self.last_answer)


@dataclass
class _Watch:
    """When the decision was in the log, and what is not stable had which weight: by asking again and again."""

    world: World
    stable: str
    decided: float = 0.0
    weights: list[tuple[float, int]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self._run, name="watch")
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def shared(self) -> float:
        """Since when the candidate had a share."""
        return next(at for at, weight in self.weights if weight)

    def routed(self) -> float:
        """Since when it has none again."""
        return next(at for at, weight in self.weights if not weight and at > self.shared())

    def _run(self) -> None:
        # A client of its own: the scenario's is used by the scenario.
        with ApiClient(self.world.cluster.kubeconfig) as api:
            mine = replace(self.world, api=api)
            while not self._stop.wait(_POLL_SECONDS):
                weight = self._weight(mine)
                if not self.weights or self.weights[-1][1] != weight:
                    self.weights.append((time.time(), weight))
                if not self.decided and any(record["verdict"] == "RollBack" for record in mine.records(NAME)):
                    self.decided = time.time()

    def _weight(self, mine: World) -> int:
        (route,) = mine.children("HTTPRoute", NAME)
        # The first rule is the clients'; a second one is for the operator's own questions.
        refs = route["spec"]["rules"][0]["backendRefs"]
        return sum(item["weight"] for item in refs if item["name"] != f"{NAME}-{self.stable}")


def median_seconds(repeats: int = REPEATS) -> float | None:
    """The median over some rollbacks, on the cluster that runs or one that is started for it and stopped again.

    None, with a line on standard error that says why, where no cluster can be had.
    """
    if os.environ.get("CLUSTER") == "off":
        say("cluster_seconds_to_zero_weight is not measured: CLUSTER is off")
        return None
    try:
        with _a_cluster() as cluster:
            found = _rollbacks(cluster, repeats)
    except ClusterError as error:
        say(f"cluster_seconds_to_zero_weight is not measured: {error}")
        return None
    return round(statistics.median(item.over for item in found), 1)


@contextmanager
def _a_cluster() -> Iterator[Cluster]:
    running = clusters.current()
    if running is not None:
        yield running
        return
    cluster = clusters.up()
    try:
        yield cluster
    finally:
        if cluster.provider != "existing":
            clusters.down()


def _rollbacks(cluster: Cluster, repeats: int) -> list[Rollback]:
    images, trained = install(cluster, timeout="180s"), flights.prepare(cluster)
    holdout = Holdout(cluster)
    print(f"\nOn a cluster: a candidate with {WEIGHT} % of {PER_SECOND} req/s that fails on 23 % of them; "
          "seconds from its first bad answer")  # fmt: skip
    print(
        f"{'had its share for':>18}{'decision':>10}{'weight 0':>10}{'last answer':>13}{'bad answers':>13}{'over':>7}",
        flush=True,
    )
    found = []
    with ApiClient(cluster.kubeconfig) as api:
        for _ in range(repeats):
            with own_namespace(api) as namespace:
                world = World(cluster, api, images, trained, namespace)
                seen = _rollback(world, Release(world, holdout))
            print(f"{seen.shared:>18.1f}{seen.decided:>10.1f}{seen.routed:>10.1f}{seen.last_answer:>13.1f}{seen.bad_answers:>13}"
                  f"{seen.over:>7.1f}", flush=True)  # fmt: skip
            found.append(seen)
    return found


def _rollback(world: World, release: Release) -> Rollback:
    given, when, then = Given(world), When(world), Then(world)
    first = given.model("logistic")
    watch = _Watch(world, first)
    with given.traffic() as traffic, watch.running():
        when.spec_is(misbehaving(world, "fails"), rollout={"canary": _CANARY})
        candidate = release.reaches("Canary", first)["revision"]
        release.ends("CanaryHarm")
        when.clients_have_asked(traffic, 10 * PER_SECOND)
    then.log_is_whole()
    return _told(traffic, watch, candidate)


def _told(traffic: Traffic, watch: _Watch, candidate: str) -> Rollback:
    """A bad answer does not say whose it is: the champion gives none, so it is the candidate's."""
    begin = min(answer.done for answer in traffic.failed)
    mine = [answer.done for answer in traffic.answers if answer.status != 200 or answer.revision == candidate]
    return Rollback(
        shared=begin - watch.shared(),
        decided=watch.decided - begin,
        routed=watch.routed() - begin,
        last_answer=max(mine) - begin,
        bad_answers=len(traffic.failed),
    )
