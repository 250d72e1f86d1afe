"""What the local cluster has besides Kubernetes: an OCI registry, the Gateway API, Envoy Gateway and Prometheus."""

import json
import string
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from hack.cluster import build, kind
from hack.cluster.addons import chart, prometheus
from hack.cluster.addons.images import recipes
from hack.cluster.console import ClusterError, Stopwatch
from hack.cluster.handle import Cluster
from hack.cluster.images.builder import build as build_image
from hack.cluster.images.loader import load, node_ctr
from hack.cluster.images.recipe import key_of

__all__ = ["install"]

_HERE = Path(__file__).parent
_SYSTEM = "envoy-gateway-system"
_KIND_FOLDER = Path("/var/local/penstock-registry")
_SECONDS = 180
_RESTART_SECONDS = 20  # what pods of a cluster that was down need; what is missing altogether fails at once

# The cluster is on this machine: a proxy of the environment must not see these requests.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def install(cluster: Cluster) -> None:
    """Installs what is missing and returns when all of it is ready; quick when all is there.

    Raises ClusterError with one sentence that says what to do.
    """
    watch = Stopwatch()
    references = _load_images(cluster)
    folder = _KIND_FOLDER if cluster.provider == "kind" else cluster.state_dir / "registry"
    values = {"node": _node(cluster), "node_ip": cluster.node_ip, "registry_folder": str(folder), **references}
    chart_values = chart.values(references["envoy_gateway_image"])
    metrics = (_HERE / "prometheus.yaml").read_text() if prometheus.is_wanted() else ""
    manifests = [*((_HERE / name).read_text() for name in ("volume.yaml", "registry.yaml", "gateway.yaml")), metrics]
    # Noted on the Gateway, so that the next `install` has only to look whether everything is still ready.
    values["fingerprint"] = key_of(*manifests, json.dumps([values, chart_values], sort_keys=True))
    volume, registry, gateway, metrics = (string.Template(text).substitute(values) for text in manifests)
    if _noted(cluster) == values["fingerprint"] and _ready(cluster, seconds=_RESTART_SECONDS):
        return
    _make_folder(cluster, folder)
    _drop_released_volume(cluster)
    _apply(cluster, f"{volume}---\n{registry}")
    if metrics:
        _apply(cluster, metrics)
    else:
        prometheus.remove(cluster)
    _apply_definitions(cluster)
    watch.stage("Gateway API is defined")
    _install_chart(cluster, references["envoy_gateway_image"], chart_values)
    watch.stage("Envoy Gateway runs")
    _apply(cluster, gateway)
    if not _ready(cluster, seconds=_SECONDS):
        raise ClusterError(
            f"Registry, Gateway or Prometheus were not ready after {_SECONDS} s; see what holds them with: "
            f"kubectl get pods,gateways -A --kubeconfig {cluster.kubeconfig}"
        )
    watch.stage(f"registry answers at {cluster.registry}, the Gateway at {cluster.gateway_url}")


def _load_images(cluster: Cluster) -> dict[str, str]:
    """Returns <name>_image -> pinned reference, the names of the manifests' placeholders."""
    ctr = node_ctr(cluster)
    images = [build_image(recipe) for recipe in recipes()]
    load(ctr, images)
    return {image.name.replace("-", "_") + "_image": image.reference for image in images}


def _node(cluster: Cluster) -> str:
    return cluster.kubectl("get", "nodes", "-o", r"jsonpath={.items[0].metadata.labels.kubernetes\.io/hostname}")


def _noted(cluster: Cluster) -> str:
    path = r"jsonpath={.metadata.annotations.penstock\.dev/addons}"
    return cluster.kubectl("-n", "penstock-gateway", "get", "gateway/penstock", "-o", path, check=False)


def _ready(cluster: Cluster, *, seconds: int) -> bool:
    """Whether every part is ready before `seconds` have passed for it, and answers: a status can be out of date."""
    envoy = "--selector=gateway.envoyproxy.io/owning-gateway-name=penstock"
    questions: tuple[tuple[str, ...], ...] = (
        ("-n", "penstock-registry", "rollout", "status", "deployment/registry"),
        ("-n", _SYSTEM, "rollout", "status", "deployment/envoy-gateway"),
        ("-n", "penstock-gateway", "wait", "--for=condition=Programmed", "gateway/penstock"),
        ("-n", _SYSTEM, "rollout", "status", "deployment", envoy),
    )
    if prometheus.is_wanted():
        questions += (("-n", prometheus.NAMESPACE, "rollout", "status", "deployment/prometheus"),)
    answers = (cluster.kubectl(*question, f"--timeout={seconds}s", check=False) for question in questions)
    urls = [f"http://{cluster.registry}/v2/", cluster.gateway_url]
    if prometheus.is_wanted() and cluster.provider == "native":  # kind maps the Gateway's port alone
        urls.append(f"{prometheus.node_url(cluster)}/-/ready")
    return all(_success(answer) for answer in answers) and all(_answers(url, seconds) for url in urls)


def _success(answer: str) -> bool:
    return "successfully rolled out" in answer or "condition met" in answer


def _answers(url: str, seconds: int) -> bool:
    """Whether something speaks HTTP there, whatever the status: a Gateway without routes says 404."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with _DIRECT.open(url, timeout=2):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)


def _make_folder(cluster: Cluster, folder: Path) -> None:
    if cluster.provider == "kind":
        subprocess.run(["docker", "exec", f"{kind.NAME}-control-plane", "mkdir", "-p", folder], check=True)
    else:
        folder.mkdir(exist_ok=True)


def _drop_released_volume(cluster: Cluster) -> None:
    """A volume whose claim was deleted with its namespace binds no other; its folder stays."""
    volume = "persistentvolume/penstock-registry"
    if cluster.kubectl("get", volume, "-o", "jsonpath={.status.phase}", check=False) == "Released":
        cluster.kubectl("delete", volume)


def _apply(cluster: Cluster, manifest: str) -> None:
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=manifest)


def _apply_definitions(cluster: Cluster) -> None:
    files = [f"--filename={file}" for file in chart.crds()]
    cluster.kubectl("apply", "--server-side", "--force-conflicts", *files)
    names = ("gateways.gateway.networking.k8s.io", "envoyproxies.gateway.envoyproxy.io")
    definitions = [f"customresourcedefinition/{name}" for name in names]
    cluster.kubectl("wait", "--for=condition=Established", *definitions, "--timeout=60s")


def _install_chart(cluster: Cluster, image: str, values: dict[str, object]) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(values, file)
        file.flush()
        options = ["--namespace", _SYSTEM, "--create-namespace", "--values", file.name, "--history-max", "2"]
        waiting = ["--wait", "--timeout", f"{_SECONDS}s", "--kubeconfig", str(cluster.kubeconfig)]
        upgrade = ["upgrade", "--install", "eg", str(chart.chart(image)), *options, *waiting]
        done = subprocess.run([build.binary("helm"), *upgrade], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"Envoy Gateway could not be installed: {done.stderr.strip()}")
