"""The comparator as a process between two model servers: what it counts is exactly what was asked."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from penstock.domain.shadow.marking import chance_of, row_of
from tests.unit.jobs.comparing import CANDIDATE, ask, ask_both, comparing, marked, numbers, rings
from tests.unit.runtime import models
from tests.unit.runtime.server import DEADLINE_SECONDS, Server, free_port, running

VALUES, LABELS = models.numbers()


def champion_model() -> Any:
    return LogisticRegression().fit(VALUES, LABELS)


def candidate_model() -> Any:
    """Not quite the same: it has seen some other labels."""
    return LogisticRegression().fit(VALUES, np.where(VALUES[:, 2] > 0.8, 1 - LABELS, LABELS))


def folder_of(path: Path, name: str, model: Any) -> Path:
    folder = path / name
    folder.mkdir()
    return models.save_skops(folder, model)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server]]:
    """A champion, and a candidate that sometimes decides otherwise."""
    path = tmp_path_factory.mktemp("pair")
    with (
        running(folder_of(path, "champion", champion_model()), "Skops") as champion,
        running(folder_of(path, "candidate", candidate_model()), "Skops", PENSTOCK_REVISION=CANDIDATE) as candidate,
    ):
        yield champion, candidate


def test_counts_are_exact(pair: tuple[Server, Server], tmp_path: Path) -> None:
    champion, candidate = pair
    decides = [model.predict_proba(VALUES)[:, 1] >= 0.5 for model in (champion_model(), candidate_model())]
    differing = int((decides[0] != decides[1]).sum())
    assert 0 < differing < len(VALUES) / 3
    with comparing(tmp_path, rings(champion), rings(candidate)) as comparator:
        comparator.wait_for_pods(1, 1)
        for row in VALUES:
            assert ask_both(champion, candidate, numbers([row])) == (200, 200)
        tally = comparator.wait(lambda seen: seen.pairs >= len(VALUES))
        assert (tally.pairs, tally.disagreements) == (len(VALUES), differing)
        assert (tally.unpaired, tally.unobserved, tally.orphans, tally.lost) == (0, 0, 0, 0)
        document = comparator.document()
        for cells in ("championCells", "candidateCells"):
            assert sum(document["counts"][cells].values()) == len(VALUES)


def test_of_a_long_request_the_same_row_is_looked_at_on_both_sides(pair: tuple[Server, Server], tmp_path: Path) -> None:
    champion, candidate = pair
    decides = [model.predict_proba(VALUES)[:, 1] >= 0.5 for model in (champion_model(), candidate_model())]
    with comparing(tmp_path, rings(champion), rings(candidate)) as comparator:
        comparator.wait_for_pods(1, 1)
        differing = 0
        for _ in range(40):
            headers = marked()
            assert ask(champion, numbers(VALUES), headers) == ask(candidate, numbers(VALUES), headers) == 200
            row = row_of(chance_of(headers["x-request-id"].encode()), len(VALUES))
            differing += int(decides[0][row] != decides[1][row])
        tally = comparator.wait(lambda seen: seen.pairs >= 40)
        assert (tally.pairs, tally.disagreements) == (40, differing)


def test_what_is_not_copied_is_not_looked_at(pair: tuple[Server, Server], tmp_path: Path) -> None:
    """Gates, smoke predictions, previews and clients inside the cluster ask the same pods, without a mark."""
    champion, candidate = pair
    with comparing(tmp_path, rings(champion), rings(candidate)) as comparator:
        comparator.wait_for_pods(1, 1)
        for row in VALUES[:20]:
            for server in pair:
                assert server.infer(numbers([row])).status_code == 200
        assert ask_both(champion, candidate, numbers(VALUES[:1])) == (200, 200)
        tally = comparator.wait(lambda seen: seen.pairs > 0)
        assert (tally.pairs, tally.unpaired, tally.unobserved, tally.orphans) == (1, 0, 0, 0)


def test_an_answer_that_never_comes_counts_against_the_candidate(pair: tuple[Server, Server], tmp_path: Path) -> None:
    champion, candidate = pair
    with comparing(tmp_path, rings(champion), rings(candidate)) as comparator:
        comparator.wait_for_pods(1, 1)
        # Copies may not be made yet: before the first pair nothing is held against anybody.
        for row in VALUES[:3]:
            assert ask(champion, numbers([row]), marked()) == 200
        assert ask_both(champion, candidate, numbers(VALUES[:1])) == (200, 200)
        for row in VALUES[:7]:
            assert ask(champion, numbers([row]), marked()) == 200
        for row in VALUES[:5]:  # the champion was too busy: nothing to hold a copy against
            assert ask(candidate, numbers([row]), marked()) == 200
        tally = comparator.wait(lambda seen: seen.orphans == 5)
        assert (tally.pairs, tally.unpaired, tally.unobserved) == (1, 7, 3)


def test_a_candidate_that_fails_where_its_champion_answers(tmp_path: Path) -> None:
    paths = {}
    for name, strict in (("champion", False), ("candidate", True)):
        paths[name] = tmp_path / name
        paths[name].mkdir()
        models.save_skops(paths[name], models.flight_pipeline(strict=strict), models.FLIGHT_INPUTS)
    with (
        running(paths["champion"], "Skops") as champion,
        running(paths["candidate"], "Skops", PENSTOCK_REVISION=CANDIDATE) as candidate,
        comparing(tmp_path, rings(champion), rings(candidate)) as comparator,
    ):
        comparator.wait_for_pods(1, 1)

        def flight(carrier: str, datatype: str = "FP64") -> list[dict[str, Any]]:
            return [
                {"name": "carrier", "datatype": "BYTES", "shape": [1, 1], "data": [carrier]},
                {"name": "distance", "datatype": datatype, "shape": [1, 1], "data": [500]},
                {"name": "hour", "datatype": "INT64", "shape": [1, 1], "data": [9]},
            ]

        for carrier in ("AA", "BB", "CC"):
            assert ask_both(champion, candidate, flight(carrier)) == (200, 200)
        for _ in range(4):
            assert ask_both(champion, candidate, flight("unheard of")) == (200, 500)
        assert ask_both(champion, candidate, flight("AA", "nonsense")) == (400, 400)
        tally = comparator.wait(lambda seen: seen.champion_errors == 1)
        assert (tally.pairs, tally.candidate_errors, tally.disagreements, tally.unpaired) == (3, 4, 0, 0)


def test_what_nobody_could_see_is_held_against_nobody(tmp_path: Path) -> None:
    """A candidate that is started again forgets; and while it is away nothing of it can be seen."""
    ports = {"PENSTOCK_PORT": str(free_port()), "PENSTOCK_METRICS_PORT": str(free_port())}
    of_champion = folder_of(tmp_path, "champion", champion_model())
    of_candidate = folder_of(tmp_path, "candidate", champion_model())
    with (
        running(of_champion, "Skops") as champion,
        comparing(tmp_path, rings(champion), f"127.0.0.1:{ports['PENSTOCK_METRICS_PORT']}") as comparator,
    ):
        with running(of_candidate, "Skops", PENSTOCK_REVISION=CANDIDATE, **ports) as candidate:
            comparator.wait_for_pods(1, 1)
            for row in VALUES[:10]:
                assert ask_both(champion, candidate, numbers([row])) == (200, 200)
            comparator.wait(lambda seen: seen.pairs == 10)
        for row in VALUES[:10]:
            assert ask(champion, numbers([row]), marked()) == 200
        comparator.wait_for_pods(1, 0)
        with running(of_candidate, "Skops", PENSTOCK_REVISION=CANDIDATE, **ports) as candidate:
            comparator.wait_for_pods(1, 1)
            for row in VALUES[:10]:
                assert ask_both(champion, candidate, numbers([row])) == (200, 200)
            tally = comparator.wait(lambda seen: seen.pairs == 20)
    assert (tally.pairs, tally.disagreements, tally.unpaired, tally.unobserved) == (20, 0, 0, 10)


def test_a_comparator_that_is_started_again_counts_nothing_twice(pair: tuple[Server, Server], tmp_path: Path) -> None:
    champion, candidate = pair
    instances = set()
    for _ in range(2):
        with comparing(tmp_path, rings(champion), rings(candidate), PENSTOCK_WINDOW_SECONDS="1") as comparator:
            comparator.wait_for_pods(1, 1)
            for row in VALUES[:5]:
                assert ask_both(champion, candidate, numbers([row])) == (200, 200)
            comparator.wait(lambda seen: seen.pairs >= 5)
            instances.add(comparator.document()["instance"])
            comparator.process.send_signal(signal.SIGTERM)
            # No success: the Job controller has to start another.
            assert comparator.process.wait(DEADLINE_SECONDS) == 143
    assert len(instances) == 2


@pytest.mark.parametrize("wrong", [{"PENSTOCK_RULE": "{}"}, {"PENSTOCK_CANDIDATE_RINGS": ""}])
def test_settings_that_make_no_sense_are_refused(tmp_path: Path, wrong: dict[str, str]) -> None:
    with (
        pytest.raises(AssertionError, match=r"PENSTOCK_CANDIDATE_RINGS is missing|not a rule for answers"),
        comparing(tmp_path, "127.0.0.1:1", "127.0.0.1:2", **wrong),
    ):
        pass
