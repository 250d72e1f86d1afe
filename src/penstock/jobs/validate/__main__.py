"""`python -m penstock.jobs.validate`: one validation, as the task file says; the answer is the termination message."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from pathlib import Path

from penstock.api.v1alpha1.conditions import Reason
from penstock.artifact.termination import VARIABLE
from penstock.domain.data.task import ValidationResult, ValidationTask, encode, error
from penstock.jobs.validate.settings import Settings

_TERMINATION_LOG = "/dev/termination-log"
# Polars reads ahead: with less of it, its memory does not grow with the row groups or lines of the files.
_POLARS = {
    "POLARS_ROW_GROUP_PREFETCH_SIZE": "1",
    "POLARS_CSV_CHUNK_SIZE": str(4 << 20),
    "POLARS_CSV_CHUNK_PREFETCH_LIMIT": "2",
}


def answer(settings: Settings) -> ValidationResult:
    """Run the task of these settings; whatever happens there is a result."""
    try:
        task = ValidationTask.model_validate_json(settings.task.read_bytes())
    except OSError as failure:
        return error(
            Reason.VALIDATION_ERROR.value,
            f"The Job's task cannot be read ({type(failure).__name__}); it is tried again.",
        )
    except ValueError:
        return error(
            Reason.INVALID_SPEC.value,
            "The Job's task is not valid: its image may be of another version than the operator.",
        )
    try:
        # Loaded here, so that a broken image is told as well.
        from penstock.jobs.validate.run import run  # noqa: PLC0415

        return run(task, settings)
    except MemoryError:
        return error(
            Reason.OUT_OF_MEMORY.value,
            "The validation ran out of memory: raise spec.validation.resources.limits.memory.",
        )
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as failure:
        return error(
            Reason.VALIDATION_ERROR.value,
            f"The validation failed on an error that it does not know ({type(failure).__name__}); it is tried again.",
        )


def say(result: ValidationResult) -> int:
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
    message = "The validation took longer than spec.validation.deadlineSeconds: raise it, or give the Job more CPU."
    os._exit(say(error(Reason.VALIDATION_TIMEOUT.value, message)))


def main() -> int:
    """Returns 0 whenever it could say something."""
    for name, value in _POLARS.items():
        os.environ.setdefault(name, value)
    try:
        settings = Settings.from_environment(os.environ)
    except ValueError:
        return say(error(Reason.VALIDATION_ERROR.value, "A number in the Job's environment is none."))
    last_words = threading.Timer(settings.deadline_seconds, _give_up)
    last_words.daemon = True
    last_words.start()
    result = answer(settings)
    last_words.cancel()
    for folder in ("dataset", "baseline"):
        shutil.rmtree(settings.scratch / folder, ignore_errors=True)
    return say(result)


if __name__ == "__main__":
    sys.exit(main())
