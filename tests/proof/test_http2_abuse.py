"""Floods of HTTP/2 against the gRPC port: honest callers are served, and the memory stays bounded.

What a flood costs honest callers is measured beside the same callers without it, in the same run.
"""

import itertools
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import h2.events
import pytest
from connectingparty.sale.v1.sale_service_pb2 import ListSalesRequest
from connectingparty.sale.v1.sale_service_pb2_grpc import SaleServiceStub
from hpack import Encoder
from hyperframe.frame import ContinuationFrame, Frame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame

from tests.http2 import Http2Connection, call_headers
from tests.merchant import write_config
from tests.running import Program, open_channel, running, service_arguments

LIST = "/connectingparty.sale.v1.SaleService/ListSales"
MEGABYTE = 1 << 20
MAX_GROWTH = 96 * MEGABYTE
"""For each connection of a flood: what gRPC holds of what it has not read through yet, which stays at that."""
HELD_SECONDS = 0.5
PATIENCE_SECONDS = 30.0
SERVED_SECONDS = 5.0
"""What a gateway waits for the service."""
BATCH = 100
"""Frames that go out together."""
CONNECTIONS = 4


class Flood:
    """Frames on several connections, in batches without an end; a connection that is closed is opened again.

    Args:
        address: of the gRPC port.
        batches: what is sent, given the connection.
        seconds: after which it ends by itself.
        least: how many batches it sends before `leave` lets it end, but for the seconds.
    """

    def __init__(
        self, address: str, batches: Callable[[Http2Connection], Iterator[bytes]], seconds: float, least: int
    ) -> None:
        self._address = address
        self._batches = batches
        self._end = time.monotonic() + seconds
        self._least = least
        self.sent = 0
        """Batches, of which the last one of a connection may not have been read."""
        self.closed = 0
        """How often the server closed a connection."""
        self.held = 0
        """How often it took nothing for a while."""
        self._left = False
        self._threads = [threading.Thread(target=self._run) for _ in range(CONNECTIONS)]

    def __enter__(self) -> "Flood":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: object, *exception: object) -> None:
        if kind is not None:
            self._end = time.monotonic()
        self.leave()

    def leave(self) -> None:
        """Let it end, and wait for that."""
        self._left = True
        for thread in self._threads:
            thread.join()

    def _is_over(self) -> bool:
        return time.monotonic() > self._end or (self._left and self.sent >= self._least)

    def _run(self) -> None:
        while not self._is_over():
            try:
                with Http2Connection(self._address) as connection:
                    connection.socket.settimeout(HELD_SECONDS)
                    for batch in self._batches(connection):
                        if self._is_over():
                            return
                        connection.socket.sendall(batch)
                        self.sent += 1
                        _take_what_came(connection.socket)
            except TimeoutError:
                self.held += 1
            except OSError:
                self.closed += 1


def _take_what_came(taken: socket.socket) -> None:
    while select.select([taken], [], [], 0)[0]:  # a socket with a timeout would wait for what may never come
        if not taken.recv(1 << 16):
            raise ConnectionResetError


def headers_of(stream_id: int, *, end: bool = True, more: list[tuple[str, str]] | None = None) -> HeadersFrame:
    frame = HeadersFrame(stream_id, Encoder().encode([*call_headers(LIST), *(more or [])]))
    if end:
        frame.flags.add("END_HEADERS")
    return frame


def joined(frames: list[Frame]) -> bytes:
    return b"".join(frame.serialize() for frame in frames)


def resets(connection: Http2Connection) -> Iterator[bytes]:
    """Calls that are given up as soon as they are begun."""
    ids = itertools.count(1, 2)
    while True:
        yield joined(
            [frame for id in itertools.islice(ids, BATCH) for frame in (headers_of(id), RstStreamFrame(id, 8))]
        )


def continuations(connection: Http2Connection) -> Iterator[bytes]:
    """Metadata without an end."""
    yield joined([headers_of(1, end=False)])
    more = Encoder().encode([("x-more", "x" * 4096)], huffman=False)
    while True:
        yield joined([ContinuationFrame(1, more)] * 4)


def empty_continuations(connection: Http2Connection) -> Iterator[bytes]:
    """The same, of nothing."""
    yield joined([headers_of(1, end=False)])
    while True:
        yield joined([ContinuationFrame(1, b"")] * BATCH)


def pings(connection: Http2Connection) -> Iterator[bytes]:
    while True:
        yield joined([PingFrame(0, b"01234567")] * BATCH)


def settings(connection: Http2Connection) -> Iterator[bytes]:
    while True:
        yield joined([SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 65535})] * BATCH)


