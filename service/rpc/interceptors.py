"""What happens around every rpc: its line in the log, its errors, its bounds."""

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import grpc
import structlog
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest

from service.call_log import begin_call, known_of_call, tell
from service.errors import ErrorReason, FieldViolation, SaleError
from service.origin import origin_of_call
from service.rpc.bounds import find_violations
from service.rpc.status import status_name, status_of

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
_REQUEST_ID_CHARACTERS = re.compile(r"[A-Za-z0-9._:/+=@-]+")
_UNKNOWN = "unknown"

# What the domain binds to the log context and callers may know; told in the trailing metadata for their logs.
_TOLD = tuple((name, name.replace("_", "-")) for name in ("invoice_id", "endpoint_id", "provider"))

_log = structlog.stdlib.get_logger(__name__)


class NoteRefusal(Protocol):
    """See `service.audit.AuditLog.note_refusal`."""

    def __call__(self, reason: ErrorReason.ValueType, rpc: str, **details: str | None) -> None:
        """Keep that the call that runs is refused."""


def note_nowhere(reason: ErrorReason.ValueType, rpc: str, **details: str | None) -> None:
    """Keep nothing: for servers without an audit log."""


class Interceptor(Protocol):
    """Puts something around handlers."""

    def intercept(self, method: str, handler: Handler) -> Handler:
        """Return the handler of an rpc with something around it.

        Args:
            method: full name of the rpc, as in `/package.Service/Method`.
            handler: of the rpc.
        """


class CallInterceptor(ABC):
    """Runs `around` around every rpc with one request; one that takes a stream of them is let pass."""

    def intercept(self, method: str, handler: Handler) -> Handler:
        """Return the handler of an rpc with `around` around it."""
        if handler.request_streaming:
            return handler
        # Every stream of answers here is written to the context by a coroutine, so both kinds are called alike.
        proceed: Any = handler.unary_stream if handler.response_streaming else handler.unary_unary
        method_handler: Any = (
            grpc.unary_stream_rpc_method_handler if handler.response_streaming else grpc.unary_unary_rpc_method_handler
        )

        async def behaviour(request: Any, context: Context) -> Any:
            return await self.around(method, request, context, proceed)

        deserialize = handler.request_deserializer
        intercepted: Handler = method_handler(
            behaviour,
            request_deserializer=deserialize and self._deserializer(deserialize),
            response_serializer=handler.response_serializer,
        )
        return intercepted

    def _deserializer(self, deserialize: Deserializer) -> Deserializer:  # another one in a subclass
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


class InterceptedServer:
    """Registers servicers with a server, and interceptors around each of their rpcs.

    Once, when a servicer is added: the interceptors of grpc.aio are asked for a handler at every call.

    Args:
        server: a `grpc.aio.Server`, or what servicers can be added to like one.
        interceptors: the first one is the outermost.
        adapt: makes of every handler what the server is given.
    """

    def __init__(
        self,
        server: Any,
        interceptors: Sequence[Interceptor],
        adapt: Callable[[Handler], Handler] = lambda handler: handler,
    ) -> None:
        self._server = server
        self._interceptors = interceptors
        self._adapt = adapt

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Nothing: generated code registers each method by its name as well."""

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, Handler]) -> None:
        """Register the methods of a servicer; generated code calls this."""
        handlers = {name: self._intercepted(f"/{service_name}/{name}", each) for name, each in method_handlers.items()}
        self._server.add_registered_method_handlers(service_name, handlers)

    def refuse_other_rpcs(self) -> None:
        """Answer rpcs that there are not with an error like every other."""
        self._server.add_generic_rpc_handlers((_OtherRpcs(self._intercepted),))

    def _intercepted(self, method: str, handler: Handler) -> Handler:
        for interceptor in reversed(self._interceptors):
            handler = interceptor.intercept(method, handler)
        return self._adapt(handler)


class _OtherRpcs(grpc.GenericRpcHandler):
    def __init__(self, intercepted: Callable[[str, Handler], Handler]) -> None:
        self._intercepted = intercepted

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler:
        # Nothing of it is kept, and its name not logged: they are the caller's choice.
        handler: Handler = grpc.unary_unary_rpc_method_handler(_no_such_rpc, request_deserializer=lambda data: Empty())
        return self._intercepted(_UNKNOWN, handler)


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
            caller = {"caller": name} if (name := origin_of_call().caller) else {}
            _log.info("request", rpc=method, **caller, status=status_name(status), duration_ms=duration_ms)


class Errors(CallInterceptor):
    """Turns what the domain raises into a status; nothing else does.

    What was not meant to be told to a caller becomes `ERROR_REASON_SERVER_FAILED` with an incident id that the log
    repeats: grpc.aio itself would send the text of the exception.

    Args:
        note_refusal: called with every refusal, for the audit log.
    """

    def __init__(self, note_refusal: NoteRefusal = note_nowhere) -> None:
        self._note_refusal = note_refusal

    async def around(self, method: str, request: Any, context: Context, proceed: Behaviour) -> Any:
        """See `CallInterceptor`."""
        begin_call(_request_id(context))
        try:
            response = await proceed(request, context)
        except SaleError as error:
            refusal = error
        except grpc.aio.AbortError:
            raise  # meant as it is; the standard services abort by themselves
        except Exception as error:
            refusal = _incident(error)
        else:
            context.set_trailing_metadata(_told())
            return response
        tell(code=int(refusal.reason))
        known = known_of_call()
        invoice_id = known.get("invoice_id")
        self._note_refusal(refusal.reason, method, invoice_id=invoice_id or known.get("claimed_invoice_id"))
        status = status_of(refusal, {"invoice_id": invoice_id} if invoice_id else {})
        return await context.abort(status.code, status.details, (*_told(), *status.trailing_metadata))


class Bounds(CallInterceptor):
    """Refuses a message that is not within the bounds of the proto, one that is too large, and one that is none at all.

    Args:
        max_message: bytes of a message.
    """

    def __init__(self, max_message: int) -> None:
        self._max_message = max_message

    def _deserializer(self, deserialize: Deserializer) -> Deserializer:
        # An exception there would reach the caller as INTERNAL before any interceptor saw it.
        def deserialize_or_error(data: bytes) -> Any:
            if len(data) > self._max_message:
                return SaleError(
                    ErrorReason.ERROR_REASON_BODY_TOO_LARGE, f"The message has more than {self._max_message} bytes."
                )
            try:
                return deserialize(data)
            except DecodeError:
                return SaleError(ErrorReason.ERROR_REASON_MALFORMED_REQUEST)

        return deserialize_or_error

    async def around(self, method: str, request: Any, context: Context, proceed: Behaviour) -> Any:
        """See `CallInterceptor`."""
        if isinstance(request, SaleError):
            raise request
        if violations := [*find_violations(request), *_unreadable_fields(context)]:
            raise SaleError.invalid_fields(list({violation.field: violation for violation in violations}.values()))
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
        if isinstance(value, str) and _REQUEST_ID_CHARACTERS.fullmatch(value):
            return value[:_MAX_REQUEST_ID]
    return token_hex(16)


def _told() -> tuple[tuple[str, str], ...]:
    known = known_of_call()
    return tuple((key, known[name]) for name, key in _TOLD if known.get(name))
