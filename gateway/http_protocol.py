"""HTTP/1.1 on a connection: requests in, answers out, in their order."""

import contextvars
from collections import deque

import httptools
from starlette.types import Scope

from gateway.errors import GatewayError
from gateway.http_answers import CONTINUE, OVERLOADED, OVERLOADED_AND_CLOSED, body_too_large, malformed, refusal
from gateway.http_connection import NEVER, HttpConnection, Listener
from gateway.http_exchange import Exchange
from gateway.http_heads import framing_of, split_target
from gateway.http_messages import CLIENT_CERTIFICATE_NAMES, request_id_of

_SLICE = 16 * 1024
"""So many bytes are parsed before it is looked whether those were too many."""
_MAX_PIPELINED = 8
"""How many requests may wait for the one before them on a connection."""
_FRAMING_PER_BODY = 8
"""How many bytes may come for one of a body: chunks have their sizes with them."""
_FORWARDED_FOR = b"x-forwarded-for"
_END_OF_HEAD = b"\r\n\r\n"
_ASGI = {"version": "3.0", "spec_version": "2.3"}


class _Overload(Exception):
    """A request can't be taken, and its connection not be used any longer."""


class HttpProtocol(HttpConnection):
    """Reads requests, and lets the application answer each when it is complete: who is slow takes nobody's place.

    Args:
        listener: what it shares with others.
        counted: the address for which it was let in; None counts in the total only.
    """

    def __init__(self, listener: Listener, counted: str | None) -> None:
        super().__init__(listener, counted)
        self._limits = self.load.limits
        self._parser = httptools.HttpRequestParser(self)
        # What follows "Connection: close" is never answered; the request itself is.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._exchange: Exchange | None = None
        """The one that is being answered, else the last one."""
        self._pipeline: deque[Exchange] = deque()
        """Those after it."""
        self._last_words: bytes | None = None
        """What is said after all their answers."""
        # Of the request that is being received:
        self._in_body = False
        self._slice = 0
        self._received = 0
        """Bytes of its head or its body, to the precision of a slice."""
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._trailers = 0
        self._body = bytearray()
        self._target = ("", b"", b"")
        self._version = "1.1"

    # What asyncio calls.

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        if self.is_deaf:
            super().data_received(data)
            return
        try:
            if len(data) <= _SLICE:
                self._feed(data, len(data))
            else:
                view = memoryview(data)
                for start in range(0, len(data), _SLICE):
                    part = view[start : start + _SLICE]
                    self._feed(part, len(part))
        except httptools.HttpParserUpgrade:
            # Another protocol is not spoken: the request is answered as it is, and nothing after it.
            self._end()
        except httptools.HttpParserError as error:
            self._fail(error.__context__)

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        super().connection_lost(exc)
        if self._exchange is not None:
            self._exchange.is_disconnected = True
        self.load.in_flight -= len(self._pipeline)
        self._pipeline.clear()

    def resume_writing(self) -> None:
        """See asyncio."""
        super().resume_writing()
        self._go_on()

    # What the parser calls.

    def on_message_begin(self) -> None:
        """See httptools."""
        self.is_receiving = True
        self._received = -self._slice
        self._url = b""
        self._headers = []
        self.deadline = self.loop.time() + self._limits.receive_seconds

    def on_url(self, url: bytes) -> None:
        """See httptools."""
        self._url += url
        if len(self._url) > self._limits.url:
            raise malformed(f"The URL is longer than {self._limits.url} bytes.")

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools."""
        if self._in_body:
            # One after the body is nobody's: what was decided by the others is decided.
            self._trailers += 1
        else:
            self._headers.append((name.lower(), value))
        if len(self._headers) + self._trailers > self._limits.headers:
            raise malformed(f"There are more than {self._limits.headers} headers.")

    def on_headers_complete(self) -> None:
        """See httptools."""
        headers, limits = self._headers, self._limits
        if len(self._url) + sum([len(name) + len(value) for name, value in headers]) > limits.head:
            raise self._head_too_large()
        self._version = self._parser.get_http_version()
        framing = framing_of(headers, self._version)
        if framing.length > limits.body:
            raise body_too_large(limits.body)
        self._target = split_target(self._url)
        if framing.expects_continue and not self._waits():
            self.write(CONTINUE)
        self._in_body = True
        self._received = -self._slice
        self._trailers = 0
        self._body = bytearray()

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        self._body += body
        if len(self._body) > self._limits.body:
            raise body_too_large(self._limits.body)

    def on_message_complete(self) -> None:
        """See httptools."""
        self.is_receiving = self._in_body = False
        self.deadline = NEVER
        keep_alive = self._version == "1.1" and self._parser.should_keep_alive()
        waits = self._waits()
        if self.load.is_full and self._target[1] not in self.listener.spared:
            if waits or self.is_resting or not keep_alive:
                raise _Overload
            self.load.refuse_overload()
            self.write(self._as_asked(OVERLOADED))
            self.rest()
            return
        if len(self._pipeline) >= _MAX_PIPELINED:
            raise _Overload
        exchange = Exchange(self, self._scope(), bytes(self._body), keep_alive, self.listener.state.default_headers)
        self.load.in_flight += 1
        if waits:
            self._pipeline.append(exchange)
            self.pause()
        else:
            self._start(exchange)

    # What an exchange calls.

    def answered(self, exchange: Exchange) -> None:
        """See `gateway.http_exchange.Connection`."""
        if exchange.keep_alive:
            self._go_on()
        else:
            self.close()

    def ended(self, exchange: Exchange) -> None:
        """See `gateway.http_exchange.Connection`."""
        self.load.in_flight -= 1
        if not (exchange.is_answered or exchange.is_disconnected):
            self.close()

    # What others call.

    def shutdown(self) -> None:
        """Close the connection after what is being answered; uvicorn calls this."""
        last = self._pipeline[-1] if self._pipeline else self._exchange
        if last is None or last.is_answered:
            self.close()
        else:
            last.keep_alive = False
            self.be_deaf()

    def expire(self) -> None:
        """See `HttpConnection`."""
        if self.is_receiving:
            self._fail(malformed("The request did not come in time."), "receive")
            return
        if self._exchange is None:
            self.load.count("receive")
        super().expire()

    # The rest is its own.

    def _feed(self, data: bytes | memoryview, size: int) -> None:
        if self.is_deaf:
            return
        self._slice = size
        self._parser.feed_data(data)
        self._received += size
        if self._in_body:
            if self._received > _FRAMING_PER_BODY * self._limits.body:
                self._fail(body_too_large(self._limits.body))
        elif self.is_receiving and self._received > self._limits.head:
            self._fail(self._head_too_large())

    def _scope(self) -> Scope:
        client, headers = self.client, self._headers
        if self.is_proxy and (values := [value for name, value in headers if name == _FORWARDED_FOR]):
            client = (self.listener.proxies.client_of(self.peer, values), 0)
        path, raw_path, query = self._target
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": self._version,
            "method": self._parser.get_method().decode("ascii"),
            "scheme": self.scheme,
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "root_path": "",
            "headers": headers,
            "client": client,
            "server": self.server,
            "state": {CLIENT_CERTIFICATE_NAMES: self.certificate_names} if self.certificate_names else {},
        }

    def _is_busy(self) -> bool:
        return self._exchange is not None and not self._exchange.is_answered

    def _waits(self) -> bool:
        """Return whether a request has to wait for those before it, or for the client to take their answers."""
        return self.is_stuck or self._is_busy()

    def _start(self, exchange: Exchange) -> None:
        self._exchange = exchange
        tasks = self.listener.state.tasks
        # A request must not inherit what is known of the one before it.
        task = self.loop.create_task(exchange.run(self.listener.app), context=contextvars.Context())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def _go_on(self) -> None:
        """Begin the next exchange, or wait for one, once the one before is answered and its answer is on its way."""
        if self._waits() or self.is_closing:
            return
        if self._pipeline:
            self._start(self._pipeline.popleft())
        elif self._last_words is not None:
            self.write(self._last_words)
            self.close_soon()
        else:
            self.resume()

    def _end(self, last_words: bytes = b"") -> None:
        """Close the connection after the answers that are still to come, and last words."""
        self.be_deaf()
        if self._pipeline or self._waits():
            self._last_words = last_words
        else:
            self.write(last_words)
            self.close_soon()

    def _fail(self, cause: BaseException | None, limit: str = "malformed") -> None:
        """Tell that what has come is no request, after the answers of those that were, and close the connection."""
        if isinstance(cause, _Overload):
            self.load.refuse_overload()
            self._end(self._as_asked(OVERLOADED_AND_CLOSED))
            return
        error = cause if isinstance(cause, GatewayError) else malformed("The request is not HTTP/1.1.")
        logged = self.load.count(limit)
        self._end(self._as_asked(refusal(error, request_id_of(self._headers), logged=logged)))

    def _as_asked(self, answer: bytes) -> bytes:
        """Return an answer to the request that is being received: to HEAD, without its body."""
        if self._parser.get_method() != b"HEAD":
            return answer
        return answer[: answer.index(_END_OF_HEAD) + len(_END_OF_HEAD)]

    def _head_too_large(self) -> GatewayError:
        return malformed(f"The request line and the headers are larger than {self._limits.head} bytes.")
