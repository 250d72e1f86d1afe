"""Where the Job's container finds what it was given."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """Paths in the container, for how long an unreachable source is tried again, and when to give up."""

    task: Path
    credentials: Path
    store_credentials: Path
    pvc: Path
    scratch: Path
    retry_seconds: float = 60.0
    deadline_seconds: float = 1800.0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the variables PENSTOCK_*; raises ValueError for a number that is none."""
        return cls(
            task=Path(environment.get("PENSTOCK_TASK", "/etc/penstock/task/task.json")),
            credentials=Path(environment.get("PENSTOCK_CREDENTIALS", "/etc/penstock/credentials")),
            store_credentials=Path(environment.get("PENSTOCK_STORE_CREDENTIALS", "/etc/penstock/store-credentials")),
            pvc=Path(environment.get("PENSTOCK_PVC", "/etc/penstock/pvc")),
            scratch=Path(environment.get("PENSTOCK_SCRATCH", "/scratch")),
            retry_seconds=float(environment.get("PENSTOCK_RETRY_SECONDS", "60")),
            deadline_seconds=float(environment.get("PENSTOCK_DEADLINE_SECONDS", "1800")),
        )
