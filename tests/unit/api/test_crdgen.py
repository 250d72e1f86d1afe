"""The generator: what it writes is what a CRD may hold, and what is checked in."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client
from pydantic import BaseModel, Field

from penstock.api import crdgen
from penstock.api.structural import structural_schema
from penstock.api.v1alpha1 import KINDS, ApiObject
from penstock.api.v1alpha1.fields import PATTERN_MESSAGE, explained

REPOSITORY = Path(__file__).parents[3]
MAX_NAME = 40
SERVER_OWNED = {"apiVersion", "kind", "metadata"}

kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def schema_of(kind: type[ApiObject]) -> dict[str, Any]:
    schema: dict[str, Any] = crdgen.definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema below the fields that the API server owns, with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        if path or name not in SERVER_OWNED:
            yield from nodes(child, f"{path}.{name}")
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if isinstance(schema.get("additionalProperties"), dict):
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


@kinds
def test_only_keys_of_a_crd(kind: type[ApiObject]) -> None:
    allowed = set(client.V1JSONSchemaProps.attribute_map.values())
    assert {path: node.keys() - allowed for path, node in nodes(schema_of(kind)) if node.keys() - allowed} == {}


@kinds
def test_every_property_has_one_sentence(kind: type[ApiObject]) -> None:
    for path, node in nodes(schema_of(kind)):
        for name, child in node.get("properties", {}).items():
            if not path and name == "metadata":
                continue
            description = child.get("description", "")
            assert re.fullmatch(r"[A-Z][^.]*(\.\w[^.]*)*\.", description), f"{path}.{name}: {description!r}"
            assert len(description) <= 160, f"{path}.{name}"


@kinds
def test_everything_is_bounded(kind: type[ApiObject]) -> None:
    for path, node in nodes(schema_of(kind)):
        if path == "":
            continue
        type_ = node.get("type")
        if type_ == "string":
            assert node.keys() & {"maxLength", "enum"} or node.get("format") == "date-time", path
        elif type_ == "integer":
            assert {"minimum", "maximum"} <= node.keys(), path
        elif type_ == "array":
            assert {"maxItems", "x-kubernetes-list-type"} <= node.keys(), path
        elif type_ == "object":
            assert "properties" in node or "maxProperties" in node, path
        else:
            assert type_ == "boolean" or (node["x-kubernetes-int-or-string"] and "maxLength" in node), path


@kinds
def test_list_keys_are_required_or_have_a_default(kind: type[ApiObject]) -> None:
    for path, node in nodes(schema_of(kind)):
        for key in node.get("x-kubernetes-list-map-keys", []):
            item = node["items"]
            assert key in item["required"] or "default" in item["properties"][key], path


@kinds
def test_columns(kind: type[ApiObject]) -> None:
    columns = crdgen.definition(kind)["spec"]["versions"][0]["additionalPrinterColumns"]
    assert len(columns) <= 6
    assert columns[-1]["name"] == "Age"
    known = {path for path, _ in nodes(schema_of(kind))} | {".metadata.creationTimestamp"}
    assert [column for column in columns if re.sub(r"\[\?.*\]", "[]", column["jsonPath"]) not in known] == []


@kinds
def test_size(kind: type[ApiObject]) -> None:
    assert len(json.dumps(crdgen.definition(kind))) < 200 * 1024


@kinds
def test_yaml_says_what_was_generated(kind: type[ApiObject]) -> None:
    text = crdgen.render(kind)
    assert text.startswith("# Generated ")
    assert yaml.safe_load(text) == crdgen.definition(kind)
    assert text == crdgen.render(kind)


def test_unready_fields_are_not_published() -> None:
    text = "".join(crdgen.render(kind) for kind in KINDS)
    for name in ("monitoring", "autoscaling", "signature"):
        assert f" {name}:" not in text


def test_checked_in_files_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    status = crdgen.main(["--check", "--root", str(REPOSITORY)])
    assert (status, capsys.readouterr().err) == (0, "")


def test_check_names_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--root", str(tmp_path)]
    assert crdgen.main(arguments) == 0
    assert crdgen.main([*arguments, "--check"]) == 0
    changed = tmp_path / "crds" / "penstock.dev_models.yaml"
    changed.write_text(changed.read_text() + "# edited\n")
    retired = tmp_path / "charts/penstock/files/crds/penstock.dev_old.yaml"
    retired.write_text("old")
    assert crdgen.main([*arguments, "--check"]) == 1
    report = capsys.readouterr().err
    assert "crds/penstock.dev_models.yaml differs" in report
    assert "charts/penstock/files/crds/penstock.dev_old.yaml differs" in report
    assert len(report.splitlines()) == 2
    assert crdgen.main(arguments) == 0
    assert not retired.exists()
    assert crdgen.main([*arguments, "--check"]) == 0


def test_a_float_is_refused() -> None:
    class Wrong(BaseModel):
        share: float

    with pytest.raises(ValueError, match="number"):
        structural_schema(Wrong)


def test_a_key_that_a_crd_does_not_know_is_refused() -> None:
    class Wrong(BaseModel):
        share: int = Field(gt=0)

    with pytest.raises(ValueError, match="exclusiveMinimum"):
        structural_schema(Wrong)


def test_a_pattern_that_cel_cannot_quote_is_refused() -> None:
    class Wrong(BaseModel):
        name: str = Field(pattern="^'$", json_schema_extra=explained("no"))

    with pytest.raises(ValueError, match="CEL"):
        structural_schema(Wrong)


def test_an_explained_pattern_becomes_a_rule() -> None:
    class Right(BaseModel):
        name: str = Field(pattern="^a$", json_schema_extra=explained("it is a"))

    name = structural_schema(Right)["properties"]["name"]
    assert name["x-kubernetes-validations"] == [{"rule": "self.matches('^a$')", "message": "it is a"}]
    assert not name.keys() & {"pattern", PATTERN_MESSAGE}
