"""Unary calls that share the messages of one stream to the service (`connectingparty.multiplex.v1`)."""

import asyncio
import itertools
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any

import grpc
import structlog
from connectingparty.multiplex.v1.multiplex_service_pb2 import (
    Answer,
    Call,
    Metadata,
    MultiplexRequest,
    MultiplexResponse,
)
from connectingparty.multiplex.v1.multiplex_service_pb2_grpc import MultiplexServiceStub

_MAX_SHARED_BYTES = 16 * 1024
"""Of a call: a larger one goes by itself. Of a message: it is full then, and still far below what a server takes."""
_MAX_CANCELLED = 1000
"""Ids in a message."""
_MAX_WAITING = 4096
"""As many as the store lets queue up."""
_LATE_SECONDS = 0.2
"""The service itself ends a call at its deadline; if it has not this long after, it hangs."""
_SWEEP_SECONDS = 0.1
"""How often such calls are looked for."""

_LOG_SECONDS = 1.0
"""How often the log tells why streams break: every request may try another one."""

_log = structlog.stdlib.get_logger(__name__)

_CODES = {code.value[0]: code for code in grpc.StatusCode}


class MultiplexedChannel(grpc.aio.Channel):
    """A channel whose unary calls share a stream; all others go over the channel below as they are.

    Args:
        channel: to the service; closed with this one.
        metadata: sent with every unary call, or once with the stream that carries it.
        max_waiting: how many calls of a stream may wait for their answers; more fail at once.
        explain: returns what the log tells besides of an error that broke a stream.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        metadata: Sequence[tuple[str, str]] = (),
        *,
        max_waiting: int = _MAX_WAITING,
        explain: Callable[[grpc.aio.AioRpcError], Mapping[str, str]] = lambda error: {},
    ) -> None:
        self._explain = explain
        self._channel = channel
        self.max_waiting = max_waiting
        self.metadata = metadata
        self._open_stream: Any = MultiplexServiceStub(channel).Multiplex
        self._stream: _Stream | None = None
        self._next_line = 0.0
        self._reading: set[asyncio.Task[None]] = set()
        """Of every stream that has not ended."""

    def unary_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool | None = False,
    ) -> "_MultiCallable":
        """Return what a generated stub calls for one method."""
        alone = self._channel.unary_unary(method, request_serializer, response_deserializer)
        return _MultiCallable(self, method, request_serializer, response_deserializer, alone)

    def unary_stream(self, *arguments: Any, **named: Any) -> Any:
        """See `grpc.aio.Channel`."""
        return self._channel.unary_stream(*arguments, **named)

    def stream_unary(self, *arguments: Any, **named: Any) -> Any:
        """See `grpc.aio.Channel`."""
        return self._channel.stream_unary(*arguments, **named)

    def stream_stream(self, *arguments: Any, **named: Any) -> Any:
        """See `grpc.aio.Channel`."""
        return self._channel.stream_stream(*arguments, **named)

    async def __aenter__(self) -> "MultiplexedChannel":
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        """See `grpc.aio.Channel`."""
        await self._channel.close(grace)
        if self._reading:
            await asyncio.wait(self._reading)  # what gRPC still has to say of a stream, it says to this event loop

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """See `grpc.aio.Channel`."""
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """See `grpc.aio.Channel`."""
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """See `grpc.aio.Channel`."""
        await self._channel.channel_ready()

    def stream(self) -> "_Stream | None":
        """Return the stream that takes new calls; None if this service has no streams."""
        if self._stream is not None and self._stream.is_unknown:
            return None
        if self._stream is None or not self._stream.takes_calls:
            self._stream = _Stream(self._open_stream(metadata=self.metadata), self._tell_broken)
            self._reading.add(self._stream.reading)
            self._stream.reading.add_done_callback(self._reading.discard)
        return self._stream

    def _tell_broken(self, error: grpc.aio.AioRpcError) -> None:
        if (now := time.monotonic()) >= self._next_line:
            self._next_line = now + _LOG_SECONDS
            told = {"status": error.code().name, "details": error.details(), **self._explain(error)}
            _log.warning("stream to the service broken", **told)


class _Stream:
    """A stream, and the calls that wait for their answers on it."""

    def __init__(self, call: Any, tell_broken: Callable[[grpc.aio.AioRpcError], None]) -> None:
        self._tell_broken = tell_broken
        self.takes_calls = True
        self.is_unknown = False
        """Whether the service has no such rpc: it is of a version before."""
        self._call = call
        self._is_open = False
        self._loop = asyncio.get_running_loop()
        self._ids = itertools.count(1)
        self._waiting: dict[int, tuple[asyncio.Future[Answer], float]] = {}
        """By the id of the call, with its deadline by the monotonic clock."""
        self._outgoing: dict[int, Call] = {}
        self._cancelled: list[int] = []
        self._sweep: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None
        self.reading = asyncio.create_task(self._read())

    def begin(self, call: Call, deadline: float) -> asyncio.Future[Answer]:
        """Begin a call, and return what its answer will be; when that is cancelled, so is the call.

        Args:
            call: the call; id and timeout are set here.
            deadline: until when it may take, by the monotonic clock.
        """
        id = call.id = next(self._ids)
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting[id] = future, deadline
        self._outgoing[id] = call
        self._write_soon()
        if self._sweep is None:
            self._sweep = self._loop.call_later(_SWEEP_SECONDS, self._end_overdue)
        future.add_done_callback(lambda future: self._cancel(id) if future.cancelled() else None)
        return future

    @property
    def waiting(self) -> int:
        """How many calls wait for their answers."""
        return len(self._waiting)

    def _cancel(self, id: int) -> None:
        is_known = self._waiting.pop(id, None) is not None and not self.reading.done()
        was_sent = self._outgoing.pop(id, None) is None
        if is_known and was_sent:
            self._cancelled.append(id)
            self._write_soon()

    def _end_overdue(self) -> None:
        latest = time.monotonic() - _LATE_SECONDS
        overdue = [future for future, deadline in self._waiting.values() if deadline <= latest]
        for future in overdue:
            if not future.done():  # its caller's own patience may have ended in this turn of the loop
                future.set_exception(_failure(grpc.StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded"))
        if overdue:
            # Otherwise what lies unread would be done when the service goes on, long after its callers were answered.
            self._call.cancel()
        self._sweep = self._loop.call_later(_SWEEP_SECONDS, self._end_overdue) if self._waiting else None

    def _write_soon(self) -> None:
        if self._writing is None:
            self._writing = self._loop.create_task(self._write())  # with what others begin by then

    async def _write(self) -> None:
        try:
            if not self._is_open:
                # What is written to a service that does not take it would hide why.
                await self._call.initial_metadata()
                self._is_open = True
            while self._outgoing or self._cancelled:
                await self._call.write(self._next_message())
            if not self.takes_calls:
                await self._call.done_writing()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            self.takes_calls = False  # the stream has ended: who reads it learns why, and tells every caller
        finally:
            self._writing = None

    def _next_message(self) -> MultiplexRequest:
        size, now = 0, time.monotonic()
        message = MultiplexRequest(cancelled=self._cancelled[:_MAX_CANCELLED], send_time=now)
        del self._cancelled[:_MAX_CANCELLED]
        while self._outgoing and size < _MAX_SHARED_BYTES:
            call = self._outgoing.pop(next(iter(self._outgoing)))
            call.timeout = self._waiting[call.id][1] - now
            message.calls.append(call)
            size += call.ByteSize()
        return message

    async def _read(self) -> None:
        details = "The service has ended the stream."
        try:
            while isinstance(message := await self._call.read(), MultiplexResponse):
                for answer in message.answers:
                    future, _ = self._waiting.pop(answer.id, (None, 0.0))
                    if future is not None and not future.done():
                        future.set_result(answer)
                if message.draining:
                    self.takes_calls = False
                    self._write_soon()
        except grpc.aio.AioRpcError as error:
            details = f"The stream to the service is broken: {error.details()}"
            self.is_unknown = error.code() is grpc.StatusCode.UNIMPLEMENTED
            if not self.is_unknown and error.code() is not grpc.StatusCode.CANCELLED:  # as this end does
                self._tell_broken(error)
        finally:
            self.takes_calls = False
            waiting, self._waiting = self._waiting, {}
            self._outgoing.clear()
            self._cancelled.clear()
            for future, _ in waiting.values():
                if not future.done():
                    future.set_exception(_failure(grpc.StatusCode.UNAVAILABLE, details))


class _MultiCallable(grpc.aio.UnaryUnaryMultiCallable[Any, Any]):
    def __init__(
        self,
        channel: MultiplexedChannel,
        method: str,
        serialize: Callable[[Any], bytes],
        deserialize: Callable[[bytes], Any],
        alone: Any,
    ) -> None:
        self._channel = channel
        self._method = method
        self._serialize = serialize
        self._deserialize = deserialize
        self._alone = alone

    def __call__(
        self,
        request: Any,
        *,
        timeout: float | None = None,
        metadata: Any = None,
        credentials: grpc.CallCredentials | None = None,
        wait_for_ready: bool | None = None,
        compression: grpc.Compression | None = None,
    ) -> Any:
        """Begin a call.

        Args:
            request: the message.
            timeout: seconds until it fails with DEADLINE_EXCEEDED; without one it is a call of its own.
            metadata: pairs of key and value.
            credentials: as of grpc.aio; with some it is a call of its own.
            wait_for_ready: the same.
            compression: the same.

        Raises:
            grpc.aio.AioRpcError: RESOURCE_EXHAUSTED: too many calls wait already.
        """
        if timeout is not None and not (credentials or wait_for_ready or compression):
            call = Call(method=self._method, request=self._serialize(request), metadata=map(_packed, metadata or ()))
            stream = self._channel.stream() if call.ByteSize() <= _MAX_SHARED_BYTES else None
            if stream is not None:
                if stream.waiting >= self._channel.max_waiting:
                    raise _failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many calls wait for the service.")
                deadline = time.monotonic() + timeout
                return _Call(stream.begin(call, deadline), deadline, self._deserialize)
        return self._alone(
            request,
            timeout=timeout,
            metadata=(*self._channel.metadata, *(metadata or ())),
            credentials=credentials,
            wait_for_ready=wait_for_ready,
            compression=compression,
        )


class _Call(grpc.aio.UnaryUnaryCall[Any, Any]):
    def __init__(self, answer: asyncio.Future[Answer], deadline: float, deserialize: Callable[[bytes], Any]) -> None:
        self._answer = answer
        self._deadline = deadline
        self._deserialize = deserialize

    def __await__(self) -> Generator[Any, None, Any]:
        answer = yield from self._answer.__await__()
        if answer.code:
            raise _failure(_CODES[answer.code], answer.details, _unpacked(answer))
        return self._deserialize(answer.response)

    async def initial_metadata(self) -> grpc.aio.Metadata:
        return grpc.aio.Metadata()

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        return grpc.aio.Metadata(*_unpacked(await self._answer))

    async def code(self) -> grpc.StatusCode:
        return _CODES[(await self._answer).code]

    async def details(self) -> str:
        return (await self._answer).details

    async def wait_for_connection(self) -> None:
        await asyncio.wait((self._answer,))

    def done(self) -> bool:
        return self._answer.done()

    def cancelled(self) -> bool:
        return self._answer.cancelled()

    def cancel(self) -> bool:
        return self._answer.cancel()

    def time_remaining(self) -> float | None:
        return max(0.0, self._deadline - time.monotonic())

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        self._answer.add_done_callback(lambda answer: callback(self))


def _failure(code: grpc.StatusCode, details: str, metadata: Iterable[tuple[str, Any]] = ()) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*metadata), details)


def _packed(pair: tuple[str, str | bytes]) -> Metadata:
    key, value = pair
    return Metadata(key=key, value=value if isinstance(value, bytes) else value.encode())


def _unpacked(answer: Answer) -> list[tuple[str, Any]]:
    return [
        (item.key, item.value if item.key.endswith("-bin") else item.value.decode())
        for item in answer.trailing_metadata
    ]
