"""Calls that share a stream: each gets its own answer, whatever becomes of the stream."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import grpc
import pytest
from connectingparty.multiplex.v1.multiplex_service_pb2 import Call, Metadata, MultiplexRequest
from connectingparty.multiplex.v1.multiplex_service_pb2_grpc import (
    MultiplexServiceServicer,
    MultiplexServiceStub,
    add_MultiplexServiceServicer_to_server,
)
from connectingparty.sale.v1.sale_service_pb2 import CheckSaleRequest, CheckSaleResponse
from connectingparty.sale.v1.sale_service_pb2_grpc import SaleServiceServicer, SaleServiceStub
from connectingparty.sale.v1.sale_service_pb2_grpc import add_SaleServiceServicer_to_server as add_servicer

from gateway.multiplexing import MultiplexedChannel
from service.callers import Caller, Credentials
from service.program.development import DEVELOPER
from service.rpc.in_process import InProcessServer
from service.rpc.multiplexing import MAX_AT_ONCE, MultiplexServicer


def known(credentials: Credentials) -> Caller:
    return DEVELOPER


pytestmark = pytest.mark.anyio
MAX_RUNNING = 300
CHECK = "/connectingparty.sale.v1.SaleService/CheckSale"


class Servicer(SaleServiceServicer):
    """Answers with what it is asked, once it may."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.running = 0

    async def CheckSale(self, request: CheckSaleRequest, context: Any) -> CheckSaleResponse:  # noqa: N802
        self.running += 1
        await self.open.wait()
        return CheckSaleResponse(invoice_id=request.invoice_id)


class CountingServicer(MultiplexServicer):
    """Counts streams, and the messages that come on them."""

    streams = 0
    messages = 0

    async def Multiplex(self, request_iterator: Any, context: Any) -> None:  # type: ignore[override]  # noqa: N802
        self.streams += 1
        read = context.read

        class Counting:
            async def read(_) -> Any:  # noqa: N805
                message = await read()
                self.messages += isinstance(message, MultiplexRequest)
                return message

            def __getattr__(_, name: str) -> Any:  # noqa: N805
                return getattr(context, name)

        await super().Multiplex(request_iterator, Counting())  # type: ignore[arg-type]


class Service:
    """A server with calls on streams and by themselves, and a channel to it."""

    def __init__(self) -> None:
        self.servicer = Servicer()  # type: ignore[abstract]  # serves only what is called here
        self.alone = Servicer()  # type: ignore[abstract]
        self.streams = self._streams()
        self.port = 0

    def _streams(self) -> CountingServicer:
        servicers = InProcessServer()
        add_servicer(self.servicer, servicers)  # type: ignore[arg-type]
        return CountingServicer(servicers, known, max_running=MAX_RUNNING)

    async def start(self, *, has_streams: bool = True) -> None:
        self.server = grpc.aio.server(options=(("grpc.max_receive_message_length", 64 * 1024),))
        add_servicer(self.alone, self.server)
        if has_streams:
            self.streams = self._streams()
            add_MultiplexServiceServicer_to_server(self.streams, self.server)
        self.port = self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self.server.start()

    def raw_stream(self) -> Any:
        network = grpc.aio.insecure_channel(f"127.0.0.1:{self.port}")
        self.channel = MultiplexedChannel(network)
        return MultiplexServiceStub(network).Multiplex()

    def stub(self, **named: Any) -> Any:
        options = (("grpc.initial_reconnect_backoff_ms", 100), ("grpc.min_reconnect_backoff_ms", 100))
        self.channel = MultiplexedChannel(grpc.aio.insecure_channel(f"127.0.0.1:{self.port}", options=options), **named)
        return SaleServiceStub(self.channel)


@pytest.fixture
async def service(anyio_backend: str) -> AsyncIterator[Service]:
    service = Service()
    await service.start()
    yield service
    await service.channel.close()
    await service.server.stop(None)


async def ask(stub: Any, text: str = "id", seconds: float = 5) -> str:
    return str((await stub.CheckSale(CheckSaleRequest(invoice_id=text), timeout=seconds)).invoice_id)


