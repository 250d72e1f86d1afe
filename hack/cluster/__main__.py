"""`python -m hack.cluster VERB`: the local cluster from the command line."""

import argparse
import json
import sys

from hack.cluster import build, cluster, native
from hack.cluster.console import ClusterError, say
from hack.cluster.handle import Cluster

_VERBS = {
    "up": "start the cluster, or complete what is missing",
    "down": "stop it and remove everything it put on this machine",
    "status": "say which of its processes run and whether the node is ready",
    "info": "print its addresses and files as JSON",
    "kubeconfig": "print the path of its kubeconfig",
    "build": "build its binaries, or only those named",
}


def main(arguments: list[str] | None = None) -> int:
    """Runs one verb; returns the exit code. Errors a user can act on are one sentence on standard error."""
    parser = argparse.ArgumentParser(prog="python -m hack.cluster", description="The local Kubernetes cluster.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    parsers = {verb: verbs.add_parser(verb, help=text, description=text) for verb, text in _VERBS.items()}
    parsers["down"].add_argument("--wipe", action="store_true", help="forget keys, objects, images and logs too")
    parsers["build"].add_argument("names", nargs="*", metavar="NAME", help=", ".join(build.NAMES))
    options = parser.parse_args(arguments)
    try:
        if options.verb == "up":
            _print(cluster.up())
        elif options.verb == "down":
            cluster.down(wipe=options.wipe)
        elif options.verb == "status":
            _status()
        elif options.verb == "info":
            _print(_running())
        elif options.verb == "kubeconfig":
            print(_running().kubeconfig)
        else:
            for name in options.names or build.NAMES:
                print(build.binary(name))
    except ClusterError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted; `python -m hack.cluster down` removes what was started")
        return 130
    return 0


def _running() -> Cluster:
    found = cluster.current()
    if found is None:
        raise ClusterError("No cluster runs; start one with: make cluster-up")
    return found


def _print(found: Cluster) -> None:
    print(json.dumps(found.info(), indent=2))


def _status() -> None:
    found = _running()
    if found.provider == "native":
        for name, alive in native.status().items():
            print(f"{name:26} {'runs' if alive else 'STOPPED'}")
    print(found.kubectl("get", "nodes", "-o", "wide", "--request-timeout=5s"), end="")


if __name__ == "__main__":
    sys.exit(main())
