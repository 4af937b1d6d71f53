"""What a JSON Schema of the reference says, flat: each value by its JSON path, with type and bounds in words."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from gateway.json_schema import Schema

_WITHOUT_NUL = {r"^[^\u0000]*$", r"^[^/\u0000]*$"}
"""What every string has to be: not worth a word each time."""


class Field(NamedTuple):
    """A value in a document."""

    path: str
    """JSON path, as in `consumer.ipAddresses[]`."""
    type: str
    bounds: str
    """In words; empty where there are none."""
    is_required: bool
    """Whether it has to be there, and so have all objects that it stands in."""
    description: str


def fields_of(
    schema: Schema, components: Mapping[str, Schema], above: str = "", *, is_required: bool = True
) -> Iterator[Field]:
    """Yield every value of a document that is no object.

    Args:
        schema: of the document.
        components: the schemas that it may refer to, by name.
        above: where in the document this schema counts.
        is_required: whether what is there has to be.
    """
    schema = resolved(schema, components)
    for name, inner in schema.get("properties", {}).items():
        path = f"{above}{name}"
        value, needed = resolved(inner, components), is_required and name in schema.get("required", ())
        if "items" in value:
            path, value = f"{path}[]", {**value["items"], **{key: value[key] for key in value if key.endswith("Items")}}
        if "properties" in value:
            yield from fields_of(value, components, f"{path}.", is_required=needed)
        else:
            yield field_of(path, {**value, **_described(inner)}, is_required=needed)


def field_of(path: str, schema: Schema, *, is_required: bool) -> Field:
    """Return one value.

    Args:
        path: where it is.
        schema: of it.
        is_required: whether it has to be there.
    """
    value = {**schema, **schema.get("anyOf", [{}])[0]}
    kinds = value.get("type", "string")
    kind = kinds if isinstance(kinds, str) else kinds[0]
    return Field(path, kind, ", ".join(_bounds(value)), is_required, schema.get("description", ""))


def resolved(schema: Schema, components: Mapping[str, Schema]) -> Schema:
    """Return what a schema refers to, or the object that may be null; otherwise itself."""
    inner = schema.get("anyOf", [schema])[0]
    if "$ref" in inner:
        return components[inner["$ref"].rpartition("/")[2]]
    return schema if "properties" not in inner else inner


def _described(schema: Schema) -> Schema:
    return {"description": schema["description"]} if "description" in schema else {}


def _bounds(schema: Mapping[str, Any]) -> Iterator[str]:
    if "minLength" in schema or "maxLength" in schema:
        yield f"{_range(schema, 'minLength', 'maxLength')} characters"
    if "minimum" in schema or "maximum" in schema:
        yield _range(schema, "minimum", "maximum")
    if "pattern" in schema and schema["pattern"] not in _WITHOUT_NUL:
        yield f"matches {schema['pattern']}"
    if "enum" in schema:
        yield "one of " + ", ".join(str(value) for value in schema["enum"] if value is not None)
    if schema.get("format") in {"ipv4", "date-time"}:
        yield {"ipv4": "dotted IPv4", "date-time": "RFC 3339"}[schema["format"]]
    if "maxItems" in schema:
        yield f"at most {schema['maxItems']} of them"


def _range(schema: Mapping[str, Any], least: str, most: str) -> str:
    if most not in schema:
        return f"at least {schema[least]}"
    return f"{schema[least]} to {schema[most]}" if least in schema else f"at most {schema[most]}"
