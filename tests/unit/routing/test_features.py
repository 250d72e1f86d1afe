"""What a GatewayClass says about copies of requests."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.routing.features import MIRROR, PERCENTAGE, mirror_refusal


def named(*features: str) -> dict[str, Any]:
    return {"status": {"supportedFeatures": [{"name": feature} for feature in features]}}


@pytest.mark.parametrize(
    ("gateway_class", "percent", "told"),
    [
        pytest.param(None, 50, "", id="not known"),
        pytest.param({"status": {}}, 50, "", id="says nothing"),
        pytest.param(named("Gateway", MIRROR, PERCENTAGE), 50, "", id="can both"),
        pytest.param(named("Gateway", MIRROR), 100, "", id="can copy all"),
        pytest.param(named("Gateway", MIRROR), 50, "set shadow.percent to 100", id="cannot copy a part"),
        pytest.param(named("Gateway", PERCENTAGE), 100, "cannot copy requests", id="cannot copy"),
        pytest.param({"status": {"supportedFeatures": [MIRROR]}}, 100, "", id="as plain names"),
    ],
)
def test_a_refusal_comes_from_what_the_gateway_says(
    gateway_class: dict[str, Any] | None, percent: int, told: str
) -> None:
    refusal = mirror_refusal(gateway_class, percent)
    assert told in refusal
    assert bool(told) == bool(refusal)
