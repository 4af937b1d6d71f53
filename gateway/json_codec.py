"""JSON to protobuf messages and back, compiled once from the descriptors.

Names are lowerCamelCase, unknown members are ignored, null stands for absent, an absent optional field is left out. As
in protobuf's canonical JSON but for 64-bit integers: they are written as numbers, as the payment gateways read them,
and read as numbers or decimal strings. `json_format` takes three times as long.
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

import orjson
from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

MessageT = TypeVar("MessageT", bound=Message)

_TIMES: dict[str, Any] = {each.DESCRIPTOR.full_name: each for each in (Timestamp, Duration)}
"""Messages that are a string in JSON."""
_EXAMPLES = {Timestamp: "a time as in 2026-11-21T12:00:00Z", Duration: "a time in seconds as in 1.5s"}
_SURROGATE = re.compile("[\ud800-\udfff]")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)", re.ASCII)
_IGNORED_KEPT = 8
_KINDS: dict[type, str] = {
    int: "a number",
    float: "a number with decimals",
    str: "a string",
    list: "a list",
    dict: "an object",
    type(None): "null",
}
INTEGER_RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
"""The least and the greatest value of each integer type."""


class TypeViolation(NamedTuple):
    """A member of a JSON object that its field can't take."""

    path: str
    """JSON path, as in `consumer.ipAddresses[0]`."""
    description: str
    """What it must be, to be read after the path; never holds the value."""


Violations = list[TypeViolation]


@dataclass(slots=True)
class Findings:
    """What was found in a JSON object that its message does not take."""

    violations: Violations = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    """JSON paths of the first members that no field is named for."""

    def refuse(self, path: str, description: str) -> None:
        """Add a member that its field can't take."""
        self.violations.append(TypeViolation(path, description))

    def ignore(self, path: str) -> None:
        """Add a member that no field is named for."""
        if len(self.ignored) < _IGNORED_KEPT:
            self.ignored.append(path)


Decode = Callable[[Any, str, Findings], Any]
"""Takes a JSON value, its path and where to add what is found; returns what the field takes, or None if it can't."""
Encode = Callable[[Any], Any]
"""Takes the value of a field; returns what `json` writes."""


class JsonCodec(Generic[MessageT]):
    """Reads and writes one type of message.

    Args:
        message_class: the generated class.
        without: names of fields that have no place in the JSON, such as those of a path; ignored like unknown ones.

    Raises:
        TypeError: it has a field of a type that this codec does not know.
    """

    def __init__(self, message_class: type[MessageT], without: Collection[str] = ()) -> None:
        self._message_class = message_class
        descriptor: Any = message_class.DESCRIPTOR  # its stub names two classes that are one
        self._decode = _message_decoder(descriptor, without)
        self._encode = _message_encoder(descriptor)

    def decode(self, value: dict[str, Any]) -> tuple[MessageT, Findings]:
        """Make a message of a JSON object.

        Args:
            value: the object, as the `json` module gives it.

        Returns:
            The message, and what it does not take: members of a wrong type, whose fields are left out of the message,
            and members that no field is named for. Bounds are not checked.
        """
        findings = Findings()
        return self._decode(value, "", findings), findings

    def encode(self, message: MessageT) -> bytes:
        """Return a message as JSON in UTF-8."""
        return orjson.dumps(self.to_object(message))

    def to_object(self, message: MessageT) -> dict[str, Any]:
        """Return a message as the object that its JSON is."""
        encoded: dict[str, Any] = self._encode(message)
        return encoded


def _message_decoder(descriptor: Descriptor, without: Collection[str] = ()) -> Decode:
    message_class = GetMessageClass(descriptor)
    fields = {
        field.json_name: (field.name, _field_decoder(field)) for field in descriptor.fields if field.name not in without
    }

    def decode(value: Any, path: str, findings: Findings) -> Any:
        if not isinstance(value, dict):
            findings.refuse(path, f"must be an object{_not(value)}")
            return None
        prefix = path and path + "."
        values = {}
        for key, member in value.items():
            if (field := fields.get(key)) is None:
                findings.ignore(prefix + key)
            elif member is not None:
                name, decode_field = field
                if (decoded := decode_field(member, prefix + key, findings)) is not None:
                    values[name] = decoded
        return message_class(**values)

    return decode


def _field_decoder(field: FieldDescriptor) -> Decode:
    decode = _value_decoder(field)
    if not field.is_repeated:
        return decode
    placeholder = _placeholder(field)
    kept = slice(items_kept(field))

    def decode_list(value: Any, path: str, findings: Findings) -> Any:
        if not isinstance(value, list):
            findings.refuse(path, f"must be a list{_not(value)}")
            return None
        # What can't be read keeps its place, so that the index of what follows stays right.
        items = (decode(item, f"{path}[{index}]", findings) for index, item in enumerate(value[kept]))
        return [placeholder if item is None else item for item in items]

    return decode_list


def items_kept(field: FieldDescriptor) -> int | None:
    """Return how many items of a list are worth reading: with one too many it is refused, whatever they are.

    Args:
        field: a repeated one.
    """
    most: int = field.GetOptions().Extensions[validate_pb2.field].repeated.max_items
    return most + 1 if most else None


