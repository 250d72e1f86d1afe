"""The cluster of the benchmark: an API server with Penstock's chart applied, and the operator as its own process."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from bench.controller.bare import APPLY, BareClient
from bench.controller.simulation import POD_ADDRESS
from hack.cluster.addons.chart import GATEWAY_API_MODULE, module_folder
from hack.cluster.apiserver import ApiServer
from hack.cluster.build import binary
from penstock.api.v1alpha1.base import API_VERSION
from penstock.controllers.resources import MODELS
from penstock.kube.resources import GATEWAYS, HTTPROUTES, NAMESPACES, Json

REPOSITORY = Path(__file__).parents[2]
SYSTEM = "penstock-system"
OPERATOR = f"system:serviceaccount:{SYSTEM}:penstock-operator"
SIMULATION = "bench-simulation"
CLEANER = "bench-cleaner"
IMAGE = f"registry.example.com/penstock@sha256:{'ab' * 32}"
GATEWAY = {"namespace": SYSTEM, "name": "public", "probeUrl": f"http://{POD_ADDRESS}:8080"}
NO_AUDIT = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "None"}]}
_PLURALS = {
    "CustomResourceDefinition": "apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    "ValidatingAdmissionPolicy": "apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
    "ClusterRole": "apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "Role": f"apis/rbac.authorization.k8s.io/v1/namespaces/{SYSTEM}/roles",
    "RoleBinding": f"apis/rbac.authorization.k8s.io/v1/namespaces/{SYSTEM}/rolebindings",
}
_SAMPLE = re.compile(r"^(\w+?)(?:_total)?(?:\{(.*)\})? ([^ ]+)$")
_READY_SECONDS = 60
_STOP_SECONDS = 20


def api_server(folder: Path) -> ApiServer:
    """An API server without an audit log: writing it would be measured too."""
    policy = folder / "no-audit.yaml"
    policy.write_text(yaml.safe_dump(NO_AUDIT))
    return ApiServer([f"--audit-policy-file={policy}"])


async def install(admin: BareClient, namespaces: list[str]) -> None:
    """Apply the chart (all but the Deployment) and the Gateway API, make namespaces and the Gateway."""
    for name in [SYSTEM, *namespaces]:
        await admin.create(NAMESPACES, {"metadata": {"name": name}})
    standard = module_folder(GATEWAY_API_MODULE) / "config" / "crd" / "standard"
    gateway_api = [standard / f"gateway.networking.k8s.io_{plural}.yaml" for plural in ("gateways", "httproutes")]
    objects = [*_rendered(), *(yaml.safe_load(file.read_text()) for file in gateway_api)]
    for obj in objects:
        if plural := _PLURALS.get(obj["kind"]):
            path = f"/{plural}/{obj['metadata']['name']}?fieldManager=bench"
            await admin.send("PATCH", path, obj, APPLY)
    for kind in (MODELS, GATEWAYS, HTTPROUTES):
        await _served(admin, kind.path())
    listener = {"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "All"}}}
    metadata = {"name": GATEWAY["name"], "namespace": SYSTEM}
    spec = {"gatewayClassName": "bench", "listeners": [listener]}
    await admin.create(
        GATEWAYS, {"apiVersion": GATEWAYS.api_version, "kind": "Gateway", "metadata": metadata, "spec": spec}
    )


def model(namespace: str, name: str, number: int) -> Json:
    """A Model with an artifact of its own."""
    artifact = {"uri": f"oci://registry.example.com/models/{name}:1", "digest": f"sha256:{number:064x}"}
    resources = {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}}
    return {
        "apiVersion": API_VERSION,
        "kind": "Model",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"artifact": {**artifact, "format": "ONNX"}, "serving": {"resources": resources}},
    }


def simulation(kubeconfig: Path) -> subprocess.Popen[str]:
    """Start the simulation; returns when it serves."""
    command = [sys.executable, "-m", "bench.controller.simulation", str(kubeconfig)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert process.stdout is not None
    if process.stdout.readline() != "ready\n":
        raise SystemExit(f"The simulation could not start; is {POD_ADDRESS}:8080 in use?")
    return process


@dataclass
class Numbers:
    """What the operator counts: finished API requests by verb and resource (its watches are not among them)."""

    calls: Counter[tuple[str, str]]
    handled: float
    waiting: float
    leading: bool

    def since(self, before: Numbers) -> Counter[tuple[str, str]]:
        """What was sent since, but for leases."""
        return Counter({key: n for key, n in (self.calls - before.calls).items() if not key[1].startswith("leases")})


def is_write(call: tuple[str, str]) -> bool:
    """Whether a (verb, resource) changes something."""
    return call[0] not in ("get", "list", "watch")


@dataclass
class Operator:
    """operator/main.py with the service account's rights, in a process of its own."""

    kubeconfig: Path
    folder: Path
    profile: bool = False
    port: int = 0
    process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        """Start it and return when it leads."""
        self.port = _free_port()
        config = self.folder / "config.json"
        settings = {"runtimeImage": IMAGE, "gateway": GATEWAY, "telemetryPort": self.port}
        config.write_text(json.dumps(settings))
        environment = {
            **os.environ,
            "KUBECONFIG": str(self.kubeconfig),
            "PENSTOCK_CONFIG": str(config),
            "PENSTOCK_NAMESPACE": SYSTEM,
            "PENSTOCK_LOG_LEVEL": "WARNING",
        }
        profiler = ["-m", "cProfile", "-o", str(self.profiled)] if self.profile else []
        command = [sys.executable, *profiler, str(REPOSITORY / "operator" / "main.py")]
        with (self.folder / "operator.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=REPOSITORY)
        deadline = time.monotonic() + _READY_SECONDS
        while not self._leads():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise SystemExit(f"The operator does not lead; its log:\n{self.log()}")
            time.sleep(0.1)

    @property
    def profiled(self) -> Path:
        """Where its profile is, once it has ended."""
        return self.folder / "profile"

    def stop(self) -> None:
        """End it as a deployment does; ending it again does nothing."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def numbers(self) -> Numbers:
        """Read its metrics."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as response:
            text = response.read().decode()
        calls: Counter[tuple[str, str]] = Counter()
        handled = waiting = leading = 0.0
        for line in text.splitlines():
            found = _SAMPLE.match(line)
            if found is None:
                continue
            name, labels, value = found[1], found[2] or "", float(found[3])
            if name == "rest_client_request_duration_seconds_count":
                known = dict(re.findall(r'(\w+)="([^"]*)"', labels))
                calls[known["verb"], known["resource"]] += int(value)
            elif name == "controller_runtime_reconcile":
                handled += value
            elif name == "workqueue_depth":
                waiting += value
            elif name == "leader_election_master_status":
                leading += value
        return Numbers(calls, handled, waiting, leading > 0)

    def cpu_seconds(self) -> float:
        """CPU time of the process so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self) -> tuple[float, float]:
        """Resident memory now and at its highest, in MB (10^6 bytes)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        now, peak = (int(re.findall(rf"{name}:\s+(\d+) kB", status)[0]) for name in ("VmRSS", "VmHWM"))
        return now * 1024 / 1e6, peak * 1024 / 1e6

    def log(self) -> str:
        """The end of what it logged."""
        return (self.folder / "operator.log").read_text()[-3000:]

    def _leads(self) -> bool:
        try:
            return self.numbers().leading
        except OSError:
            return False


def _rendered() -> list[Json]:
    values = {
        "image": {"operator": IMAGE, "runtime": IMAGE},
        "policies": {
            "deploymentController": SIMULATION,
            "replicaSetController": SIMULATION,
            "garbageCollector": CLEANER,
        },
    }
    command = [str(binary("helm")), "template", "penstock", str(REPOSITORY / "charts" / "penstock")]
    done = subprocess.run(
        [*command, "--namespace", SYSTEM, "--values", "-"],
        input=yaml.safe_dump(values),
        capture_output=True,
        text=True,
        check=True,
    )
    return [obj for obj in yaml.safe_load_all(done.stdout) if obj]


async def _served(admin: BareClient, path: str) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        try:
            await admin.send("GET", f"{path}?limit=1")
        except RuntimeError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)
        else:
            return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
