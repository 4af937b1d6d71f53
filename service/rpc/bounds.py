"""Whether a message is within the bounds that the proto sets."""

from collections.abc import Callable, Iterator
from functools import cache
from operator import attrgetter
from typing import Any

import protovalidate
from buf.validate import validate_pb2
from connectingparty.sale.v1.sale_service_pb2 import InitiateSaleRequest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from service.currencies import CURRENCIES
from service.errors import FieldViolation
from service.rpc.bound_words import CURRENCY, out_of_bounds

_CURRENCY = "transaction.currency"
_CURRENCY_WORDS = f"must be {CURRENCY}"


def find_violations(message: Message) -> list[FieldViolation]:
    """Return what is out of bounds, one violation a field, in the order of the proto.

    Args:
        message: a request. Of a list that is too long, what is beyond is removed.

    Returns:
        Each faulty field with its JSON path. Where a whole object is missing, the required fields in it are named.
    """
    descriptor: Any = message.DESCRIPTOR  # its stub names two classes that are one
    for read, most in _bounded_lists(descriptor):
        items = read(message)
        if len(items) > most:
            # To tell that there are too many, one more is enough: each that is wrong would cost 50 microseconds.
            del items[most + 1 :]
    violations: dict[str, str] = {}
    for found in protovalidate.collect_violations(message):
        path, field, is_redacted = _locate(message, found)
        inside: list[tuple[str, str]] = []
        if found.proto.rule_id == "required" and field is not None and field.message_type is not None:
            absent = GetMessageClass(field.message_type)()
            inside = [(f"{path}.{inner.field}", inner.description) for inner in find_violations(absent)]
        for name, words in inside or [(path, _words(found, field, None if is_redacted else found.field_value))]:
            violations.setdefault(name, words)
    if isinstance(message, InitiateSaleRequest):
        _check_currency(message, violations)
    return [FieldViolation(path, words) for path, words in violations.items()]


@cache
def _bounded_lists(descriptor: Descriptor) -> list[tuple[Callable[[Message], Any], int]]:
    """Return how the lists of a message are read, and how many items each may have."""
    return [(attrgetter(path), most) for path, most in _paths_of_lists(descriptor)]


def _paths_of_lists(descriptor: Descriptor, above: str = "") -> Iterator[tuple[str, int]]:
    for field in descriptor.fields:
        if field.is_repeated:
            if most := field.GetOptions().Extensions[validate_pb2.field].repeated.max_items:
                yield above + field.name, most
        elif field.message_type is not None:
            yield from _paths_of_lists(field.message_type, f"{above}{field.name}.")


def _locate(message: Message, violation: protovalidate.Violation) -> tuple[str, FieldDescriptor | None, bool]:
    """Return the JSON path of the field that a violation is about, the field, and whether it may not be told."""
    path, field, is_redacted = "", None, False
    descriptor: Any = message.DESCRIPTOR  # its stub names two classes that are one
    for element in violation.proto.field.elements if violation.proto.field else ():
        field = descriptor.fields_by_name[element.field_name]
        is_redacted |= field.GetOptions().debug_redact
        path += f".{field.json_name}"
        if element.subscript is not None and element.subscript.field == "index":
            path += f"[{element.subscript.value}]"
        descriptor = field.message_type
    return path[1:], field, is_redacted


def _words(violation: protovalidate.Violation, field: FieldDescriptor | None, value: Any) -> str:
    if field is None:
        return violation.proto.message
    return out_of_bounds(field, violation.proto.rule_id, violation.proto.message, value)


def _check_currency(request: InitiateSaleRequest, violations: dict[str, str]) -> None:
    # ISO 4217 changes more often than the proto, so membership is no rule there.
    currency = request.transaction.currency
    if currency and currency not in CURRENCIES:
        meant = currency.strip().upper()
        violations[_CURRENCY] = _CURRENCY_WORDS + (f": send {meant}" if meant in CURRENCIES else "")
