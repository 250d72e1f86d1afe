"""Two electors on a real API server, with short times."""

import asyncio

import pytest

from hack.cluster.apiserver import ApiServer
from penstock.kube.client import KubeClient
from penstock.kube.lease import LeaderElector, LeadershipLost
from penstock.kube.resources import LEASES, NAMESPACES, Json
from tests.unit.kube.forwarder import Forwarder

DEADLINE = 30


def elector(client: KubeClient, namespace: str, identity: str) -> LeaderElector:
    return LeaderElector(client, namespace, "lock", identity, duration=2, renew_deadline=1.2, retry=0.2)


class Work:
    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.stopped = asyncio.Event()

    async def __call__(self) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.stopped.set()


async def lease_spec(client: KubeClient, namespace: str) -> Json:
    spec: Json = (await client.get(LEASES, namespace, "lock"))["spec"]
    return spec


@pytest.mark.parametrize("how", ["released", "stolen", "muted", "refused"])
async def test_a_second_elector_takes_over(api_server: ApiServer, how: str) -> None:
    async with (
        Forwarder.to(api_server.url) as forwarder,
        await KubeClient.connect(kubeconfig=api_server.kubeconfig) as admin,
        await KubeClient.connect(kubeconfig=forwarder.kubeconfig(api_server.kubeconfig)) as one_client,
        await KubeClient.connect(kubeconfig=api_server.kubeconfig) as two_client,
        asyncio.timeout(DEADLINE),
    ):
        namespace = (await admin.create(NAMESPACES, {"metadata": {"generateName": "lease-"}}))["metadata"]["name"]
        one, two = elector(one_client, namespace, "one"), elector(two_client, namespace, "two")
        first, second = Work(), Work()
        leading = asyncio.create_task(one.run(first))
        await first.started.wait()
        waiting = asyncio.create_task(two.run(second))
        spec = await lease_spec(admin, namespace)
        assert (spec["holderIdentity"], spec["leaseTransitions"]) == ("one", 0)

        if how == "stolen":
            await admin.patch_merge(LEASES, namespace, "lock", {"spec": {"holderIdentity": "ghost"}})
            with pytest.raises(LeadershipLost, match="taken by ghost"):
                await leading
        elif how == "released":
            leading.cancel()
            await asyncio.wait([leading])
            assert (await lease_spec(admin, namespace))["holderIdentity"] in ("", "two")
        else:
            if how == "muted":
                forwarder.mute = True
            else:
                forwarder.refuse()
            with pytest.raises(LeadershipLost, match="could not be renewed"):
                await leading
            assert not second.started.is_set()
        assert first.stopped.is_set()

        await second.started.wait()
        assert not one.is_leading()
        assert two.is_leading()
        spec = await lease_spec(admin, namespace)
        assert spec["holderIdentity"] == "two"
        assert spec["leaseTransitions"] == 1
        waiting.cancel()
        await asyncio.wait([waiting])
        assert (await lease_spec(admin, namespace))["holderIdentity"] == ""
