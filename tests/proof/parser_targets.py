"""What reads requests, as functions of bytes: each raises AssertionError where it breaks its promise."""

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode

import connectingparty.sale.v1.access_token_service_pb2 as access_tokens
import connectingparty.sale.v1.card_service_pb2 as cards
import connectingparty.sale.v1.sale_service_pb2 as sales
from connectingparty.sale.v1.error_reason_pb2 import ErrorReason
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gateway.errors import GatewayError
from gateway.json_body import parse_object
from gateway.json_codec import Findings, JsonCodec
from gateway.query import MAX_BYTES, QueryCodec
from service.rpc.bounds import find_violations
from tests.proof.contract import MALFORMED, code_of
from tests.proof.in_process import whole_server

Target = Callable[[bytes], None]
_DURATION = "google.protobuf.Duration"  # in no body and no answer over HTTP


def message_classes() -> Iterator[type[Message]]:
    """Yield what every rpc takes and answers, as far as it has a form in JSON."""
    for file in (sales, access_tokens, cards):
        for service in file.DESCRIPTOR.services_by_name.values():
            for rpc in service.methods:
                for descriptor in (rpc.input_type, rpc.output_type):
                    types = (field.message_type for field in descriptor.fields)
                    if not any(type is not None and type.full_name == _DURATION for type in types):
                        yield GetMessageClass(descriptor)


_CODECS: list[JsonCodec[Message]] = [JsonCodec(message_class) for message_class in message_classes()]
_QUERY = QueryCodec(sales.ReceiveCallbackRequest)


def read_json(data: bytes) -> None:
    """Read a body: the first byte tells as which message.

    Raises:
        AssertionError: it is refused otherwise than as malformed, or what was read is not read again from what is
            written of it.
    """
    codec = _CODECS[data[0] % len(_CODECS)] if data else _CODECS[0]
    try:
        document = parse_object(data[1:])
    except GatewayError as error:
        _require(error, MALFORMED)
        return
    message, findings = codec.decode(document)
    assert type(message).FromString(message.SerializeToString()) == message
    for path, words in findings.violations:
        assert path.isascii()
        assert words.isascii()
    if not findings.violations and not find_violations(message):
        assert codec.decode(parse_object(codec.encode(message))) == (message, Findings())


def read_query(data: bytes) -> None:
    """Read a query.

    Raises:
        AssertionError: it is refused for another reason than its length, or what was read is not read again from what
            is written of it.
    """
    try:
        message, findings = _QUERY.decode(data)
    except GatewayError as error:
        _require(error, ErrorReason.ERROR_REASON_BODY_TOO_LARGE if len(data) > MAX_BYTES else None)
        return
    assert type(message).FromString(message.SerializeToString()) == message
    pairs: list[tuple[str, str]] = [(parameter.name, parameter.value) for parameter in message.parameters]
    assert "\0" not in "".join(name + value for name, value in pairs)
    pairs += [(field.name, value) for field, value in message.ListFields() if not field.is_repeated]
    written = urlencode(pairs).encode()
    if not findings.violations and len(written) <= MAX_BYTES:
        assert _QUERY.decode(written) == (message, Findings())


@contextmanager
def transcoding() -> Iterator[Target]:
    """Yield a target that answers requests by the whole server.

    It takes them as they are written: a line with method and target, lines with headers, an empty line, a body.
    """
    loop = asyncio.new_event_loop()
    with tempfile.TemporaryDirectory(prefix="transcoding-") as folder, ExitStack() as stack:
        stack.callback(loop.close)
        context = whole_server(Path(folder), '[access_tokens]\nttl = "12h"\n')
        server = loop.run_until_complete(context.__aenter__())
        stack.callback(lambda: loop.run_until_complete(context.__aexit__(None, None, None)))

        def answer(data: bytes) -> None:
            head, _, body = data.partition(b"\n\n")
            line, *lines = head.split(b"\n")
            method, _, target = line.partition(b" ")
            raw_path, _, query = target.partition(b"?")
            # What the HTTP parser takes at all: a method of letters, and a path of printable ASCII.
            if not (method.isalpha() and method.isascii() and raw_path.isascii() and raw_path.startswith(b"/")):
                return
            path = unquote(raw_path.decode())
            answer = loop.run_until_complete(
                server.send(
                    method.decode().upper(), path, query=query, headers=tuple(_headers(lines, len(body))), body=body
                )
            )
            headers = {name.decode(): value.decode() for name, value in answer.headers.items()}
            assert code_of(answer.status, headers, answer.body) != 0 or path in _KNOWN_PATHS, answer
            assert "incident" not in server.logged, server.logged

        yield answer


def _require(error: GatewayError, reason: int | None) -> None:
    assert error.reason == reason, error


_KNOWN_PATHS = frozenset(["/auth/request-access-token", "/sale/initiate-sale", "/sale/callback", "/healthz", "/readyz"])


def _headers(lines: list[bytes], length: int) -> Iterator[tuple[bytes, bytes]]:
    for line in lines:
        name, _, value = line.partition(b":")
        if name.lower() != b"content-length":
            yield name.lower(), value.strip()
    yield b"content-length", b"%d" % length


@contextmanager
def _plain(target: Target) -> Iterator[Target]:
    yield target


TARGETS: Mapping[str, Any] = {
    "json": lambda: _plain(read_json),
    "query": lambda: _plain(read_query),
    "transcoding": transcoding,
}
"""Context managers by name; each yields a target."""
