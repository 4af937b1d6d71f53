"""Calls of a servicer in the same process through its generated stub, without a network between.

As gRPC-Java's InProcessChannel: the same interceptors, deadlines, metadata and status errors, at a tenth of the cost.
Messages are handed over as they are: neither side may change one that it has passed on.
"""

import asyncio
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import grpc

if TYPE_CHECKING:
    Handler: TypeAlias = grpc.RpcMethodHandler[Any, Any]
else:
    Handler = grpc.RpcMethodHandler  # not generic at run time


_LOOK_SECONDS = 0.05
"""How late a call can be ended after its deadline."""


class InProcessServer:
    """Takes servicers as a grpc.aio.Server does, and gives channels to them."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        """Nothing: generated code registers each method by its name as well."""

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, Handler]) -> None:
        """Register the methods of a servicer; generated code calls this."""
        for name, handler in method_handlers.items():
            self._handlers[f"/{service_name}/{name}"] = handler

    def handler(self, method: str) -> Handler | None:
        """Return what handles an rpc, by its full name; None if nothing does."""
        return self._handlers.get(method)

    def channel(self) -> "InProcessChannel":
        """Return a channel to the servicers."""
        return InProcessChannel(self._handlers)


class _Deadlines:
    """Ends calls that run beyond their deadlines; looks for them now and then, as a timer for each costs more."""

    def __init__(self) -> None:
        self._running: dict[_Call, asyncio.Task[Any]] = {}
        self._next_look: asyncio.TimerHandle | None = None

    def add(self, call: "_Call", task: "asyncio.Task[Any]") -> None:
        """Look after a call that runs in a task."""
        self._running[call] = task
        if self._next_look is None:
            self._look_later()

    def remove(self, call: "_Call") -> None:
        """Let a call be that has ended."""
        del self._running[call]

    def _look(self) -> None:
        for call, task in self._running.items():
            if call.time_remaining() == 0 and not call.is_overdue:
                call.is_overdue = True
                task.cancel()
        self._next_look = None
        if self._running:
            self._look_later()

    def _look_later(self) -> None:
        self._next_look = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)


class InProcessChannel(grpc.aio.Channel):
    """A channel for generated stubs; made by `InProcessServer.channel`. Only unary methods can be called."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers
        self._deadlines = _Deadlines()

    def unary_unary(  # messages are not serialized
        self,
        method: str,
        request_serializer: object = None,
        response_deserializer: object = None,
        _registered_method: bool | None = False,
    ) -> "_MultiCallable":
        """Return what a generated stub calls for one method."""
        return _MultiCallable(self._handlers, self._deadlines, method)

    def unary_stream(self, *arguments: Any, **named: Any) -> Any:
        """Give a stub its attribute; calling it is not supported."""
        return _unsupported

    def stream_unary(self, *arguments: Any, **named: Any) -> Any:
        """Give a stub its attribute; calling it is not supported."""
        return _unsupported

    def stream_stream(self, *arguments: Any, **named: Any) -> Any:
        """Give a stub its attribute; calling it is not supported."""
        return _unsupported

    async def __aenter__(self) -> "InProcessChannel":
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        """Nothing: there is no connection."""

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """Return READY: there is no connection to lose."""
        return grpc.ChannelConnectivity.READY

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Wait for ever, unless another state than READY was observed."""
        if last_observed_state is grpc.ChannelConnectivity.READY:
            await asyncio.Event().wait()

    async def channel_ready(self) -> None:
        """Return at once."""


def _unsupported(*arguments: Any, **named: Any) -> NoReturn:
    raise NotImplementedError("streams are not supported in process; use a network channel")


class _MultiCallable(grpc.aio.UnaryUnaryMultiCallable[Any, Any]):
    def __init__(self, handlers: Mapping[str, Handler], deadlines: _Deadlines, method: str) -> None:
        self._handlers = handlers
        self._deadlines = deadlines
        self._method = method

    def __call__(
        self,
        request: Any,
        *,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> "_Call":
        """Begin a call; it runs when it is awaited, in the caller's task.

        Args:
            request: the message.
            timeout: seconds until it fails with DEADLINE_EXCEEDED.
            metadata: pairs of key and value.
            credentials: without meaning in process.
            wait_for_ready: without meaning in process.
            compression: without meaning in process.
        """
        return _Call(self._handlers.get(self._method), request, _Context(metadata or (), timeout), self._deadlines)


class _Aborted(grpc.aio.AbortError):
    """What `_Context.abort` raises, as grpc.aio's own does."""


