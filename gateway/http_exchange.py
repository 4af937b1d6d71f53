"""One request and its answer, at the level of ASGI."""

import logging
from typing import Protocol

from starlette.types import ASGIApp, Message, Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

_logger = logging.getLogger("uvicorn.error")


class Connection(Protocol):
    """What an exchange has to do with its connection."""

    def write(self, data: bytes) -> None:
        """Send bytes."""

    def answered(self, exchange: "Exchange") -> None:
        """Go on after an answer."""

    def ended(self, exchange: "Exchange") -> None:
        """Note that the application is done; it has answered or never will."""


class Exchange:
    """A request as the application sees it: complete. Its answer has a Content-Length and a body in one message.

    Args:
        connection: of the request.
        scope: of the request.
        body: of the request.
        keep_alive: whether another request may follow.
        default_headers: to be sent with every answer.
    """

    __slots__ = (
        "_body",
        "_connection",
        "_default_headers",
        "_head",
        "is_answered",
        "is_disconnected",
        "keep_alive",
        "scope",
    )

    def __init__(
        self,
        connection: Connection,
        scope: Scope,
        body: bytes,
        keep_alive: bool,
        default_headers: list[tuple[bytes, bytes]],
    ) -> None:
        self.scope = scope
        self.keep_alive = keep_alive
        self.is_answered = False
        self.is_disconnected = False
        self._connection = connection
        self._body: bytes | None = body
        self._default_headers = default_headers
        self._head: Message | None = None

    async def run(self, app: ASGIApp) -> None:
        """Let the application answer.

        Args:
            app: the application.
        """
        try:
            await app(self.scope, self.receive, self.send)
        except Exception:
            _logger.exception("Exception in ASGI application")
        finally:
            self._connection.ended(self)

    async def receive(self) -> Message:
        """See ASGI; after the body there is nothing more to come."""
        body, self._body = self._body, None
        if body is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Message) -> None:
        """See ASGI.

        Raises:
            RuntimeError: the application answers in another way than promised.
        """
        if message["type"] == "http.response.start" and self._head is None:
            self._head = message
        elif message["type"] == "http.response.body" and self._head and not message.get("more_body"):
            data = self._encode(self._head, message.get("body", b""))
            self.is_answered = True
            if not self.is_disconnected:
                self._connection.write(data)
                self._connection.answered(self)
        else:
            raise RuntimeError(f"unexpected ASGI message {message['type']}")

    def _encode(self, head: Message, body: bytes) -> bytes:
        content = [STATUS_LINE[head["status"]]]
        length, lines = None, 2
        for name, value in (*self._default_headers, *head["headers"]):
            if name == b"content-length":
                length = int(value)
            elif name == b"connection" and value == b"close":
                self.keep_alive = False
                continue
            content += (name, b": ", value, b"\r\n")
            lines += 1
        content.append(b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n")
        encoded = b"".join(content)
        if length != len(body) or encoded.count(b"\n") != lines + (not self.keep_alive):
            raise RuntimeError("the answer's length or a header of it is not sound")
        return encoded if self.scope["method"] == "HEAD" else encoded + body
