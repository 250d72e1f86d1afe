"""What an administrator sets: the operator's configuration, read once at start."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from penstock.api.v1alpha1.fields import ImageByDigest
from penstock.metrics.factory import Counters

CONFIG_FILE = "PENSTOCK_CONFIG"


class _Settings(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class GatewaySettings(_Settings):
    """The Gateway of Models that name none.

    `url`: how clients outside the cluster reach it, for `status.url`; derived from the Gateway's
    own address if empty. `probe_url`: how the operator reaches it; as `url` if empty.
    """

    namespace: str = ""
    name: str = ""
    section_name: str = ""
    url: str = ""
    probe_url: str = ""


class ArtifactStore(_Settings):
    """The OCI registry that keeps profiles and reports: `repository` is HOST/PREFIX, none are kept if empty."""

    repository: Annotated[
        str, Field(max_length=512, pattern="^([a-z0-9][-a-z0-9.]*(:[0-9]{1,5})?(/[-a-z0-9._]+)*)?$")
    ] = ""


class MetricsSettings(_Settings):
    """Who counts requests: the MetricSource `source`, or the operator by reading the pods if that is empty.

    `counters` is what a source of type Prometheus is asked for.
    """

    source: Annotated[str, Field(max_length=253)] = ""
    counters: Counters = Counters.GATEWAY


class OperatorConfig(_Settings):
    """The whole configuration; unknown keys are refused so that a typing error is noticed.

    `max_rollouts`: how many Models may change what serves at the same time, 0 for any number. `exported_config_map`:
    where, in the operator's namespace, the archiver says how far it is; empty if there is none.
    """

    runtime_image: ImageByDigest
    jobs_image: ImageByDigest | None = None
    image_pull_policy: str = "IfNotPresent"
    artifact_store: ArtifactStore = ArtifactStore()
    gateway: GatewaySettings = GatewaySettings()
    metrics: MetricsSettings = MetricsSettings()
    exported_config_map: Annotated[str, Field(max_length=253)] = ""
    insecure_registries: tuple[str, ...] = ()
    workers: Annotated[int, Field(ge=1, le=256)] = 16
    max_rollouts: Annotated[int, Field(ge=0)] = 0
    writes_per_second: Annotated[float, Field(gt=0)] = 200.0
    write_burst: Annotated[int, Field(ge=1)] = 400
    prune_seconds: Annotated[float, Field(gt=0)] = 300.0
    telemetry_port: Annotated[int, Field(ge=1, le=65535)] = 8080

    @classmethod
    def load(cls) -> OperatorConfig:
        """Read the JSON file that the environment variable PENSTOCK_CONFIG names."""
        path = os.environ.get(CONFIG_FILE)
        if not path:
            raise SystemExit(f"{CONFIG_FILE} must name the operator's configuration file; the Helm chart sets it.")
        return cls.model_validate_json(Path(path).read_bytes())
