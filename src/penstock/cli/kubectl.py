"""`kubectl penstock`: what is there, why, and the commands of people. kubectl finds it as kubectl-penstock."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn

from pydantic import ValidationError

from penstock.api.v1alpha1.model import Model
from penstock.api.v1alpha1.modelaction import ActionType
from penstock.cli import cluster as clusters
from penstock.cli import logtable, text, tree, why
from penstock.cli.audit import guarded, run_replay
from penstock.cli.cluster import Cluster, Trouble
from penstock.cli.command import give
from penstock.cli.logs import add_options
from penstock.cli.settle import Ending, rest

LOOK_SECONDS = 1.0
_CLEAR = "\x1b[H\x1b[2J"
Work = Callable[[Cluster, argparse.Namespace], Awaitable[int]]

_COMMANDS = (
    (ActionType.APPROVE, "approve", "agree to the revision that waits, on exactly the evidence that is shown", False),
    (ActionType.REJECT, "reject", "take the revision under way back and quarantine it", True),
    (ActionType.PROMOTE, "promote", "skip what is left of waiting times and request counts", True),
    (ActionType.ROLLBACK, "rollback", "go back to a former stable revision", True),
    (ActionType.RETRY, "retry", "start a rejected revision again", False),
    (ActionType.EVALUATE, "evaluate", "ask the gates about the revision under way, or else the one that serves", False),
    (ActionType.RELEASE_QUARANTINE, "release", "let a quarantined revision come back", True),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: docs/kubectl-plugin.md has them all."""
    options = _parser().parse_args(arguments)
    if options.verb == "replay":
        options.files, options.store, options.uid, options.key, options.partial = [], None, None, [], False
        return run_replay(options)
    return clusters.run(lambda: guarded(lambda: _connected(options)))


async def _connected(options: argparse.Namespace) -> int:
    async with clusters.connect(options) as cluster:
        work: Work = options.work
        return await work(cluster, options)


async def _get(cluster: Cluster, options: argparse.Namespace) -> int:
    shown = ""
    while True:
        picture = await _picture(cluster, options)
        if picture != shown:
            redraw = options.watch and sys.stdout.isatty()
            print(f"{_CLEAR if redraw else ''}{picture}", flush=True)
            shown = picture
        if not options.watch:
            return 0
        await asyncio.sleep(LOOK_SECONDS)


async def _picture(cluster: Cluster, options: argparse.Namespace) -> str:
    if options.model is None:
        found = await cluster.models(everywhere=options.all_namespaces)
        if options.output == "json":
            return json.dumps(found)
        if not found:
            return f"There are no Models in {'any namespace' if options.all_namespaces else cluster.namespace}."
        head, rows = tree.rows([_read(obj) for obj in found], everywhere=options.all_namespaces)
        return "\n".join(text.table(head, rows))
    obj, pods = await cluster.model(options.model), await cluster.pods(options.model)
    if options.output == "json":
        return json.dumps({"model": obj, "pods": pods})
    return "\n".join(text.lines(tree.draw(_read(obj), pods)))


async def _status(cluster: Cluster, options: argparse.Namespace) -> int:
    deadline, told = time.monotonic() + options.timeout, ""
    while True:
        found = rest(_read(await cluster.model(options.model)))
        over = options.no_wait or time.monotonic() > deadline
        if found.ending is not Ending.TIMEOUT or over:
            print(text.safe(found.sentence))
            return int(found.ending)
        if found.sentence != told:
            print(text.safe(found.sentence), file=sys.stderr)
            told = found.sentence
        await asyncio.sleep(LOOK_SECONDS)


async def _why(cluster: Cluster, options: argparse.Namespace) -> int:
    model = _read(await cluster.model(options.model))
    records = await cluster.records(options.model, model.metadata.uid)
    for line in why.explain(model, [obj["spec"] for obj in records], options.last):
        print(text.safe(line))
    return 0


async def _audit(cluster: Cluster, options: argparse.Namespace) -> int:
    records = await cluster.records(options.model)
    if not records:
        raise Trouble(f"There are no decisions about a Model {options.model} in namespace {cluster.namespace}.")
    print(logtable.render([obj["spec"] for obj in records], options.output), end="")
    return 0


