"""The programs as their users run them: processes on ports that the system picks."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import grpc
import httpx2

from tests.merchant import CALLER_KEY

PROGRAMS = Path(sys.executable).parent
START_SECONDS = 30.0
LOG_SECONDS = 0.05
STOP_SECONDS = 30.0
ANY_PORT = "127.0.0.1:0"
KEY_METADATA = (("authorization", f"Bearer {CALLER_KEY}"),)
CHANNEL_OPTIONS = [
    # Channels to one address share a connection otherwise, and with it the back-off after a server went away.
    ("grpc.use_local_subchannel_pool", 1),
    # One that comes back is found soon.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),
    ("grpc.max_reconnect_backoff_ms", 200),
]


class Server:
    """Something that serves on two ports.

    Args:
        http: address of its JSON gateway, if it has one.
        rpc: address of its gRPC port, if it has one.
    """

    def __init__(self, http: str | None, rpc: str | None) -> None:
        self.http = http
        self.grpc = rpc

    def client(self, **named: Any) -> httpx2.Client:
        """Return a client of its JSON gateway."""
        return httpx2.Client(base_url=f"http://{self.http}", timeout=20.0, **named)

    def channel(self) -> grpc.Channel:
        """Return a channel to its gRPC port."""
        return open_channel(str(self.grpc))


class Program(Server):
    """A process of `sale-service` or `sale-gateway` that serves.

    Args:
        arguments: of the program, its name first.
        log: file that takes its standard error.
        stdout: where its standard output goes, if it is wanted.
        key: with which a gateway shows the service who it is; None if its settings have one.
        environment: variables that it gets beside those of this process.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        log: Path,
        stdout: IO[str] | None = None,
        key: str | None = CALLER_KEY,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._log = log
        self._log_from = log.stat().st_size if log.exists() else 0
        with log.open("ab") as stderr:
            self._process = subprocess.Popen(
                [str(PROGRAMS / arguments[0]), *arguments[1:]],
                stdout=subprocess.DEVNULL if stdout is None else stdout,
                stderr=stderr,
                env={**({} if key is None else {"SALE_SERVICE__KEY": key}), **os.environ, **(environment or {})},
                start_new_session=True,  # a kill of its group ends its workers too
            )
        try:
            serving = self.wait_for_event("serving", START_SECONDS)
        except AssertionError:
            self.kill()
            raise
        super().__init__(serving.get("http"), serving.get("grpc"))
        self.metrics: str | None = serving.get("metrics")
        """Where its metrics are, if it serves them."""

    @property
    def pid(self) -> int:
        return self._process.pid

    def events(self) -> list[dict[str, Any]]:
        """Return what it has logged: lines that wait for others too."""
        time.sleep(LOG_SECONDS)
        return self._read_events()

    def _read_events(self) -> list[dict[str, Any]]:
        with self._log.open("rb") as log:
            log.seek(self._log_from)
            lines = log.read().splitlines()
        # Whoever is killed leaves half a line.
        return [json.loads(line) for line in lines if line.startswith(b"{") and line.endswith(b"}")]

    def wait_for_event(self, name: str, seconds: float = 10.0) -> dict[str, Any]:
        """Return the first event of this name."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for event in self._read_events():
                if event["event"] == name:
                    return event
            if self._process.poll() is not None:
                break
            time.sleep(0.01)
        raise AssertionError(f"no event {name!r}: {self._log.read_text()[-2000:]}")

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def stop(self) -> int:
        """Ask it to end, and return its exit code."""
        if self._process.poll() is None:
            self.send(signal.SIGTERM)
        return self._process.wait(STOP_SECONDS)

    def wait(self, seconds: float) -> bool:
        """Return whether it ends by itself in this time."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self._process.poll() is not None

    def kill(self) -> None:
        """End it and its workers at once."""
        if self._process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(STOP_SECONDS)


class _WithKey(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor, grpc.StreamStreamClientInterceptor):
    """Sends the bearer key of the merchant's systems with every call."""

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return continuation(_with_key(client_call_details), request)

    def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return continuation(_with_key(client_call_details), request)

    def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return continuation(_with_key(client_call_details), request_iterator)


def _with_key(details: Any) -> Any:
    return details._replace(metadata=(*(details.metadata or ()), *KEY_METADATA))


def open_channel(target: str, *options: tuple[str, Any]) -> grpc.Channel:
    """Return a channel of one of the merchant's systems."""
    return grpc.intercept_channel(grpc.insecure_channel(target, options=[*CHANNEL_OPTIONS, *options]), _WithKey())


@contextmanager
def running(
    arguments: Sequence[str],
    log: Path,
    stdout: IO[str] | None = None,
    key: str | None = CALLER_KEY,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Program]:
    """Run a program for as long as the block does."""
    program = Program(arguments, log, stdout, key, environment)
    try:
        yield program
    finally:
        program.kill()


class _InTurn(httpx2.BaseTransport):
    """Sends each request to the next one of several servers."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self._addresses = itertools.cycle(str(program.http).rsplit(":", 1) for program in programs)
        self._transport = httpx2.HTTPTransport()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        host, port = next(self._addresses)
        request.url = request.url.copy_with(host=host, port=int(port))
        return self._transport.handle_request(request)

    def close(self) -> None:
        self._transport.close()


def client_of(programs: Sequence[Program]) -> httpx2.Client:
    """Return a client of JSON gateways that takes them in turn."""
    return programs[0].client(**({} if len(programs) == 1 else {"transport": _InTurn(programs)}))


def channel_to(programs: Sequence[Program]) -> grpc.Channel:
    """Return a channel to gRPC ports that takes them in turn."""
    if len(programs) == 1:
        return programs[0].channel()
    target = "ipv4:" + ",".join(str(program.grpc) for program in programs)
    return open_channel(target, ("grpc.lb_policy_name", "round_robin"))


def service_arguments(config: Path, store: str, *more: str) -> list[str]:
    """Return the command line of a service on free ports.

    Args:
        config: the settings.
        store: URL of the store.
        more: arguments.
    """
    return [
        "sale-service",
        "serve",
        f"--config={config}",
        f"--http={ANY_PORT}",
        f"--grpc={ANY_PORT}",
        f"--store={store}",
        *more,
    ]