async def refusal(answer: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await answer
    return error.value.code()


async def awaited(call: Any) -> Any:
    return await call


async def wait_until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_each_of_many_calls_gets_its_own_answer_over_a_few_messages(service: Service) -> None:
    stub = service.stub()
    texts = [str(number) for number in range(200)]

    assert await asyncio.gather(*(ask(stub, text) for text in texts)) == texts
    assert service.streams.streams == 1
    assert service.streams.messages < 20
    assert (service.servicer.running, service.alone.running) == (200, 0)


async def test_one_that_takes_long_does_not_hold_up_others(service: Service) -> None:
    stub = service.stub()
    service.servicer.open.clear()
    slow = asyncio.create_task(ask(stub, "slow"))
    await wait_until(lambda: service.servicer.running)
    gate, service.servicer.open = service.servicer.open, asyncio.Event()
    service.servicer.open.set()

    assert await ask(stub, "quick") == "quick"
    assert not slow.done()
    gate.set()
    assert await slow == "slow"


async def test_more_calls_than_may_wait_are_refused_at_once(service: Service) -> None:
    stub = service.stub(max_waiting=10)
    service.servicer.open.clear()
    waiting = [asyncio.create_task(ask(stub, str(number))) for number in range(10)]
    await wait_until(lambda: service.servicer.running == 10)

    assert await refusal(ask(stub)) is grpc.StatusCode.RESOURCE_EXHAUSTED
    service.servicer.open.set()
    assert await asyncio.gather(*waiting) == [str(number) for number in range(10)]
    assert await ask(stub, "later") == "later"


@pytest.mark.parametrize("size", [20_000, 60_000])
async def test_a_large_request_is_a_call_of_its_own(service: Service, size: int) -> None:
    assert await ask(service.stub(), "x" * size) == "x" * size
    assert (service.servicer.running, service.alone.running) == (0, 1)


async def test_many_requests_of_some_size_do_not_make_a_message_too_large(service: Service) -> None:
    stub = service.stub()
    texts = [str(number) * 16_000 for number in range(10)]

    assert await asyncio.gather(*(ask(stub, text) for text in texts)) == texts
    assert service.servicer.running == 10


async def test_a_service_without_streams_is_called_without_them(service: Service) -> None:
    await service.server.stop(None)
    await service.start(has_streams=False)
    stub = service.stub()

    assert await refusal(ask(stub)) is grpc.StatusCode.UNAVAILABLE
    assert await ask(stub, "alone") == "alone"
    assert service.alone.running == 1


async def test_a_service_that_is_gone_fails_its_calls_and_is_found_again(service: Service) -> None:
    stub = service.stub()
    service.servicer.open.clear()
    waiting = asyncio.create_task(ask(stub))
    await wait_until(lambda: service.servicer.running)
    await service.server.stop(None)

    assert await refusal(waiting) is grpc.StatusCode.UNAVAILABLE
    assert await refusal(ask(stub)) is grpc.StatusCode.UNAVAILABLE

    service.servicer.open.set()
    await service.start()
    async with asyncio.timeout(5):
        while True:
            try:
                assert await ask(stub, "again") == "again"
                break
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.05)


async def test_what_runs_is_answered_while_new_calls_go_to_another_stream(service: Service) -> None:
    stub = service.stub()
    service.servicer.open.clear()
    running = asyncio.create_task(ask(stub, "running"))
    await wait_until(lambda: service.servicer.running)
    service.streams.drain()
    stopping = asyncio.create_task(service.server.stop(5))
    await asyncio.sleep(0.1)

    assert not running.done()
    assert not stopping.done()
    service.servicer.open.set()
    assert await running == "running"
    await asyncio.wait_for(stopping, 2)  # the stream has ended by itself

    await service.start()
    assert await ask(stub, "anew") == "anew"


async def test_more_calls_than_may_run_are_refused_at_once(service: Service) -> None:
    stub = service.stub()
    service.servicer.open.clear()
    running = [asyncio.create_task(ask(stub)) for _ in range(MAX_RUNNING)]
    await wait_until(lambda: service.servicer.running == MAX_AT_ONCE)

    assert await refusal(ask(stub)) is grpc.StatusCode.RESOURCE_EXHAUSTED
    service.servicer.open.set()
    assert await asyncio.gather(*running) == ["id"] * MAX_RUNNING


async def test_a_service_that_hangs_is_waited_for_until_the_deadline(service: Service) -> None:
    class Hanging(MultiplexServiceServicer):
        async def Multiplex(self, request_iterator: Any, context: Any) -> None:  # type: ignore[override]  # noqa: N802
            await context.send_initial_metadata(())
            await asyncio.Event().wait()

    await service.server.stop(None)
    service.server = grpc.aio.server()
    add_MultiplexServiceServicer_to_server(Hanging(), service.server)
    service.port = service.server.add_insecure_port("127.0.0.1:0")
    await service.server.start()
    started = time.monotonic()

    assert await refusal(ask(service.stub(), seconds=0.2)) is grpc.StatusCode.DEADLINE_EXCEEDED
    assert 0.2 <= time.monotonic() - started < 2


async def test_an_rpc_that_nobody_serves_is_unimplemented(service: Service) -> None:
    service.stub()
    call: Any = service.channel.unary_unary("/no.such.Service/Rpc", bytes, bytes)

    assert await refusal(call(b"", timeout=5)) is grpc.StatusCode.UNIMPLEMENTED


async def test_metadata_counts_for_the_size_of_a_message(service: Service) -> None:
    stub = service.stub()
    id_ = (("x-request-id", "r" * 128),)
    calls = (stub.CheckSale(CheckSaleRequest(), timeout=5, metadata=id_) for _ in range(300))
    await asyncio.gather(*map(awaited, calls))

    service.servicer.open.clear()
    neighbour = asyncio.create_task(ask(stub, "neighbour"))
    await wait_until(lambda: service.servicer.running == 301)
    large = stub.CheckSale(CheckSaleRequest(), timeout=5, metadata=(("idempotency-key", "x" * 70_000),))
    assert await refusal(large) is grpc.StatusCode.RESOURCE_EXHAUSTED
    service.servicer.open.set()
    assert await neighbour == "neighbour"


