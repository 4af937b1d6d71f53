"""JSON Schemas of messages: what `json_codec` reads and writes, within the bounds that the proto sets.

A bound that JSON Schema has no word for (a time, a CEL expression) is left to the description, which is the proto's
comment.
"""

from collections.abc import Iterable, Iterator
from itertools import combinations
from typing import Any, Literal

from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.comments import COMMENTS
from gateway.decimal_pattern import decimal_pattern
from gateway.json_codec import INTEGER_RANGES

Schema = dict[str, Any]
Direction = Literal["Request", "Response"]

_NULL: Schema = {"type": "null"}
_WELL_KNOWN: dict[str, Schema] = {Timestamp.DESCRIPTOR.full_name: {"type": "string", "format": "date-time"}}


def described(full_name: str) -> Schema:
    """Return the comment of something in the proto as a description, if it has one."""
    return {"description": COMMENTS[full_name]} if full_name in COMMENTS else {}


class Schemas:
    """The schemas of all messages of an API, each once, to be referred to.

    Args:
        requests: the messages that are read.
        responses: the messages that are written.
    """

    def __init__(self, requests: Iterable[Descriptor], responses: Iterable[Descriptor]) -> None:
        read, written = set(_reachable(requests)), set(_reachable(responses))
        self._both_ways = {message.full_name for message in read & written}
        self._components: dict[str, Schema] = {}

    def components(self) -> dict[str, Schema]:
        """Return the schemas of the messages that were referred to, by their names."""
        return dict(sorted(self._components.items()))

    def refer(self, message: Descriptor, direction: Direction, without: Iterable[str] = ()) -> Schema:
        """Return a reference to the schema of a message.

        Args:
            message: its descriptor.
            direction: whether it is read or written.
            without: fields that are not in its JSON.
        """
        name = message.full_name.removeprefix(f"{message.file.package}.")
        if message.full_name in self._both_ways:
            name += f".{direction}"
        if name not in self._components:
            self._components[name] = {}  # a message may hold itself
            fields = [field for field in message.fields if field.name not in without]
            self._components[name] = self._object(message, fields, direction)
        return {"$ref": f"#/components/schemas/{name}"}

    def value(self, field: FieldDescriptor, direction: Direction) -> Schema:
        """Return the schema of what a field holds when it is there, without its description.

        Args:
            field: its descriptor.
            direction: whether it is read or written.
        """
        rules = field.GetOptions().Extensions[validate_pb2.field]
        if not field.is_repeated:
            return self._single(field, rules, direction)
        bounds = _known(minItems=rules.repeated.min_items, maxItems=rules.repeated.max_items)
        return {"type": "array", "items": self._single(field, rules.repeated.items, direction), **bounds}

    def is_required(self, field: FieldDescriptor, direction: Direction) -> bool:
        """Tell whether a field has to be there, or always is.

        Args:
            field: its descriptor.
            direction: whether it is read or written.
        """
        if field.GetOptions().Extensions[validate_pb2.field].required:
            return True
        if field.has_presence:
            return False
        # An answer has the value of such a field whatever it is; a request without the field says the default.
        return direction == "Response" or not _takes_default(self.value(field, direction))

    def _object(self, message: Descriptor, fields: list[FieldDescriptor], direction: Direction) -> Schema:
        required = [field for field in fields if self.is_required(field, direction)]
        properties: dict[str, Schema] = {}
        for field in fields:
            schema = self.value(field, direction)
            if direction == "Request" and field not in required:
                schema = _or_null(schema)
            properties[field.json_name] = {**schema, **described(field.full_name)}
        schema = {"type": "object", **described(message.full_name), "properties": properties}
        if required:
            schema["required"] = [field.json_name for field in required]
        if exclusions := [
            {"not": {"required": [one.json_name, other.json_name]}}
            for oneof in message.oneofs
            for one, other in combinations(oneof.fields, 2)
        ]:
            schema["allOf"] = exclusions
        return schema

    def _single(self, field: FieldDescriptor, rules: Any, direction: Direction) -> Schema:
        if (message := _message(field)) is not None:
            return self.refer(message, direction)
        if field.message_type is not None:
            return _WELL_KNOWN[field.message_type.full_name]
        if field.enum_type is not None:
            return _enum(field.enum_type, rules.enum)
        return _scalar(field, rules, direction)


