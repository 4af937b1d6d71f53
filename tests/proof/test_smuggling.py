"""No request is hidden from one server and seen by another: framings that can be read in two ways are refused."""

import asyncio
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.merchant import write_config
from tests.proof.framings import CANARY, framing
from tests.running import Program, running, service_arguments
from tests.sockets import answers_of

pytestmark = pytest.mark.anyio
CONCURRENT = 64
SILENCE = 0.3
"""Seconds without a byte after which nothing more is to come: the server may wait for more of a body."""
NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.err;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream sale {{ server {server}; keepalive 4; }}
  server {{ listen 127.0.0.1:{port};
    location / {{ proxy_pass http://sale; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header X-Request-Id seen.$http_x_request_id; }} }}
}}
"""
HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
  http-reuse always
frontend front
  bind 127.0.0.1:{port}
  http-request set-header X-Request-Id seen.%[req.hdr(x-request-id)]
  default_backend sale
backend sale
  server one {server}
"""


# A proxy that takes what follows for a request of its own, and says so, has hidden nothing.
SEEN = {"alone": "", "nginx": "seen.", "haproxy": "seen."}
"""What stands before the id of a request that the server in front has seen as one."""


def hidden_in(text: str, kind: str) -> str:
    """Return a text without the ids of requests that the server in front has seen."""
    return text.replace(SEEN[kind] + CANARY, "") if SEEN[kind] else text


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextmanager
def front(kind: str, server: str, folder: Path) -> Iterator[str]:
    """Put a proxy in front of a server, and yield its address."""
    if kind == "alone":
        yield server
        return
    program = shutil.which(kind)
    if program is None:
        pytest.skip(f"needs {kind}: apt-get install {kind}")
    port = free_port()
    config = folder / f"{kind}.conf"
    config.write_text((NGINX if kind == "nginx" else HAPROXY).format(folder=folder, server=server, port=port))
    flag = "-c" if kind == "nginx" else "-f"
    with (folder / f"{kind}.log").open("w") as log, subprocess.Popen([program, flag, str(config)], stderr=log) as proxy:
        try:
            for _ in range(100):
                with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.05)
            yield f"127.0.0.1:{port}"
        finally:
            proxy.terminate()


async def send(address: str, data: bytes) -> bytes:
    """Send bytes on a connection of its own, and return what came until it was closed, or nothing more came."""
    host, port = address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    received = b""
    try:
        writer.write(data)
        with suppress(TimeoutError, ConnectionError):
            while piece := await asyncio.wait_for(reader.read(65536), SILENCE):
                received += piece
                if received.count(b"HTTP/1.1 ") >= 2:
                    break
    finally:
        writer.transport.abort()
    return received


def request_of(number: int) -> bytes:
    return f"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Request-Id: honest-{number}\r\nConnection: close\r\n\r\n".encode()


async def send_all(address: str, kind: str, numbers: Sequence[int]) -> tuple[int, int]:
    """Send a framing for each number, and an honest request after it; return how many were taken and refused."""
    pipelined, seen = kind == "alone", SEEN[kind]
    turns = asyncio.Semaphore(CONCURRENT)
    counts = {True: 0, False: 0}

    async def one(number: int) -> None:
        data, honest = framing(random.Random(number), number), request_of(number)
        async with turns:
            received = await send(address, data + honest if pipelined else data)
            assert CANARY not in hidden_in(received.decode("latin-1"), kind), data
            if pipelined:
                taken = f"outer-{number}\r\n".encode() in received and not received.startswith(b"HTTP/1.1 400")
            else:
                (answer,) = answers_of(await send(address, honest))
                assert answer.status == 200
                assert answer.headers["x-request-id"] == f"{seen}honest-{number}", data
                taken = f"outer-{number}\r\n".encode() in received
            counts[taken] += 1

    for start in range(0, len(numbers), 10_000):
        await asyncio.gather(*map(one, numbers[start : start + 10_000]))
    return counts[True], counts[False]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Program]:
    config = write_config(tmp_path / "sale.toml")
    with running(service_arguments(config, f"sqlite:///{tmp_path}/sale.db"), tmp_path / "log") as program:
        yield program


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        ("alone", 800),
        pytest.param("alone", 100_000, marks=pytest.mark.long),
        pytest.param("nginx", 100_000, marks=pytest.mark.long),
        pytest.param("haproxy", 100_000, marks=pytest.mark.long),
    ],
)
async def test_no_request_in_the_body_of_another_is_ever_answered(
    server: Program, tmp_path: Path, kind: str, count: int
) -> None:
    with front(kind, str(server.http), tmp_path) as address:
        taken, refused = await send_all(address, kind, range(count))
    text = (tmp_path / "log").read_text()
    print(f"\n{kind}: {count} framings, {taken} taken for requests, {refused} refused")

    assert CANARY not in hidden_in(text, kind)
    assert taken > 0
    assert refused > 0
    assert "incident" not in text
    assert "Traceback" not in text
