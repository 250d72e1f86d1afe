"""Envoy Gateway's own Helm chart and the Gateway API's CRDs, out of the Go modules the controller is built from."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hack.cluster import paths, toolchain
from hack.cluster.console import ClusterError
from hack.cluster.images.recipe import fresh_folder
from hack.cluster.versions import version

GATEWAY_MODULE = "github.com/envoyproxy/gateway"
GATEWAY_API_MODULE = "sigs.k8s.io/gateway-api"


def module_folder(module: str) -> Path:
    """The folder of a dependency of the envoy-gateway build, downloaded and checked against its go.sum."""
    go = toolchain.find()
    download = [str(go.command), "mod", "download", "-json", module]
    where = paths.HERE / "build" / "envoy-gateway"
    done = subprocess.run(download, cwd=where, env=go.environment, capture_output=True, text=True, check=False)
    answer = json.loads(done.stdout) if done.stdout.strip() else {}
    if "Dir" not in answer:
        raise ClusterError(f"The Go module {module} is not to be had: {answer.get('Error') or done.stderr.strip()}")
    return Path(answer["Dir"])


def crds() -> list[Path]:
    """The Gateway API's standard channel and Envoy Gateway's own definitions."""
    standard = module_folder(GATEWAY_API_MODULE) / "config" / "crd" / "standard"
    own = _source() / "charts" / "crds" / "crds" / "generated"
    return sorted(file for folder in (standard, own) for file in folder.glob("*.yaml") if file.stem != "kustomization")


def chart(image: str) -> Path:
    """A copy of the chart with the placeholders filled that a release of Envoy Gateway fills, without its CRDs."""
    target = fresh_folder("chart") / "gateway-helm"
    shutil.copytree(_source(), target, copy_function=shutil.copyfile, ignore=shutil.ignore_patterns("generated"))
    for folder in [target, *(path for path in target.rglob("*") if path.is_dir())]:
        folder.chmod(0o755)  # the module cache is read-only
    text = (target / "values.tmpl.yaml").read_text()
    filled = text.replace("${GatewayImage}", image).replace("${GatewayImagePullPolicy}", "IfNotPresent")
    (target / "values.yaml").write_text(filled)
    metadata = target / "Chart.yaml"
    release = version("envoy-gateway")
    metadata.write_text(metadata.read_text().replace("v0.0.0-latest", release).replace('"latest"', f'"{release}"'))
    return target


def values(image: str) -> dict[str, Any]:
    """What differs from the chart's defaults: one node, one replica, images of ours, small requests."""
    return {
        "crds": {"enabled": False},
        "topologyInjector": {"enabled": False},
        "deployment": {
            "envoyGateway": {"resources": {"requests": {"cpu": "20m", "memory": "96Mi"}, "limits": {"memory": "1Gi"}}}
        },
        "config": {
            "envoyGateway": {
                "provider": {
                    "type": "Kubernetes",
                    "kubernetes": {"leaderElection": {"disable": True}, "shutdownManager": {"image": image}},
                }
            }
        },
    }


def _source() -> Path:
    return module_folder(GATEWAY_MODULE) / "charts" / "gateway-helm"
