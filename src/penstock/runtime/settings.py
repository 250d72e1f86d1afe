"""The model server's settings: environment variables, read once."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from penstock.runtime.errors import LoadError


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is served, where, and within which limits."""

    model_name: str
    model_format: str
    revision: str
    digest: str
    model_dir: Path
    host: str
    port: int
    metrics_port: int
    drain_seconds: float
    max_body_bytes: int
    header_seconds: float
    body_seconds: float
    max_in_flight: int
    queue_seconds: float
    threads: int
    workers: int
    features_file: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Reads the PENSTOCK_* variables; raises `LoadError` (InvalidConfiguration)."""

        def required(name: str, pattern: str) -> str:
            value = environment.get(name, "")
            if re.fullmatch(pattern, value) is None:
                raise LoadError("InvalidConfiguration", f"The variable {name} is missing or does not match {pattern}.")
            return value

        def number(name: str, default: int, most: int = 1 << 40, least: int = 1) -> int:
            text = environment.get(name, str(default))
            if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
                raise LoadError("InvalidConfiguration", f"The variable {name} must be a number from {least} to {most}.")
            return int(text)

        return cls(
            model_name=required("PENSTOCK_MODEL_NAME", r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?"),
            model_format=required("PENSTOCK_MODEL_FORMAT", r"ONNX|Skops"),
            revision=required("PENSTOCK_REVISION", r"[0-9a-f]{12}"),
            digest=required("PENSTOCK_ARTIFACT_DIGEST", r"sha256:[0-9a-f]{64}"),
            model_dir=Path(environment.get("PENSTOCK_MODEL_DIR", "/models")),
            host=environment.get("PENSTOCK_HOST", "0.0.0.0"),  # noqa: S104 - a pod serves on its own address
            port=number("PENSTOCK_PORT", 8080, most=65535),
            metrics_port=number("PENSTOCK_METRICS_PORT", 9090, most=65535),
            drain_seconds=float(number("PENSTOCK_DRAIN_SECONDS", 5, most=3600, least=0)),
            max_body_bytes=number("PENSTOCK_MAX_BODY_BYTES", 4 << 20),
            header_seconds=float(number("PENSTOCK_HEADER_SECONDS", 10, most=3600)),
            body_seconds=float(number("PENSTOCK_BODY_SECONDS", 10, most=3600)),
            max_in_flight=number("PENSTOCK_MAX_IN_FLIGHT", 128, most=100_000),
            queue_seconds=float(number("PENSTOCK_QUEUE_SECONDS", 1, most=3600)),
            threads=number("PENSTOCK_THREADS", len(os.sched_getaffinity(0)), most=1024),
            workers=number("PENSTOCK_WORKERS", 1, most=256),
            features_file=Path(environment.get("PENSTOCK_FEATURES", "/etc/penstock/features/features.json")),
        )