def _reachable(messages: Iterable[Descriptor]) -> Iterator[Descriptor]:
    waiting, found = list(messages), set()
    while waiting:
        message = waiting.pop()
        if message not in found:
            found.add(message)
            yield message
            waiting += [inner for field in message.fields if (inner := _message(field)) is not None]


def _known(**bounds: float) -> Schema:
    return {name: bound for name, bound in bounds.items() if bound}


def _or_null(schema: Schema) -> Schema:
    """Let null stand for what is absent, as `json_codec` reads it."""
    if "enum" in schema:
        return {**schema, "type": [schema["type"], "null"], "enum": [*schema["enum"], None]}
    if "type" in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [*schema.get("anyOf", [schema]), _NULL]}


def _takes_default(schema: Schema) -> bool:
    number = schema.get("anyOf", [schema])[0]
    return not (schema.get("minLength") or schema.get("minItems") or "pattern" in schema) and (
        number.get("minimum", 0) <= 0 <= number.get("maximum", 0)
    )


def _message(field: FieldDescriptor) -> Descriptor | None:
    """Return the message that is an object in JSON, if the field holds one."""
    return None if field.message_type is None or field.message_type.full_name in _WELL_KNOWN else field.message_type


def _enum(enum: EnumDescriptor, rules: Any) -> Schema:
    allowed = getattr(rules, "in")
    names = [value.name for value in enum.values if not allowed or value.number in allowed]
    return {"type": "string", "enum": names}


def _scalar(field: FieldDescriptor, rules: Any, direction: Direction) -> Schema:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            return {"type": "string", **_string_bounds(rules.string)}
        case FieldDescriptor.CPPTYPE_BOOL:
            return {"type": "boolean"}
        case FieldDescriptor.CPPTYPE_DOUBLE:
            return {"type": "number", "format": "double", **_number_bounds(rules.double)}
    return _integer(field, rules, direction)


def _string_bounds(rules: Any) -> Schema:
    bounds = _known(minLength=rules.min_len, maxLength=rules.max_len)
    patterns = [rules.pattern] if rules.pattern else []
    if rules.not_contains == "\0" and not patterns:
        patterns.append(r"^[^\u0000]*$")
    if patterns:
        bounds["pattern"] = patterns[0]
    for format_name in ("ipv4", "ipv6", "email", "uuid", "hostname"):
        if getattr(rules, format_name):
            bounds["format"] = format_name
    return bounds


def _number_bounds(rules: Any) -> Schema:
    words = {"gte": "minimum", "gt": "exclusiveMinimum", "lte": "maximum", "lt": "exclusiveMaximum"}
    return {words[field.name]: value for field, value in rules.ListFields() if field.name in words}


def _integer(field: FieldDescriptor, rules: Any, direction: Direction) -> Schema:
    least, greatest = INTEGER_RANGES[field.cpp_type]
    type_name = next(name for name in _INTEGER_TYPES if getattr(FieldDescriptor, f"TYPE_{name.upper()}") == field.type)
    bounds = getattr(rules, type_name)
    if bounds.WhichOneof("greater_than") is not None:
        least = bounds.gt + 1 if bounds.HasField("gt") else bounds.gte
    if bounds.WhichOneof("less_than") is not None:
        greatest = bounds.lt - 1 if bounds.HasField("lt") else bounds.lte
    number = {"type": "integer", "format": _FORMATS[field.cpp_type], "minimum": least, "maximum": greatest}
    if direction == "Response":
        return number
    return {"anyOf": [number, {"type": "string", "pattern": decimal_pattern(least, greatest)}]}


_INTEGER_TYPES = (
    "int32",
    "sint32",
    "sfixed32",
    "int64",
    "sint64",
    "sfixed64",
    "uint32",
    "fixed32",
    "uint64",
    "fixed64",
)
_FORMATS = {
    FieldDescriptor.CPPTYPE_INT32: "int32",
    FieldDescriptor.CPPTYPE_INT64: "int64",
    FieldDescriptor.CPPTYPE_UINT32: "uint32",
    FieldDescriptor.CPPTYPE_UINT64: "uint64",
}
