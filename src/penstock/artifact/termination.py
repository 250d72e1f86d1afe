"""The termination message of a container: one JSON object that the controller reads from the pod's status."""

import json
import os
from pathlib import Path

VARIABLE = "PENSTOCK_TERMINATION_LOG"
_DEFAULT = "/dev/termination-log"
# The kubelet keeps 4096 bytes.
_MAX_MESSAGE_CHARACTERS = 900


def write_termination(reason: str, message: str) -> None:
    """Writes `{"reason": …, "message": …}`; where the file cannot be written the exit code alone must do."""
    document = json.dumps({"reason": reason, "message": message[:_MAX_MESSAGE_CHARACTERS]}, ensure_ascii=False) + "\n"
    try:
        Path(os.environ.get(VARIABLE, _DEFAULT)).write_bytes(document.encode(errors="replace"))
    except OSError as error:
        print(f"the termination message could not be written: {error}", flush=True)
