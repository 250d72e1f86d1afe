"""`penstock push`, `digest`, `profile`, `audit` and `replay`."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from penstock.artifact.digest import digest_path
from penstock.artifact.errors import ArtifactError, Reason
from penstock.artifact.push import push
from penstock.artifact.reference import OciReference, parse_reference
from penstock.cli import logs, profile


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status (0, 2 for wrong usage, 20 to 26 for artifact errors, else 1)."""
    options = _parser().parse_args(arguments)
    if hasattr(options, "run"):
        return int(options.run(options))
    try:
        result = _push(options) if options.command == "push" else _digest(options)
    except ArtifactError as error:
        print(f"penstock: {error.reason}: {error.message}", file=sys.stderr)
        return error.exit_code
    print(json.dumps(result) if options.output == "json" else "\n".join(result.values()))
    return 0


def _push(options: argparse.Namespace) -> dict[str, str]:
    reference = parse_reference(options.uri)
    if not isinstance(reference, OciReference):
        raise ArtifactError(Reason.INVALID_REFERENCE, "Models are pushed into a registry: give an oci:// URI.")
    pushed = push(options.path, reference, insecure=options.insecure, docker_config=options.docker_config)
    if pushed.lineage:
        print(pushed.lineage.sentence(), file=sys.stderr)
    return {"uri": pushed.uri, "digest": pushed.digest}


def _digest(options: argparse.Namespace) -> dict[str, str]:
    return {"digest": digest_path(options.path)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="penstock", description="Tools around Penstock models.")
    commands = parser.add_subparsers(dest="command", required=True)
    pushing = commands.add_parser("push", help="push a model file or folder into a registry")
    pushing.add_argument("path", type=Path, metavar="FILE_OR_DIR")
    pushing.add_argument("uri", metavar="oci://HOST/REPOSITORY[:TAG]")
    pushing.add_argument("--insecure", action="store_true", help="speak plain http to this registry")
    pushing.add_argument(
        "--docker-config",
        type=Path,
        default=_default_docker_config(),
        help="config.json with the registry's credentials",
    )
    digesting = commands.add_parser("digest", help="print the digest of a model file or folder")
    digesting.add_argument("path", type=Path, metavar="PATH")
    for command in (pushing, digesting):
        command.add_argument("--output", choices=("text", "json"), default="text")
    profile.add_commands(commands)
    logs.add_commands(commands)
    return parser


def _default_docker_config() -> Path | None:
    path = Path(os.environ.get("DOCKER_CONFIG", Path.home() / ".docker")) / "config.json"
    return path if path.is_file() else None


if __name__ == "__main__":
    sys.exit(main())
