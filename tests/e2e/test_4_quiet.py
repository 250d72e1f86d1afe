"""What is as it should be is left alone."""

import pytest

from tests.e2e.traffic import PER_SECOND

QUIET_SECONDS = 20


def test_a_model_that_serves_is_not_written_to(given, when, then, world):
    if world.audit is None:
        pytest.skip("this cluster shows no audit log")
    given.model("logistic")
    when.spec_is("boosted")
    then.serves("boosted")
    world.wait("the last event is written", lambda: len(then.events("Promoted")) == 2)
    with given.traffic() as traffic:
        before = world.audit.operator_writes(world.namespace)
        when.clients_have_asked(traffic, QUIET_SECONDS * PER_SECOND)
        after = world.audit.operator_writes(world.namespace)
    assert len(before) > 10, "the audit log shows what the operator writes"
    assert after[len(before) :] == []
    then.traffic_was_clean(traffic)
