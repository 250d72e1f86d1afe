"""The local cluster as one thing, whoever provides it: start it, find it, stop it."""

import contextlib
import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator

from hack.cluster import existing, kind, native, paths
from hack.cluster.console import ClusterError, Stopwatch, say
from hack.cluster.handle import Cluster, saved

__all__ = ["Cluster", "current", "down", "provider", "up"]

_PROVIDERS = ("native", "kind", "existing")


def up() -> Cluster:
    """Starts the cluster with its add-ons, or completes what is missing; quick when it is already up.

    Raises ClusterError with one sentence that says what to do.
    """
    chosen = provider()
    watch = Stopwatch()
    with _alone():
        known = saved(paths.state())
        if known and known.provider != chosen and _runs(known):
            raise ClusterError(
                f"A cluster of provider {known.provider} runs; stop it first with: python -m hack.cluster down"
            )
        if chosen == "existing":
            cluster = existing.up(watch)
        elif chosen == "kind":
            cluster = kind.up(watch)
        else:
            cluster = native.up(watch)
        cluster.save()
        if chosen != "existing":
            _install_addons(cluster)
    watch.stage("cluster is up")
    return cluster


def current() -> Cluster | None:
    """The cluster that runs, or None."""
    known = saved(paths.state())
    return known if known and _runs(known) else None


def down(*, wipe: bool = False) -> None:
    """Stops everything the cluster started. With `wipe` its state is forgotten too.

    Raises ClusterError that lists what could not be removed.
    """
    watch = Stopwatch()
    with _alone():
        known = saved(paths.state())
        if known and known.provider == "existing":
            say("an existing cluster is left as it is")
        elif known and known.provider == "kind":
            kind.down(watch)
        else:
            native.down(watch, wipe=wipe)
        (paths.state() / "cluster.json").unlink(missing_ok=True)


def provider() -> str:
    """The provider that `up` uses: $CLUSTER, or kind where Docker and kind are there, or native."""
    chosen = os.environ.get("CLUSTER")
    if chosen:
        if chosen not in _PROVIDERS:
            raise ClusterError(f"CLUSTER is {chosen!r}; set it to one of {', '.join(_PROVIDERS)}, or leave it unset.")
        return chosen
    return "kind" if shutil.which("kind") and _docker_answers() else "native"


def _docker_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    try:
        return subprocess.run(["docker", "info"], capture_output=True, check=False, timeout=30).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _runs(cluster: Cluster) -> bool:
    if cluster.provider == "native":
        return native.runs()
    return "ok" in cluster.kubectl("get", "--raw=/readyz", "--request-timeout=5s", check=False)


def _install_addons(cluster: Cluster) -> None:
    # The add-ons build on this module's own imports, and most commands do without them.
    from hack.cluster import addons  # noqa: PLC0415

    addons.install(cluster)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    with (paths.cache() / "cluster.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another command is starting or stopping the cluster; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
