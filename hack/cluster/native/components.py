"""The processes of the native cluster: how each is called, started and stopped."""

from collections.abc import Callable

from hack.cluster import build, controlplane
from hack.cluster.console import ClusterError
from hack.cluster.native.layout import (
    API_PORT,
    ETCD_PEER_PORT,
    ETCD_PORT,
    NODE,
    NODE_ADDRESS,
    Layout,
    layout,
)
from hack.cluster.pki import CLUSTER_CA

_STOP_SECONDS = 15


def start_component(name: str) -> bool:
    """Starts one component of the native cluster unless it runs; says whether it did.

    It returns before the component is ready. Names are those of `COMMANDS`.
    """
    here = layout()
    return here.daemons.start(name, _command(name)(here))


def stop_component(name: str) -> None:
    """Stops one component and leaves everything else running: pods go on whatever is stopped."""
    _command(name)
    layout().daemons.stop(name, grace=_STOP_SECONDS)


def _command(name: str) -> Callable[[Layout], list[str]]:
    if name not in COMMANDS:
        raise ClusterError(f"There is no component {name!r}; there are {', '.join(COMMANDS)}.")
    return COMMANDS[name]


def _kube(component: str) -> list[str]:
    return [str(build.binary("kube")), component]


def _etcd(here: Layout) -> list[str]:
    command = [str(build.binary("etcd"))]
    return controlplane.etcd(command, here.pki, here.state / "etcd", ETCD_PORT, ETCD_PEER_PORT)


def _containerd(here: Layout) -> list[str]:
    return ["containerd", "--config", str(here.configuration / "containerd.toml")]


def _apiserver(here: Layout) -> list[str]:
    command = controlplane.apiserver(
        _kube("kube-apiserver"),
        here.pki,
        address=NODE_ADDRESS,
        port=API_PORT,
        etcd_port=ETCD_PORT,
        audit_log=here.audit_log,
    )
    return [
        *command,
        "--enable-admission-plugins=NodeRestriction",
        f"--kubelet-client-certificate={here.pki.certificate('kubelet-client')}",
        f"--kubelet-client-key={here.pki.key('kubelet-client')}",
        f"--kubelet-certificate-authority={here.pki.certificate(CLUSTER_CA)}",
        "--kubelet-preferred-address-types=InternalIP",
        "--enable-aggregator-routing=true",
        "--event-ttl=1h",
    ]


def _controller_manager(here: Layout) -> list[str]:
    name = "kube-controller-manager"
    return controlplane.controller_manager(_kube(name), here.pki, here.component_kubeconfig(name))


def _scheduler(here: Layout) -> list[str]:
    return controlplane.scheduler(_kube("kube-scheduler"), here.component_kubeconfig("kube-scheduler"))


def _kubelet(here: Layout) -> list[str]:
    return [
        *_kube("kubelet"),
        f"--config={here.configuration / 'kubelet.yaml'}",
        f"--kubeconfig={here.component_kubeconfig('kubelet')}",
        f"--hostname-override={NODE}",
        f"--node-ip={NODE_ADDRESS}",
        f"--root-dir={here.state / 'kubelet'}",
        f"--cert-dir={here.state / 'kubelet' / 'pki'}",
    ]


def _proxy(here: Layout) -> list[str]:
    return [*_kube("kube-proxy"), f"--config={here.configuration / 'kube-proxy.yaml'}"]


COMMANDS: dict[str, Callable[[Layout], list[str]]] = {
    "etcd": _etcd,
    "containerd": _containerd,
    "kube-apiserver": _apiserver,
    "kube-controller-manager": _controller_manager,
    "kube-scheduler": _scheduler,
    "kubelet": _kubelet,
    "kube-proxy": _proxy,
}
