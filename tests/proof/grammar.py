"""Hostile JSON: the document of a message, made wrong in the ways in which parsers are known to differ or to fail.

Made from the descriptor, so that a new field is attacked by itself. A document is written as text, not as a value: most
of what is hostile has no value.
"""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from tests.proof.damage import damaged_bytes, damaged_text, filled
from tests.proof.pieces import (
    ALPHABETS,
    BRACKETS,
    BROKEN_MEMBERS,
    DEPTHS,
    ESCAPES,
    GREAT_DEPTHS,
    HOSTILE_ALPHABETS,
    IPV4,
    KEYS,
    NUMBERS,
    SPACES,
    TEXTS,
    WORDS,
)

Write = Callable[[], str]
_MANY = 100


class Grammar:
    """Makes bodies for one message.

    Args:
        descriptor: of the message.
        random: what they are drawn from; the same one makes the same bodies.
        known: values that mean something to the server, by JSON path: with them a body gets past the first checks.
        elsewhere: JSON paths that are in no body, but in the path of the request.
    """

    def __init__(
        self,
        descriptor: Descriptor,
        random: Random,
        known: Mapping[str, Sequence[str]],
        elsewhere: frozenset[str] = frozenset(),
    ) -> None:
        self._draw = random.random
        self._known = known
        self._elsewhere = elsewhere
        self._odds = 0.0
        self._write = self._object(descriptor, "")

    def body(self) -> bytes:
        """Return the next body: one in five is as it should be, the others are wrong in one place or in many."""
        self._odds = self._pick((0.0, 0.01, 0.05, 0.05, 0.4)) if self._draw() < 0.98 else 1.0
        text = self._write()
        if self._odds and self._draw() < 0.1:
            text = damaged_text(text, self._upto(len(text) + 1), self._pick)
        body = text.encode("utf-8", "surrogatepass")
        if self._odds and self._draw() < 0.15:
            damage = damaged_bytes if self._draw() < 0.98 else filled
            return damage(body, self._upto(len(body) + 1), self._pick)
        return body

    def _pick(self, choices: Sequence[Any]) -> Any:
        return choices[int(self._draw() * len(choices))]

    def _upto(self, size: int) -> int:
        return int(self._draw() * size)

    def _is_odd(self) -> bool:
        return self._draw() < self._odds

    def _object(self, descriptor: Descriptor, prefix: str) -> Write:
        members = [
            (field.json_name, field.name, _is_required(field), self._field(field, prefix + field.json_name))
            for field in descriptor.fields
            if prefix + field.json_name not in self._elsewhere
        ]

        def write() -> str:
            parts = []
            for json_name, name, required, write_value in members:
                if not required and self._draw() < 0.3:
                    continue
                if self._is_odd():
                    parts += self._odd_member(json_name, name, write_value)
                else:
                    parts.append(f'"{json_name}":{write_value()}')
            if self._is_odd():
                parts.insert(self._upto(len(parts) + 1), f'"{self._pick(KEYS)}":{self._odd_value()}')
            if self._is_odd():
                parts.sort(key=lambda part: self._draw())
            space = self._pick(SPACES) if self._is_odd() else ""
            return "{" + ("," + space).join(parts) + space + "}"

        return write

    def _odd_member(self, json_name: str, name: str, write_value: Write) -> list[str]:
        value = write_value()
        first = f"\\u{ord(json_name[0]):04x}{json_name[1:]}"
        spellings = (
            json_name,
            first,
            name,
            json_name.upper(),
            json_name + " ",
            "\\u0000" + json_name,
            self._pick(KEYS),
        )
        match self._upto(6):
            case 0:
                return []
            case 1:
                return [f'"{json_name}":{value}', f'"{self._pick(spellings)}":{self._pick((value, write_value()))}']
            case 2:
                return [f'"{self._pick(spellings)}":{value}']
            case 3:
                return [f'"{json_name}":{self._nested(value)}']
            case 4:
                pattern = self._pick(BROKEN_MEMBERS)
                return [pattern.replace("%s", json_name, 1).replace("%s", value)]
            case _:
                return [f'"{json_name}":{self._odd_value()}']

    def _nested(self, value: str) -> str:
        depth = self._pick(DEPTHS if self._draw() < 0.99 else GREAT_DEPTHS)
        opening, closing = self._pick(BRACKETS)
        return str(opening * depth + value + closing * depth)

    def _odd_value(self) -> str:
        match self._upto(6):
            case 0:
                return str(self._pick(NUMBERS))
            case 1:
                return f'"{self._pick(NUMBERS)}"'
            case 2:
                return f'"{self._pick(TEXTS)}"'
            case 3:
                return f'"a{self._pick(ESCAPES)}b"'
            case 4:
                return str(self._pick(WORDS))
            case _:
                return self._nested(self._pick(WORDS))

    def _field(self, field: FieldDescriptor, path: str) -> Write:
        write = self._single(field, path)
        if not field.is_repeated:
            return write

        def write_list() -> str:
            size = self._pick((0, 1, 2, 63, 64, 65, 2000)) if self._is_odd() else self._upto(3)
            if size > _MANY:
                return "[" + ",".join([write()[:_MANY]] * size) + "]"
            return "[" + ",".join([write() for _ in range(size)]) + "]"

        return write_list

    def _single(self, field: FieldDescriptor, path: str) -> Write:
        if field.message_type is not None:
            write_object = self._object(field.message_type, path + ".")
            return lambda: self._odd_value() if self._is_odd() else write_object()
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            return self._text(field, path)
        write_number = self._number(field, path)
        return lambda: self._odd_value() if self._is_odd() else write_number()

    def _number(self, field: FieldDescriptor, path: str) -> Write:
        values = self._known.get(path)
        if values is not None:
            return lambda: str(self._pick(values))
        if field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
            return lambda: f"{self._draw() * 180 - 90}"
        return lambda: self._pick((f"{self._upto(10**8)}", f'"{self._upto(10**8)}"'))

    def _text(self, field: FieldDescriptor, path: str) -> Write:
        rules = field.GetOptions().Extensions[validate_pb2.field].string
        least, most = rules.min_len, rules.max_len or 60
        lengths = (max(least - 1, 0), least, least + 1, most - 1, most, most + 1, 4 * most, 1000)
        values = self._known.get(path, ())

        def write() -> str:
            if not self._is_odd():
                if values and self._draw() < 0.95:
                    return f'"{self._pick(values)}"'
                if rules.ipv4:
                    return f'"{IPV4}"'
                length = self._pick(lengths[1:-3])
                return f'"{(self._pick(ALPHABETS) * length)[:length]}"'
            if self._draw() < 0.5:
                return self._odd_value()
            length = 60_000 if self._draw() < 0.002 else self._pick(lengths)
            text = (self._pick(HOSTILE_ALPHABETS) * length)[:length]
            cut = self._upto(length)
            return f'"{text[:cut]}{self._pick((*TEXTS, *ESCAPES))}{text[cut:]}"'

        return write


def _is_required(field: FieldDescriptor) -> bool:
    return field.GetOptions().Extensions[validate_pb2.field].required or not (field.has_presence or field.is_repeated)
