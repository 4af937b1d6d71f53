"""Reads the query of a request into a message.

As google.api.http has it, a parameter goes to the field of its name. A repeated field of `QueryParameter` takes all
parameters that no field is named for; without one they are ignored.
"""

from itertools import islice
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl

from connectingparty.sale.v1.error_reason_pb2 import ErrorReason
from connectingparty.sale.v1.sale_pb2 import QueryParameter
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from gateway.errors import GatewayError
from gateway.json_codec import Findings, items_kept

MessageT = TypeVar("MessageT", bound=Message)

MAX_BYTES = 16384
"""How long a query may be: with every byte escaped it still fits a message of gRPC."""
_ESCAPES = "backslashreplace"


class QueryCodec(Generic[MessageT]):
    """Reads one type of message.

    Args:
        message_class: the generated class.

    Raises:
        TypeError: it has a field of a type that has no form in a query.
    """

    def __init__(self, message_class: type[MessageT]) -> None:
        self._message_class = message_class
        self._fields: set[str] = set()
        self._others: str | None = None
        self._kept: int | None = None
        """How many of those are worth keeping."""
        descriptor: Any = message_class.DESCRIPTOR  # its stub names two classes that are one
        for field in descriptor.fields:
            if field.message_type is not None and field.message_type.full_name == QueryParameter.DESCRIPTOR.full_name:
                self._others, self._kept = field.name, items_kept(field)
            elif field.type == FieldDescriptor.TYPE_STRING and not field.is_repeated:
                self._fields.add(field.name)
            else:
                raise TypeError(f"{field.full_name}: has no form in a query")

    def decode(self, query: bytes) -> tuple[MessageT, Findings]:
        """Make a message of a query string.

        Args:
            query: as it was received: percent-encoded, a plus for a space. Bytes that are no UTF-8, and NUL where no
                field is named, are kept as escapes: a name in another encoding must not keep a callback from being
                stored.

        Returns:
            The message, and what it does not take: parameters of a field that are there twice with different values,
            which are left out of it, and those that no field is named for.

        Raises:
            GatewayError: `ERROR_REASON_BODY_TOO_LARGE`, the query is too long.
        """
        pairs = _read_pairs(query)
        values: dict[str, Any] = {}
        findings = Findings()
        for name in sorted(self._fields):
            sent = {value for key, value in pairs if key == name}
            if len(sent) > 1:
                findings.refuse(name, "must be sent once")
            elif sent:
                values[name] = sent.pop()
        others = (pair for pair in pairs if pair[0] not in self._fields)
        if self._others is None:
            for name, _ in others:
                findings.ignore(name)
        else:
            values[self._others] = [
                QueryParameter(name=_without_nul(name), value=_without_nul(value))
                for name, value in islice(others, self._kept)
            ]
        return self._message_class(**values), findings


def _read_pairs(query: bytes) -> list[tuple[str, str]]:
    if len(query) > MAX_BYTES:
        raise GatewayError(ErrorReason.ERROR_REASON_BODY_TOO_LARGE, f"The query is larger than {MAX_BYTES} bytes.")
    text = query.decode("utf-8", errors=_ESCAPES)
    return parse_qsl(text, keep_blank_values=True, errors=_ESCAPES)


def _without_nul(text: str) -> str:
    return text.replace("\0", "\\x00")
