"""Which calls are taken on at all: as many as the process can carry, and none that its caller lets hang."""

import asyncio
import time
from datetime import timedelta
from typing import Any

import grpc
import structlog
from connectingparty.sale.v1.error_reason_pb2 import ErrorReason

from service.errors import SaleError
from service.rpc.health import HEALTH_METHODS
from service.rpc.interceptors import Behaviour, CallInterceptor, Context, Handler
from service.rpc.status import status_of

MAX_HEALTH_CHECKS = 128
"""How many of these may run at once, whoever asks: they get through while others are refused."""
MAX_HEALTH_WATCHES = 32
"""How many of these, which run for ever and must not take the checks' places."""
_WATCH = "/Watch"
_RETRY_AFTER_SECONDS = 1
_LOG_SECONDS = 1.0
_LOOK_SECONDS = 0.5
"""How late a call can be ended that hangs."""

_log = structlog.stdlib.get_logger(__name__)


class Load:
    """How many calls run, of those that are counted together.

    Args:
        limit: how many may.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.running = 0
        self.refused = 0
        """How many were refused since the beginning."""
        self._refused = 0
        self._next_line = 0.0

    def note_refusal(self) -> None:
        """Let the log tell of refusals: one line a second, as they have to be cheap."""
        self.refused += 1
        self._refused += 1
        now = time.monotonic()
        if now >= self._next_line:
            _log.warning("too many calls", running=self.running, refused=self._refused)
            self._refused, self._next_line = 0, now + _LOG_SECONDS


class Admission(CallInterceptor):
    """Refuses what is more than the process can carry; the outermost interceptor, as a refusal has to be cheap.

    Args:
        calls: the load of the process; health checks and those who watch health have their own.
    """

    def __init__(self, calls: Load) -> None:
        self._calls = calls
        self._checks = Load(MAX_HEALTH_CHECKS)
        self._watches = Load(MAX_HEALTH_WATCHES)

    async def around(self, method: str, request: Any, context: Context, proceed: Behaviour) -> Any:
        """See `CallInterceptor`."""
        load = self._calls
        if method.startswith(HEALTH_METHODS):
            load = self._watches if method.endswith(_WATCH) else self._checks
        if load.running >= load.limit:
            load.note_refusal()
            await context.abort_with_status(_overloaded())
        load.running += 1
        try:
            return await proceed(request, context)
        finally:
            load.running -= 1


class Reception(CallInterceptor):
    """Receives the message of a call over the network, for which its caller has a time.

    What is around it can refuse a call before its message has come. Its server has to make handlers `on_demand`.

    Args:
        patience: how long it may take.
    """

    def __init__(self, patience: timedelta) -> None:
        self._patience = patience.total_seconds()
        self._since: dict[asyncio.Task[Any], float] = {}
        """When each call began to wait for its message, by the monotonic clock."""
        self._next_look: asyncio.TimerHandle | None = None

    async def around(self, method: str, request: Any, context: Context, proceed: Behaviour) -> Any:
        """See `CallInterceptor`."""
        task: Any = asyncio.current_task()
        self._since[task] = time.monotonic()
        if self._next_look is None:
            self._look_later()
        try:
            message = await context.read()
        except asyncio.CancelledError:
            if task in self._since:
                raise  # by somebody else
            task.uncancel()
            raise SaleError(ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED, "The message took too long to come.") from None
        finally:
            self._since.pop(task, None)
        if message is grpc.aio.EOF:
            raise SaleError(ErrorReason.ERROR_REASON_MALFORMED_REQUEST)
        return await proceed(message, context)

    def _look(self) -> None:
        latest = time.monotonic() - self._patience
        for task in [task for task, since in self._since.items() if since <= latest]:
            del self._since[task]
            task.cancel()
        self._next_look = None
        if self._since:
            self._look_later()

    def _look_later(self) -> None:
        self._next_look = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)


def on_demand(handler: Handler) -> Handler:
    """Return a handler of an rpc with one request that is called before the request has come, and reads it itself."""
    if handler.request_streaming:
        return handler
    behaviour: Any = handler.unary_stream if handler.response_streaming else handler.unary_unary
    method_handler: Any = (
        grpc.stream_stream_rpc_method_handler if handler.response_streaming else grpc.stream_unary_rpc_method_handler
    )
    made: Handler = method_handler(
        behaviour,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
    return made


def _overloaded() -> grpc.Status:
    return status_of(
        SaleError(ErrorReason.ERROR_REASON_SERVER_UNAVAILABLE, retry_after_seconds=_RETRY_AFTER_SECONDS), {}
    )
