"""The script of the flights example as a module."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "flights"


@pytest.fixture
def features(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """examples/flights/features.py, which imports its neighbour data.py."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    monkeypatch.delitem(sys.modules, "data", raising=False)
    specification = importlib.util.spec_from_file_location("flights_features", EXAMPLE / "features.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
