"""`python -m penstock.jobs.evaluate`: one evaluation, as the task file says; the answer is the termination message."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from pathlib import Path

from penstock.api.v1alpha1.conditions import Reason
from penstock.artifact.termination import VARIABLE
from penstock.domain.gates.task import GateResult, GateTask, encode, error
from penstock.jobs.evaluate.settings import Settings

_TERMINATION_LOG = "/dev/termination-log"
# Polars reads ahead: with less of it, its memory does not grow with the row groups or lines of the files.
_POLARS = {
    "POLARS_ROW_GROUP_PREFETCH_SIZE": "1",
    "POLARS_CSV_CHUNK_SIZE": str(4 << 20),
    "POLARS_CSV_CHUNK_PREFETCH_LIMIT": "2",
}


def answer(settings: Settings) -> GateResult:
    """Run the task of these settings; whatever happens there is a result."""
    try:
        task = GateTask.model_validate_json(settings.task.read_bytes())
    except OSError as failure:
        return error(
            Reason.EVALUATION_ERROR.value,
            f"The Job's task cannot be read ({type(failure).__name__}); it is tried again.",
        )
    except ValueError:
        return error(
            Reason.INVALID_SPEC.value,
            "The Job's task is not valid: its image may be of another version than the operator.",
        )
    try:
        # Loaded here, so that a broken image is told as well.
        from penstock.jobs.evaluate.run import run  # noqa: PLC0415

        return run(task, settings)
    except MemoryError:
        return error(
            Reason.OUT_OF_MEMORY.value,
            "The evaluation ran out of memory: raise the gate's spec.resources.limits.memory or set spec.maxRows.",
        )
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as failure:
        return error(
            Reason.EVALUATION_ERROR.value,
            f"The evaluation failed on an error that it does not know ({type(failure).__name__}); it is tried again.",
        )


def say(result: GateResult) -> int:
    """Write the termination message; returns the exit status, 0 if it could be written."""
    message = encode(result)
    print(message, flush=True)
    try:
        Path(os.environ.get(VARIABLE, _TERMINATION_LOG)).write_text(message, encoding="utf-8")
    except OSError as failure:
        print(f"the termination message could not be written: {failure}", file=sys.stderr, flush=True)
        return 1
    return 0


def _give_up() -> None:
    """Say that the time is over and end the process, whatever it is doing: Kubernetes would end it without a word."""
    message = "The evaluation took longer than the gate's spec.timeoutSeconds: raise it, or set spec.maxRows."
    os._exit(say(error(Reason.EVALUATION_TIMEOUT.value, message)))


def main() -> int:
    """Returns 0 whenever it could say something."""
    for name, value in _POLARS.items():
        os.environ.setdefault(name, value)
    try:
        settings = Settings.from_environment(os.environ)
    except ValueError:
        return say(error(Reason.EVALUATION_ERROR.value, "A number in the Job's environment is none."))
    last_words = threading.Timer(settings.deadline_seconds, _give_up)
    last_words.daemon = True
    last_words.start()
    result = answer(settings)
    last_words.cancel()
    shutil.rmtree(settings.scratch / "dataset", ignore_errors=True)
    return say(result)


if __name__ == "__main__":
    sys.exit(main())
