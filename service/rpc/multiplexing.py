"""Calls that share the messages of one stream: `connectingparty.multiplex.v1.MultiplexService`."""

import asyncio
import time
from contextvars import ContextVar
from typing import Any

import grpc
import structlog
from connectingparty.multiplex.v1.multiplex_service_pb2 import (
    DESCRIPTOR,
    Answer,
    Call,
    Metadata,
    MultiplexRequest,
    MultiplexResponse,
)
from connectingparty.multiplex.v1.multiplex_service_pb2_grpc import MultiplexServiceServicer

from service.errors import ErrorReason, SaleError
from service.origin import Origin, begin_from
from service.rpc.authorization import Identify, Peer, peer_of
from service.rpc.in_process import InProcessServer
from service.rpc.interceptors import Context, NoteRefusal, note_nowhere
from service.rpc.slowing import Slowing
from service.rpc.status import status_of

_peer: ContextVar[Peer] = ContextVar("peer")
_METHOD = f"/{DESCRIPTOR.services_by_name['MultiplexService'].full_name}/Multiplex"
_MAX_SHARED_BYTES = 64 * 1024
"""Of a message: it is full then."""
MAX_AT_ONCE = 128
"""How many calls of a stream run at the same time; the others wait for their turn."""
_MAX_WAITING_BYTES = 4 * 1024 * 1024
"""Of answers that a caller has not taken: then no other call of its stream runs. Of calls: then no more are read."""
_MAX_SHARED_CALLS = 1024
"""How many calls a message may begin or cancel: the process does nothing else meanwhile."""

_log = structlog.stdlib.get_logger(__name__)


def peer_of_stream(context: Context) -> Peer:
    """Return who is at the other end of the stream on which a call was made.

    Args:
        context: of the call, in whose metadata nobody can say that he is somebody else.
    """
    return _peer.get()


class MultiplexServicer(MultiplexServiceServicer):
    """Carries calls to servicers in this process.

    Args:
        servicers: what can be called.
        identify: tells who has opened a stream.
        note_refusal: called when nobody has that is known.
        slowing: holds back the refusal of such a one; None answers at once.
        max_running: how many calls of a stream may run or wait for their turn; more are refused.
    """

    def __init__(
        self,
        servicers: InProcessServer,
        identify: Identify,
        note_refusal: NoteRefusal = note_nowhere,
        slowing: Slowing | None = None,
        *,
        max_running: int,
    ) -> None:
        self._servicers = servicers
        self._identify = identify
        self._note_refusal = note_refusal
        self._slowing = slowing
        self._max_running = max_running
        self._streams: set[_Stream] = set()
        self._draining = False

    async def Multiplex(  # type: ignore[override]  # writes to the context, whenever there are answers
        self, request_iterator: Any, context: Context
    ) -> None:
        """See the proto."""
        peer = peer_of(context)
        if self._identify(peer.credentials) is None:
            begin_from(Origin("", peer.address))
            await context.abort_with_status(status_of(await self._refusal(), {}))
        _peer.set(peer)  # for its calls, whose tasks begin in this one
        stream = _Stream(self._servicers, self._max_running, context)
        self._streams.add(stream)
        try:
            if self._draining:
                stream.drain()
            await stream.serve()
        finally:
            self._streams.discard(stream)

    async def _refusal(self) -> SaleError:
        """Note that somebody is refused whom nobody knows, and return how, when he may be told."""
        refusal = SaleError(ErrorReason.ERROR_REASON_CALLER_NOT_IDENTIFIED)
        self._note_refusal(refusal.reason, _METHOD)
        if self._slowing is not None:
            try:
                await self._slowing.hold_back()
            except SaleError as error:
                refusal = error
        _log.info("request", rpc=_METHOD, code=int(refusal.reason))
        return refusal

    def drain(self) -> None:
        """Let callers begin no more calls on the streams that there are; they end once their calls are answered."""
        self._draining = True
        for stream in self._streams:
            stream.drain()


