"""The servers that are compared, and how each is started."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.bench.ground import Ground
from tests.bench.rivals.envoy import running_envoy
from tests.running import ANY_PORT, Program, running, service_arguments

ONE_PROCESS = "one process"
TWO_WORKERS = "two workers"
ENVOY = "Envoy + service"
FASTAPI = "FastAPI monolith"
ECHO = "bare echo"
GRPC = "gRPC direct"
GRPC_STREAM = "gRPC over a shared stream"
EMPTY_RPC = "empty grpc.aio method"


class Served(NamedTuple):
    """A contender that answers."""

    address: str
    """Host and port, of JSON or of gRPC."""
    pids: tuple[int, ...]
    """Its processes; what descends from them is part of it."""


Start = Callable[[Ground, Path], AbstractContextManager[Served]]
"""Runs a contender, whose files a new folder takes, for as long as the block does."""


@dataclass(frozen=True)
class Contender:
    """A server that is compared with others."""

    name: str
    start: Start
    empty: bool = False
    """Whether it answers without any work."""
    over_stream: bool = False
    """Whether it is called over `gateway.multiplexing.MultiplexedChannel`."""


@contextmanager
def _service(ground: Ground, folder: Path, *more: str, store: str | None = None) -> Iterator[Program]:
    arguments = service_arguments(ground.config, store or ground.new_sqlite(folder), *more)
    with running(arguments, folder / "service.log") as program:
        yield program


@contextmanager
def _one_program(ground: Ground, folder: Path, *more: str) -> Iterator[Served]:
    with _service(ground, folder, *more) as program:
        yield Served(str(program.http), (program.pid,))


@contextmanager
def _two_processes(ground: Ground, folder: Path) -> Iterator[Served]:
    with _service(ground, folder, "--no-http") as service:
        arguments = ["sale-gateway", "serve", f"--http={ANY_PORT}", f"--service={service.grpc}"]
        with running(arguments, folder / "gateway.log") as gateway:
            yield Served(str(gateway.http), (service.pid, gateway.pid))


@contextmanager
def _on_postgresql(ground: Ground, folder: Path) -> Iterator[Served]:
    server = ground.postgresql
    server.start()
    try:
        server.execute("CREATE DATABASE run TEMPLATE sale", database="postgres")
        server.execute("CHECKPOINT", database="postgres")  # what writing the copy costs is no part of the run
        with _service(ground, folder, store=server.url("run")) as program:
            yield Served(str(program.http), (program.pid, server.pid))
        server.execute("DROP DATABASE run WITH (FORCE)", database="postgres")
    finally:
        server.stop()


@contextmanager
def _envoy(ground: Ground, folder: Path, *, threads: int) -> Iterator[Served]:
    with (
        _service(ground, folder, "--no-http") as service,
        running_envoy(str(service.grpc), ground.descriptors, folder, threads) as envoy,
    ):
        yield Served(envoy.http, (service.pid, envoy.pid))


@contextmanager
def _rival(name: str, folder: Path, *arguments: str) -> Iterator[Program]:
    with running(["python", "-m", f"tests.bench.rivals.{name}", *arguments], folder / f"{name}.log") as program:
        yield program


@contextmanager
def fastapi_monolith(ground: Ground, folder: Path) -> Iterator[Served]:
    """Run the FastAPI monolith for as long as the block does."""
    with _rival("monolith", folder, str(ground.config), ground.new_sqlite(folder)) as program:
        yield Served(str(program.http), (program.pid,))


@contextmanager
def _echo(ground: Ground, folder: Path) -> Iterator[Served]:
    with _rival("echo", folder) as program:
        yield Served(str(program.http), (program.pid,))


@contextmanager
def _grpc(ground: Ground, folder: Path) -> Iterator[Served]:
    with _service(ground, folder, "--no-http") as program:
        yield Served(str(program.grpc), (program.pid,))


@contextmanager
def _empty_rpc(ground: Ground, folder: Path) -> Iterator[Served]:
    with _rival("empty_rpc", folder) as program:
        yield Served(str(program.grpc), (program.pid,))


OVER_HTTP = (
    Contender(ONE_PROCESS, _one_program),
    Contender("two processes", _two_processes),
    Contender(TWO_WORKERS, lambda ground, folder: _one_program(ground, folder, "--workers=2")),
    Contender("one process, PostgreSQL", _on_postgresql),
    # With one thread it leaves more of two cores to the service than with two.
    Contender(ENVOY, partial(_envoy, threads=1)),
    Contender(FASTAPI, fastapi_monolith),
    Contender(ECHO, _echo, empty=True),
)
OVER_GRPC = (
    Contender(GRPC, _grpc),
    Contender(GRPC_STREAM, _grpc, over_stream=True),
    Contender(EMPTY_RPC, _empty_rpc, empty=True),
)
