"""Floods of HTTP/2 frames: a process of its own, so that what they cost it costs nobody who is measured.

Run as `python -m tests.proof.floods ADDRESS KIND CONNECTIONS SECONDS FRAMES`, it sends until its standard input ends
and so many frames have gone out, or for so long, and prints what came of it as JSON.
"""

import itertools
import json
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypedDict

from hpack import Encoder
from hyperframe.frame import ContinuationFrame, Frame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame

from tests.http2 import Http2Connection, call_headers

LIST = "/connectingparty.sale.v1.SaleService/ListSales"
BATCH = 100
"""Frames that go out together."""
_HELD_SECONDS = 0.5
_STREAM_ID = struct.Struct("!L")
_BEFORE_STREAM_ID = 5
"""Bytes of a frame."""


class Told(TypedDict):
    """What came of a flood."""

    frames: int
    """That went out; the last ones of a connection may not have been read."""
    bytes: int
    closed: int
    """How often the server closed a connection."""
    held: int
    """How often it took nothing for a while, after which the connection was given up."""
    seconds: float


def _joined(frames: list[Frame]) -> bytes:
    return b"".join(frame.serialize() for frame in frames)


def _headers(stream_id: int, block: bytes, *, end: bool = True) -> HeadersFrame:
    frame = HeadersFrame(stream_id, block)
    if end:
        frame.flags.add("END_HEADERS")
    return frame


def _call() -> bytes:
    return Encoder().encode(call_headers(LIST))


def resets() -> Iterator[bytes]:
    """Calls that are given up as soon as they are begun."""
    pair = (_headers(1, _call()).serialize(), RstStreamFrame(1, 8).serialize())
    batch = bytearray(b"".join(pair) * (BATCH // 2))
    places = [start + _BEFORE_STREAM_ID for start in range(0, len(batch), len(pair[0]) + len(pair[1]))]
    ids = itertools.count(1, 2)
    while True:
        for place in places:
            stream_id = next(ids)
            _STREAM_ID.pack_into(batch, place, stream_id)
            _STREAM_ID.pack_into(batch, place + len(pair[0]), stream_id)
        yield bytes(batch)


def continuations() -> Iterator[bytes]:
    """Metadata without an end."""
    yield _joined([_headers(1, _call(), end=False)])
    more = Encoder().encode([("x-more", "x" * 4096)], huffman=False)
    yield from itertools.repeat(_joined([ContinuationFrame(1, more)] * BATCH))


def empty_continuations() -> Iterator[bytes]:
    """The same, of nothing."""
    yield _joined([_headers(1, _call(), end=False)])
    yield from itertools.repeat(_joined([ContinuationFrame(1, b"")] * BATCH))


def pings() -> Iterator[bytes]:
    """Questions whether the server is there."""
    yield from itertools.repeat(_joined([PingFrame(0, b"01234567")] * BATCH))


def settings() -> Iterator[bytes]:
    """Settings, each of which has to be acknowledged."""
    yield from itertools.repeat(_joined([SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 65535})] * BATCH))


def header_bombs() -> Iterator[bytes]:
    """A field that is put into the table of HPACK once, and named a thousand times in one byte each."""
    table = Encoder()
    block = table.encode([*call_headers(LIST), ("x-bomb", "x" * 3900)])
    ids = itertools.count(1, 2)
    while True:
        frames: list[Frame] = []
        for stream_id in itertools.islice(ids, BATCH):
            frames.append(_headers(stream_id, block + b"\xbe" * 1000))  # the newest entry of the table
            block = table.encode(call_headers(LIST))
        yield _joined(frames)


KINDS: dict[str, Callable[[], Iterator[bytes]]] = {
    flood.__name__: flood for flood in (resets, continuations, empty_continuations, pings, settings, header_bombs)
}


class _Sender:
    def __init__(self, address: str, batches: Callable[[], Iterator[bytes]], seconds: float, frames: int) -> None:
        self._address = address
        self._batches = batches
        self._began = time.monotonic()
        self._seconds = seconds
        self._least = frames
        self.left = False
        self.told = Told(frames=0, bytes=0, closed=0, held=0, seconds=0.0)

    def _is_over(self) -> bool:
        self.told["seconds"] = time.monotonic() - self._began
        return self.told["seconds"] > self._seconds or (self.left and self.told["frames"] >= self._least)

    def run(self) -> None:
        while not self._is_over():
            try:
                with Http2Connection(self._address) as connection:
                    connection.socket.settimeout(_HELD_SECONDS)
                    for batch in self._batches():
                        connection.socket.sendall(batch)
                        self.told["frames"] += BATCH
                        self.told["bytes"] += len(batch)
                        _take_what_came(connection.socket)
                        if self._is_over():
                            return
            except TimeoutError:
                self.told["held"] += 1
            except OSError:
                self.told["closed"] += 1


def _take_what_came(taken: socket.socket) -> None:
    while select.select([taken], [], [], 0)[0]:  # a socket with a timeout would wait for what may never come
        if not taken.recv(1 << 18):
            raise ConnectionResetError


class Flood:
    """A flood that runs.

    Args:
        process: that sends it.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def leave(self) -> Told:
        """Let it end, and return what came of it."""
        told: Told = json.loads(self._process.communicate()[0])
        return told


@contextmanager
def flooding(address: str, kind: str, connections: int, seconds: float, frames: int = 0) -> Iterator[Flood]:
    """Flood a port for as long as the block does.

    Args:
        address: host and port.
        kind: of `KINDS`.
        connections: how many at once; one that is closed is opened again.
        seconds: after which it ends by itself.
        frames: that it sends at least before `leave` lets it end, but for the seconds.
    """
    command = [sys.executable, "-m", "tests.proof.floods", address, kind, str(connections), str(seconds), str(frames)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield Flood(process)
        finally:
            process.kill()


def main() -> None:
    """Run it."""
    address, kind, connections, seconds, frames = sys.argv[1:]
    sender = _Sender(address, KINDS[kind], float(seconds), int(frames))
    threads = [threading.Thread(target=sender.run) for _ in range(int(connections))]
    for thread in threads:
        thread.start()
    print("flooding", flush=True)
    sys.stdin.read()
    sender.left = True
    for thread in threads:
        thread.join()
    print(json.dumps(sender.told))


if __name__ == "__main__":
    main()
