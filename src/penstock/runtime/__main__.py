"""`python3 -m penstock.runtime`: exit status 0 after a clean stop, 30 if the model cannot be served."""

import logging
import os
import sys

from penstock.artifact.termination import write_termination
from penstock.runtime.errors import LoadError
from penstock.runtime.settings import Settings

LOAD_FAILED = 30


def main() -> int:
    """Runs the server as the environment says."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    # Read by numerical libraries at import: one prediction, one thread.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from penstock.runtime.server import serve  # noqa: PLC0415 - after the line above

    try:
        serve(Settings.from_environment(os.environ))
    except LoadError as error:
        print(f"{error.reason}: {error.message}", file=sys.stderr, flush=True)
        write_termination(error.reason, error.message)
        return LOAD_FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
