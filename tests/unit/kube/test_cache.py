import gc
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from penstock.kube.cache import Cache
from penstock.kube.resources import DEPLOYMENTS, SERVICES, Json
from tests.unit.kube.objects import make


def names(objects: Any) -> set[str]:
    return {obj["metadata"]["name"] for obj in objects}


def test_an_older_or_equal_version_is_ignored_and_versions_are_numbers() -> None:
    cache = Cache()
    assert cache.upsert(DEPLOYMENTS, make("a", 99, spec=1))
    assert cache.upsert(DEPLOYMENTS, make("a", 100, spec=2))
    assert not cache.upsert(DEPLOYMENTS, make("a", 99, spec=1))
    assert not cache.upsert(DEPLOYMENTS, make("a", 100, spec=3))
    held = cache.get(DEPLOYMENTS, "ns", "a")
    assert held is not None
    assert held["spec"] == 2


def test_a_change_that_only_the_answer_to_our_own_write_tells_of_is_told() -> None:
    cache = Cache()
    told: list[Json] = []
    cache.on_surprise = lambda _, obj: told.append(obj)
    cache.upsert(DEPLOYMENTS, make("a", 5, spec=1))
    cache.take_answer(DEPLOYMENTS, make("a", 6, spec=1, status={"ready": 1}))
    assert told == []
    # Version 7 was somebody else's; its event comes after the answer to our write of version 8, and is no news then.
    cache.take_answer(DEPLOYMENTS, make("a", 8, spec=2, status={"ready": 2}))
    assert [obj["spec"] for obj in told] == [2]
    assert not cache.upsert(DEPLOYMENTS, make("a", 7, spec=2))
    cache.take_answer(DEPLOYMENTS, make("a", 4, spec=3))
    assert len(told) == 1


def test_versions_that_are_no_numbers_are_taken_as_they_come() -> None:
    cache = Cache()
    assert cache.upsert(DEPLOYMENTS, make("a", "zebra"))
    assert cache.upsert(DEPLOYMENTS, make("a", "ape"))


def test_a_late_event_does_not_bring_back_a_deleted_object_but_a_new_one_may_take_its_name() -> None:
    cache = Cache()
    cache.upsert(DEPLOYMENTS, make("a", 5))
    cache.remove(DEPLOYMENTS, "ns", "a", "uid-a", "9")
    assert not cache.upsert(DEPLOYMENTS, make("a", 7))
    assert cache.get(DEPLOYMENTS, "ns", "a") is None
    assert cache.upsert(DEPLOYMENTS, make("a", 10, uid="second"))


def test_a_late_deletion_of_a_former_object_leaves_the_new_one() -> None:
    cache = Cache()
    cache.upsert(DEPLOYMENTS, make("a", 12, uid="second"))
    assert cache.remove(DEPLOYMENTS, "ns", "a", "first", "9") is None
    assert cache.get(DEPLOYMENTS, "ns", "a") is not None


def test_managed_fields_are_reduced_to_what_our_manager_applied_and_the_given_object_is_untouched() -> None:
    cache = Cache(field_manager="us")
    fields: Json = {"f:spec": {"f:replicas": {}}}
    managed = [
        {"manager": "us", "operation": "Apply", "fieldsV1": fields},
        {"manager": "us", "operation": "Update", "fieldsV1": {"f:spec": {"f:paused": {}}}},
        {"manager": "them", "operation": "Apply", "fieldsV1": {"f:spec": {}}},
    ]
    given = make("a", 1, managed=managed)
    cache.upsert(DEPLOYMENTS, given)
    held = cache.get(DEPLOYMENTS, "ns", "a")
    assert held is not None
    assert "managedFields" not in held["metadata"]
    assert cache.owned_fields(DEPLOYMENTS, "ns", "a") == fields
    assert given["metadata"]["managedFields"] == managed
    cache.upsert(SERVICES, make("a", 1))
    assert cache.owned_fields(SERVICES, "ns", "a") is None


def test_trims_apply_per_kind() -> None:
    def without_status(obj: Json) -> Json:
        obj.pop("status", None)
        return obj

    cache = Cache(trims={DEPLOYMENTS: without_status})
    given = make("a", 1, status={"big": "thing"})
    cache.upsert(DEPLOYMENTS, given)
    cache.upsert(SERVICES, given)
    assert "status" not in cache.list(DEPLOYMENTS)[0]
    assert "status" in cache.list(SERVICES)[0]
    assert "status" in given


def test_owned_by_follows_owners_across_kinds_changes_and_removal() -> None:
    cache = Cache()
    cache.upsert(DEPLOYMENTS, make("a", 1, owner="o1"))
    cache.upsert(SERVICES, make("b", 1, owner="o1"))
    cache.upsert(SERVICES, make("c", 1))
    assert {(resource.kind, obj["metadata"]["name"]) for resource, obj in cache.owned_by("o1")} == {
        ("Deployment", "a"),
        ("Service", "b"),
    }
    cache.upsert(SERVICES, make("b", 2, owner="o2"))
    assert names(obj for _, obj in cache.owned_by("o1")) == {"a"}
    assert names(obj for _, obj in cache.owned_by("o2")) == {"b"}
    cache.remove(DEPLOYMENTS, "ns", "a")
    assert cache.owned_by("o1") == []


