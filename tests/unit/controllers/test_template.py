"""The pod template of version 1: a change of it would restart every pod that serves when the operator is upgraded."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from penstock.api.v1alpha1.model import ModelSpec
from penstock.api.v1alpha1.modelrevision import ModelRevisionSpec
from penstock.controllers.model import children

GOLDEN = Path(__file__).parent / "golden"
DIGEST = "sha256:" + "1" * 64
IMAGE = f"registry.example.com/runtime@sha256:{'2' * 64}"
ENVIRONMENT = children.Environment("IfNotPresent", ("registry.example.com:5000",))

SPECS = {
    "builtin": {"artifact": {"uri": "oci://registry.example.com/m:1", "digest": DIGEST, "format": "ONNX"}},
    "custom": {
        "artifact": {"uri": "https://example.com/m.bin", "digest": DIGEST, "format": "Custom"},
        "serving": {
            "runtime": "Custom",
            "custom": {"image": IMAGE, "port": 9000, "args": ["serve"], "env": [{"name": "A", "value": "b"}]},
            "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "2Gi"}},
            "pod": {"nodeSelector": {"zone": "a"}, "terminationGracePeriodSeconds": 60},
        },
    },
}


def revision(spec: ModelSpec) -> ModelRevisionSpec:
    custom = spec.serving.custom
    return ModelRevisionSpec.model_validate(
        {
            "modelName": "m",
            "modelUID": "0f1e2d3c-0000-4000-8000-000000000001",
            "revision": "0123456789ab",
            "specHash": DIGEST,
            "artifact": spec.artifact.as_json(),
            "runtime": spec.serving.runtime.value,
            "images": {"runtime": custom.image if custom else IMAGE, "fetch": IMAGE},
            "custom": custom.as_json() if custom else None,
        }
    )


@pytest.mark.parametrize("name", SPECS)
def test_template_version_1_does_not_change(name: str) -> None:
    assert children.TEMPLATE_VERSION == "1"
    spec = ModelSpec.model_validate(SPECS[name])
    made = children.deployment("m", revision(spec), 2, children.sizing(spec), ENVIRONMENT)
    golden = GOLDEN / f"deployment-1-{name}.yaml"
    assert yaml.safe_load(golden.read_text()) == made, (
        "a new layout needs a new TEMPLATE_VERSION, see docs/decisions/0003"
    )
