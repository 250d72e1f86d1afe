"""Provider without Docker: the Kubernetes components as processes of this machine, one node, containerd from apt."""

from hack.cluster.native.components import start_component, stop_component
from hack.cluster.native.images import load_image
from hack.cluster.native.lifecycle import down, leftovers, runs, status, up

__all__ = ["down", "leftovers", "load_image", "runs", "start_component", "status", "stop_component", "up"]
