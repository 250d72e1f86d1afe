"""Names, addresses and folders of the native cluster."""

import dataclasses
from pathlib import Path

from hack.cluster import paths
from hack.cluster.console import ClusterError
from hack.cluster.daemons import Daemons
from hack.cluster.pki import Pki

NODE = "penstock"
# The node's address is on a bridge of its own, so nothing of the cluster listens on the machine's network.
NODE_ADDRESS = "10.255.77.1"
NODE_BRIDGE = "penstock0"
POD_BRIDGE = "penstock1"
POD_SUBNET = "10.244.0.0/24"
DNS_ADDRESS = "10.96.0.10"
API_PORT, ETCD_PORT, ETCD_PEER_PORT = 6443, 2379, 2380
REGISTRY = f"{NODE_ADDRESS}:30500"
GATEWAY_URL = f"http://{NODE_ADDRESS}:8080"
PAUSE_IMAGE = "registry.k8s.io/pause:3.10"
_LONGEST_SOCKET_PATH = 100  # the kernel's limit is 108 bytes


@dataclasses.dataclass(frozen=True)
class Layout:
    """The folders and files below the state folder."""

    state: Path

    @property
    def configuration(self) -> Path:
        """Files that every `up` writes anew."""
        return self.state / "conf"

    @property
    def pki(self) -> Pki:
        """Keys and certificates."""
        return Pki(self.state / "pki")

    @property
    def daemons(self) -> Daemons:
        """The components as processes."""
        return Daemons(self.state / "run", self.state / "log")

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.state / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        """The API server's audit log."""
        return self.state / "log" / "audit.log"

    @property
    def containerd(self) -> Path:
        """containerd's root, state and socket."""
        return self.state / "containerd"

    @property
    def socket(self) -> Path:
        """containerd's socket. Raises ClusterError when its path is longer than the kernel allows."""
        path = self.containerd / "containerd.sock"
        if len(str(path)) > _LONGEST_SOCKET_PATH:
            raise ClusterError(f"{self.state} is too long a path for a socket; set PENSTOCK_CACHE to a shorter folder.")
        return path

    @property
    def pods(self) -> Path:
        """Pod logs, volumes and address leases: what does not outlive `down`."""
        return self.state / "pods"

    def component_kubeconfig(self, name: str) -> Path:
        """The kubeconfig of one component."""
        return self.configuration / f"{name}.kubeconfig"


def layout() -> Layout:
    """The layout in the present state folder."""
    return Layout(paths.state())
