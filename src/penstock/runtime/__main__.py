"""`python3 -m penstock.runtime`: exit status 0 after a clean stop, 30 if the model cannot be served."""

import os
import sys

from penstock.runtime.errors import LoadError
from penstock.runtime.refusal import refused, start_logging
from penstock.runtime.settings import Settings


def main() -> int:
    """Runs the server as the environment says."""
    start_logging()
    # Read by numerical libraries at import: one prediction, one thread.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from penstock.runtime.server import serve  # noqa: PLC0415 - after the line above

    try:
        return serve(Settings.from_environment(os.environ))
    except LoadError as error:
        return refused(error)


if __name__ == "__main__":
    sys.exit(main())