def _command(kind: ActionType) -> Work:
    async def work(cluster: Cluster, options: argparse.Namespace) -> int:
        options.asks = not options.yes and sys.stdin.isatty()
        return await give(cluster, kind, options, print)

    return work


def _read(obj: clusters.Json) -> Model:
    try:
        return Model.model_validate(obj)
    except ValidationError as error:
        name, said = obj["metadata"]["name"], error.errors()[0]["msg"]
        raise Trouble(f"Model {name} cannot be read by this release of the plugin: {said}.") from None


class _Parser(argparse.ArgumentParser):
    """Wrong usage is an error like others: argparse's own exit status 2 says here that a revision was turned down."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(1, f"penstock: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = _Parser(
        prog="kubectl penstock", description="Models: what is there, why, and commands."
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    getting = _verb(verbs, "get", "show a Model as a tree, or all Models", _get, model="?")
    getting.add_argument("-w", "--watch", action="store_true", help="show every change")
    getting.add_argument("-o", "--output", choices=("tree", "json"), default="tree")
    getting.add_argument("-A", "--all-namespaces", action="store_true")
    waiting = _verb(verbs, "status", "wait until a Model has come to rest; the exit status says how", _status)
    waiting.add_argument("--timeout", type=_seconds, default=3600.0, help="seconds, or such as 90s, 15m, 2h")
    waiting.add_argument("--no-wait", action="store_true", help="say where it stands now")
    reasons = _verb(verbs, "why", "say in sentences what was decided, why, and what is missing", _why)
    reasons.add_argument("--last", type=int, default=why.LAST, metavar="N", help="how many decisions")
    log = _verb(verbs, "audit", "show the decision log as a table", _audit)
    log.add_argument("-o", "--output", choices=("table", "json", "csv"), default="table")
    _verb(verbs, "replay", "take every decision again from what was written down with it", _audit)
    for kind, name, said, needs_reason in _COMMANDS:
        _add_command(verbs, kind, name, said, needs_reason)
    return parser


def _add_command(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser],
    kind: ActionType,
    name: str,
    said: str,
    needs_reason: bool,
) -> None:
    parser = _verb(verbs, name, said, _command(kind))
    parser.set_defaults(revision=None, evidence=None, bypass=False, yes=True)
    parser.add_argument("--reason", required=needs_reason, help="why; it stays in the decision log")
    parser.add_argument("--timeout", type=_seconds, default=60.0, help="how long to wait for what becomes of it")
    if kind is ActionType.ROLLBACK:
        parser.add_argument("--to", dest="revision", metavar="REVISION", help="the previous stable one if absent")
    else:
        parser.add_argument("--revision", metavar="REVISION", help="else the one that can be meant")
    if kind in (ActionType.APPROVE, ActionType.REJECT):
        parser.add_argument("--evidence", metavar="DIGEST", help="what was looked at")
    if kind is ActionType.APPROVE:
        parser.add_argument("--yes", action="store_true", help="do not ask once the evidence is shown")
        parser.set_defaults(yes=False)
    if kind is ActionType.PROMOTE:
        parser.add_argument("--bypass", action="store_true", help="although evidence is missing; needs the verb relax")


def _verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, said: str, work: Work, model: str = ""
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=said, description=f"{said[0].upper()}{said[1:]}.")
    if model:
        parser.add_argument("model", metavar="MODEL", nargs=model)
    else:
        parser.add_argument("model", metavar="MODEL")
    add_options(parser)
    parser.set_defaults(work=work)
    return parser


def _seconds(value: str) -> float:
    units = {"s": 1, "m": 60, "h": 3600}
    number, unit = (value[:-1], units[value[-1]]) if value[-1:] in units else (value, 1)
    try:
        found = float(number) * unit
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{value}' is no time; write 90s, 15m or 2h") from None
    if not 0 <= found < float("inf"):
        raise argparse.ArgumentTypeError(f"'{value}' is no time; write 90s, 15m or 2h")
    return found


if __name__ == "__main__":
    sys.exit(main())