async def test_answers_of_any_number_fit_their_messages(service: Service) -> None:
    stub = service.stub()
    service.servicer.open.clear()
    calls = [asyncio.create_task(ask(stub, "x" * 15_000, 20)) for _ in range(MAX_RUNNING)]
    await wait_until(lambda: service.servicer.running == MAX_AT_ONCE)
    service.servicer.open.set()

    assert await asyncio.gather(*calls) == ["x" * 15_000] * MAX_RUNNING


async def test_what_was_not_sent_by_its_deadline_is_not_made(service: Service) -> None:
    gate = asyncio.Event()

    class Hanging(CountingServicer):
        async def Multiplex(self, request_iterator: Any, context: Any) -> None:  # type: ignore[override]  # noqa: N802
            await gate.wait()
            await super().Multiplex(request_iterator, context)

    await service.server.stop(None)
    service.server = grpc.aio.server()
    servicers = InProcessServer()
    add_servicer(service.servicer, servicers)  # type: ignore[arg-type]
    add_MultiplexServiceServicer_to_server(Hanging(servicers, known, max_running=MAX_RUNNING), service.server)
    service.port = service.server.add_insecure_port("127.0.0.1:0")
    await service.server.start()
    stub = service.stub()
    answers = await asyncio.gather(*(ask(stub, "x" * 8000, 0.2) for _ in range(100)), return_exceptions=True)
    gate.set()
    await asyncio.sleep(0.3)

    assert all(isinstance(answer, grpc.aio.AioRpcError) for answer in answers)
    assert service.servicer.running == 0


async def test_a_caller_whose_patience_ends_with_the_deadline_does_not_end_the_watch_over_others(
    service: Service,
) -> None:
    service.servicer.open.clear()
    stub = service.stub()

    async def impatient() -> None:
        async with asyncio.timeout(0.25):
            await stub.CheckSale(CheckSaleRequest(), timeout=0.04)

    calling = asyncio.create_task(impatient())
    await asyncio.sleep(0.24)
    time.sleep(0.1)  # noqa: ASYNC251  # the loop is late
    await asyncio.wait([calling])
    assert calling.exception() is not None

    assert await refusal(asyncio.wait_for(ask(stub, seconds=0.1), 3)) is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_stream_that_reuses_the_id_of_a_call_is_ended_with_its_calls(service: Service) -> None:
    service.servicer.open.clear()
    stream = service.raw_stream()
    await stream.write(MultiplexRequest(calls=[Call(id=7, method=CHECK, timeout=60) for _ in range(5)]))

    assert await refusal(stream.read()) is grpc.StatusCode.INVALID_ARGUMENT
    await wait_until(lambda: not [task for task in asyncio.all_tasks() if "_Stream._run" in repr(task)])


async def test_a_call_with_metadata_that_is_no_text_is_answered_too(service: Service) -> None:
    stream = service.raw_stream()
    garbage = Metadata(key="x-request-id", value=b"\xff\xfe")
    await stream.write(MultiplexRequest(calls=[Call(id=1, method=CHECK, timeout=5, metadata=[garbage])]))

    async with asyncio.timeout(2):
        (answer,) = (await stream.read()).answers
    assert (answer.id, answer.code) == (1, grpc.StatusCode.OK.value[0])


async def test_who_reads_no_answers_is_not_read_from(service: Service) -> None:
    stream = service.raw_stream()
    request = CheckSaleRequest(invoice_id="x" * 15_000).SerializeToString()
    with suppress(TimeoutError):
        async with asyncio.timeout(2):
            for id_ in itertools.count():
                await stream.write(MultiplexRequest(calls=[Call(id=id_, method=CHECK, timeout=60, request=request)]))
    (served,) = service.streams._streams

    assert len(served._answers) <= 2 * MAX_RUNNING


async def test_what_lay_unread_until_its_deadline_is_not_made(service: Service) -> None:
    stream = service.raw_stream()
    now = time.monotonic()
    await stream.write(MultiplexRequest(calls=[Call(id=1, method=CHECK, timeout=5)], send_time=now))
    late = [Call(id=2, method=CHECK, timeout=5), Call(id=3, method=CHECK, timeout=60)]
    await stream.write(MultiplexRequest(calls=late, send_time=now - 10))  # under way for ten seconds longer

    codes: dict[int, int] = {}
    async with asyncio.timeout(2):
        while len(codes) < 3:
            codes |= {answer.id: answer.code for answer in (await stream.read()).answers}
    assert codes == {1: 0, 2: grpc.StatusCode.DEADLINE_EXCEEDED.value[0], 3: 0}
    assert service.servicer.running == 2
