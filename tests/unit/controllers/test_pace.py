"""What of a status is written at once and what may wait."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.controllers.model.pace import PROGRESS_SECONDS, Pace

KEY = ("team", "flight")
STATUS: dict[str, Any] = {
    "sequence": 1,
    "replicas": 1,
    "candidate": {"revision": "a", "stage": "Starting", "readyReplicas": 0, "waitingFor": "0 of 1 pods are ready."},
    "conditions": [{"type": "Ready", "status": "Unknown", "reason": "Progressing", "message": "0 of 1"}],
}


@pytest.mark.parametrize(
    "change",
    [
        {"replicas": 2},
        {"candidate": STATUS["candidate"] | {"readyReplicas": 1, "waitingFor": "The smoke prediction."}},
        {"conditions": [STATUS["conditions"][0] | {"message": "1 of 1"}]},
    ],
)
def test_progress_waits_and_then_is_written(change: dict[str, Any]) -> None:
    pace = Pace()
    assert pace.hold(KEY, STATUS, STATUS | change, now=100.0) == PROGRESS_SECONDS
    assert pace.hold(KEY, STATUS, STATUS | change, now=100.5) == PROGRESS_SECONDS - 0.5
    assert pace.hold(KEY, STATUS, STATUS | change, now=100.0 + PROGRESS_SECONDS) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"sequence": 2},
        {"candidate": STATUS["candidate"] | {"stage": "Promoting"}},
        {"stable": {"revision": "a"}},
        {"conditions": [STATUS["conditions"][0] | {"status": "False"}]},
        {"conditions": [STATUS["conditions"][0] | {"reason": "ImagePull"}]},
        {"conditions": []},
    ],
)
def test_what_matters_is_written_at_once(change: dict[str, Any]) -> None:
    assert Pace().hold(KEY, STATUS, STATUS | change, now=100.0) == 0


def test_a_first_status_is_written_at_once() -> None:
    assert Pace().hold(KEY, {}, STATUS, now=100.0) == 0


def test_waiting_begins_anew_after_a_write() -> None:
    pace = Pace()
    pace.hold(KEY, STATUS, STATUS | {"replicas": 2}, now=100.0)
    pace.settle(KEY)
    assert pace.hold(KEY, STATUS, STATUS | {"replicas": 3}, now=101.9) == PROGRESS_SECONDS
