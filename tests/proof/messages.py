"""Messages within the bounds of the proto, and such that break one of them, made from the descriptors and buf.validate.

A new field, or a new rule of a known kind, is covered by itself; a rule of an unknown kind is a TypeError.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import connectingparty.sale.v1.access_token_service_pb2 as access_tokens
import connectingparty.sale.v1.card_service_pb2 as cards
import connectingparty.sale.v1.sale_service_pb2 as sales
from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import strategies as st

from service.currencies import CURRENCIES

Strategy = st.SearchStrategy[Any]
RPCS: list[MethodDescriptor] = [
    rpc
    for file in (sales, access_tokens, cards)
    for service in file.DESCRIPTOR.services_by_name.values()
    for rpc in service.methods
]

_TIMED = (Timestamp.DESCRIPTOR.full_name, Duration.DESCRIPTOR.full_name)
_CURRENCY = "connectingparty.sale.v1.InitiateSaleRequest.Transaction.currency"  # a list that is not in the proto
_NOT_A_DEVICE = "consumer_id.not_a_device"
_EMAILS = st.sampled_from(["anna@example.com", "a.b+c@sub.example.org", "x@localhost", "0@1.example"])
_REFUSED = {
    "ipv4": ["", "1.2.3", "::1", "256.1.1.1", "1.2.3.4 ", "01.2.3.4", "a"],
    "email": ["", "a", "@", "a@", "@b", "a b@c", "a@b@c", "a@b\n", "a@-"],
    "pattern": ["", "\n", "EU", "eur", "EURO", "EUR\n", "\u0415UR", "1" * 11, "1" * 20, "\u0661" * 12],
}
_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
}
_NANOSECONDS = 10**9
_text = st.characters(exclude_characters="\0", exclude_categories=["Cs"])


class Broken(NamedTuple):
    """A message that is out of bounds in one place."""

    message: Message
    paths: frozenset[str]
    """JSON paths of the fields that have to be named: of a missing object, those of its required fields."""


def messages(descriptor: Descriptor) -> Strategy:
    """Return messages of a type that are within their bounds."""

    @st.composite
    def make(draw: st.DrawFn) -> Message:
        message = GetMessageClass(descriptor)()
        chosen: dict[str, FieldDescriptor] = {}
        for field in descriptor.fields:
            group = field.containing_oneof
            if group is not None and draw(st.booleans()):
                chosen[group.name] = field
            elif group is None and (_is_needed(field) or draw(st.booleans())):
                chosen[field.name] = field
        for field in chosen.values():
            _put(message, field, draw(_good(field)))
        return message

    return make()


def broken_messages(descriptor: Descriptor) -> Strategy:
    """Return messages of a type each of which breaks one rule, anywhere in it; nothing where there is no rule."""
    faults = list(_faults(descriptor))

    @st.composite
    def make(draw: st.DrawFn) -> Broken:
        message, fault = draw(messages(descriptor)), draw(st.sampled_from(faults))
        return Broken(message, frozenset(fault(message, draw)))

    return make() if faults else st.nothing()


Fault = Callable[[Message, st.DrawFn], Sequence[str]]
"""Breaks a message, and returns the paths that have to be named."""


def _faults(descriptor: Descriptor) -> Iterator[Fault]:
    for field in descriptor.fields:
        rules = _rules(field)
        if rules.required:
            yield partial(_clear, field)
        if field.is_repeated:
            yield from _list_faults(field)
        elif _is_plain_message(field):
            for fault in _faults(_type(field)):
                yield partial(_break_inside, field, fault)
        elif (bad := _bad(field)) is not None:
            yield partial(_spoil, field, bad)


def _list_faults(field: FieldDescriptor) -> Iterator[Fault]:
    most = _rules(field).repeated.max_items

    def overfill(message: Message, draw: st.DrawFn) -> Sequence[str]:
        getattr(message, field.name).extend([draw(_good_item(field))] * (most + 1))
        return [field.json_name]

    def spoil(bad: Strategy, message: Message, draw: st.DrawFn) -> Sequence[str]:
        items = getattr(message, field.name)
        at = len(items)
        items.append(draw(bad))
        return [f"{field.json_name}[{at}]"]

    def spoil_inside(fault: Fault, message: Message, draw: st.DrawFn) -> Sequence[str]:
        items = getattr(message, field.name)
        at = len(items)
        items.append(draw(_good_item(field)))
        return [f"{field.json_name}[{at}].{path}" for path in fault(items[at], draw)]

    if most:
        yield overfill
    if _is_plain_message(field):
        for fault in _faults(_type(field)):
            yield partial(spoil_inside, fault)
    elif (bad := _bad(field, _rules(field).repeated.items)) is not None:
        yield partial(spoil, bad)


def _clear(field: FieldDescriptor, message: Message, draw: st.DrawFn) -> Sequence[str]:
    message.ClearField(field.name)
    if field.message_type is None or not (inside := list(_required_paths(field.message_type))):
        return [field.json_name]
    return [f"{field.json_name}.{path}" for path in inside]


def _required_paths(descriptor: Descriptor) -> Iterator[str]:
    """Yield what is named where a whole object is missing: what an empty one would lack."""
    for field in descriptor.fields:
        if _is_plain_message(field) and _rules(field).required:
            yield from (f"{field.json_name}.{path}" for path in _required_paths(_type(field)))
        elif _rules(field).required or not (field.has_presence or field.is_repeated or _allows_zero(field)):
            yield field.json_name


def _allows_zero(field: FieldDescriptor) -> bool:
    least, most = _limits(field)
    return field.cpp_type not in _INTEGERS or least <= 0 <= most


def _break_inside(field: FieldDescriptor, fault: Fault, message: Message, draw: st.DrawFn) -> Sequence[str]:
    inner = getattr(message, field.name)
    if not message.HasField(field.name):
        inner.CopyFrom(draw(messages(_type(field))))
        inner.SetInParent()
    return [f"{field.json_name}.{path}" for path in fault(inner, draw)]


def _spoil(field: FieldDescriptor, bad: Strategy, message: Message, draw: st.DrawFn) -> Sequence[str]:
    _put(message, field, draw(bad))
    return [field.json_name]


def _put(message: Message, field: FieldDescriptor, value: Any) -> None:
    if field.is_repeated:
        getattr(message, field.name).extend(value)
    elif field.message_type is not None:
        getattr(message, field.name).CopyFrom(value)
        getattr(message, field.name).SetInParent()
    else:
        setattr(message, field.name, value)


def _good(field: FieldDescriptor) -> Strategy:
    if not field.is_repeated:
        return _good_item(field)
    return st.lists(_good_item(field), max_size=min(_rules(field).repeated.max_items or 3, 3))


def _good_item(field: FieldDescriptor) -> Strategy:
    rules = _rules(field).repeated.items if field.is_repeated else _rules(field)
    if _is_plain_message(field):
        return messages(_type(field))
    if field.message_type is not None:
        return _moments(field)
    if field.enum_type is not None:
        allowed = list(getattr(rules.enum, "in")) or [value.number for value in field.enum_type.values]
        return st.sampled_from(allowed)
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return _good_text(field, rules)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    least, most = _limits(field)
    return st.integers(least, most) if field.cpp_type in _INTEGERS else st.floats(least, most, allow_nan=False)


def _good_text(field: FieldDescriptor, rules: Any) -> Strategy:
    string = rules.string
    if field.full_name == _CURRENCY:
        return st.sampled_from(sorted(CURRENCIES))
    if string.ipv4:
        return st.ip_addresses(v=4).map(str)
    if string.email:
        return _EMAILS
    if string.pattern:
        return st.from_regex(string.pattern.replace("$", r"\Z"))
    most = string.max_len or 100
    good: Strategy = st.text(_text, min_size=max(string.min_len, rules.required), max_size=min(most, 300))
    return good.filter(lambda text: not text.startswith("device:")) if rules.cel else good


def _bad(field: FieldDescriptor, rules: Any = None) -> Strategy | None:
    """Return values that a field can hold and its rules refuse; None where they refuse none."""
    rules = _rules(field) if rules is None else rules
    if field.message_type is not None:
        return _bad_moments(field)
    if field.enum_type is not None:
        allowed = set(getattr(rules.enum, "in")) or set(field.enum_type.values_by_number)
        refused = st.integers(-5, 50).filter(lambda number: number not in allowed)
        return refused if rules.HasField("enum") else None
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return _bad_text(rules)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return None
    least, most = _limits(field)
    ranges: list[Strategy] = []
    if field.cpp_type in _INTEGERS:
        first, last = _INTEGERS[field.cpp_type]
        ranges = [st.integers(*ends) for ends in ((first, least - 1), (most + 1, last)) if ends[0] <= ends[1]]
    elif (least, most) == (None, None):
        return None
    else:
        ranges = [st.floats(max_value=least, exclude_max=True), st.floats(min_value=most, exclude_min=True)]
        ranges.append(st.just(float("nan")))
    return st.one_of(ranges) if ranges else None


def _bad_text(rules: Any) -> Strategy | None:
    string, bad = rules.string, []
    for rule, _ in string.ListFields():
        match rule.name:
            case "min_len":
                # Where it has to be there at all, an empty one is missing, and named all the same.
                bad.append(st.text(_text, max_size=string.min_len - 1))
            case "max_len":
                bad.append(st.text(_text, min_size=1, max_size=9).map(lambda text: text * (string.max_len + 1)))
            case "not_contains":
                bad.append(st.tuples(st.text(_text), st.text(_text)).map(string.not_contains.join))
            case "ipv4" | "email" | "pattern":
                bad.append(st.sampled_from(_REFUSED[rule.name]))
            case other:
                raise TypeError(f"string.{other}: no text is known that breaks this rule")
    for cel in rules.cel:
        if cel.id != _NOT_A_DEVICE:
            raise TypeError(f"{cel.id}: no text is known that breaks this rule")
        bad.append(st.text(_text, max_size=50).map("device:".__add__))
    return st.one_of(bad) if bad else None


def _limits(field: FieldDescriptor) -> tuple[Any, Any]:
    """Return the least and the most that a number may be; of doubles None where there is no bound."""
    least, most = _INTEGERS.get(field.cpp_type, (None, None))
    kind = _rules(field).WhichOneof("type")
    for rule, value in getattr(_rules(field), kind).ListFields() if kind else ():
        match rule.name:
            case "gt":
                least = value + 1
            case "gte":
                least = value
            case "lte":
                most = value
            case other:
                raise TypeError(f"{field.full_name}: {other} is a rule of an unknown kind")
    return least, most


def _moments(field: FieldDescriptor) -> Strategy:
    first, last = _moment_limits(field)
    return st.integers(first, last).map(lambda count: _moment(field, count))


def _bad_moments(field: FieldDescriptor) -> Strategy:
    first, last = _moment_limits(field)
    early = st.integers(first - 10**15, first - 1)
    return st.one_of(early, st.integers(last + 1, last + 10**15)).map(lambda count: _moment(field, count))


def _moment(field: FieldDescriptor, nanoseconds: int) -> Message:
    seconds, nanos = divmod(nanoseconds, _NANOSECONDS)
    if field.message_type is not None and field.message_type.full_name == Duration.DESCRIPTOR.full_name:
        if seconds < 0 < nanos:  # both have one sign
            seconds, nanos = seconds + 1, nanos - _NANOSECONDS
        return Duration(seconds=seconds, nanos=nanos)
    return Timestamp(seconds=seconds, nanos=nanos)


def _moment_limits(field: FieldDescriptor) -> tuple[int, int]:
    rules = _rules(field)
    kind = getattr(rules, rules.WhichOneof("type") or "timestamp")
    limits = [getattr(kind, name) for name in ("gte", "lte")]
    first, last = (limit.seconds * _NANOSECONDS + limit.nanos for limit in limits)
    return first, last or 253402300799 * _NANOSECONDS


def _rules(field: FieldDescriptor) -> Any:
    return field.GetOptions().Extensions[validate_pb2.field]


def _is_needed(field: FieldDescriptor) -> bool:
    return bool(_rules(field).required) or not (field.has_presence or field.is_repeated)


def _is_plain_message(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.full_name not in _TIMED


def _type(field: FieldDescriptor) -> Descriptor:
    if field.message_type is None:
        raise TypeError(f"{field.full_name}: is of no message type")
    return field.message_type
