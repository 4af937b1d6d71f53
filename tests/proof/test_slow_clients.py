"""Clients that send or take their bytes as slowly as they can are cut in time, and nobody else notices."""

import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest

from tests.merchant import write_config
from tests.running import Program, running, service_arguments

SHORT = '[http.limits]\nreceive = "2s"\nidle = "2s"\nsend = "2s"\n'
STARTS = {
    "silent": b"",
    "line": b"GET /hea",
    "headers": b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: ",
    "body": b"POST /sale/initiate-sale HTTP/1.1\r\nHost: a\r\nContent-Length: 999\r\n\r\n{",
}
PER_ADDRESS = 200


class Honest:
    """Asks a server for tokens, from an address of its own, while the block runs."""

    def __init__(self, program: Program) -> None:
        transport = httpx2.HTTPTransport(local_address="127.0.2.1")
        self._client = program.client(transport=transport)
        self._ended = threading.Event()
        self._asking = threading.Thread(target=self._ask)
        self.statuses: list[int] = []
        self.slowest = 0.0

    def __enter__(self) -> "Honest":
        self._asking.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._asking.join()
        self._client.close()

    def _ask(self) -> None:
        while not self._ended.wait(0.02):
            began = time.monotonic()
            try:
                self.statuses.append(self._client.get("/auth/request-access-token").status_code)
            except httpx2.TransportError:
                self.statuses.append(0)
            self.slowest = max(self.slowest, time.monotonic() - began)


@pytest.fixture
def server(tmp_path: Path, settings: str) -> Iterator[Program]:
    config = write_config(tmp_path / "sale.toml", settings)
    with running(service_arguments(config, f"sqlite:///{tmp_path}/sale.db"), tmp_path / "log") as program:
        yield program


def slow_socket(address: str, number: int) -> socket.socket:
    host, port = address.split(":")
    source = f"127.0.3.{1 + number // PER_ADDRESS}"
    return socket.create_connection((host, int(port)), timeout=10, source_address=(source, 0))


def drip(sockets: list[socket.socket], seconds: float) -> int:
    """Send a byte now and then on each; return how many the server has left open in the end."""
    open_ = sockets
    deadline = time.monotonic() + seconds
    while open_ and time.monotonic() < deadline:
        time.sleep(0.25)
        still = []
        for each in open_:
            with suppress(OSError):
                each.setblocking(False)
                try:
                    if not each.recv(4096):
                        continue
                except BlockingIOError:
                    if each.getpeername() and time.monotonic() % 1 < 0.5:
                        each.send(b"a")
                    still.append(each)
        open_ = still
    return len(open_)


@pytest.mark.parametrize(
    ("settings", "count", "seconds"),
    [(SHORT, 400, 5.0), pytest.param("", 3600, 10.0, marks=pytest.mark.long)],
    ids=["short", "long"],
)
def test_who_sends_slowly_is_cut_in_time_and_honest_clients_are_served(
    server: Program, count: int, seconds: float
) -> None:
    with Honest(server) as honest:
        sockets = [slow_socket(str(server.http), number) for number in range(count)]
        for number, each in enumerate(sockets):
            start = tuple(STARTS.values())[number % len(STARTS)]
            with suppress(OSError):
                each.sendall(start)
        silent = sockets[0 :: len(STARTS)]
        left = drip([each for each in sockets if each not in silent], seconds)
        for each in silent:
            each.settimeout(1)
            with suppress(ConnectionError):
                assert each.recv(1) == b""
        for each in sockets:
            each.close()
    print(
        f"\n{count} slow connections, {left} left after {seconds} s; honest: {len(honest.statuses)} requests, "
        f"slowest {1000 * honest.slowest:.0f} ms"
    )

    assert left == 0
    assert set(honest.statuses) == {200}


@pytest.mark.long
@pytest.mark.parametrize("settings", [""], ids=["defaults"])
@pytest.mark.parametrize(
    "attack",
    [
        ["-H", "-i", "1"],
        ["-B", "-i", "1", "-s", "8192"],
        ["-X", "-w", "10", "-y", "20", "-n", "1", "-z", "32", "-k", "3"],
    ],
    ids=["headers", "body", "read"],
)
def test_slowhttptest_finds_nothing_left_open_and_nobody_unserved(
    server: Program, tmp_path: Path, attack: list[str]
) -> None:
    program = shutil.which("slowhttptest")
    if program is None:
        pytest.skip("needs slowhttptest: apt-get install slowhttptest")
    url = f"http://{server.http}/auth/request-access-token"
    command = [program, *attack, "-c", "5000", "-r", "1000", "-l", "40", "-u", url, "-p", "3"]
    with Honest(server) as honest:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    told = re.sub(r"\x1b\[[0-9;]*m", "", ended.stdout)
    last = re.findall(r"Exit status:\s*(.+)", told)
    times = re.findall(r"Test ended on (\d+)th second", told)
    slowest = 1000 * honest.slowest
    print(f"\n{attack[0]}: {last}, {times}; honest: {len(honest.statuses)} requests, slowest {slowest:.0f} ms")
    (tmp_path / "slowhttptest").write_text(told)

    assert set(honest.statuses) == {200}
    assert last == ["No open connections left"]
