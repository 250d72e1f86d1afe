"""Routing by the selector of a Service."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.domain.lifecycle.desired import Desired
from penstock.domain.lifecycle.observed import RouteView
from penstock.routing.protocol import Mirror, Target
from penstock.routing.service import REVISION_LABEL, ServiceRouter

ROUTER = ServiceRouter()
TARGET = Target("team", "flight", "/team/flight", (), {}, 8080)


def test_there_is_no_route_object() -> None:
    assert ROUTER.route(TARGET, {"aaaaaaaaaaaa": 100}) is None
    assert (ROUTER.capabilities.weights, ROUTER.capabilities.mirror) == (False, False)


def test_a_service_copies_nothing() -> None:
    with pytest.raises(ValueError, match="copies no requests"):
        ROUTER.route(TARGET, {"aaaaaaaaaaaa": 100}, mirror=Mirror("bbbbbbbbbbbb", 100))


@pytest.mark.parametrize(
    ("weights", "selected"),
    [
        ({}, "aaaaaaaaaaaa"),
        ({"aaaaaaaaaaaa": 100}, "aaaaaaaaaaaa"),
        ({"bbbbbbbbbbbb": 100}, "bbbbbbbbbbbb"),
        ({"aaaaaaaaaaaa": 90, "bbbbbbbbbbbb": 10}, "aaaaaaaaaaaa"),
    ],
)
def test_service_selects_what_has_all_the_traffic(weights: dict[str, int], selected: str) -> None:
    assert ROUTER.selected(Desired((), weights, "aaaaaaaaaaaa")) == selected


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        (None, RouteView()),
        ({"spec": {}}, RouteView()),
        (
            {"spec": {"selector": {REVISION_LABEL: "aaaaaaaaaaaa"}}},
            RouteView(present=True, weights={"aaaaaaaaaaaa": 100}, accepted=True),
        ),
    ],
)
def test_what_is_selected_is_what_gets_the_traffic(live: dict[str, Any] | None, expected: RouteView) -> None:
    assert ROUTER.observe(TARGET, lambda *_: live) == expected
