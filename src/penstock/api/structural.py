"""From a pydantic type to a structural schema of apiextensions.k8s.io/v1."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from penstock.api.v1alpha1.fields import PATTERN_MESSAGE, RULES, WRITTEN_DEFAULT

Schema = dict[str, Any]

KEY_ORDER = (
    "description",
    "type",
    "x-kubernetes-int-or-string",
    "format",
    "enum",
    "default",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "maxProperties",
    "pattern",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "required",
    "properties",
    "additionalProperties",
    "items",
    "x-kubernetes-validations",
)
"""The order in which a reader wants the keys of a schema; any other key is a mistake."""


class _Generator(GenerateJsonSchema):
    """Emits what a structural schema can say."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """`X | None` is an optional X: the API server drops nulls."""
        return self.generate_inner(schema["schema"])

    def literal_schema(self, schema: core_schema.LiteralSchema) -> JsonSchemaValue:
        """`const` does not exist there: an enum of one."""
        return _const_to_enum(super().literal_schema(schema))

    def enum_schema(self, schema: core_schema.EnumSchema) -> JsonSchemaValue:
        """An enum of one member is emitted as `const` too."""
        return _const_to_enum(super().enum_schema(schema))


def _const_to_enum(schema: JsonSchemaValue) -> JsonSchemaValue:
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
        schema["type"] = "string"
    return schema


def structural_schema(model: type[BaseModel]) -> Schema:
    """Return the schema of `model` without references, titles and whatever else a CRD refuses.

    Raises ValueError for a float, for a key that a CRD does not know and for a pattern that CEL cannot quote.
    """
    generated = model.model_json_schema(by_alias=True, mode="validation", schema_generator=_Generator)
    return _convert(generated, generated.get("$defs", {}))


def _convert(node: Schema, definitions: Schema) -> Schema:
    if "$ref" in node:
        definition = definitions[node["$ref"].rsplit("/", 1)[1]]
        rules = [*definition.get(RULES, []), *node.get(RULES, [])]
        node = definition | {key: value for key, value in node.items() if key != "$ref"} | {RULES: rules}
    schema = {key: value for key, value in node.items() if key not in {"title", "$defs"}}
    _apply_markers(schema)
    if "properties" in schema:
        schema["properties"] = {name: _convert(child, definitions) for name, child in schema["properties"].items()}
        schema.pop("additionalProperties", None)
    if "items" in schema:
        schema["items"] = _convert(schema["items"], definitions)
    values = schema.get("additionalProperties")
    if isinstance(values, dict):
        schema["additionalProperties"] = _convert(values, definitions)
    elif values is True:
        del schema["additionalProperties"]
        schema["x-kubernetes-preserve-unknown-fields"] = True
    if rules := schema.pop(RULES, []):
        schema[RULES] = [{"rule": rule["rule"], "message": rule["message"]} for rule in rules]
    if "description" in schema:
        schema["description"] = " ".join(schema["description"].split())
    if schema.get("type") == "number":
        raise ValueError(f"a number is an integer or a decimal string in this API: {node}")
    if unknown := schema.keys() - set(KEY_ORDER):
        raise ValueError(f"a CRD cannot hold {sorted(unknown)} in {node}")
    return {key: schema[key] for key in KEY_ORDER if key in schema}


def _apply_markers(schema: Schema) -> None:
    """Turn this project's own markers into what a CRD understands."""
    if not schema.pop(WRITTEN_DEFAULT, False):
        schema.pop("default", None)
    if message := schema.pop(PATTERN_MESSAGE, None):
        pattern = schema.pop("pattern")
        if "'" in pattern or "\\" in pattern:
            raise ValueError(f"write {pattern} without quotes and backslashes: it becomes a CEL string")
        rule = {"rule": f"self.matches('{pattern}')", "message": message}
        schema[RULES] = [rule, *schema.get(RULES, [])]
