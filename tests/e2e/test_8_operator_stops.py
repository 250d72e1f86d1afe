"""The operator dies in the middle of things: nobody notices, and it ends as if nothing had happened."""

import pytest

from tests.e2e.dsl import NAME
from tests.e2e.traffic import PER_SECOND

# Two leases: the dead process may still hold one, and the next one may die too.
SECONDS = 120


@pytest.mark.parametrize("how", ["killed", "deleted"])
@pytest.mark.parametrize("moment", ["", "Start", "Promote"], ids=["applied", "starting", "promoting"])
def test_a_switch_survives_the_operator(given, when, then, world, operator, moment, how):
    first = given.model("logistic")
    old_pods = then.pods(first)
    with given.traffic() as traffic:
        with operator.dies(how, on=moment):
            when.spec_is("boosted")
        second = then.serves("boosted", SECONDS)
        when.clients_have_asked(traffic, PER_SECOND)
    then.traffic_was_clean(traffic)
    assert then.log_is_whole() == ["Start", "Promote", "Promoted"] * 2
    status = world.model(NAME)["status"]
    assert {item["type"]: (item["status"], item["reason"]) for item in status["conditions"]} == {
        "Ready": ("True", "Serving"),
        "Progressing": ("False", "Complete"),
        "SpecServed": ("True", "Serving"),
    }
    assert status["traffic"] == [{"revision": second, "role": "Stable", "weight": 100}]
    assert then.pods(first) == old_pods
    assert list(then.pods(second).values()) == [0]
    names = {f"{NAME}-{first}", f"{NAME}-{second}"}
    assert {item["metadata"]["name"] for item in world.children("Deployment", NAME)} == names
    assert {item["metadata"]["name"] for item in world.children("Service", NAME)} == names | {NAME}


def test_a_new_process_writes_nothing_where_all_is_well(given, when, then, world, operator):
    if world.audit is None:
        pytest.skip("this cluster shows no audit log")
    given.model("logistic")
    world.wait("the last event is written", lambda: then.events("Promoted"))
    with given.traffic() as traffic:
        former = operator.holder()
        before = world.audit.operator_writes(world.namespace)
        with operator.dies("deleted"):
            pass
        operator.leads_again(after=former)
        when.clients_have_asked(traffic, 10 * PER_SECOND)
        after = world.audit.operator_writes(world.namespace)
    assert after[len(before) :] == []
    then.traffic_was_clean(traffic)
