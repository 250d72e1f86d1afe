"""Writes the keys and configuration files of the native cluster's components."""

import json
from pathlib import Path
from typing import Any

import yaml

from hack.cluster import pki
from hack.cluster.controlplane import API_SERVICE_ADDRESS, DOMAIN, POD_RANGE
from hack.cluster.native.layout import (
    API_PORT,
    DNS_ADDRESS,
    NODE,
    NODE_ADDRESS,
    PAUSE_IMAGE,
    POD_BRIDGE,
    POD_SUBNET,
    REGISTRY,
    Layout,
)
from hack.cluster.pki import CLUSTER_CA

CNI_PLUGINS = Path("/usr/lib/cni")
_USERS = {
    "kube-controller-manager": pki.subject("system:kube-controller-manager"),
    "kube-scheduler": pki.subject("system:kube-scheduler"),
    "kubelet": pki.subject(f"system:node:{NODE}", ["system:nodes"]),
    "kube-proxy": pki.subject("system:kube-proxy"),
}
_CONTAINERD = """\
version = 2
root = "{containerd}/root"
state = "{containerd}/state"
oom_score = 0
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp",
]
[grpc]
  address = "{socket}"
[metrics]
  address = ""
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  disable_apparmor = true
  # Without CAP_SYS_RESOURCE runc cannot lower the score that a pod's sandbox asks for.
  restrict_oom_score_adj = true
  disable_tcp_service = true
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{configuration}/cni"
    max_conf_num = 1
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{configuration}/registries"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"""
_REGISTRY = """\
server = "http://{registry}"
[host."http://{registry}"]
  capabilities = ["pull", "resolve"]
"""


def write(layout: Layout) -> None:
    """Makes keys that are missing and writes every configuration file."""
    _keys(layout)
    folder = layout.configuration
    (folder / "cni").mkdir(parents=True, exist_ok=True)
    hosts = folder / "registries" / REGISTRY
    hosts.mkdir(parents=True, exist_ok=True)
    (hosts / "hosts.toml").write_text(_REGISTRY.format(registry=REGISTRY))
    (folder / "containerd.toml").write_text(
        _CONTAINERD.format(
            containerd=layout.containerd,
            socket=layout.socket,
            pause=PAUSE_IMAGE,
            plugins=CNI_PLUGINS,
            configuration=folder,
        )
    )
    (folder / "cni" / "10-penstock.conflist").write_text(json.dumps(_network(layout), indent=1))
    (folder / "resolv.conf").write_text("# Nothing inside the cluster resolves outside names.\n")
    (folder / "kubelet.yaml").write_text(yaml.safe_dump(_kubelet(layout)))
    (folder / "kube-proxy.yaml").write_text(yaml.safe_dump(_proxy(layout)))


def _keys(layout: Layout) -> None:
    server = f"https://{NODE_ADDRESS}:{API_PORT}"
    keys = pki.control_plane(layout.pki.folder, ["127.0.0.1", API_SERVICE_ADDRESS, NODE_ADDRESS], [NODE])
    kubelet_client = pki.subject("kube-apiserver-kubelet-client", ["system:masters"])
    keys.issue("kubelet-client", CLUSTER_CA, kubelet_client, usage="clientAuth")
    names = [f"DNS:{NODE}", f"IP:{NODE_ADDRESS}"]
    keys.issue("kubelet-server", CLUSTER_CA, _USERS["kubelet"], usage="serverAuth", names=names)
    layout.configuration.mkdir(parents=True, exist_ok=True)
    for name, subject in _USERS.items():
        keys.issue(name, CLUSTER_CA, subject, usage="clientAuth")
        keys.kubeconfig(name, server, layout.component_kubeconfig(name))
    keys.kubeconfig("admin", server, layout.kubeconfig)


def _network(layout: Layout) -> dict[str, Any]:
    ipam = {
        "type": "host-local",
        "dataDir": str(layout.pods / "addresses"),
        "ranges": [[{"subnet": POD_SUBNET}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    # No masquerading: pods have no way out of the machine.
    bridge = {"type": "bridge", "bridge": POD_BRIDGE, "isGateway": True, "ipMasq": False, "hairpinMode": True}
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": "penstock", "plugins": [{**bridge, "ipam": ipam}, ports]}


def _kubelet(layout: Layout) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_ADDRESS,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(layout.pki.certificate(CLUSTER_CA))},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(layout.pki.certificate("kubelet-server")),
        "tlsPrivateKeyFile": str(layout.pki.key("kubelet-server")),
        "containerRuntimeEndpoint": f"unix://{layout.socket}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": "/",
        "failCgroupV1": False,
        "enforceNodeAllocatable": ["pods"],
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": DOMAIN,
        "resolvConf": str(layout.configuration / "resolv.conf"),
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "kubeAPIQPS": 200,
        "kubeAPIBurst": 400,
        "healthzBindAddress": "127.0.0.1",
        "maxPods": 60,
        "podLogsDir": str(layout.pods / "logs"),
        # Images come from this machine alone, so none may be collected, however full the disk.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {
            "memory.available": "200Mi",
            "nodefs.available": "1Gi",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1Gi",
        },
    }


def _proxy(layout: Layout) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        # The nftables mode has no NodePorts on the loopback.
        "mode": "iptables",
        "hostnameOverride": NODE,
        "clientConnection": {"kubeconfig": str(layout.component_kubeconfig("kube-proxy"))},
        "clusterCIDR": POD_RANGE,
        "nodePortAddresses": ["127.0.0.0/8", f"{NODE_ADDRESS}/32"],
        "bindAddress": "127.0.0.1",
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "oomScoreAdj": 0,
        "conntrack": {"maxPerCore": 0, "tcpCloseWaitTimeout": "0s", "tcpEstablishedTimeout": "0s"},
        "iptables": {"localhostNodePorts": True, "minSyncPeriod": "100ms"},
    }
