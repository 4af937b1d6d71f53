"""More load than a server can carry: a process of its own that counts what was answered, and how fast.

Run as `python -m tests.proof.load ADDRESS TOKEN CONNECTIONS SECONDS [RATE]`, it prints its result as JSON. Connections
come from several addresses: there is a limit for one. Without a rate each sends again as soon as it is answered,
whatever it was told of when to try again; with one, so many are sent a second, on whichever connection is free.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter, deque
from typing import Any

import uvloop

from tests.merchant import initiate_document

_PER_ADDRESS = 100
REFUSED = 503
AGAIN = -REFUSED
"""Refused right after it was: the server does not read at once who does not wait as he was told."""
_REQUEST = (
    b"POST /sale/initiate-sale HTTP/1.1\r\nHost: load\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
)


KINDS = {"served": 200, "refused": REFUSED, "refused_again": AGAIN}


class _Client(asyncio.Protocol):
    def __init__(self, load: "_Load") -> None:
        self._load = load
        self._transport: Any = None
        self._data = b""
        self._sent = 0.0
        self._was_refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._load.is_free(self)

    def send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._load.request)

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, separator, body = self._data.partition(b"\r\n\r\n")
        if not separator or len(body) < int(head.lower().partition(b"content-length: ")[2].split(b"\r\n", 1)[0]):
            return
        self._data = b""
        is_refused = int(head[9:12]) == REFUSED
        kind = AGAIN if is_refused and self._was_refused else int(head[9:12])
        self._was_refused = is_refused
        self._load.latencies[kind].append(time.perf_counter() - self._sent)
        self._load.is_free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.lost += not self._load.is_over


class _Load:
    def __init__(self, token: str, rate: float | None) -> None:
        body = json.dumps(initiate_document(token)).encode()
        self.request = _REQUEST % (len(body), body)
        self.latencies: dict[int, list[float]] = {200: [], REFUSED: [], AGAIN: []}
        self.lost = 0
        self.unsent = 0
        self.is_over = False
        self._rate = rate
        self._free: deque[_Client] = deque()

    def is_free(self, client: _Client) -> None:
        if self._rate is None and not self.is_over:
            client.send()
        else:
            self._free.append(client)

    async def run(self, address: str, connections: int, seconds: float) -> None:
        host, port = address.rsplit(":", 1)
        loop = asyncio.get_running_loop()
        for number in range(connections):
            source = (f"127.0.1.{1 + number // _PER_ADDRESS}", 0)
            await loop.create_connection(lambda: _Client(self), host, int(port), local_addr=source)
        for answers in self.latencies.values():
            answers.clear()
        began = time.perf_counter()
        due = 0.0
        while (now := time.perf_counter() - began) < seconds:
            if self._rate is not None:
                due += self._rate * 0.002
                while due >= 1:
                    due -= 1
                    if self._free:
                        self._free.popleft().send()
                    else:
                        self.unsent += 1
            await asyncio.sleep(max(0.0, 0.002 - (time.perf_counter() - began - now)))
        self.is_over = True


def _told(latencies: list[float], seconds: float) -> dict[str, float]:
    ordered = sorted(latencies) or [0.0]
    return {
        "per_second": len(latencies) / seconds,
        "p50_ms": 1000 * ordered[len(ordered) // 2],
        "p99_ms": 1000 * ordered[len(ordered) * 99 // 100],
        "max_ms": 1000 * ordered[-1],
    }


def run_load(address: str, token: str, connections: int, seconds: float, rate: float | None = None) -> dict[str, Any]:
    """Run it, and return what it printed: `served`, `refused`, `refused_again`, and how many were `lost`."""
    arguments = [address, token, str(connections), str(seconds), *([] if rate is None else [str(rate)])]
    command = [sys.executable, "-m", "tests.proof.load", *arguments]
    result: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    return result


def main() -> None:
    """Run it."""
    address, token, connections, seconds, *rate = sys.argv[1:]
    load = _Load(token, float(rate[0]) if rate else None)
    uvloop.run(load.run(address, int(connections), float(seconds)))
    told = {name: _told(load.latencies[status], float(seconds)) for name, status in KINDS.items()}
    other = Counter(
        {status: len(answers) for status, answers in load.latencies.items() if status not in KINDS.values()}
    )
    print(json.dumps({**told, "other": other, "lost": load.lost, "unsent": load.unsent}))


if __name__ == "__main__":
    main()
