"""`penstock audit verify`, `penstock audit export` and `penstock replay`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from penstock.cli import cluster as clusters
from penstock.cli import files
from penstock.cli.cluster import Cluster, Trouble
from penstock.cli.text import safe
from penstock.domain.audit.again import differences
from penstock.domain.audit.segment import Segment, Verifier, write_lines
from penstock.domain.audit.verify import KnownLog, Verified, verify
from penstock.kube.errors import ApiError

Json = dict[str, Any]


def run_verify(options: argparse.Namespace) -> int:
    """Prove logs; 0 if all are whole, else 1 with a sentence for each break."""

    def judge(log: KnownLog, found: Verified) -> list[str]:
        if not found.problems:
            first, last = found.chain[0]["sequence"], found.chain[-1]["sequence"]
            signed = f", {len(log.segments)} signed segments" if log.segments else ""
            print(f"{_name(log)}: records {first} to {last} are one chain{signed}")
        return found.problems

    return clusters.run(lambda: _each(options, judge))


def run_replay(options: argparse.Namespace) -> int:
    """Take decisions again; 0 if all come out as recorded, else 1 with a sentence for each that does not."""

    def judge(log: KnownLog, found: Verified) -> list[str]:
        if found.problems:
            return [*found.problems, "the log is not whole, so that its decisions were not taken again"]
        wrong = [f"record {item.sequence}: {item.sentence}" for item in differences(found.chain)]
        if not wrong:
            start = "" if found.chain[0]["sequence"] == 1 else ", the first of which is the starting point"
            print(f"{_name(log)}: {len(found.chain)} decisions come out as they were recorded{start}")
        return wrong

    return clusters.run(lambda: _each(options, judge))


def run_export(options: argparse.Namespace) -> int:
    """Write records for an auditor."""

    async def work() -> int:
        async with clusters.connect(options) as cluster:
            records = await cluster.records(options.model)
            if options.model and not records:
                raise Trouble(f"There are no decisions about a Model {options.model} in {cluster.namespace}.")
        content = write_lines(records)
        if options.out:
            options.out.write_bytes(content)
        else:
            sys.stdout.buffer.write(content)
            sys.stdout.flush()
        return 0

    return clusters.run(lambda: guarded(work))


async def _each(options: argparse.Namespace, judge: Callable[[KnownLog, Verified], list[str]]) -> int:
    """Prove each log that the options name, and judge it; 1 if anything is wrong."""

    async def work() -> int:
        signed_by = _verifier(options.key)
        if options.files:
            logs = _from_files(options.files)
        else:
            logs = _from_store(options) if options.uid else await _from_cluster(options)
        wrong = 0
        for log in logs:
            known = _with_segments(log, options)
            found = verify(known, signed_by, whole=not options.partial)
            if not found.chain and not found.problems:
                print(f"{_name(log)}: nothing was decided yet")
                continue
            for problem in judge(known, found):
                print(safe(f"{_name(log)}: {problem}"))
                wrong += 1
        return 1 if wrong else 0

    return await guarded(work)


async def guarded(work: Callable[[], Awaitable[int]]) -> int:
    """Run a command; what keeps it from going on is told in one sentence, with exit status 1."""
    try:
        return await work()
    except Trouble as trouble:
        message = str(trouble)
    except ApiError as error:
        message = error.message
    except OSError as error:
        message = f"{error.filename}: {error.strerror}." if error.filename else str(error)
    print(f"penstock: {safe(message)}", file=sys.stderr)
    return 1


def _from_files(paths: Sequence[Path]) -> list[KnownLog]:
    return [KnownLog(*key, records=objects) for key, objects in files.read(paths).items()]


def _from_store(options: argparse.Namespace) -> list[KnownLog]:
    """Return the log of one uid, of which nothing is known yet. Raises Trouble if it is not said where that is."""
    if not (options.store and options.namespace and options.model):
        raise Trouble("--uid needs --store, --namespace and --model too.")
    return [KnownLog(options.namespace, options.model, options.uid)]


async def _from_cluster(options: argparse.Namespace) -> list[KnownLog]:
    """Return the logs of the namespace, those of deleted Models too."""
    async with clusters.connect(options) as cluster:
        # What the Models show comes first: records that are written meanwhile are more, never fewer.
        live = await _live(cluster, options.model)
        records = await cluster.records(options.model)
    by_uid: dict[str, list[Json]] = {uid: [] for uid in live}
    for obj in records:
        by_uid.setdefault(obj["spec"]["modelUID"], []).append(obj)
    found = []
    for uid, objects in by_uid.items():
        model = live.get(uid)
        name = model["metadata"]["name"] if model else objects[0]["spec"]["modelName"]
        status = model.get("status", {}) if model else {}
        found.append(
            KnownLog(
                cluster.namespace,
                name,
                uid,
                records=objects,
                sequence=status.get("sequence"),
                head=status.get("head"),
            )
        )
    if not found:
        raise Trouble(f"There are no Models and no decisions in namespace {cluster.namespace}.")
    return sorted(found, key=lambda log: (log.model, log.model_uid))


async def _live(cluster: Cluster, name: str | None) -> dict[str, Json]:
    models = [obj for obj in await cluster.models() if name is None or obj["metadata"]["name"] == name]
    return {str(obj["metadata"]["uid"]): obj for obj in models}


def _with_segments(log: KnownLog, options: argparse.Namespace) -> KnownLog:
    """Return the log with what the artifact store holds of it."""
    if not options.store:
        return log
    # The store's client is loaded by these commands only.
    from penstock.cli.store import segments  # noqa: PLC0415

    found: list[Segment] = segments(log, options.store, docker_config=options.docker_config, insecure=options.insecure)
    return KnownLog(log.namespace, log.model, log.model_uid, log.records, found, log.sequence, log.head)


def _verifier(paths: Sequence[Path]) -> Verifier | None:
    if not paths:
        return None
    from penstock.domain.audit.signature import public_key, verifier  # noqa: PLC0415

    keys = []
    for path in paths:
        try:
            keys.append(public_key(path.read_bytes()))
        except ValueError as error:
            raise Trouble(f"{path}: {error}") from None
    return verifier(keys)


def _name(log: KnownLog) -> str:
    return f"{log.namespace}/{log.model}" if log.namespace else log.model
