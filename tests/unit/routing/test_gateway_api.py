"""The HTTPRoute that is written, and what is read back from it."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.domain.lifecycle.desired import Desired
from penstock.domain.lifecycle.observed import RouteView
from penstock.domain.shadow.marking import HEADER
from penstock.kube.resources import HTTPROUTES, Resource
from penstock.routing.gateway_api import GatewayRouter, Parent
from penstock.routing.protocol import PREVIEW_HEADER, Mirror, Preview, Target

Json = dict[str, Any]

ROUTER = GatewayRouter(Parent("gateways", "public"))
SERVICES = {"aaaaaaaaaaaa": "flight-aaaaaaaaaaaa", "bbbbbbbbbbbb": "flight-bbbbbbbbbbbb"}


def target(prefix: str = "/team/flight", hostnames: tuple[str, ...] = ()) -> Target:
    return Target("team", "flight", prefix, hostnames, SERVICES, 8080)


def live(
    weights: dict[str, int], generation: int = 3, parents: list[Json] | None = None, mirror: Mirror | None = None
) -> Json:
    """An HTTPRoute as the API server has it."""
    made = ROUTER.route(target(), weights, mirror=mirror)
    assert made is not None
    _, obj = made
    metadata = {"name": "flight", "namespace": "team", "generation": generation}
    return {**obj, "metadata": metadata, "status": {"parents": parents or []}}


def parent(name: str = "public", **conditions: tuple[str, int]) -> Json:
    """What a gateway says: type=(status, observedGeneration)."""
    return {
        "parentRef": {"name": name, "namespace": "gateways"},
        "conditions": [
            {"type": kind, "status": status, "observedGeneration": at, "reason": f"{kind}Reason", "message": "why"}
            for kind, (status, at) in conditions.items()
        ],
    }


def observed(obj: Json | None) -> RouteView:
    def lookup(kind: Resource, namespace: str, name: str) -> Json | None:
        assert (kind, namespace, name) == (HTTPROUTES, "team", "flight")
        return obj

    return ROUTER.observe(target(), lookup)


def test_route_names_only_revisions_with_weight() -> None:
    made = ROUTER.route(target(), {"aaaaaaaaaaaa": 100, "bbbbbbbbbbbb": 0})
    assert made is not None
    rule = made[1]["spec"]["rules"][0]
    assert rule["backendRefs"] == [{"name": "flight-aaaaaaaaaaaa", "port": 8080, "weight": 100}]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/team/flight"}}]
    assert rule["filters"][0]["urlRewrite"] == {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}
    assert "hostnames" not in made[1]["spec"]


def test_route_at_the_root_of_a_host_rewrites_nothing() -> None:
    made = ROUTER.route(target("/", ("delay.example.com",)), {"aaaaaaaaaaaa": 100})
    assert made is not None
    assert made[1]["spec"]["hostnames"] == ["delay.example.com"]
    assert [item["type"] for item in made[1]["spec"]["rules"][0]["filters"]] == ["RequestHeaderModifier"]


@pytest.mark.parametrize("weights", [{}, {"aaaaaaaaaaaa": 0}])
def test_without_weights_there_is_no_route(weights: dict[str, int]) -> None:
    assert ROUTER.route(target(), weights) is None


@pytest.mark.parametrize(("section", "expected"), [(None, None), ("https", "https")])
def test_route_names_the_listener_if_there_is_one(section: str | None, expected: str | None) -> None:
    made = GatewayRouter(Parent("gateways", "public", section)).route(target(), {"aaaaaaaaaaaa": 100})
    assert made is not None
    (reference,) = made[1]["spec"]["parentRefs"]
    assert (reference["namespace"], reference["name"]) == ("gateways", "public")
    assert reference.get("sectionName") == expected


YES = {"Accepted": ("True", 3), "ResolvedRefs": ("True", 3)}


@pytest.mark.parametrize(
    ("parents", "accepted", "refused"),
    [
        pytest.param([], False, "", id="nobody has looked"),
        pytest.param([parent(**YES)], True, "", id="taken"),
        pytest.param([parent(**YES | {"Accepted": ("True", 2)})], False, "", id="about an older generation"),
        pytest.param([parent(Accepted=("True", 3))], False, "", id="one condition is missing"),
        pytest.param([parent("other", **YES)], False, "", id="another gateway"),
        pytest.param([parent(**YES | {"ResolvedRefs": ("False", 3)})], False, "ResolvedRefsReason: why", id="refused"),
        pytest.param([parent(**YES | {"Accepted": ("False", 2)})], False, "", id="refused an older generation"),
        pytest.param([parent("other", Accepted=("False", 3)), parent(**YES)], True, "", id="only ours counts"),
    ],
)
def test_verdict_of_the_gateway(parents: list[Json], accepted: bool, refused: str) -> None:
    view = observed(live({"aaaaaaaaaaaa": 100}, parents=parents))
    assert (view.accepted, view.refused) == (accepted, refused)


def test_weights_are_read_back_by_revision() -> None:
    view = observed(live({"aaaaaaaaaaaa": 90, "bbbbbbbbbbbb": 10}))
    assert view.weights == {"aaaaaaaaaaaa": 90, "bbbbbbbbbbbb": 10}


def test_a_backend_that_is_no_revision_is_not_hidden() -> None:
    obj = live({"aaaaaaaaaaaa": 100})
    obj["spec"]["rules"][0]["backendRefs"].append({"name": "stranger"})
    assert observed(obj).weights == {"aaaaaaaaaaaa": 100, "stranger": 1}


def test_absent_route() -> None:
    assert observed(None) == RouteView()


def test_service_follows_stable_whatever_the_weights() -> None:
    assert ROUTER.selected(Desired((), {"bbbbbbbbbbbb": 100}, "aaaaaaaaaaaa")) == "aaaaaaaaaaaa"


def test_preview_is_a_rule_of_its_own_that_carries_no_traffic() -> None:
    made = ROUTER.route(target(), {"aaaaaaaaaaaa": 100}, Preview("bbbbbbbbbbbb", "secret"))
    assert made is not None
    main, preview = made[1]["spec"]["rules"]
    assert "headers" not in main["matches"][0]
    assert main["backendRefs"] == [{"name": "flight-aaaaaaaaaaaa", "port": 8080, "weight": 100}]
    assert preview["matches"][0]["path"] == main["matches"][0]["path"]
    assert preview["matches"][0]["headers"] == [{"type": "Exact", "name": PREVIEW_HEADER, "value": "secret"}]
    assert preview["backendRefs"] == [{"name": "flight-bbbbbbbbbbbb", "port": 8080, "weight": 1}]
    assert preview["filters"] == main["filters"]
    obj = {**made[1], "metadata": {"name": "flight", "namespace": "team", "generation": 1}}
    assert observed(obj).weights == {"aaaaaaaaaaaa": 100}


def test_no_route_for_a_preview_alone() -> None:
    assert ROUTER.route(target(), {}, Preview("bbbbbbbbbbbb", "secret")) is None


def marking(rule: Json) -> Json:
    (found,) = [item for item in rule["filters"] if item["type"] == "RequestHeaderModifier"]
    modifier: Json = found["requestHeaderModifier"]
    return modifier


@pytest.mark.parametrize("prefix", ["/", "/team/flight"])
def test_without_a_mirror_no_client_can_call_its_request_a_copy(prefix: str) -> None:
    made = ROUTER.route(target(prefix), {"aaaaaaaaaaaa": 100}, Preview("bbbbbbbbbbbb", "secret"))
    assert made is not None
    for rule in made[1]["spec"]["rules"]:
        assert marking(rule) == {"remove": [HEADER]}


@pytest.mark.parametrize(("percent", "written"), [(100, {}), (7, {"percent": 7})])
def test_a_mirror_marks_and_copies_what_clients_send(percent: int, written: Json) -> None:
    made = ROUTER.route(
        target(), {"aaaaaaaaaaaa": 100}, Preview("bbbbbbbbbbbb", "secret"), Mirror("bbbbbbbbbbbb", percent)
    )
    assert made is not None
    main, preview = made[1]["spec"]["rules"]
    assert main["backendRefs"] == [{"name": "flight-aaaaaaaaaaaa", "port": 8080, "weight": 100}]
    assert marking(main) == {"set": [{"name": HEADER, "value": "bbbbbbbbbbbb"}]}
    assert main["filters"][-1] == {
        "type": "RequestMirror",
        "requestMirror": {"backendRef": {"name": "flight-bbbbbbbbbbbb", "port": 8080}, **written},
    }
    assert marking(preview) == {"remove": [HEADER]}
    assert all(item["type"] != "RequestMirror" for item in preview["filters"])


def test_a_mirror_is_reported_and_is_no_traffic() -> None:
    view = observed(live({"aaaaaaaaaaaa": 100}, mirror=Mirror("bbbbbbbbbbbb", 30)))
    assert (view.weights, view.mirror) == ({"aaaaaaaaaaaa": 100}, {"bbbbbbbbbbbb": 30})
    everything = observed(live({"aaaaaaaaaaaa": 100}, mirror=Mirror("bbbbbbbbbbbb", 100)))
    assert everything.mirror == {"bbbbbbbbbbbb": 100}
    assert observed(live({"aaaaaaaaaaaa": 100})).mirror == {}


def test_a_strange_mirror_is_not_hidden() -> None:
    obj = live({"aaaaaaaaaaaa": 100})
    mirror = {"backendRef": {"name": "stranger"}, "fraction": {"numerator": 1, "denominator": 4}}
    obj["spec"]["rules"][0]["filters"].append({"type": "RequestMirror", "requestMirror": mirror})
    assert observed(obj).mirror == {"stranger": 25}


def test_what_has_weight_gets_no_copies() -> None:
    with pytest.raises(ValueError, match="has weight 10"):
        ROUTER.route(target(), {"aaaaaaaaaaaa": 90, "bbbbbbbbbbbb": 10}, mirror=Mirror("bbbbbbbbbbbb", 100))