def _value_decoder(field: FieldDescriptor) -> Decode:
    if field.message_type is not None and (decode := _message_value_decoder(field.message_type)) is not None:
        return decode
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_STRING:
            return _decode_string
        case FieldDescriptor.CPPTYPE_BOOL:
            return _decode_bool
        case FieldDescriptor.CPPTYPE_DOUBLE:
            return _decode_double
        case FieldDescriptor.CPPTYPE_ENUM if field.enum_type is not None:
            return _enum_decoder(field.enum_type)
        case cpp_type if cpp_type in INTEGER_RANGES:
            return _integer_decoder(*INTEGER_RANGES[cpp_type])
    raise TypeError(f"{field.full_name}: no JSON is known for this type")


def _message_value_decoder(descriptor: Descriptor) -> Decode | None:
    if (time_class := _TIMES.get(descriptor.full_name)) is not None:
        return _time_decoder(time_class)
    return _message_decoder(descriptor) if _is_plain(descriptor) else None


def _placeholder(field: FieldDescriptor) -> Any:
    if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        return GetMessageClass(_message_type(field))()
    return "" if field.cpp_type == FieldDescriptor.CPPTYPE_STRING else 0


def _decode_string(value: Any, path: str, findings: Findings) -> Any:
    if not isinstance(value, str):
        findings.refuse(path, f"must be a string{_not(value)}")
        return None
    if _SURROGATE.search(value):
        findings.refuse(path, "must not contain half of a surrogate pair")
        return None
    return value


def _decode_bool(value: Any, path: str, findings: Findings) -> Any:
    if not isinstance(value, bool):
        findings.refuse(path, f"must be true or false{_not(value)}")
        return None
    return value


def _decode_double(value: Any, path: str, findings: Findings) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        findings.refuse(path, f"must be a number{_not(value)}")
        return None
    return float(value)


def _integer_decoder(least: int, most: int) -> Decode:
    def decode(value: Any, path: str, findings: Findings) -> Any:
        if isinstance(value, str) and len(value) <= len(str(least)) + 1 and _DECIMAL.fullmatch(value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            findings.refuse(path, f"must be an integer between {least} and {most}{_not(value)}")
            return None
        if not least <= value <= most:
            findings.refuse(path, f"must be between {least} and {most}")
            return None
        return value

    return decode


def _time_decoder(time_class: Any) -> Decode:
    def decode(value: Any, path: str, findings: Findings) -> Any:
        time = time_class()
        try:
            time.FromJsonString(value)
        except (ValueError, AttributeError, TypeError):
            findings.refuse(path, f"must be {_EXAMPLES[time_class]}")
            return None
        return time

    return decode


def _enum_decoder(enum: EnumDescriptor) -> Decode:
    def decode(value: Any, path: str, findings: Findings) -> Any:
        if not isinstance(value, str) or (known := enum.values_by_name.get(value)) is None:
            findings.refuse(path, f"must be one of {', '.join(enum.values_by_name)}")
            return None
        return known.number

    return decode


def _not(value: Any) -> str:
    """Return what was got, without a value: one in the wrong place may be a secret."""
    return f", not {str(value).lower() if isinstance(value, bool) else _KINDS[type(value)]}"


def _message_encoder(descriptor: Descriptor) -> Encode:
    fields = [(field.name, field.json_name, field.has_presence, _field_encoder(field)) for field in descriptor.fields]

    def encode(message: Message) -> dict[str, Any]:
        return {
            json_name: encode_field(getattr(message, name)) if encode_field is not None else getattr(message, name)
            for name, json_name, has_presence, encode_field in fields
            if not has_presence or message.HasField(name)
        }

    return encode


def _field_encoder(field: FieldDescriptor) -> Encode | None:
    _value_decoder(field)  # the same types are known both ways
    encode: Encode
    if field.enum_type is not None:
        encode = _enum_encoder(field.enum_type)
    elif field.cpp_type != FieldDescriptor.CPPTYPE_MESSAGE:
        return list if field.is_repeated else None
    elif (time_class := _TIMES.get(_message_type(field).full_name)) is not None:
        encode = time_class.ToJsonString
    else:
        encode = _message_encoder(_message_type(field))
    return (lambda values: [encode(value) for value in values]) if field.is_repeated else encode


def _enum_encoder(enum: EnumDescriptor) -> Encode:
    names = {number: value.name for number, value in enum.values_by_number.items()}
    # A value that a newer version has is a number, as protobuf writes it.
    return lambda number: names.get(number, number)


def _message_type(field: FieldDescriptor) -> Descriptor:
    if field.message_type is None:
        raise TypeError(f"{field.full_name}: is of no message type")
    return field.message_type


def _is_plain(descriptor: Descriptor) -> bool:
    # The types of google.protobuf (Timestamp, Any, ...) have a JSON form of their own; so do maps.
    return not descriptor.file.package.startswith("google.protobuf") and not descriptor.GetOptions().map_entry