@pytest.mark.parametrize("indexes", [(), ("app",)], ids=["scan", "index"])
def test_by_label_with_and_without_an_index(indexes: tuple[str, ...]) -> None:
    cache = Cache(label_indexes=indexes)
    cache.upsert(SERVICES, make("a", 1, labels={"app": "x"}))
    cache.upsert(SERVICES, make("b", 1, labels={"app": "y"}))
    cache.upsert(SERVICES, make("a", 1, namespace="other", labels={"app": "x"}))
    assert names(cache.by_label(SERVICES, "ns", "app", "x")) == {"a"}
    cache.upsert(SERVICES, make("b", 2, labels={"app": "x"}))
    assert names(cache.by_label(SERVICES, "ns", "app", "x")) == {"a", "b"}
    cache.remove(SERVICES, "ns", "a")
    assert names(cache.by_label(SERVICES, "ns", "app", "x")) == {"b"}
    assert cache.by_label(SERVICES, "ns", "app", "y") == []


def test_prune_drops_what_is_gone_or_replaced_but_not_what_is_newer_than_the_list() -> None:
    cache = Cache()
    cache.upsert(SERVICES, make("stays", 10))
    cache.upsert(SERVICES, make("gone", 20))
    cache.upsert(SERVICES, make("replaced", 30, uid="first"))
    cache.upsert(SERVICES, make("created-after-the-list", 51))
    cache.upsert(SERVICES, make("elsewhere", 10, namespace="other"))
    live = {("ns", "stays", "uid-stays"), ("ns", "replaced", "second")}
    assert names(cache.prune(SERVICES, live, "50", namespace="ns")) == {"gone", "replaced"}
    assert names(cache.list(SERVICES)) == {"stays", "created-after-the-list", "elsewhere"}
    assert names(cache.prune(SERVICES, live, "60")) == {"created-after-the-list", "elsewhere"}


class TestReadYourOwnWrites:
    """An answer is taken in as an event is: whichever is newer counts, in whatever order they come."""

    def test_the_event_of_an_own_write_is_no_news(self) -> None:
        cache = Cache()
        assert cache.upsert(SERVICES, make("a", 7, spec=2))
        assert not cache.upsert(SERVICES, make("a", 6, spec=1))
        assert not cache.upsert(SERVICES, make("a", 7, spec=2))
        assert cache.list(SERVICES)[0]["spec"] == 2

    def test_the_watch_may_be_faster_than_the_answer(self) -> None:
        cache = Cache()
        cache.upsert(SERVICES, make("a", 8, spec=3))
        assert not cache.upsert(SERVICES, make("a", 7, spec=2))
        assert cache.list(SERVICES)[0]["spec"] == 3

    def test_an_answer_does_not_bring_back_what_was_deleted_after_the_write(self) -> None:
        cache = Cache()
        cache.remove(SERVICES, "ns", "a", "uid-a", "9")
        assert not cache.upsert(SERVICES, make("a", 7))

    def test_a_late_deletion_of_the_former_object_leaves_the_new_one(self) -> None:
        cache = Cache()
        cache.upsert(SERVICES, make("a", 7))
        assert cache.remove(SERVICES, "ns", "a", "former", "6") is None
        assert names(cache.list(SERVICES)) == {"a"}

    def test_a_list_from_before_the_write_does_not_drop_it(self) -> None:
        cache = Cache()
        cache.upsert(SERVICES, make("a", 7))
        assert cache.prune(SERVICES, set(), "6") == []


def test_objects_that_were_not_used_for_long_are_packed_and_read_as_before() -> None:
    cache = Cache(keep_unpacked=2, label_indexes=("color",))
    given = {name: make(name, number, owner="o", labels={"color": "red"}) for number, name in enumerate("abcde")}
    for obj in given.values():
        cache.upsert(DEPLOYMENTS, obj)
    expected = {name: {**obj, "metadata": {**obj["metadata"]}} for name, obj in given.items()}
    for obj in expected.values():
        del obj["metadata"]["managedFields"]
    assert {name: cache.get(DEPLOYMENTS, "ns", name) for name in given} == expected
    assert [obj for _, obj in cache.owned_by("o")] == list(expected.values())
    assert cache.by_label(DEPLOYMENTS, "ns", "color", "red") == list(expected.values())
    assert cache.list(DEPLOYMENTS) == list(expected.values())
    assert cache.remove(DEPLOYMENTS, "ns", "a", "uid-a", "9") == expected["a"]
    assert cache.prune(DEPLOYMENTS, {("ns", "c", "uid-c")}, "9") == [expected[name] for name in "bde"]
    assert cache.owned_by("o") == [(DEPLOYMENTS, expected["c"])]


def test_what_is_packed_is_as_small_as_its_content() -> None:
    before = _allocated()
    cache = Cache(keep_unpacked=1)
    managed = [{"manager": "penstock", "operation": "Apply", "fieldsV1": {"f:spec": {}}}]
    for number in range(1000):
        cache.upsert(DEPLOYMENTS, make(f"m{number}", number, managed=managed, spec={"text": "x" * 200}))
    assert (_allocated() - before) / 1000 < 3000


def _allocated() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.fixture(autouse=True, scope="module")
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()
