"""What is told of a field that is out of bounds: the rule, what was got, and so what to send instead.

What was got is a length or a short number, and nothing where the proto says `debug_redact`: no text that was sent is
told.
"""

from typing import Any

from buf.validate import validate_pb2
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

CURRENCY = "an ISO 4217 alpha code, three upper-case letters such as EUR"
"""What a currency is."""

_WORDS = {
    "string.not_contains": "must not contain the character NUL",
    "string.ipv4": "must be IPv4, as in 203.0.113.7",
}
"""The library's own fit a phone developer but for these."""
_LENGTHS = ("string.len", "string.min_len", "string.max_len")
_FIRST_UNTOLD = 10**8
"""What has more digits than a BIN may be the number of a card."""
_NUMBERS = ("int32.", "int64.", "double.")


def required(field: FieldDescriptor) -> str:
    """Return what is told of a field that is missing, to be read after its path.

    Args:
        field: the field.
    """
    form = _form(field)
    return f"is required: {form}" if form else "is required"


def out_of_bounds(field: FieldDescriptor, rule_id: str, message: str, value: Any) -> str:
    """Return what is told of a field that breaks a rule, to be read after its path.

    Args:
        field: the field.
        rule_id: of protovalidate, as in `string.min_len`.
        message: the library's own words for it.
        value: what was got; None if that is not to be told.
    """
    if field.enum_type is not None:
        return f"must be one of {', '.join(_allowed(field))}{_not(_name(field.enum_type, value))}"
    if rule_id == "required":
        return required(field)
    if rule_id in _LENGTHS:
        return f"must have {_characters(field)}{'' if value is None else _not(len(value))}"
    words = _WORDS.get(rule_id, message)
    if value is None or not rule_id.startswith(_NUMBERS):
        return words
    return words + _not("0 or missing" if value == 0 and not field.has_presence else _number(value))


def _form(field: FieldDescriptor) -> str | None:
    if field.name == "currency":
        return CURRENCY
    if field.cpp_type != FieldDescriptor.CPPTYPE_STRING or not _rules(field).string.max_len:
        return None
    return f"a string of {_characters(field)}"


def _characters(field: FieldDescriptor) -> str:
    rules = _rules(field).string
    return f"{rules.min_len} to {rules.max_len} characters" if rules.min_len else f"at most {rules.max_len} characters"


def _rules(field: FieldDescriptor) -> validate_pb2.FieldRules:
    options = field.GetOptions()
    if not field.is_repeated:
        return options.Extensions[validate_pb2.field]
    return options.Extensions[validate_pb2.field].repeated.items


def _allowed(field: FieldDescriptor) -> list[str]:
    enum, allowed = field.enum_type, getattr(_rules(field).enum, "in")
    return [value.name for value in enum.values if not allowed or value.number in allowed] if enum else []


def _name(enum: EnumDescriptor, number: int) -> str | int:
    known = enum.values_by_number.get(number)
    return number if known is None else known.name


def _number(value: float) -> str:
    return f"{value:.15g}" if abs(value) < _FIRST_UNTOLD else "a number of more than 8 digits"


def _not(got: object) -> str:
    return f", not {got}"
