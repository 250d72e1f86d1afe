"""What a server keeps of the requests of a shadow, and how its reader gets it."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.domain.shadow.marking import HEADER, chance_of, is_chosen, row_of
from penstock.runtime.ring import CAPACITY, COVERED_SECONDS, PAGE_ENTRIES, Ring, marked_for, merged_pages
from tests.unit.runtime import models
from tests.unit.runtime.server import REVISION, Server, running
from tests.unit.runtime.test_workers import ROW, total, wait_for_all

OTHER = "ba9876543210"
SCORES = {"score": np.array([0.25, 0.75])}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def note(ring: Ring, identifier: str, outputs: dict[str, Any] | None = SCORES, status: int = 200) -> None:
    ring.note(identifier.encode(), is_shadow=False, status=status, seconds=0.001, outputs=outputs)


def identifiers(count: int) -> list[str]:
    random = np.random.default_rng(count)
    return [str(uuid.UUID(bytes=random.bytes(16), version=4)) for _ in range(count)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 900), min_size=1, max_size=12))
def test_a_reader_gets_every_entry_once_or_is_told(steps: list[int]) -> None:
    """Between two looks so many come, at any pace below what would overflow; a full page is continued."""
    clock = Clock()
    ring = Ring("flight-delay", REVISION, clock)
    cursor, got, lost, sent = "", [], 0, []
    for step in steps:
        for _ in range(step):
            clock.now += 1.0  # slow enough for level 0
            sent.append(str(len(sent)))
            note(ring, sent[-1])
        more = True
        while more:
            page = ring.document(cursor)
            cursor = page["cursor"]
            (found,) = page["rings"]
            assert len(found["entries"]) <= PAGE_ENTRIES
            got += [entry["id"] for entry in found["entries"]]
            lost += found["lost"]
            more = found["more"]
    assert (got, lost) == (sent, 0)


def test_what_is_gone_before_it_was_read_is_said() -> None:
    clock = Clock()
    ring = Ring("flight-delay", REVISION, clock)
    note(ring, "first")
    cursor = ring.document("")["cursor"]
    for name in range(CAPACITY + 7):
        clock.now += 1.0
        note(ring, str(name))
    (found,) = ring.document(cursor)["rings"]
    assert (found["lost"], found["entries"][0]["id"]) == (7, "7")
    assert found["entries"][0]["age"] == CAPACITY - 1
    (found,) = ring.document("")["rings"]
    assert found["lost"] == 8
    for strange in ("nonsense", "a.b.c", f"{found['instance']}.x", "other.5"):
        assert ring.document(strange)["rings"][0]["lost"] == 8


@pytest.mark.parametrize("per_second", [1, 100, 2000, 20_000])
def test_a_ring_covers_half_a_minute_at_any_rate(per_second: int) -> None:
    clock = Clock()
    ring = Ring("flight-delay", REVISION, clock)
    kept_ids = identifiers(5000)
    for index in range(min(per_second * 60, 400_000)):
        clock.now += 1 / per_second
        note(ring, kept_ids[index % len(kept_ids)])
    page = ring.document("")
    (found,) = page["rings"]
    oldest = found["entries"][0]["age"]
    # Before it settled a quarter of the ring at the worst was of the level before.
    assert found["lost"] == 0 or oldest >= COVERED_SECONDS / 2
    assert (found["level"] == 0) == (per_second <= 100)
    assert all(is_chosen(chance_of(entry["id"].encode()), 0) for entry in found["entries"])


def test_when_traffic_calms_down_more_is_kept_again() -> None:
    clock = Clock()
    ring = Ring("flight-delay", REVISION, clock)
    for name in identifiers(30_000):
        clock.now += 1 / 3000
        note(ring, name)
    busy = ring.document("")["rings"][0]["level"]
    assert busy > 0
    for name in identifiers(60_000):
        clock.now += 1.0
        note(ring, name)
    assert ring.document("")["rings"][0]["level"] == 0


def test_one_row_is_kept_of_every_output() -> None:
    ring = Ring("flight-delay", REVISION)
    rows = 50
    outputs = {
        "label": np.arange(rows),
        "probabilities": np.arange(rows * 2, dtype=np.float32).reshape(rows, 2),
        "name": np.array([f"row {index}" for index in range(rows)], dtype=object),
        "classes": np.eye(rows, 20, dtype=np.float64),
        "long": np.array([["x" * 1000 + str(index)] for index in range(rows)], dtype=object),
        "empty": np.zeros((0, 3)),
        "many": np.array([[f"{index}"] * 9 for index in range(rows)], dtype=object),
    }
    note(ring, "some id", outputs)
    index = row_of(chance_of(b"some id"), rows)
    assert 0 <= index < rows
    (entry,) = ring.document("")["rings"][0]["entries"]
    found = entry["outputs"]
    assert (entry["rows"], entry["role"], entry["status"]) == (rows, "primary", 200)
    assert found["label"] == [index]
    assert found["probabilities"] == [2.0 * index, 2.0 * index + 1]
    assert found["name"] == [f"row {index}"]
    assert (found["classes"]["size"], len(found["classes"]["values"])) == (20, 8)
    assert found["classes"]["top"] == (index if index < 20 else 0)
    assert len(found["long"][0]) < 200
    assert "empty" not in found
    other = Ring("flight-delay", REVISION)
    note(other, "some id", {**outputs, "many": np.full((rows, 9), "z", dtype=object)})
    again = other.document("")["rings"][0]["entries"][0]["outputs"]
    assert again["classes"] == found["classes"]
    assert again["long"] == found["long"]
    assert again["many"]["digest"] != found["many"]["digest"]
    assert ring.page("after=")[0] == "application/json"


def test_a_row_does_not_keep_its_batch_alive() -> None:
    ring = Ring("flight-delay", REVISION)
    batch = np.zeros((64, 2))
    note(ring, "a", {"p": batch[3:4]})
    assert np.shares_memory(batch, batch[3:4])
    kept = ring._entries[0].outputs["p"]
    assert not np.shares_memory(batch, kept)


def test_a_refused_request_has_no_outputs() -> None:
    ring = Ring("flight-delay", REVISION)
    note(ring, "a", None, 503)
    (entry,) = ring.document("")["rings"][0]["entries"]
    assert (entry["status"], entry["rows"], entry["outputs"]) == (503, 0, {})


@pytest.mark.parametrize(
    ("headers", "revision"),
    [
        ([], None),
        ([(b"x-request-id", b"1")], None),
        ([(b"host", b"a"), (HEADER.encode(), OTHER.encode())], OTHER.encode()),
    ],
)
def test_the_mark_of_the_route(headers: list[tuple[bytes, bytes]], revision: bytes | None) -> None:
    assert marked_for(headers) == revision


@given(st.integers(0, 2**32 - 1), st.integers(1, 10_000))
def test_the_chosen_row_is_one_of_them(chance: int, rows: int) -> None:
    assert 0 <= row_of(chance, rows) < rows


def test_pages_of_several_processes() -> None:
    rings = [Ring("flight-delay", REVISION) for _ in range(2)]
    note(rings[0], "a")
    merged = merged_pages([ring.document("") for ring in rings])
    assert [len(found["entries"]) for found in merged["rings"]] == [1, 0]
    note(rings[1], "b")
    merged = merged_pages([ring.document(merged["cursor"]) for ring in rings])
    assert [[entry["id"] for entry in found["entries"]] for found in merged["rings"]] == [[], ["b"]]


def ring_of(server: Server, after: str = "") -> dict[str, Any]:
    answer = httpx.get(server.metrics_url.replace("/metrics", "/ring"), params={"after": after}, timeout=30)
    assert answer.status_code == 200
    document: dict[str, Any] = answer.json()
    return document


def test_a_server_keeps_copied_requests_and_counts_copies_apart(tmp_path: Path) -> None:
    with running(models.save_skops(tmp_path, models.logistic()), "Skops") as server:
        path = "/v2/models/flight-delay/infer"
        asked = []
        for mark, body in (
            (None, {"inputs": ROW}),  # nobody copies
            (OTHER, {"inputs": ROW}),  # the original, here
            (REVISION, {"inputs": ROW}),  # the copy, here
            (REVISION, {"inputs": []}),
        ):
            name = str(uuid.uuid4())
            headers = {"x-request-id": name} | ({HEADER: mark} if mark else {})
            answer = server.client.post(path, json=body, headers=headers)
            assert answer.headers["x-request-id"] == name
            asked.append((name, answer.status_code))
        page = ring_of(server)
        (found,) = page["rings"]
        assert [(entry["id"], entry["role"], entry["status"]) for entry in found["entries"]] == [
            (asked[1][0], "primary", 200),
            (asked[2][0], "shadow", 200),
            (asked[3][0], "shadow", 400),
        ]
        assert (found["model"], found["revision"], found["leaving"]) == ("flight-delay", REVISION, False)
        assert ring_of(server, page["cursor"])["rings"][0]["entries"] == []
        labels = f'penstock_inference_requests_total{{code="%s",model="flight-delay",revision="{REVISION}",role="%s"}}'
        for code, role, count in (("200", "primary", 2), ("200", "shadow", 1), ("400", "shadow", 1)):
            assert total(server, labels % (code, role)) == count
        assert total(server, "penstock_inference_duration_seconds_count{") == 4
        for role in ("primary", "shadow"):
            named = f'penstock_inference_duration_seconds_count{{model="flight-delay",revision="{REVISION}"'
            assert total(server, f'{named},role="{role}"}}') == 2


def test_a_server_that_leaves_says_so_on_its_ring(tmp_path: Path) -> None:
    folder = models.save_skops(tmp_path, models.logistic())
    with running(folder, "Skops", PENSTOCK_DRAIN_SECONDS="30") as server:
        assert ring_of(server)["rings"][0]["leaving"] is False
        server.terminate()
        while server.client.get("/v2/health/ready").status_code != 503:
            pass
        assert ring_of(server)["rings"][0]["leaving"] is True


def test_workers_have_rings_of_their_own_under_one_cursor(tmp_path: Path) -> None:
    with running(models.save_skops(tmp_path, models.logistic()), "Skops", PENSTOCK_WORKERS="2") as server:
        wait_for_all(server)
        cursor, got, sent = "", [], []
        for _ in range(3):
            for _ in range(10):  # a connection of its own each: any worker may take it
                sent.append(str(uuid.uuid4()))
                headers = {"x-request-id": sent[-1], HEADER: OTHER}
                url = f"{server.client.base_url}/v2/models/flight-delay/infer"
                assert httpx.post(url, json={"inputs": ROW}, headers=headers).status_code == 200
            page = ring_of(server, cursor)
            cursor = page["cursor"]
            assert len(page["rings"]) == 2
            got += [entry["id"] for ring in page["rings"] for entry in ring["entries"]]
        assert sorted(got) == sorted(sent)
