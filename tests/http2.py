"""A client of the gRPC port that speaks HTTP/2 frame by frame, also in ways that no client of gRPC would."""

import socket
import struct
import time
from collections.abc import Iterable
from types import TracebackType

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from google.protobuf.message import Message

from tests.running import KEY_METADATA

Headers = list[tuple[str, str]]


def call_headers(path: str, metadata: Iterable[tuple[str, str]] = KEY_METADATA) -> Headers:
    """Return what a call begins with.

    Args:
        path: of the rpc, as in `/package.Service/Method`.
        metadata: of the call.
    """
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", "sale"),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        *metadata,
    ]


def framed(message: Message) -> bytes:
    """Return a message as gRPC puts it into DATA frames."""
    data = message.SerializeToString()
    return struct.pack("!BI", 0, len(data)) + data


class Http2Connection:
    """A connection over which anything can be sent.

    Args:
        address: host and port.
        initial_window: how many bytes of an answer are taken; None for HTTP/2's own.
    """

    def __init__(self, address: str, initial_window: int | None = None) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # What is wrong goes out as it is.
        config = h2.config.H2Configuration(
            client_side=True, header_encoding="utf-8", normalize_outbound_headers=False, validate_outbound_headers=False
        )
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        if initial_window is not None:
            self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: initial_window})
        self.flush()

    def __enter__(self) -> "Http2Connection":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def flush(self) -> None:
        """Send what h2 has made of what was asked for."""
        self.socket.sendall(self.h2.data_to_send())

    def begin(self, path: str, metadata: Iterable[tuple[str, str]] = KEY_METADATA) -> int:
        """Begin a call, and return the id of its stream."""
        stream_id = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream_id, call_headers(path, metadata))
        self.flush()
        return stream_id

    def send(self, stream_id: int, message: Message) -> None:
        """Send the message of a call, which is all that there is."""
        self.h2.send_data(stream_id, framed(message), end_stream=True)
        self.flush()

    def receive(self, seconds: float) -> list[h2.events.Event]:
        """Return what comes within a time, and whether the connection ends: `ConnectionTerminated` is the last one."""
        events: list[h2.events.Event] = []
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(1 << 16)
            except TimeoutError:
                break
            except ConnectionError:
                data = b""
            if not data:
                events.append(h2.events.ConnectionTerminated())
                break
            try:
                events += self.h2.receive_data(data)
            except h2.exceptions.ProtocolError:
                events.append(h2.events.ConnectionTerminated())
                break
            self.flush_quietly()
        return events

    def flush_quietly(self) -> None:
        try:
            self.flush()
        except OSError:
            return  # the connection has ended; who reads learns it

    def wait_for(self, kind: type[h2.events.Event], seconds: float = 10.0) -> h2.events.Event:
        """Return the first event of a kind."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for event in self.receive(0.05):
                if isinstance(event, kind):
                    return event
        raise AssertionError(f"no {kind.__name__}")


def grpc_status(event: h2.events.Event) -> int | None:
    """Return the status of a call that headers or trailers tell."""
    for name, value in getattr(event, "headers", None) or ():
        if name == "grpc-status":
            return int(value)
    return None
