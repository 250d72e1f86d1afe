"""Which Gateway a Model uses and how it is reached."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.api.v1alpha1.model import GatewayRef, ModelSpec
from penstock.controllers.config import GatewaySettings
from penstock.controllers.model.gateways import Gateways, GatewayView, parent_of
from penstock.kube.errors import NotFound
from penstock.kube.resources import GATEWAYS, Resource
from penstock.routing.gateway_api import Parent

Json = dict[str, Any]

DEFAULT = GatewaySettings(namespace="gateways", name="public", section_name="http")
ARTIFACT = {"uri": "oci://registry.example.com/m:1", "digest": f"sha256:{'0' * 64}", "format": "ONNX"}


def spec(reference: GatewayRef | None = None) -> ModelSpec:
    made = ModelSpec.model_validate({"artifact": ARTIFACT})
    return made.model_copy(update={"route": made.route.model_copy(update={"gateway_ref": reference})})


class OneGateway:
    """The only thing `Gateways` asks of a client: to read a Gateway."""

    def __init__(self, gateway: Json | None) -> None:
        self.gateway = gateway
        self.reads = 0

    async def get(self, *_: object) -> Json:
        self.reads += 1
        if self.gateway is None:
            raise NotFound(404, "NotFound", "no such Gateway")
        return self.gateway


def gateway(*listeners: tuple[str, str, int], address: str = "192.0.2.10") -> Json:
    addresses = [{"value": address}] if address else []
    return {
        "spec": {"listeners": [{"name": name, "protocol": kind, "port": port} for name, kind, port in listeners]},
        "status": {"addresses": addresses},
    }


@pytest.mark.parametrize(
    ("reference", "default", "expected"),
    [
        (None, GatewaySettings(), None),
        (None, DEFAULT, Parent("gateways", "public", "http")),
        (GatewayRef(name="own"), DEFAULT, Parent("team", "own", None)),
        (GatewayRef(name="own", namespace="infra", section_name="https"), DEFAULT, Parent("infra", "own", "https")),
    ],
)
def test_gateway_of_a_model(reference: GatewayRef | None, default: GatewaySettings, expected: Parent | None) -> None:
    assert parent_of("team", spec(reference), default) == expected


@pytest.mark.parametrize(
    ("obj", "section", "url"),
    [
        pytest.param(gateway(("web", "HTTP", 80)), None, "http://192.0.2.10:80", id="plain"),
        pytest.param(gateway(("tls", "HTTPS", 443)), None, "https://192.0.2.10:443", id="encrypted"),
        pytest.param(gateway(("tls", "HTTPS", 443), ("web", "HTTP", 80)), None, "http://192.0.2.10:80", id="both"),
        pytest.param(gateway(("tls", "HTTPS", 443), ("web", "HTTP", 80)), "tls", "https://192.0.2.10:443", id="named"),
        pytest.param(gateway(("web", "HTTP", 80)), "absent", "", id="no such listener"),
        pytest.param(gateway(("web", "HTTP", 80), address=""), None, "", id="no address yet"),
    ],
)
async def test_address_of_a_gateway(obj: Json, section: str | None, url: str) -> None:
    view = await Gateways(OneGateway(obj), DEFAULT).view(Parent("team", "own", section))
    assert view == GatewayView(exists=True, url=url, probe_url=url)


async def test_configured_urls_are_for_the_default_gateway_alone() -> None:
    default = DEFAULT.model_copy(update={"url": "https://models.example.com/", "probe_url": "http://10.0.0.1/"})
    known = Gateways(OneGateway(gateway(("web", "HTTP", 80))), default)
    assert await known.view(Parent("gateways", "public")) == GatewayView(
        exists=True, url="https://models.example.com", probe_url="http://10.0.0.1"
    )
    assert (await known.view(Parent("team", "own"))).url == "http://192.0.2.10:80"


async def test_missing_gateway_is_asked_for_again_and_a_found_one_is_kept() -> None:
    client = OneGateway(None)
    known = Gateways(client, DEFAULT)
    assert await known.view(Parent("team", "own")) == GatewayView(exists=False)
    client.gateway = gateway(("web", "HTTP", 80))
    assert (await known.view(Parent("team", "own"))).exists
    assert (await known.view(Parent("team", "own"))).exists
    assert client.reads == 2


class GatewayOfAClass:
    """A Gateway and the class that it is of."""

    def __init__(self, *features: str) -> None:
        self.features = features
        self.reads: list[str] = []

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Json:
        self.reads.append(resource.path(namespace, name))
        if resource is GATEWAYS:
            return {"spec": {"gatewayClassName": "eg", "listeners": []}}
        return {"status": {"supportedFeatures": [{"name": feature} for feature in self.features]}}


@pytest.mark.parametrize(
    ("features", "refused"),
    [((), False), (("HTTPRouteRequestMirror",), False), (("HTTPRoutePathRewrite",), True)],
)
async def test_a_gateway_whose_class_cannot_copy_requests_is_refused(features: tuple[str, ...], refused: bool) -> None:
    client = GatewayOfAClass(*features)
    gateways = Gateways(client, DEFAULT)
    said = await gateways.mirror_refusal(Parent("gateways", "public"), 100)
    assert bool(said) is refused
    assert await gateways.mirror_refusal(Parent("gateways", "public"), 100) == said
    assert len(client.reads) == 2, "a class is not read at every look"
