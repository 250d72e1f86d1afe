"""How the process speaks: its log, and what it leaves behind when it cannot serve."""

import logging
import sys

from penstock.artifact.termination import write_termination
from penstock.runtime.errors import LoadError

LOAD_FAILED = 30


def start_logging() -> None:
    """Logs to standard error."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)


def refused(error: LoadError) -> int:
    """Says why the model cannot be served; returns the exit status."""
    print(f"{error.reason}: {error.message}", file=sys.stderr, flush=True)
    write_termination(error.reason, error.message)
    return LOAD_FAILED
