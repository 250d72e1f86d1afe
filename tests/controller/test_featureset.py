"""A FeatureSet from nothing to a verdict, and the Models that wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from penstock.api.v1alpha1.base import API_VERSION
from penstock.api.v1alpha1.featuresetstatus import FailedCheck, Verdict
from penstock.controllers.resources import FEATURESETS, MODELREVISIONS
from penstock.domain.data.task import ValidationResult
from penstock.kube.resources import DEPLOYMENTS, JOBS
from tests.controller.world import World, digest, spec_of
from tests.support.jobs import SimulatedJobs

Json = dict[str, Any]

NAME = "flights"
FEATURE = {"name": "distance", "type": "Float64"}
SPEC: Json = {"features": [FEATURE], "source": {"uri": "s3://bucket/a.parquet", "format": "Parquet"}}
PASSED = ValidationResult(verdict=Verdict.PASS, reason="Valid", digest=digest("data"), rows=1000, checked=4, failed=0)
FAILED = ValidationResult(
    verdict=Verdict.FAIL,
    reason="ChecksFailed",
    digest=digest("bad data"),
    rows=1000,
    checked=4,
    failed=1,
    failed_checks=[FailedCheck(check="Range", feature="distance", count=3, keys=["17"])],
)
MODEL = spec_of(features={"featureSetRef": {"name": NAME}})


@pytest.fixture
async def jobs(world: World) -> AsyncIterator[SimulatedJobs]:
    simulated = SimulatedJobs(world.client, world.namespace)
    running = asyncio.create_task(simulated.run())
    yield simulated
    running.cancel()
    await asyncio.wait([running])
    world.cluster.request("DELETE", JOBS.path(world.namespace), propagationPolicy="Background")
    world.cluster.request("DELETE", FEATURESETS.path(world.namespace))


async def create(world: World, **changes: Any) -> None:
    metadata = {"name": NAME, "namespace": world.namespace}
    body = {"apiVersion": API_VERSION, "kind": FEATURESETS.kind, "metadata": metadata, "spec": SPEC | changes}
    await world.client.create(FEATURESETS, body)


async def edit(world: World, **changes: Any) -> None:
    await world.client.patch_merge(FEATURESETS, world.namespace, NAME, {"spec": changes})


async def becomes(world: World, kind: str, status: str, reason: str) -> Json:
    """Wait for a condition of the FeatureSet's present generation; return the whole object."""
    found: Json = {}

    async def said() -> bool:
        nonlocal found
        found = await world.client.get(FEATURESETS, world.namespace, NAME)
        if found["status"]["observedGeneration"] != found["metadata"]["generation"]:
            return False
        conditions = {item["type"]: (item["status"], item["reason"]) for item in found["status"]["conditions"]}
        return conditions.get(kind) == (status, reason)

    await world.until(said, f"the FeatureSet has {kind}={status}/{reason}")
    return found


async def test_good_data_becomes_valid(world: World, jobs: SimulatedJobs) -> None:
    jobs.results[NAME] = PASSED
    world.operator()
    await create(world)
    status = (await becomes(world, "Ready", "True", "Valid"))["status"]
    assert status["current"]["digest"] == digest("data")
    assert status["current"]["summary"].startswith(f"{digest('data')[7:19]}, 1000 rows, ")
    assert status["schemaDigest"].startswith("sha256:")
    assert len(jobs.seen) == 1
    assert await world.quiet() == []


async def test_bad_data_says_which_check_and_which_rows(world: World, jobs: SimulatedJobs) -> None:
    jobs.results[NAME] = FAILED
    world.operator()
    await create(world)
    status = (await becomes(world, "Ready", "False", "ChecksFailed"))["status"]
    assert status["current"]["failedChecks"] == "Range(distance)"
    assert status["failedChecks"] == [{"check": "Range", "feature": "distance", "count": 3, "keys": ["17"]}]


async def test_a_job_without_an_answer_proves_nothing(world: World, jobs: SimulatedJobs) -> None:
    jobs.results[NAME] = {"exitCode": 137, "reason": "OOMKilled"}
    world.operator()
    await create(world)
    status = (await becomes(world, "Valid", "Unknown", "OutOfMemory"))["status"]
    assert "current" not in status


