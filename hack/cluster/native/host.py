"""What the native cluster needs of and changes on the machine: packages, kernel settings, bridges, packet rules."""

import contextlib
import json
import os
import shutil
import subprocess
from pathlib import Path

from hack.cluster.console import ClusterError, say
from hack.cluster.controlplane import POD_RANGE, SERVICE_RANGE
from hack.cluster.native.configuration import CNI_PLUGINS
from hack.cluster.native.layout import NODE_ADDRESS, NODE_BRIDGE, POD_BRIDGE, Layout

# Debian package -> a file or command that shows it is there.
PACKAGES = {
    "containerd": "containerd",
    "runc": "runc",
    "containernetworking-plugins": str(CNI_PLUGINS / "bridge"),
    "iptables": "iptables-save",
    "iproute2": "ip",
    "openssl": "openssl",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    # The package busybox has a command of that name too, but one that needs shared libraries.
    "busybox-static": "/var/lib/dpkg/info/busybox-static.list",
    "ca-certificates": "/etc/ssl/certs/ca-certificates.crt",
}
# None: only remembered and put back, because the kubelet or kube-proxy sets it.
_KERNEL_SETTINGS: dict[str, str | None] = {
    "net/ipv4/ip_forward": "1",
    "net/bridge/bridge-nf-call-iptables": "1",
    "fs/inotify/max_user_instances": "1024",
    "net/ipv4/conf/all/route_localnet": None,
    "vm/overcommit_memory": None,
    "kernel/panic": None,
    "kernel/panic_on_oops": None,
}
_KUBELET_CHAINS = ("KUBE-FIREWALL", "KUBE-KUBELET-CANARY", "KUBE-IPTABLES-HINT")
_COMMENT = "penstock local cluster"