def header_bombs(connection: Http2Connection) -> Iterator[bytes]:
    """A field that is put into the table of HPACK once, and named a thousand times in one byte each."""
    table = Encoder()
    ids = itertools.count(1, 2)
    block = table.encode([*call_headers(LIST), ("x-bomb", "x" * 3900)])
    for id in ids:
        frame = HeadersFrame(id, block + b"\xbe" * 1000)  # the newest entry of the table
        frame.flags.add("END_HEADERS")
        yield joined([frame])
        block = table.encode(call_headers(LIST))


FLOODS = [
    resets,
    continuations,
    header_bombs,
    *(pytest.param(flood, marks=pytest.mark.long) for flood in (empty_continuations, pings, settings)),
]
STREAMS_TO_STALL = 100


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("abuse")
    config = write_config(folder / "sale.toml")
    with running(service_arguments(config, f"sqlite:///{folder / 'sale.db'}", "--no-http"), folder / "log") as program:
        yield program


def memory_of(pid: int) -> int:
    """Return the resident memory of a process in bytes."""
    resident = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(resident) * os.sysconf("SC_PAGE_SIZE")


class Honest:
    """A caller that makes one call after the other."""

    def __init__(self, program: Program, stack: ExitStack) -> None:
        self._stub: Any = SaleServiceStub(stack.enter_context(open_channel(str(program.grpc))))
        self._program = program
        self.peak = 0

    def p99(self, calls: int) -> float:
        """Return the 99th percentile of the seconds that calls take; each has to succeed."""
        seconds = []
        for _ in range(calls):
            began = time.perf_counter()
            self._stub.ListSales(ListSalesRequest(page_size=1), timeout=PATIENCE_SECONDS)
            seconds.append(time.perf_counter() - began)
            self.peak = max(self.peak, memory_of(self._program.pid))
        return sorted(seconds)[len(seconds) * 99 // 100]


@pytest.mark.parametrize("flood", FLOODS)
@pytest.mark.parametrize(
    ("calls", "frames", "seconds"), [(40, 1_000, 1.5), pytest.param(500, 100_000, 30, marks=pytest.mark.long)]
)
def test_a_flood_leaves_honest_callers_served(
    program: Program, flood: Any, calls: int, frames: int, seconds: float
) -> None:
    with ExitStack() as stack:
        honest = Honest(program, stack)
        alone, before = honest.p99(calls), memory_of(program.pid)
        flooding = stack.enter_context(Flood(str(program.grpc), flood, seconds, frames // BATCH))
        beside = honest.p99(calls)
        flooding.leave()
        afterwards, growth = honest.p99(calls), honest.peak - before

    print(
        f"\n{flood.__name__}: {flooding.sent} batches sent, {flooding.closed} connections closed by the server, "
        f"{flooding.held} held; p99 of {calls} calls {alone * 1000:.1f} ms alone, {beside * 1000:.1f} ms beside it, "
        f"{afterwards * 1000:.1f} ms afterwards; memory +{growth / MEGABYTE:.1f} MB"
    )
    assert flooding.sent > CONNECTIONS
    assert growth < CONNECTIONS * MAX_GROWTH
    if calls >= 300:  # fewer tell little of one in a hundred
        assert beside < SERVED_SECONDS
        assert afterwards < 3 * alone


@contextmanager
def stalled(address: str, connections: int) -> Iterator[None]:
    """Hold connections whose calls are answered and take none of it."""
    with ExitStack() as stack:
        for _ in range(connections):
            connection = stack.enter_context(Http2Connection(address, initial_window=0))
            connection.wait_for(h2.events.SettingsAcknowledged)
            for _ in range(STREAMS_TO_STALL):
                connection.send(connection.begin(LIST), ListSalesRequest(page_size=1))
        yield


@pytest.mark.parametrize(("connections", "calls"), [(2, 20), pytest.param(100, 500, marks=pytest.mark.long)])
def test_answers_that_nobody_takes_leave_honest_callers_served(program: Program, connections: int, calls: int) -> None:
    with ExitStack() as stack:
        honest = Honest(program, stack)
        alone, before = honest.p99(calls), memory_of(program.pid)
        with stalled(str(program.grpc), connections):
            beside = honest.p99(calls)
        growth = honest.peak - before

    print(
        f"\nstalled: {connections * STREAMS_TO_STALL} calls on {connections} connections; p99 {alone * 1000:.1f} ms "
        f"alone, {beside * 1000:.1f} ms beside them; memory +{growth / MEGABYTE:.1f} MB"
    )
    assert growth < MAX_GROWTH
    if calls >= 300:
        assert beside < SERVED_SECONDS
