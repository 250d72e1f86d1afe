"""Brings the native cluster up, step by step, and says how it is."""

import json
import os
from collections.abc import Callable

from hack.cluster import build, paths
from hack.cluster.console import ClusterError, Stopwatch
from hack.cluster.daemons import wait_for
from hack.cluster.handle import Cluster
from hack.cluster.native import configuration, host, images, teardown
from hack.cluster.native.components import COMMANDS, start_component
from hack.cluster.native.layout import GATEWAY_URL, NODE, NODE_ADDRESS, REGISTRY, Layout, layout

_COREDNS = paths.HERE / "manifests" / "coredns.yaml"
_BINARIES = ("pause", "etcd", "coredns", "kube")


def up(watch: Stopwatch) -> Cluster:
    """Starts what does not run and returns when the node and CoreDNS are ready. Raises ClusterError."""
    if os.geteuid():
        raise ClusterError("The native cluster needs root: run this as root, or use Docker and kind.")
    here = layout()
    teardown.make_room(here, watch)
    host.install_packages()
    for name in _BINARIES:
        build.binary(name)
    cluster = Cluster(
        "native", here.kubeconfig, NODE_ADDRESS, REGISTRY, GATEWAY_URL, here.audit_log, here.state, build.kubectl()
    )
    watch.stage("packages and binaries are there")
    configuration.write(here)
    host.prepare(here)
    for name in ("etcd", "containerd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"):
        start_component(name)
    _wait(here, "containerd", "containerd answers", lambda: images.ctr(here, "version").returncode == 0)
    for archive, ref in images.own_images():
        images.import_archive(here, archive, ref)
    watch.stage("containerd answers and has the cluster's own images")
    node_starts = start_component("kubelet")
    start_component("kube-proxy")
    _wait(here, "kube-apiserver", "API server ready", lambda: _answers(cluster, "get", "--raw=/readyz"))
    watch.stage("API server is ready")
    wait_for("node Ready", lambda: _node_is_ready(cluster), seconds=120, hint=f"see {here.daemons.logs}/kubelet.log")
    if node_starts:
        _wait(here, "kubelet", "status of the pods of the last time", lambda: _pods_are_what_they_say(here, cluster))
    watch.stage("node is Ready")
    _install_coredns(here, cluster, watch)
    return cluster


def down(watch: Stopwatch, *, wipe: bool) -> None:
    """Stops and removes everything; with `wipe` the state folder too. Raises ClusterError naming what is left."""
    here = layout()
    if host.is_prepared(here) or any(status().values()):
        teardown.stop_everything(here, watch)
        remaining = teardown.leftovers(here)
        if remaining:
            raise ClusterError("The cluster is down, but this is left:\n  " + "\n  ".join(remaining))
    else:
        watch.stage("nothing runs")
    if wipe:
        teardown.wipe(here)
        watch.stage("state is forgotten")


def leftovers() -> list[str]:
    """What of the cluster is on the machine now: processes, mounts, devices, packet rules, cgroups."""
    return teardown.leftovers(layout())


def runs() -> bool:
    """Whether the cluster is up. It still is while a test has stopped one of its components."""
    daemons = layout().daemons
    return any(daemons.alive(name) for name in ("kubelet", "kube-apiserver"))


def status() -> dict[str, bool]:
    """Component name -> whether its process runs."""
    daemons = layout().daemons
    return {name: daemons.alive(name) for name in COMMANDS}


def _install_coredns(here: Layout, cluster: Cluster, watch: Stopwatch) -> None:
    account = ("-n", "kube-system", "get", "serviceaccount", "default")
    controllers = "kube-controller-manager"
    _wait(here, controllers, "service account of kube-system", lambda: _answers(cluster, *account))
    manifest = _COREDNS.read_text().replace("$(IMAGE)", images.coredns_reference())
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=manifest)
    rollout = ("-n", "kube-system", "rollout", "status", "deployment/coredns", "--timeout=3s")
    _wait(here, "kubelet", "CoreDNS Ready", lambda: _answers(cluster, *rollout))
    watch.stage("CoreDNS is Ready")


def _node_is_ready(cluster: Cluster) -> bool:
    """Whether the node is Ready. A kubelet that gave up is started again, as systemd would.

    It ends when containerd's socket is open but the containers of the last time are still being taken over.
    """
    start_component("kubelet")
    return _answers(cluster, "wait", "--for=condition=Ready", f"node/{NODE}", "--timeout=3s")


def _pods_are_what_they_say(here: Layout, cluster: Cluster) -> bool:
    """False while pods from before the last `down` are still listed as running."""
    tasks = set(images.ctr(here, "tasks", "list", "--quiet").stdout.split())
    pods = json.loads(cluster.kubectl("get", "pods", "--all-namespaces", "--output=json"))["items"]
    statuses = [status for pod in pods for status in pod["status"].get("containerStatuses", [])]
    running = {status["containerID"].split("://")[1] for status in statuses if "running" in status["state"]}
    return running <= tasks


def _answers(cluster: Cluster, *arguments: str) -> bool:
    return bool(cluster.kubectl("--request-timeout=5s", *arguments, check=False))


def _wait(here: Layout, component: str, what: str, ready: Callable[[], bool]) -> None:
    def checked() -> bool:
        if not here.daemons.alive(component):
            raise ClusterError(f"{component} has ended; its log is {here.daemons.logs / f'{component}.log'}.")
        return ready()

    wait_for(what, checked, seconds=120, hint=f"see {here.daemons.logs / f'{component}.log'}")
