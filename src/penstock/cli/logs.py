"""The options of `penstock audit` and `penstock replay`; what they do is loaded when it is asked for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `audit` with its verbs, and `replay`; each sets `run`, which takes the options and returns the status."""
    verbs = commands.add_parser("audit", help="prove and export decision logs").add_subparsers(
        dest="verb", required=True
    )
    verifying = verbs.add_parser("verify", help="prove that decision logs are whole and unchanged")
    _sources(verifying)
    verifying.set_defaults(run=_loaded("run_verify"))
    exporting = verbs.add_parser("export", help="write the decision log as JSON lines")
    add_options(exporting)
    exporting.add_argument("--model", metavar="MODEL", help="of this Model; of the whole namespace if absent")
    exporting.add_argument("--out", type=Path, metavar="FILE", help="else to the screen")
    exporting.set_defaults(run=_loaded("run_export"))
    replaying = commands.add_parser("replay", help="take every decision again from what was written down with it")
    _sources(replaying)
    replaying.set_defaults(run=_loaded("run_replay"))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what says which cluster and namespace are meant, as kubectl calls it."""
    parser.add_argument("-n", "--namespace", help="the namespace; that of the kubeconfig's context if absent")
    parser.add_argument("--context", help="the context of the kubeconfig")
    parser.add_argument("--kubeconfig", type=Path, help="the kubeconfig; else $KUBECONFIG, else ~/.kube/config")


def _sources(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", type=Path, nargs="*", metavar="FILE", help="exported records; the cluster's if none")
    add_options(parser)
    parser.add_argument("--model", metavar="MODEL", help="this Model; all of the namespace if absent")
    parser.add_argument("--store", metavar="HOST/PREFIX", help="the artifact store with the exported segments")
    parser.add_argument("--uid", help="with --store, -n and --model: this log as the store has it; no cluster is asked")
    parser.add_argument("--key", type=Path, action="append", default=[], help="a public key that may have signed them")
    parser.add_argument("--docker-config", type=Path, help="config.json with the store's credentials")
    parser.add_argument("--insecure", action="store_true", help="speak plain http to the store")
    parser.add_argument("--partial", action="store_true", help="a log need not begin with record 1")


def _loaded(name: str) -> Callable[[argparse.Namespace], int]:
    def run(options: argparse.Namespace) -> int:
        # `penstock push` and `penstock digest` work where nothing that talks to clusters is installed.
        try:
            from penstock.cli import audit  # noqa: PLC0415
        except ModuleNotFoundError as error:
            print(f"penstock: this needs {error.name}: pip install 'penstock[cli]'.", file=sys.stderr)
            return 1
        return int(getattr(audit, name)(options))

    return run
