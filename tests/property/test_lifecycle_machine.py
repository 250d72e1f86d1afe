"""Random events and faults against the state machine: what must never happen, never happens.

The machine plays the cluster: pods come and go, the gateway takes routes late, in part or not at
all, the spec changes at any moment, the process may forget everything but the log.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from penstock.api.v1alpha1.decisionrecord import Checkpoint
from penstock.api.v1alpha1.modelstatus import Stage
from penstock.domain.lifecycle.decide import decide
from penstock.domain.lifecycle.desired import desired
from penstock.domain.lifecycle.observed import Blocker, Failure, Probe, RouteView, WorkloadView
from penstock.domain.lifecycle.stages import Verdict
from tests.unit.domain.given import revision, seen, spec_hash

NAMES = ("a", "b", "c", "d")
REVISIONS = tuple(revision(name) for name in NAMES)
# What the shell says while the spec names a FeatureSet that is not there.
UNKNOWN = "0" * 12
ANY_REVISION = st.sampled_from(REVISIONS)


class Rollouts(RuleBasedStateMachine):
    """A Model, its cluster, and the log."""

    @initialize()
    def begin(self) -> None:
        self.look = seen("a", replicas=2)
        self.state: Checkpoint | None = None
        self.log: list[Checkpoint] = []
        self.was_routable: set[str] = set()

    @rule(name=st.sampled_from(NAMES))
    def spec_changes(self, name: str) -> None:
        self.look = replace(self.look, revision=revision(name), spec_hash=spec_hash(name))

    @rule(which=ANY_REVISION, ready=st.integers(0, 2))
    def pods_change(self, which: str, ready: int) -> None:
        if which in self._wanted():
            self._workload(which, WorkloadView(present=True, replicas=2, ready=ready))

    @rule(which=ANY_REVISION, reason=st.sampled_from(["DigestMismatch", "CrashLoop", "ImagePull"]))
    def pods_fail(self, which: str, reason: str) -> None:
        if which in self._wanted():
            failure = Failure(reason, "broken", permanent=reason != "ImagePull")
            self._workload(which, WorkloadView(present=True, replicas=2, ready=0, failure=failure))

    @rule(which=ANY_REVISION, passed=st.sampled_from([True, True, False, None]))
    def smoke_answers(self, which: str, passed: bool | None) -> None:
        self.look = replace(self.look, smoke={**self.look.smoke, which: Probe(passed, "smoke")})

    @rule(which=ANY_REVISION, passed=st.sampled_from([True, True, None]))
    def gateway_knows_the_candidate(self, which: str, passed: bool | None) -> None:
        self.look = replace(self.look, previewed={**self.look.previewed, which: Probe(passed, "preview")})

    @rule()
    def gateway_refuses_the_route(self) -> None:
        if self.state is not None and self.state.weights:
            route = RouteView(present=True, weights=dict(self.state.weights), refused="BackendNotFound")
            self.look = replace(self.look, route=route, reached={})

    @rule(accepted=st.booleans(), reached=st.sampled_from([True, True, None]))
    def gateway_takes_the_route(self, accepted: bool, reached: bool | None) -> None:
        if self.state is None or not self.state.weights:
            return
        weights = dict(self.state.weights)
        self.look = replace(
            self.look,
            route=RouteView(present=True, weights=weights, accepted=accepted),
            reached=dict.fromkeys(weights, Probe(reached, "probe")),
        )

    @rule(seconds=st.sampled_from([1.0, 30.0, 599.0, 601.0, 90_000.0]))
    def time_passes(self, seconds: float) -> None:
        self.look = replace(self.look, now=self.look.now + timedelta(seconds=seconds))

    @rule(suspended=st.booleans())
    def suspend_or_resume(self, suspended: bool) -> None:
        self.look = replace(self.look, suspended=suspended)

    @rule(blocked=st.booleans())
    def blockers_come_and_go(self, blocked: bool) -> None:
        self.look = replace(self.look, blockers=(Blocker("GatewayMissing", "none"),) if blocked else ())

    @rule(missing=st.booleans())
    def feature_set_goes_and_comes(self, missing: bool) -> None:
        self.look = replace(self.look, undecided=missing)

    @rule()
    def operator_decides(self) -> None:
        look = replace(self.look, revision=UNKNOWN) if self.look.undecided else self.look
        for _ in range(8):
            before = self.state
            commit = decide(before, look)
            if commit is None:
                self._clean_up()
                return
            self._check(before, commit.verdict, commit.result)
            self.state = Checkpoint.model_validate(commit.result.as_json())
            self.log.append(self.state)
        raise AssertionError("decisions do not come to an end at one look")

    @rule()
    def operator_restarts(self) -> None:
        # Everything but the log is forgotten, and probes have to be asked anew.
        self.state = self.log[-1] if self.log else None
        self.look = replace(self.look, smoke={}, previewed={}, reached={})

    @invariant()
    def what_is_not_known_is_never_wanted(self) -> None:
        if self.state is not None:
            named = [self.state.stable, self.state.wanted and self.state.wanted.revision, *self.state.weights]
            assert UNKNOWN not in named
            assert self.state.candidate is None or self.state.candidate.revision != UNKNOWN

    @invariant()
    def weights_add_up(self) -> None:
        if self.state is not None and self.state.weights:
            assert sum(self.state.weights.values()) == 100

    @invariant()
    def routed_revisions_have_pods_ordered(self) -> None:
        if self.state is not None:
            assert set(self.state.weights) <= self._wanted()

    @invariant()
    def stable_keeps_its_size(self) -> None:
        if self.state is not None and self.state.stable is not None:
            sizes = {item.revision: item.replicas for item in desired(self.state, self.look).workloads}
            assert sizes[self.state.stable] == self.look.replicas

    @invariant()
    def what_the_live_route_names_is_not_taken_away_by_a_promotion(self) -> None:
        if self.state is None or self.state.candidate is None or self.state.stable is None:
            return
        if self.state.candidate.stage in (Stage.PROMOTING, Stage.ROLLING_BACK):
            assert {self.state.stable, self.state.candidate.revision} <= self._wanted()

    def _check(self, before: Checkpoint | None, verdict: Verdict, after: Checkpoint) -> None:
        gained = set(after.weights) - set(before.weights if before else {})
        for which in gained:
            workload = self.look.workload(which)
            if verdict is Verdict.PROMOTE:
                assert workload.ready >= self.look.replicas
                assert self.look.smoke[which].passed is True
                assert not self.look.suspended
                assert after.stable is None or self.look.previewed[which].passed is True
            else:
                assert verdict in (Verdict.ROLL_BACK, Verdict.RETRY)
                assert which == after.stable
        if before is not None and after.stable != before.stable:
            assert verdict is Verdict.PROMOTED
            assert self.look.route.accepted
            assert dict(self.look.route.weights) == {after.stable: 100}
            assert self.look.reached[after.stable].passed is True
        quarantined = {item.revision for item in (before.rejected if before else []) if item.quarantined}
        assert quarantined <= {item.revision for item in after.rejected if item.quarantined}
        assert after.candidate is None or after.candidate.revision not in quarantined

    def _wanted(self) -> set[str]:
        if self.state is None:
            return set()
        return {item.revision for item in desired(self.state, self.look).workloads}

    def _workload(self, which: str, view: WorkloadView) -> None:
        self.look = replace(self.look, workloads={**self.look.workloads, which: view})

    def _clean_up(self) -> None:
        keep = self._wanted() | set(self.look.route.weights)
        kept = {which: view for which, view in self.look.workloads.items() if which in keep}
        self.look = replace(self.look, workloads=kept)


Rollouts.TestCase.settings = settings(max_examples=300, stateful_step_count=60, deadline=None)
TestRollouts = Rollouts.TestCase
