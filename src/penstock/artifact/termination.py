"""The termination message of a container: one JSON object that the controller reads from the pod's status."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

VARIABLE = "PENSTOCK_TERMINATION_LOG"
_DEFAULT = "/dev/termination-log"
# The kubelet keeps 4096 bytes.
_MAX_MESSAGE_CHARACTERS = 900
MAX_DETAIL_BYTES = 3400
"""So much of JSON may stand beside reason and an empty message."""


def write_termination(reason: str, message: str, **details: Mapping[str, Any]) -> None:
    """Writes `{"reason": …, "message": …}` and the details, at most MAX_DETAIL_BYTES of JSON in all.

    Where the file cannot be written the exit code alone must do.
    """
    document = {"reason": reason, "message": message[:_MAX_MESSAGE_CHARACTERS], **details}
    text = json.dumps(document, ensure_ascii=False) + "\n"
    try:
        Path(os.environ.get(VARIABLE, _DEFAULT)).write_bytes(text.encode(errors="replace"))
    except OSError as error:
        print(f"the termination message could not be written: {error}", flush=True)