def install_packages() -> None:
    """Installs what is missing with apt-get. Raises ClusterError that names the command when it may not."""
    missing = [package for package, sign in PACKAGES.items() if not _is_there(sign)]
    if not missing:
        return
    install = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    if os.geteuid() or shutil.which("apt-get") is None:
        raise ClusterError(f"Packages are missing; install them with: sudo {' '.join(install)}")
    say(f"installing {', '.join(missing)}")
    options = ["-qq", "-o", "DPkg::Lock::Timeout=300"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for attempt in ("as it is", "updated"):
        if attempt == "updated":
            subprocess.run(["apt-get", "update", *options], env=environment, capture_output=True, check=False)
        done = subprocess.run([*install, *options], env=environment, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return
    raise ClusterError(f"Packages could not be installed; see what this says: {' '.join(install)}\n{done.stderr}")


def prepare(layout: Layout) -> None:
    """Sets kernel settings, makes the node's bridge and lets pods' packets pass. Repeating it changes nothing."""
    _change_kernel_settings(layout)
    if not _run("ip", "link", "show", NODE_BRIDGE):
        _must("ip", "link", "add", NODE_BRIDGE, "type", "bridge")
        _must("ip", "address", "add", f"{NODE_ADDRESS}/32", "dev", NODE_BRIDGE)
        _must("ip", "link", "set", NODE_BRIDGE, "up")
    # Tells a cluster of another state folder whose this is; gone with the bridge, at the latest when the machine stops.
    _must("ip", "link", "set", NODE_BRIDGE, "alias", str(layout.state))
    # Makes service addresses work from this machine even without a default route.
    _must("ip", "route", "replace", SERVICE_RANGE, "dev", NODE_BRIDGE, "src", NODE_ADDRESS)
    # Docker, for one, drops forwarded packets by default.
    for rule in _forward_rules():
        if not _run("iptables", "-w", "-C", *rule):
            _must("iptables", "-w", "-I", *rule)


def restore(layout: Layout) -> None:
    """Removes bridges, routes, rules, the kubelet's own chains and stray files, and puts kernel settings back."""
    _remove_stray_files(layout)
    for rule in _forward_rules():
        while _run("iptables", "-w", "-D", *rule):
            pass
    for bridge in (POD_BRIDGE, NODE_BRIDGE):
        _run("ip", "link", "delete", bridge)
    for tables in ("iptables", "ip6tables"):
        for chain in ("INPUT", "OUTPUT"):
            while _run(tables, "-w", "-D", chain, "-j", "KUBE-FIREWALL"):
                pass
        for table in ("filter", "nat", "mangle"):
            for chain in _KUBELET_CHAINS:
                if _run(tables, "-w", "-t", table, "-F", chain):
                    _run(tables, "-w", "-t", table, "-X", chain)
    saved = _saved_settings(layout)
    if saved.exists():
        for name, value in json.loads(saved.read_text()).items():
            _write_setting(name, value)
        saved.unlink()


def is_prepared(layout: Layout) -> bool:
    """Whether `prepare` has changed the machine and `restore` has not been called since."""
    return _saved_settings(layout).exists()


def owner() -> Path | None:
    """The state folder of the cluster that made the node's bridge, or None where there is no bridge of ours."""
    try:
        alias = (Path("/sys/class/net") / NODE_BRIDGE / "ifalias").read_text().strip()
    except OSError:
        return None
    return Path(alias) if alias else None


def refuse_second_kubelet(layout: Layout) -> None:
    """Raises ClusterError where another kubelet has pods on this machine: both would use the same cgroups."""
    if not is_prepared(layout):
        refuse_pods_of_others()


def refuse_pods_of_others() -> None:
    """Raises ClusterError where any pod runs on this machine."""
    if found := [group for group in cgroups() if _has_processes(group)]:
        raise ClusterError(f"Another kubelet runs pods on this machine ({found[0]}); use it with CLUSTER=existing.")


def cgroups() -> list[Path]:
    """The top cgroups of a kubelet and of containerd, in every hierarchy."""
    root = Path("/sys/fs/cgroup")
    tops = [root, *(path for path in root.iterdir() if path.is_dir())]
    return [top / name for top in tops for name in ("kubepods", "k8s.io") if (top / name).is_dir()]


def remains() -> list[str]:
    """Bridges and packet rules of the cluster that are on the machine."""
    found = [f"network device {name}" for name in (NODE_BRIDGE, POD_BRIDGE) if _run("ip", "link", "show", name)]
    for tables in ("iptables", "ip6tables"):
        rules = subprocess.run([f"{tables}-save"], capture_output=True, text=True, check=False).stdout.splitlines()
        ours = [rule for rule in rules if "KUBE-" in rule or "CNI-" in rule or _COMMENT in rule]
        found += [f"{tables} rule {rule}" for rule in ours]
    return found


def _has_processes(cgroup: Path) -> bool:
    """A kubelet that was killed leaves its cgroups behind, empty."""
    for folder, _, _ in os.walk(cgroup):
        with contextlib.suppress(OSError):  # it may end meanwhile
            if (Path(folder) / "cgroup.procs").read_text():
                return True
    return False


def _remove_stray_files(layout: Layout) -> None:
    """The kubelet and CNI write here whatever their configuration says."""
    for link in Path("/var/log/containers").glob("*.log"):
        if link.is_symlink() and link.readlink().is_relative_to(layout.state):
            link.unlink()
    results = Path("/var/lib/cni/results")
    for result in results.glob("penstock-*-eth0"):
        container = result.name.removeprefix("penstock-").removesuffix("-eth0")
        (results / f"cni-loopback-{container}-lo").unlink(missing_ok=True)
        result.unlink()


def _forward_rules() -> list[list[str]]:
    accept = ["-m", "comment", "--comment", _COMMENT, "-j", "ACCEPT"]
    return [["FORWARD", direction, POD_RANGE, *accept] for direction in ("-s", "-d")]


def _change_kernel_settings(layout: Layout) -> None:
    saved = _saved_settings(layout)
    before = json.loads(saved.read_text()) if saved.exists() else {}
    for name in _KERNEL_SETTINGS:
        path = Path("/proc/sys") / name
        if name not in before and path.exists():
            before[name] = path.read_text().strip()
    saved.write_text(json.dumps(before, indent=1) + "\n")
    for name, value in _KERNEL_SETTINGS.items():
        if value is not None and name in before and int(before[name]) < int(value):
            _write_setting(name, value)


def _saved_settings(layout: Layout) -> Path:
    return layout.state / "kernel-settings.json"


def _write_setting(name: str, value: str) -> None:
    try:
        (Path("/proc/sys") / name).write_text(value)
    except OSError as error:
        say(f"the kernel setting {name} could not be set to {value}: {error.strerror}")


def _is_there(sign: str) -> bool:
    return Path(sign).exists() if sign.startswith("/") else shutil.which(sign) is not None


def _run(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _must(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"{' '.join(command)} failed: {done.stderr.strip()}")
