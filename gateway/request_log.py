"""One line a request in the log, and the answer where nobody else can give one."""

import asyncio
import time
from collections.abc import Callable
from secrets import token_hex

import structlog
from connectingparty.sale.v1.error_reason_pb2 import ErrorReason
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.errors import RETRY_AFTER_SECONDS, GatewayError
from gateway.http_messages import request_id_of, send_json
from gateway.request_record import RequestRecord

_log = structlog.stdlib.get_logger(__name__)


class RequestLog:
    """Middleware around the whole application: gives each request an id, answers its errors, and logs it.

    Args:
        app: the application.
        observe: called with the record of a request that was answered, and when it came by `time.perf_counter`.
    """

    def __init__(self, app: ASGIApp, observe: Callable[[RequestRecord, float], None] | None = None) -> None:
        self._app = app
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = time.perf_counter()
        record = RequestRecord(request_id_of(scope["headers"]))
        scope["state"]["record"] = record
        try:
            await self._answer(scope, receive, send, record)
        finally:
            duration_ms = round((time.perf_counter() - started) * 1000, 3)
            _log.info("request", method=scope["method"], **record.known(), duration_ms=duration_ms)
            if self._observe is not None:
                self._observe(record, started)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, record: RequestRecord) -> None:
        try:
            await self._app(scope, receive, send)
        except GatewayError as error:
            refusal = error
        except HTTPException as error:
            refusal = _no_such_route(error)
        except asyncio.CancelledError:
            if record.status is not None:
                raise
            # The server is stopping and its patience has run out: the client is told, then the task ends as it should.
            refusal = GatewayError(ErrorReason.ERROR_REASON_SERVER_UNAVAILABLE, retry_after_seconds=RETRY_AFTER_SECONDS)
        except Exception as error:
            if record.status is not None:
                raise  # half an answer is out; the server can only cut the connection
            refusal = _incident(error)
        else:
            return
        record.code = int(refusal.reason)
        await send_json(scope, send, refusal.http_status, refusal.body(), refusal.headers)


def _no_such_route(error: HTTPException) -> GatewayError:
    if allowed := (error.headers or {}).get("Allow"):
        reason = ErrorReason.ERROR_REASON_METHOD_NOT_ALLOWED
        message = f"This path does not take this method; it takes {allowed}."
        return GatewayError(reason, message, headers=((b"allow", allowed.encode()),))
    return GatewayError(ErrorReason.ERROR_REASON_PATH_NOT_FOUND)


def _incident(error: Exception) -> GatewayError:
    incident = token_hex(8)
    _log.error("incident", incident=incident, exc_info=error)
    return GatewayError(ErrorReason.ERROR_REASON_SERVER_FAILED, f"The server failed; incident {incident}.")
