"""What happens around every rpc: its line in the log, its errors, its bounds."""

import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator
from secrets import token_hex
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
import structlog
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest
from structlog.contextvars import bind_contextvars, clear_contextvars, get_contextvars

from service.errors import ErrorReason, FieldViolation, SaleError
from service.rpc.bounds import find_violations
from service.rpc.status import status_of

Context = grpc.aio.ServicerContext[Any, Any]
Behaviour = Callable[[Any, Context], Awaitable[Any]]
if TYPE_CHECKING:
    Handler: TypeAlias = grpc.RpcMethodHandler[Any, Any]
else:
    Handler = grpc.RpcMethodHandler  # not generic at run time
Deserializer = Callable[[bytes], Any]

INVALID_FIELDS_METADATA = "invalid-fields-bin"
"""Metadata with which a translating gateway names the fields that it could not put into the message, as a serialized
`google.rpc.BadRequest`. The call is refused for them, together with what is out of bounds in the rest."""

REQUEST_ID_METADATA = "x-request-id"
_MAX_REQUEST_ID = 128

# What the domain binds to the log context and callers may know; told in the trailing metadata for their logs.
_TOLD = ("invoice_id", "endpoint_id", "provider")

_log = structlog.stdlib.get_logger(__name__)


class CallInterceptor(grpc.aio.ServerInterceptor, ABC):
    """Runs `around` around every rpc with one request; one that takes a stream of them is let pass."""

    _absent: Handler | None = None
    """Runs where there is no such rpc."""

    def __init__(self) -> None:
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Return the handler of the rpc with `around` around it."""
        method = handler_call_details.method
        if (wrapped := self._wrapped.get(method)) is not None:
            return wrapped
        handler = await continuation(handler_call_details)
        if handler is None:
            return self._absent and self._wrap(method, self._absent)
        if handler.request_streaming:
            return handler
        wrapped = self._wrap(method, handler)
        # Without a deserializer it stands for an rpc that there is not: its name is the caller's choice, not to keep.
        if handler.request_deserializer is not None:
            self._wrapped[method] = wrapped
        return wrapped

    def _wrap(self, method: str, handler: Handler) -> Handler:
        # Every stream of answers here is written to the context by a coroutine, so both kinds are called alike.
        proceed: Any = handler.unary_stream if handler.response_streaming else handler.unary_unary
        method_handler: Any = (
            grpc.unary_stream_rpc_method_handler if handler.response_streaming else grpc.unary_unary_rpc_method_handler
        )

        async def behaviour(request: Any, context: Context) -> Any:
            return await self.around(method, request, context, proceed)

        wrapped: Handler = method_handler(
            behaviour,
            request_deserializer=handler.request_deserializer and self._deserializer(handler.request_deserializer),
            response_serializer=handler.response_serializer,
        )
        return wrapped

    @staticmethod
    def _deserializer(deserialize: Deserializer) -> Deserializer:
        return deserialize

    @abstractmethod
    async def around(self, method: str, request: Any, context: Context, proceed: Behaviour) -> Any:
        """Handle one call.

        Args:
            method: full name of the rpc, as in `/package.Service/Method`.
            request: the message.
            context: of the call.
            proceed: what was called for.

        Returns:
            The answer; None where answers are written to the context.
        """


class RequestLog(CallInterceptor):
    """Writes one line a call. For calls over the network: the others are part of a request that the gateway logs."""

    async def around(self, method: str, request: Any, context: Context, proceed: Behaviour) -> Any:
        """See `CallInterceptor`."""
        started = time.perf_counter()
        status = grpc.StatusCode.CANCELLED  # unless it ends otherwise
        try:
            response = await proceed(request, context)
            status = grpc.StatusCode.OK
            return response
        except grpc.aio.AbortError:
            status = context.code()
            raise
        finally:
            duration_ms = round((time.perf_counter() - started) * 1000, 3)
            _log.info("request", rpc=method, status=_name(status), duration_ms=duration_ms)


class Errors(CallInterceptor):
    """Turns what the domain raises into a status; nothing else does.

    What was not meant to be told to a caller becomes `ERROR_REASON_SERVER_FAILED` with an incident id that the log
    repeats: grpc.aio itself would send the text of the exception.
    """

    def __init__(self) -> None:
        super().__init__()
        self._absent = grpc.unary_unary_rpc_method_handler(_no_such_rpc)

    async def around(self, method: str, request: Any, context: Context, proceed: Behaviour) -> Any:
        """See `CallInterceptor`."""
        clear_contextvars()
        bind_contextvars(request_id=_request_id(context))
        try:
            response = await proceed(request, context)
        except SaleError as error:
            refusal = error
        except grpc.aio.AbortError:
            raise  # meant as it is; the standard services abort by themselves
        except Exception as error:
            refusal = _incident(error)
        else:
            context.set_trailing_metadata(tuple(_told()))
            return response
        bind_contextvars(code=int(refusal.reason))
        status = status_of(refusal, {key: value for key, value in _known().items() if key == "invoice_id"})
        return await context.abort(status.code, status.details, (*_told(), *status.trailing_metadata))


class Bounds(CallInterceptor):
    """Refuses a message that is not within the bounds of the proto, and one that is no message at all."""

    @staticmethod
    def _deserializer(deserialize: Deserializer) -> Deserializer:
        # An exception there would reach the caller as INTERNAL before any interceptor saw it.
        def deserialize_or_error(data: bytes) -> Any:
            try:
                return deserialize(data)
            except DecodeError as error:
                return error

        return deserialize_or_error

    async def around(self, method: str, request: Any, context: Context, proceed: Behaviour) -> Any:
        """See `CallInterceptor`."""
        if isinstance(request, DecodeError):
            raise SaleError(ErrorReason.ERROR_REASON_MALFORMED_REQUEST)
        violations = {violation.field: violation for violation in find_violations(request)}
        violations |= {violation.field: violation for violation in _unreadable_fields(context)}
        if violations:
            raise SaleError.invalid_fields(list(violations.values()))
        return await proceed(request, context)


def metadata_values(context: Context, key: str) -> list[str | bytes]:
    """Return all values that the caller sent under a key of the metadata."""
    return [value for name, value in context.invocation_metadata() or () if name == key]


async def _no_such_rpc(request: object, context: Context) -> object:
    raise SaleError(ErrorReason.ERROR_REASON_PATH_NOT_FOUND, "There is no such rpc.")


def _unreadable_fields(context: Context) -> Iterator[FieldViolation]:
    for value in metadata_values(context, INVALID_FIELDS_METADATA):
        try:
            unreadable = BadRequest.FromString(value)
        except DecodeError:
            raise SaleError(ErrorReason.ERROR_REASON_MALFORMED_REQUEST) from None
        for violation in unreadable.field_violations:
            yield FieldViolation(violation.field, violation.description)


def _incident(error: Exception) -> SaleError:
    incident = token_hex(8)
    _log.error("incident", incident=incident, exc_info=error)
    return SaleError(ErrorReason.ERROR_REASON_SERVER_FAILED, f"The server failed; incident {incident}.")


def _request_id(context: Context) -> str:
    for value in metadata_values(context, REQUEST_ID_METADATA):
        if isinstance(value, str) and value:
            return value[:_MAX_REQUEST_ID]
    return token_hex(16)


def _known() -> dict[str, str]:
    known = get_contextvars()
    return {key: known[key] for key in _TOLD if known.get(key)}


def _told() -> Iterator[tuple[str, str]]:
    return ((key.replace("_", "-"), value) for key, value in _known().items())


def _name(status: grpc.StatusCode | int) -> str:
    # grpc.aio gives the number, not the enum, that a call was aborted with.
    if isinstance(status, grpc.StatusCode):
        return status.name
    return next(code.name for code in grpc.StatusCode if code.value[0] == status)
