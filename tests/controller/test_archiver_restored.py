"""The archiver after a restore of etcd: it tells how far the log had come, and goes on when that is in the log."""

from __future__ import annotations

from datetime import timedelta

from penstock.archiver.run import RECORDS
from tests.controller.archive_site import Site, own
from tests.controller.archiver_given import key, log_of_a_gone_model, registry, server, site
from tests.unit.domain.audit_given import resealed, set_back

__all__ = ["key", "registry", "server", "site"]


async def forget(site: Site, after: int) -> None:
    """Take records out as a restored etcd lacks them; nobody but the archiver's account could."""
    for number in (await site.numbers())[after:]:
        await site.archiver.delete(RECORDS, site.namespace, f"flight-{site.uid[:8]}-{number:010d}")


async def test_a_log_that_was_set_back_is_told_with_its_quarantines_and_goes_on(site: Site) -> None:
    site.uid = await site.model()
    records = own(log_of_a_gone_model(quarantined=True), site.uid)
    await site.create(records)
    await site.run()
    exported = await site.said()
    assert exported is not None
    outside = records[exported["sequence"] - 1]
    idle = [spec["sequence"] for spec in records if spec["result"].get("candidate") is None]
    found = max(number for number in idle if number < outside["sequence"] - 1)
    quarantined = [item for item in outside["result"]["rejected"] if item["quarantined"]]
    await forget(site, found)

    behind = await site.run()
    assert list(behind.problems.values()) == [
        f"the store holds record {outside['sequence']}, and the cluster's log ends at {found}"
    ]
    said = await site.said()
    assert said is not None
    assert (said["sequence"], said["hash"]) == (outside["sequence"], outside["hash"])
    assert quarantined
    assert {item["revision"] for item in said["quarantines"]} == {item["revision"] for item in quarantined}

    restored = set_back(records[:found], outside)
    await site.create([{**restored}])
    assert restored["sequence"] == outside["sequence"] + 1
    for _ in range(3):
        assert (await site.run()).problems == {}
    assert await site.said() == {"sequence": restored["sequence"], "hash": restored["hash"], "quarantines": []}
    code, out = await site.verify()
    assert code == 0, out
    assert f"records 1 to {restored['sequence']} are one chain" in out


async def test_numbers_that_were_used_twice_stay_here_and_the_rest_gets_out(site: Site) -> None:
    site.uid = await site.model()
    records = own(log_of_a_gone_model(), site.uid)
    await site.create(records)
    await site.run()
    exported = await site.said()
    assert exported is not None
    outside, found = records[exported["sequence"] - 1], 4
    await forget(site, found)
    again = resealed({**records[found], "actor": "somebody"})
    await site.create([again, set_back([*records[:found], again], outside)])

    assert (await site.run()).exported >= 1
    site.later = timedelta(days=400)
    kept = await site.numbers()
    for _ in range(3):
        await site.run()
    assert found + 1 in await site.numbers()
    assert kept[-1] == outside["sequence"] + 1
    code, out = await site.verify()
    assert code == 1
    assert f"record {found + 1} is not the one that was exported under that number" in out


async def test_what_is_said_about_logs_that_are_gone_is_taken_back(site: Site) -> None:
    site.uid = await site.model()
    await site.create(own(log_of_a_gone_model(), site.uid))
    await site.run()
    assert await site.said() is not None
    await forget(site, 0)
    await site.run()
    assert await site.said() is None
