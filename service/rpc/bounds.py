"""Whether a message is within the bounds that the proto sets."""

from typing import Any

import protovalidate
from connectingparty.sale.v1.sale_service_pb2 import InitiateSaleRequest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from service.currencies import CURRENCIES
from service.errors import FieldViolation

# The library's words where they fit a phone developer; these where they don't.
_WORDS = {
    "required": "is required",
    "string.not_contains": "must not contain the character NUL",
}
_CURRENCY = "transaction.currency"
_CURRENCY_WORDS = "must be an ISO 4217 alpha code, three upper-case letters such as EUR"


def find_violations(message: Message) -> list[FieldViolation]:
    """Return what is out of bounds, one violation a field, in the order of the proto.

    Args:
        message: a request.

    Returns:
        Each faulty field with its JSON path. Where a whole object is missing, the required fields in it are named.
    """
    violations: dict[str, str] = {}
    for found in protovalidate.collect_violations(message):
        path, field = _locate(message, found)
        if found.proto.rule_id == "required" and isinstance(field, Message):
            inside = [(f"{path}.{inner.field}", inner.description) for inner in find_violations(field)]
        else:
            inside = []
        for name, words in inside or [(path, _WORDS.get(found.proto.rule_id, found.proto.message))]:
            violations.setdefault(name, words)
    if isinstance(message, InitiateSaleRequest):
        _check_currency(message, violations)
    return [FieldViolation(path, words) for path, words in violations.items()]


def _locate(message: Message, violation: protovalidate.Violation) -> tuple[str, object]:
    """Return the JSON path of the field that a violation is about, and an empty message if it is of a message type."""
    path = ""
    descriptor: Any = message.DESCRIPTOR  # its stub names two classes that are one
    for element in violation.proto.field.elements if violation.proto.field else ():
        field = descriptor.fields_by_name[element.field_name]
        path += f".{field.json_name}"
        if element.subscript is not None and element.subscript.field == "index":
            path += f"[{element.subscript.value}]"
        descriptor = field.message_type
    return path[1:], GetMessageClass(descriptor)() if descriptor is not None else None


def _check_currency(request: InitiateSaleRequest, violations: dict[str, str]) -> None:
    # ISO 4217 changes more often than the proto, so membership is no rule there.
    currency = request.transaction.currency
    if currency and currency not in CURRENCIES:
        violations[_CURRENCY] = _CURRENCY_WORDS
