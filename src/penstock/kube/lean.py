"""Leaves out of the process what the official client loads and nothing here uses: its blocking half, 9 MB."""

from __future__ import annotations

import importlib.util
import sys

_PACKAGE = "kubernetes"


def without_blocking_client() -> None:
    """Make `kubernetes.aio` importable without the rest of its package. Call it before anything imports either.

    The package imports its blocking client at once, and kopf does too where it can, only to recognise its objects.
    """
    if _PACKAGE in sys.modules:
        return
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None:
        return
    sys.modules[_PACKAGE] = importlib.util.module_from_spec(spec)  # its folder, its __init__ not run
    sys.modules[f"{_PACKAGE}.client"] = None  # type: ignore[assignment]  # an import of it raises ImportError