async def test_an_edit_is_validated_anew_and_the_old_job_goes(world: World, jobs: SimulatedJobs) -> None:
    world.operator()
    await create(world)
    await becomes(world, "Valid", "Unknown", "Validating")

    async def met() -> bool:
        return len(jobs.seen) == 1

    await world.until(met, "the first Job was met")
    jobs.results[NAME] = PASSED
    await edit(world, features=[FEATURE | {"maximum": "9"}])
    await becomes(world, "Ready", "True", "Valid")
    assert len(jobs.seen) == 2

    async def one_is_left() -> bool:
        return len(await world.names(JOBS)) == 1

    await world.until(one_is_left, "the outdated Job is gone")


async def test_a_killed_operator_starts_no_second_job(world: World, jobs: SimulatedJobs) -> None:
    first = world.operator(dies_after=lambda resource, _: resource is JOBS)
    await create(world)

    async def started() -> bool:
        return bool(await world.names(JOBS))

    await world.until(started, "the Job exists")
    await first.stop()
    await world.free_lease()
    jobs.results[NAME] = PASSED
    world.operator()
    await becomes(world, "Ready", "True", "Valid")
    assert len(jobs.seen) == 1


async def test_a_model_waits_for_good_data_and_goes_on_by_itself(world: World, jobs: SimulatedJobs) -> None:
    jobs.results[NAME] = FAILED
    world.operator()
    await create(world)
    await becomes(world, "Ready", "False", "ChecksFailed")
    await world.deploy(MODEL)
    await world.reaches("Pending")
    await world.waits_for("Range(distance)")
    assert await world.names(DEPLOYMENTS) == set()

    jobs.results[NAME] = PASSED
    world.later += timedelta(seconds=31)  # the data is looked at again by itself
    for operator in world.operators:
        operator.wake((world.namespace, NAME))
    await becomes(world, "Ready", "True", "Valid")

    async def serves() -> bool:
        return "stable" in await world.status() and "candidate" not in await world.status()

    await world.until(serves, "the Model serves")
    snapshot = (await world.client.list(MODELREVISIONS, world.namespace))[0][0]["spec"]["features"]
    assert snapshot["featureSet"] == NAME
    assert [(item["name"], item["type"]) for item in snapshot["features"]] == [("distance", "Float64")]


async def test_a_model_waits_for_its_feature_set_to_exist(world: World, jobs: SimulatedJobs) -> None:
    jobs.results[NAME] = PASSED
    world.operator()
    await world.deploy(MODEL)
    await world.says("Ready", "False", "FeatureSetMissing")
    assert await world.records() == []
    await create(world)

    async def serves() -> bool:
        return "stable" in await world.status() and "candidate" not in await world.status()

    await world.until(serves, "the Model serves")
    await world.log_is_sound()


async def test_an_edit_of_the_features_makes_no_revision_but_says_so(world: World, jobs: SimulatedJobs) -> None:
    jobs.results[NAME] = PASSED
    world.operator()
    await create(world)
    await world.deploy(MODEL)
    await world.says("FeaturesChanged", "False", "FeaturesCurrent")
    before = await world.verdicts()
    stable = (await world.status())["stable"]["revision"]

    await edit(world, features=[FEATURE, {"name": "carrier", "type": "String", "categories": ["AA"]}])
    await world.says("FeaturesChanged", "True", "FeaturesChanged")
    assert await world.verdicts() == before
    assert (await world.status())["stable"]["revision"] == stable

    # The next edit of the spec takes the new schema.
    await world.edit(artifact={"digest": digest("trained anew")})
    await world.says("FeaturesChanged", "False", "FeaturesCurrent")
    snapshots = (await world.client.list(MODELREVISIONS, world.namespace))[0]
    assert {len(item["spec"]["features"]["features"]) for item in snapshots} == {1, 2}


async def test_bad_data_does_not_touch_what_serves(world: World, jobs: SimulatedJobs) -> None:
    jobs.results[NAME] = PASSED
    world.operator()
    await create(world)
    await world.deploy(MODEL)
    await world.says("FeaturesChanged", "False", "FeaturesCurrent")
    jobs.results[NAME] = FAILED
    await edit(world, entityKey=["id"])
    await becomes(world, "Ready", "False", "ChecksFailed")
    await world.still()
    assert (await world.condition("Ready"))["status"] == "True"

    await world.edit(artifact={"digest": digest("next")})
    await world.reaches("Pending")
    assert (await world.condition("Ready"))["status"] == "True"
