"""The Helm chart as the tests render it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

from hack.cluster.build import binary
from tests.contract.manifests import DIGEST

REPOSITORY = Path(__file__).parents[2]
CHART = REPOSITORY / "charts" / "penstock"
IMAGES = {"operator": f"registry.example.com/operator@{DIGEST}", "runtime": f"registry.example.com/runtime@{DIGEST}"}
RELEASE_NAMESPACE = "penstock-system"
OPERATOR = f"system:serviceaccount:{RELEASE_NAMESPACE}:penstock-operator"

Json = dict[str, Any]


def helm(command: str, **values: Any) -> subprocess.CompletedProcess[str]:
    """Run `helm template` or `helm lint` on the chart with these values."""
    arguments = [str(binary("helm")), command, *(["penstock"] if command == "template" else []), str(CHART)]
    text = yaml.safe_dump({"image": IMAGES, **values})
    return subprocess.run(
        [*arguments, "--namespace", RELEASE_NAMESPACE, "--values", "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )


def render(**values: Any) -> list[Json]:
    """Every object of the chart with these values."""
    done = helm("template", **values)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def kinds(objects: list[Json]) -> set[str]:
    """The kinds among the objects."""
    return {obj["kind"] for obj in objects}


def only(objects: list[Json], kind: str) -> Json:
    """The one object of that kind."""
    (found,) = [obj for obj in objects if obj["kind"] == kind]
    return found


def roles_of_the_operator(objects: list[Json]) -> list[Json]:
    """The roles that the chart binds to the operator; all but the archiver's are for people and bound by them."""
    bindings = [obj for obj in objects if obj["kind"] in ("ClusterRoleBinding", "RoleBinding")]
    account, accounts = OPERATOR.rpartition(":")[2], {who["name"] for obj in bindings for who in obj["subjects"]}
    assert accounts - {"penstock-archiver"} == {account}
    bindings = [obj for obj in bindings if [who["name"] for who in obj["subjects"]] == [account]]
    bound = {(obj["roleRef"]["kind"], obj["roleRef"]["name"]) for obj in bindings}
    return [obj for obj in objects if (obj["kind"], obj["metadata"]["name"]) in bound]
