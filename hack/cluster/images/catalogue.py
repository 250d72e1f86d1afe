"""The images of Penstock itself and of its tests."""

from collections.abc import Callable
from pathlib import Path

from hack.cluster import paths
from hack.cluster.images import busybox, python_context
from hack.cluster.images.recipe import Recipe

_OPERATOR = paths.REPOSITORY / "operator"


def operator() -> Recipe:
    """The operator: /app/main.py on kopf."""
    return python_context.recipe("operator", _OPERATOR / "Dockerfile", entry=_OPERATOR / "main.py")


def runtime() -> Recipe:
    """The model server."""
    return python_context.recipe("runtime", Path(__file__).with_name("runtime.Dockerfile"))


def jobs() -> Recipe:
    """The Jobs that look at data."""
    return python_context.recipe("jobs", Path(__file__).with_name("jobs.Dockerfile"))


RECIPES: dict[str, Callable[[], Recipe]] = {
    "operator": operator,
    "runtime": runtime,
    "jobs": jobs,
    "busybox": busybox.recipe,
}