class _Stream:
    def __init__(self, servicers: InProcessServer, max_running: int, context: Context) -> None:
        self._servicers = servicers
        self._channel = servicers.channel()
        self._max_running = max_running
        self._context = context
        self._running: dict[int, asyncio.Task[None]] = {}
        self._turns = asyncio.Semaphore(MAX_AT_ONCE)
        self._answers: list[Answer] = []
        self._answered_bytes = 0
        self._asked_bytes = 0
        self._writing: asyncio.Task[None] | None = None
        self._least_difference = float("inf")
        self._draining = False
        self._has_told = False
        """Whether the caller knows of the draining."""

    async def serve(self) -> None:
        """Run calls until the caller has closed its half and all are answered."""
        await self._context.send_initial_metadata(())  # the caller learns that there is such an rpc
        try:
            while isinstance(message := await self._context.read(), MultiplexRequest):
                if max(len(message.calls), len(message.cancelled)) > _MAX_SHARED_CALLS:
                    await self._context.abort(grpc.StatusCode.INVALID_ARGUMENT, "Too many calls in one message.")
                lateness = self._lateness(message)
                for call in message.calls:
                    if call.id in self._running:
                        await self._context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The id of a call that runs.")
                    call.timeout -= lateness
                    self._begin(call)
                for id in message.cancelled:
                    if (task := self._running.get(id)) is not None:
                        task.cancel()
                if len(self._answers) >= self._max_running and self._writing is not None:
                    await asyncio.wait((self._writing,))  # who does not read what is answered is not read from
                while self._asked_bytes >= _MAX_WAITING_BYTES:
                    await asyncio.wait(self._running.values(), return_when=asyncio.FIRST_COMPLETED)
            while tasks := [*self._running.values(), *([self._writing] if self._writing else [])]:
                await asyncio.wait(tasks)
        finally:
            for task in self._running.values():
                task.cancel()

    def drain(self) -> None:
        """Ask the caller to begin no more calls here."""
        self._draining = True
        self._write_soon()

    def _lateness(self, message: MultiplexRequest) -> float:
        """Return for how many seconds a message lay unread: a caller that gave up must not find its call made later."""
        difference = time.monotonic() - message.send_time  # of two clocks that began at different moments
        self._least_difference = min(self._least_difference, difference)
        return difference - self._least_difference

    def _begin(self, call: Call) -> None:
        if len(self._running) >= self._max_running:
            code: int = grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
            self._answer(Answer(id=call.id, code=code, details="Too many calls run on this stream."))
            return
        size = call.ByteSize()

        def end(task: asyncio.Task[None]) -> None:
            del self._running[call.id]
            self._asked_bytes -= size

        self._asked_bytes += size
        self._running[call.id] = task = asyncio.create_task(self._run(call))
        task.add_done_callback(end)

    async def _run(self, call: Call) -> None:
        began = time.monotonic()
        async with self._turns:
            while self._answered_bytes >= _MAX_WAITING_BYTES and self._writing is not None:
                await asyncio.wait((self._writing,))
            call.timeout -= time.monotonic() - began
            try:
                answer = await self._answered(call)
            except Exception as error:  # as over a call of its own; one without an answer would be waited for
                _log.error("call failed", exc_info=error)
                answer = Answer(id=call.id, code=grpc.StatusCode.UNKNOWN.value[0], details="The call failed.")
            self._answer(answer)

    async def _answered(self, call: Call) -> Answer:
        handler: Any = self._servicers.handler(call.method)
        request = handler and handler.request_deserializer(call.request)
        running = self._channel.unary_unary(call.method)(
            request, timeout=call.timeout, metadata=tuple(map(_unpacked, call.metadata))
        )
        answer = Answer(id=call.id)
        try:
            response = await running
            answer.response = handler.response_serializer(response)
        except grpc.aio.AioRpcError as error:
            answer.code, answer.details = error.code().value[0], error.details() or ""
        answer.trailing_metadata.extend(map(_packed, await running.trailing_metadata()))
        return answer

    def _answer(self, answer: Answer) -> None:
        self._answers.append(answer)
        self._answered_bytes += answer.ByteSize()
        self._write_soon()

    def _write_soon(self) -> None:
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())  # with what others answer by then

    async def _write(self) -> None:
        try:
            while self._answers or self._draining > self._has_told:
                answers, self._has_told = self._next_answers(), self._draining
                await self._context.write(MultiplexResponse(answers=answers, draining=self._draining))
        except grpc.aio.InternalError:  # how grpc.aio tells that the caller has gone; reading ends too
            self._answers.clear()
            self._answered_bytes = 0
        finally:
            self._writing = None

    def _next_answers(self) -> list[Answer]:
        count, size = 0, 0
        while count < len(self._answers) and size < _MAX_SHARED_BYTES:
            size += self._answers[count].ByteSize()
            count += 1
        answers = self._answers[:count]
        del self._answers[:count]
        self._answered_bytes -= size
        return answers


def _packed(pair: tuple[str, str | bytes]) -> Metadata:
    key, value = pair
    return Metadata(key=key, value=value if isinstance(value, bytes) else value.encode())


def _unpacked(item: Metadata) -> tuple[str, str | bytes]:
    # What is no UTF-8 is the caller's fault, and refused by whoever reads it.
    return item.key, item.value if item.key.endswith("-bin") else item.value.decode(errors="backslashreplace")
