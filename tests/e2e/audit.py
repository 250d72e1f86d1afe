"""The API server's audit log: who wrote what, and exactly when."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

Json = dict[str, Any]

OPERATOR = "system:serviceaccount:penstock-system:penstock-operator"
WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


class AuditLog:
    """The log from the moment this object is made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start = path.stat().st_size

    def events(self, namespace: str) -> Iterator[Json]:
        """Yield finished requests about objects of a namespace, oldest first."""
        needle = f'"namespace":"{namespace}"'.encode()
        with self._path.open("rb") as log:
            log.seek(self._start)
            for line in log:
                if needle in line and line.endswith(b"\n"):
                    event = json.loads(line)
                    if event["stage"] == "ResponseComplete" and event["objectRef"].get("namespace") == namespace:
                        yield event

    def operator_writes(self, namespace: str) -> list[str]:
        """What the operator wrote there, leases left out: verb, resource and name."""
        written = []
        for event in self.events(namespace):
            about = event["objectRef"]
            if event["user"]["username"] == OPERATOR and event["verb"] in WRITES and about["resource"] != "leases":
                written.append(
                    f"{event['verb']} {about['resource']}/{about.get('subresource', '')} {about.get('name')}"
                )
        return written


def received(event: Json) -> float:
    """When the request arrived, in seconds since the epoch."""
    return datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp()


def completed(event: Json) -> float:
    """When it was answered."""
    return datetime.fromisoformat(event["stageTimestamp"]).timestamp()


def succeeded(event: Json) -> bool:
    """Whether it changed anything."""
    return 200 <= int(event["responseStatus"]["code"]) < 300
