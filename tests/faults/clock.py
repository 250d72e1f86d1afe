"""A wall clock that is wrong, in the process of the operator; steady clocks are as they are."""

from __future__ import annotations

import sys
import time
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Self

from penstock.controllers.model import controller


def install(offset: Path) -> None:
    """Have every module of the operator ask a clock that is wrong by the seconds that the file holds, if it exists."""

    class Wrong(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls.fromtimestamp(time.time() + _read(offset), tz)

    for name, module in list(sys.modules.items()):
        if name.split(".")[0] == "penstock" and getattr(module, "datetime", None) is datetime:
            vars(module)["datetime"] = Wrong
    if vars(controller).get("datetime") is not Wrong:
        raise RuntimeError("The operator has its time from elsewhere than it had: change tests/faults/clock.py.")


def _read(offset: Path) -> float:
    return float(offset.read_text()) if offset.exists() else 0.0
