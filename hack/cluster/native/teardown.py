"""Takes the native cluster off the machine, and looks for what is left of it."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from hack.cluster import build
from hack.cluster.console import ClusterError, Stopwatch
from hack.cluster.native import host
from hack.cluster.native.images import ctr
from hack.cluster.native.layout import Layout

_KILL_SECONDS = 10
_SHOWN = 160
# A cgroup right below the root; those of kubelets inside containers are further down.
_POD_CGROUP = ":/kubepods"


def stop_everything(layout: Layout, watch: Stopwatch) -> None:
    """Stops the components in an order in which none waits for another, and undoes what pods left on the machine."""
    daemons = layout.daemons
    # Nothing may start pods any more before they are killed.
    daemons.stop("kubelet", "kube-scheduler", "kube-controller-manager")
    if daemons.alive("containerd"):
        _remove_containers(layout)
    watch.stage("pods are gone")
    proxy_ran = daemons.alive("kube-proxy")
    daemons.stop("kube-proxy")
    proxy_configuration = layout.configuration / "kube-proxy.yaml"
    if proxy_configuration.exists() and (proxy_ran or any("KUBE-" in line for line in host.remains())):
        clean = [str(build.binary("kube")), "kube-proxy", "--cleanup", f"--config={proxy_configuration}"]
        subprocess.run(clean, capture_output=True, check=False)
    # An API server that has lost etcd takes ten seconds longer to end.
    daemons.stop("kube-apiserver")
    daemons.stop("etcd", "containerd")
    _kill_stragglers(layout)
    watch.stage("processes are stopped")
    for mount in _mounts(layout):
        subprocess.run(["umount", "--lazy", mount], capture_output=True, check=False)
    for folder in (layout.containerd / "state", layout.pods):
        shutil.rmtree(folder, ignore_errors=True)
    host.restore(layout)
    for cgroup in host.cgroups():
        # The kernel empties a cgroup a moment after its last process is gone.
        deadline = time.monotonic() + _KILL_SECONDS
        while not _remove_cgroup(cgroup) and time.monotonic() < deadline:
            time.sleep(0.05)
    watch.stage("mounts, devices, packet rules and cgroups are gone")


def make_room(layout: Layout, watch: Stopwatch) -> None:
    """Takes away what a killed cluster of another state folder left here: its bridges, routes and rules are also ours.

    Raises ClusterError where that cluster, or another kubelet, still runs.
    """
    theirs = host.owner()
    if theirs is None or (theirs == layout.state and host.is_prepared(layout)):
        host.refuse_second_kubelet(layout)
        return
    other = Layout(theirs)  # or our own folder, which was emptied while the cluster was up
    if running := [command for command in _processes(other).values() if f"{theirs}/" in command]:
        raise ClusterError(
            f"The cluster of {theirs} runs on this machine ({running[0].split(' ', 1)[0]} and others); "
            f"stop it with: PENSTOCK_CACHE={theirs.parent} python -m hack.cluster down"
        )
    # Of that cluster nothing runs, so pods that do are another kubelet's: they must not be cleared away with it.
    host.refuse_pods_of_others()
    watch.stage(f"a killed cluster of {theirs} is in the way; clearing it")
    stop_everything(other, watch)


def leftovers(layout: Layout) -> list[str]:
    """One line for each process, mount, network device, packet rule and cgroup of the cluster."""
    found = [f"process {pid}: {command[:_SHOWN]}" for pid, command in _processes(layout).items()]
    found += [f"mount {mount}" for mount in _mounts(layout)]
    found += [f"cgroup {cgroup}" for cgroup in host.cgroups()]
    return found + host.remains()


def wipe(layout: Layout) -> None:
    """Forgets the cluster: keys, data, images and logs. Built binaries and image archives stay in the cache."""
    for entry in layout.state.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _remove_containers(layout: Layout) -> None:
    for verbs in (("tasks", "list", "--quiet"), ("containers", "list", "--quiet")):
        names = ctr(layout, *verbs).stdout.split()
        if names:
            options = ["--force"] if verbs[0] == "tasks" else []
            ctr(layout, verbs[0], "delete", *options, *names)
    for _ in range(2):  # a snapshot can be the parent of another
        lines = [line.split() for line in ctr(layout, "snapshots", "list").stdout.splitlines()[1:]]
        active = [fields[0] for fields in lines if fields[-1] == "Active"]
        if active:
            ctr(layout, "snapshots", "delete", *active)


def _kill_stragglers(layout: Layout) -> None:
    deadline = time.monotonic() + _KILL_SECONDS
    while (pids := _processes(layout)) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def _processes(layout: Layout) -> dict[int, str]:
    """Components, container shims and pod processes: pid -> command line."""
    found: dict[int, str] = {}
    inside_a_pod = _POD_CGROUP in Path("/proc/self/cgroup").read_text()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            groups = (folder / "cgroup").read_text()
        except OSError:
            continue
        program = Path(command.split(" ", 1)[0]).name
        ours = program.startswith(("containerd", "etcd-", "kube-")) and f"{layout.state}/" in command
        if command and (ours or (_POD_CGROUP in groups and not inside_a_pod)):
            found[int(folder.name)] = command
    return found


def _mounts(layout: Layout) -> list[str]:
    targets = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    return sorted((target for target in targets if target.startswith(f"{layout.state}/")), reverse=True)


def _remove_cgroup(cgroup: Path) -> bool:
    for folder, _, _ in os.walk(cgroup, topdown=False):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()
    return not cgroup.exists()