class _Context(grpc.aio.ServicerContext[Any, Any]):
    def __init__(self, metadata: Any, timeout: float | None) -> None:
        self._invocation_metadata = metadata
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._trailing_metadata: Any = ()
        self._code: grpc.StatusCode = grpc.StatusCode.OK
        self._details = ""

    def invocation_metadata(self) -> Any:
        return self._invocation_metadata

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        self._trailing_metadata = trailing_metadata

    def trailing_metadata(self) -> Any:
        return self._trailing_metadata

    def set_code(self, code: grpc.StatusCode) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code

    def set_details(self, details: str) -> None:
        self._details = details

    def details(self) -> str:
        return self._details

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> NoReturn:
        self._code, self._details = code, details
        self._trailing_metadata = trailing_metadata or self._trailing_metadata
        raise _Aborted

    async def abort_with_status(self, status: grpc.Status) -> NoReturn:
        await self.abort(status.code, status.details, status.trailing_metadata)

    def time_remaining(self) -> float:
        return float("inf") if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def peer(self) -> str:
        return "in-process"

    def peer_identities(self) -> None:
        return None

    def peer_identity_key(self) -> None:
        return None

    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        return {}

    async def send_initial_metadata(self, initial_metadata: Any) -> None:
        """Nothing: a caller in process reads trailing metadata only."""

    def set_compression(self, compression: grpc.Compression) -> None:
        """Nothing: messages are not serialized."""

    def disable_next_message_compression(self) -> None:
        """Nothing: messages are not serialized."""

    async def read(self) -> NoReturn:
        _unsupported()

    async def write(self, message: object) -> NoReturn:
        _unsupported()


class _Call(grpc.aio.UnaryUnaryCall[Any, Any]):
    def __init__(self, handler: Handler | None, request: Any, context: _Context, deadlines: _Deadlines) -> None:
        self._handler = handler
        self._request = request
        self._context = context
        self._deadlines = deadlines
        self.is_overdue = False
        self._ended: asyncio.Event | None = None
        """None until the call has begun."""
        self._response: Any = None
        self._failure: BaseException | None = None

    def __await__(self) -> Generator[Any, None, Any]:
        return self._run_once().__await__()

    async def _run_once(self) -> Any:
        # Awaited again, a call gives its answer again; it must not be made again.
        if self._ended is None:
            self._ended = asyncio.Event()
            try:
                self._response = await self._run()
            except BaseException as failure:
                self._failure = failure
            self._ended.set()
        else:
            await self._ended.wait()
        if self._failure is not None:
            raise self._failure
        return self._response

    async def _run(self) -> Any:
        context, handler = self._context, self._handler
        if context.time_remaining() <= 0:  # later only what waits is ended
            raise self._error(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
        if handler is None or handler.unary_unary is None:
            raise self._error(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
        behaviour: Any = handler.unary_unary
        task: Any = asyncio.current_task()
        cancelling = task.cancelling()
        self._deadlines.add(self, task)
        try:
            response = await behaviour(self._request, context)
        except grpc.aio.AbortError:
            raise self._error(context.code(), context.details()) from None
        except asyncio.CancelledError:
            if not self.is_overdue or task.cancelling() - 1 > cancelling:
                raise  # by somebody else, as well
            raise self._error(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded") from None
        finally:
            self._deadlines.remove(self)
            if self.is_overdue:
                task.uncancel()
        if context.code() is not grpc.StatusCode.OK:
            raise self._error(context.code(), context.details())
        return response

    def _error(self, code: grpc.StatusCode, details: str) -> grpc.aio.AioRpcError:
        self._context.set_code(code)
        self._context.set_details(details)
        trailing = grpc.aio.Metadata(*self._context.trailing_metadata())
        return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details)

    async def initial_metadata(self) -> grpc.aio.Metadata:
        return grpc.aio.Metadata()

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        return grpc.aio.Metadata(*self._context.trailing_metadata())

    async def code(self) -> grpc.StatusCode:
        return self._context.code()

    async def details(self) -> str:
        return self._context.details()

    async def wait_for_connection(self) -> None:
        """Nothing: there is no connection."""

    def done(self) -> bool:
        return self._ended is not None and self._ended.is_set()

    def cancelled(self) -> bool:
        return False

    def cancel(self) -> bool:
        """Do nothing: a call runs in its caller's task; cancel that."""
        return False

    def time_remaining(self) -> float | None:
        return None if self._context._deadline is None else self._context.time_remaining()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        _unsupported()
