"""Writes `penstock-lineage.json` beside a model."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from penstock.api.lineage import FILE_NAME, Lineage, TrainingLineage
from penstock.features.errors import DatasetError

CODE_VARIABLE = "PENSTOCK_CODE"
JOB_VARIABLE = "PENSTOCK_JOB"


def save_lineage(
    lineage: Lineage,
    folder: str | Path,
    *,
    parameters: Mapping[str, Any] | None = None,
    seed: int | None = None,
    code: str | None = None,
    job: str | None = None,
) -> Path:
    """Write the lineage with what is known of the training into a folder that is there or made; return the file.

    `code` is $PENSTOCK_CODE or the commit of the working directory if not given, `job` is $PENSTOCK_JOB.
    `parameters`: at most 64 texts, numbers or booleans. Raises DatasetError for what a lineage cannot hold.
    """
    try:
        training = TrainingLineage.model_validate(
            {
                "code": code or os.environ.get(CODE_VARIABLE) or _commit(),
                "job": job or os.environ.get(JOB_VARIABLE) or None,
                "parameters": dict(parameters or {}),
                "seed": seed,
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DatasetError(f"The lineage cannot hold {place}: {first['msg']}.") from None
    file = Path(folder) / FILE_NAME
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(lineage.model_copy(update={"training": training}).encode())
    return file


def _commit() -> str | None:
    """The commit that is checked out here, with -dirty if files differ from it; None outside of git."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],  # noqa: S607 - the user's own git
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return f"git:{done.stdout.strip()}"
