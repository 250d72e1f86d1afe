"""`python -m hack.cluster.images`: builds Penstock's images, loads them into the local cluster, prints references."""

import argparse
import sys

from hack.cluster import cluster
from hack.cluster.console import ClusterError, say
from hack.cluster.images import build_images
from hack.cluster.images.catalogue import RECIPES


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code. Errors a user can act on are one sentence on standard error."""
    parser = argparse.ArgumentParser(prog="python -m hack.cluster.images", description=__doc__)
    parser.add_argument(
        "--context", choices=RECIPES, metavar="NAME",
        help="only lay out the build context of one image and print its folder, for docker build",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    try:
        if options.context:
            print(RECIPES[options.context]().context())
            return 0
        running = cluster.current()
        if running is None:
            raise ClusterError("No cluster runs; start one with: make cluster-up")
        for reference in build_images(running).values():
            print(reference)
    except ClusterError as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
