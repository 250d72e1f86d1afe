"""Reads versions.toml."""

import functools
import tomllib
from typing import Any

from hack.cluster import paths


@functools.cache
def load() -> dict[str, Any]:
    """The whole of versions.toml: one table per part."""
    return tomllib.loads((paths.HERE / "versions.toml").read_text())


def version(part: str) -> str:
    """The version of one part, as its table in versions.toml writes it."""
    return str(load()[part]["version"])


def number(text: str) -> tuple[int, ...]:
    """The numeric part of a version: "go1.26.8" and "v1.26.8" both give (1, 26, 8)."""
    plain = text.strip().removeprefix("go").removeprefix("v")
    digits: list[int] = []
    for piece in plain.split("."):
        leading = piece[: len(piece) - len(piece.lstrip("0123456789"))]
        if not leading:
            break
        digits.append(int(leading))
        if leading != piece:
            break
    return tuple(digits)
