"""How much memory the Job's container has."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUP_FILES = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory_limit(files: tuple[Path, ...] = _CGROUP_FILES) -> int:
    """Bytes that the container may use: its limit, or the machine's memory where there is none."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in files:
        try:
            text = file.read_text().strip()
        except OSError:
            continue
        if text.isdecimal():
            return min(int(text), machine)
    return machine
