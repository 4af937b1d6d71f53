"""Floods of HTTP/2 against the gRPC port: honest callers are served, and the memory stays bounded.

Server, flood and honest caller are three processes. What a flood costs honest calls is told beside what the same flood
of another server costs them: that much is the machine's, on which all of them run.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import h2.events
import pytest
from connectingparty.sale.v1.sale_service_pb2 import ListSalesRequest
from connectingparty.sale.v1.sale_service_pb2_grpc import SaleServiceStub

from tests.http2 import Http2Connection
from tests.merchant import write_config
from tests.proof.floods import KINDS, LIST, flooding
from tests.running import Program, open_channel, running, service_arguments

CONNECTIONS = 4
MAX_GROWTH = 64 << 20
"""Bytes for each connection of a flood."""
PATIENCE_SECONDS = 30.0
CUT = "empty_continuations"
"""The flood that breaks a rule of HTTP/2, for which its connections are closed."""
STREAMS_TO_STALL = 100
MAX_STALLED_GROWTH = 32 << 10
"""Bytes for each call whose answer nobody takes."""
SLACK = 16 << 20
"""Bytes for what else grows."""
LONG = {**dict.fromkeys(KINDS, 1_000_000), "resets": 2_000_000, "header_bombs": 100_000}
"""Frames of each round of the long form. A reset takes two; a bomb is a thousand fields and takes longer."""


@contextmanager
def serving(folder: Path) -> Iterator[Program]:
    folder.mkdir()
    config = write_config(folder / "sale.toml")
    with running(service_arguments(config, f"sqlite:///{folder / 'sale.db'}", "--no-http"), folder / "log") as program:
        yield program


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("abuse")


@pytest.fixture(scope="module")
def other(folder: Path) -> Iterator[Program]:
    with serving(folder / "other") as program:
        yield program


@pytest.fixture(scope="module")
def program(folder: Path) -> Iterator[Program]:
    with serving(folder / "service") as program:
        yield program


class Memory:
    """The resident memory of a process, in bytes."""

    def __init__(self, pid: int) -> None:
        self._proc = Path(f"/proc/{pid}")
        self._before = self._read("VmRSS")
        (self._proc / "clear_refs").write_text("5")  # the peak begins anew

    def _read(self, name: str) -> int:
        lines = (self._proc / "status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))

    def growth(self) -> int:
        """Return by how much it was larger at its peak."""
        return self._read("VmHWM") - self._before

    def left(self) -> int:
        """Return by how much it is larger."""
        return self._read("VmRSS") - self._before


class Latencies:
    """What calls took, in ms."""

    def __init__(self, seconds: list[float]) -> None:
        ordered = sorted(seconds)
        self.p50, self.p99 = (1000 * ordered[len(ordered) * share // 100] for share in (50, 99))
        self.max = 1000 * ordered[-1]


class Honest:
    """A caller that makes one call after the other, each of which has to succeed."""

    def __init__(self, program: Program, stack: ExitStack) -> None:
        self._stub: Any = SaleServiceStub(stack.enter_context(open_channel(str(program.grpc))))
        self.call_for(0.1)  # the first ones open the connection

    def call_for(self, seconds: float) -> Latencies:
        taken: list[float] = []
        end = time.perf_counter() + seconds
        while (began := time.perf_counter()) < end:
            self._stub.ListSales(ListSalesRequest(page_size=1), timeout=PATIENCE_SECONDS)
            taken.append(time.perf_counter() - began)
        return Latencies(taken)


def told(name: str, rounds: list[Latencies]) -> str:
    p50, p99, most = (median(getattr(each, which) for each in rounds) for which in ("p50", "p99", "max"))
    return f"{name} {p50:.1f} / {p99:.1f} / {most:.0f}"


@pytest.mark.parametrize(
    ("kind", "seconds", "rounds", "frames"),
    [
        *((kind, 0.5, 1, 1_000) for kind in KINDS if kind not in {"pings", "settings"}),
        *(pytest.param(kind, 5.0, 3, frames, marks=pytest.mark.long) for kind, frames in LONG.items()),
    ],
)
def test_a_flood_leaves_honest_callers_served(
    program: Program, request: pytest.FixtureRequest, kind: str, seconds: float, rounds: int, frames: int
) -> None:
    other: Program | None = request.getfixturevalue("other") if rounds > 1 else None
    alone, elsewhere, beside, afterwards = [], [], [], []
    floods, growths, left = [], [], []
    for _ in range(rounds):
        with ExitStack() as stack:
            honest = Honest(program, stack)
            alone.append(honest.call_for(seconds / 2))
            if other is not None:
                with flooding(str(other.grpc), kind, CONNECTIONS, 60):
                    elsewhere.append(honest.call_for(seconds))
            memory = Memory(program.pid)
            with flooding(str(program.grpc), kind, CONNECTIONS, 60, frames) as flood:
                beside.append(honest.call_for(seconds))
                floods.append(flood.leave())
            growths.append(memory.growth())
            afterwards.append(honest.call_for(seconds / 2))
            left.append(memory.left())

    sent = sum(each["frames"] for each in floods)
    print(
        f"\n{kind}: {sent:,} frames, {sent / sum(each['seconds'] for each in floods):,.0f}/s, "
        f"{sum(each['closed'] for each in floods)} connections closed, {sum(each['held'] for each in floods)} held; "
        f"honest calls (p50 / p99 / max ms): {told('alone', alone)}, "
        f"{told('another server flooded', elsewhere) + ', ' if elsewhere else ''}{told('beside', beside)}, "
        f"{told('afterwards', afterwards)}; memory +{max(growths) / 2**20:.0f} MB, "
        f"{left[-1] / 2**20:+.0f} MB afterwards"
    )
    assert max(growths) < CONNECTIONS * MAX_GROWTH
    assert sent >= frames * rounds
    if kind == CUT:
        assert all(each["closed"] for each in floods)


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


@pytest.mark.parametrize(("connections", "seconds"), [(2, 0.5), pytest.param(50, 10.0, marks=pytest.mark.long)])
def test_answers_that_nobody_takes_leave_honest_callers_served(
    program: Program, connections: int, seconds: float
) -> None:
    with ExitStack() as stack:
        honest = Honest(program, stack)
        alone, memory = honest.call_for(seconds), Memory(program.pid)
        with stalled(str(program.grpc), connections):
            beside = honest.call_for(seconds)

    print(
        f"\nstalled: {connections * STREAMS_TO_STALL} calls on {connections} connections; honest calls "
        f"(p50 / p99 / max ms): {told('alone', [alone])}, {told('beside', [beside])}; "
        f"memory +{memory.growth() / 2**20:.0f} MB"
    )
    assert memory.growth() < connections * STREAMS_TO_STALL * MAX_STALLED_GROWTH + SLACK
