"""Writes the CRDs into crds/ and the chart: `python -m penstock.api.crdgen [--check]`."""

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

from penstock.api.structural import structural_schema
from penstock.api.v1alpha1 import GROUP, KINDS, VERSION, ApiObject
from penstock.api.v1alpha1.fields import RULES

HEADER = "# Generated from src/penstock/api by `make crds`; edit the types instead.\n"
TARGETS = ("crds", "charts/penstock/files/crds")


def definition(kind: type[ApiObject]) -> dict[str, Any]:
    """Return the CustomResourceDefinition of `kind` as JSON values."""
    crd, name = kind.crd, kind.__name__
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [*_columns(kind), _AGE],
        "schema": {"openAPIV3Schema": _root_schema(kind)},
    }
    if crd.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in crd.selectable]
    if subresources := _subresources(kind):
        version["subresources"] = subresources
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{crd.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": crd.scope,
            "names": {
                "kind": name,
                "listKind": f"{name}List",
                "plural": crd.plural,
                "singular": name.lower(),
                "shortNames": [crd.short_name],
                "categories": ["penstock"],
            },
            "versions": [version],
        },
    }


_AGE = {
    "name": "Age",
    "type": "date",
    "jsonPath": ".metadata.creationTimestamp",
    "description": "How long ago it was created",
}


def _columns(kind: type[ApiObject]) -> list[dict[str, Any]]:
    columns = []
    for column in kind.crd.columns:
        entry: dict[str, Any] = {
            "name": column.name,
            "type": column.type,
            "jsonPath": column.path,
            "description": column.description,
        }
        if column.priority:
            entry["priority"] = column.priority
        columns.append(entry)
    return columns


def _root_schema(kind: type[ApiObject]) -> dict[str, Any]:
    schema = structural_schema(kind)
    fields = schema["properties"]
    root: dict[str, Any] = {
        "description": schema["description"],
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"description": "The version of the API.", "type": "string"},
            "kind": {"description": "The kind of the object.", "type": "string"},
            # The API server refuses a description here: it has its own.
            "metadata": {"type": "object"},
            "spec": fields["spec"],
        },
    }
    if "status" in fields:
        root["properties"]["status"] = fields["status"]
        if kind.crd.status_default is not None:
            root["properties"]["status"]["default"] = kind.crd.status_default
    if kind.crd.rules:
        root[RULES] = [{"rule": rule, "message": message} for rule, message in kind.crd.rules]
    return root


def _subresources(kind: type[ApiObject]) -> dict[str, Any]:
    subresources: dict[str, Any] = {}
    if "status" in kind.model_fields:
        subresources["status"] = {}
    if scale := kind.crd.scale:
        subresources["scale"] = {
            "specReplicasPath": scale.spec_replicas,
            "statusReplicasPath": scale.status_replicas,
            "labelSelectorPath": scale.selector,
        }
    return subresources


class _Dumper(yaml.SafeDumper):
    """Writes every value in full where it stands."""

    def ignore_aliases(self, data: Any) -> bool:
        """No anchors: the same rule may stand twice."""
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    """Quote the names that Helm and kubectl read as true and false: their YAML is 1.1."""
    style = "'" if value in ("y", "Y", "n", "N") else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def render(kind: type[ApiObject]) -> str:
    """Return the YAML file of `kind`, header included."""
    body: str = yaml.dump(definition(kind), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
    return HEADER + body


def files(root: Path) -> dict[Path, str]:
    """Return every file that the generator owns below `root`, with its content."""
    return {root / target / f"{GROUP}_{kind.crd.plural}.yaml": render(kind) for target in TARGETS for kind in KINDS}


def differing(root: Path) -> list[Path]:
    """Return the generator's files below `root` that are missing, outdated or no longer generated."""
    wanted = files(root)
    outdated = [path for path, content in wanted.items() if not path.is_file() or path.read_text() != content]
    present = {path for target in TARGETS for path in (root / target).glob(f"{GROUP}_*.yaml")}
    return sorted([*outdated, *(present - wanted.keys())])


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or with --check name those that differ; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m penstock.api.crdgen", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file differs")
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the repository (default: here)")
    options = parser.parse_args(arguments)
    paths = differing(options.root)
    if options.check:
        for path in paths:
            print(f"{path.relative_to(options.root)} differs from the types; run `make crds`", file=sys.stderr)
        return 1 if paths else 0
    wanted = files(options.root)
    for path in paths:
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path])
        else:
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
