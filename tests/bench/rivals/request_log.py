"""The monolith's middleware: one line a request in the log, and the request's id in the answer."""

import time
from secrets import token_hex

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.call_log import begin_call

_HEADERS = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))

_log = structlog.stdlib.get_logger(__name__)


class RequestLog:
    """Pure ASGI, as its documentation advises; what the domain binds to the context of a request is in the line.

    Args:
        app: the application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = next((value for name, value in scope["headers"] if name == b"x-request-id"), None)
        request_id = request_id or token_hex(16).encode()
        begin_call(request_id.decode("latin-1"))
        status = None

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_HEADERS, (b"x-request-id", request_id)]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            route = getattr(scope.get("route"), "path", None)
            duration_ms = round((time.perf_counter() - started) * 1000, 3)
            _log.info("request", method=scope["method"], route=route, status=status, duration_ms=duration_ms)
