"""How much callers of the gRPC port may ask for, by connection and by process."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

_READ_BYTES = 8192
"""Of a connection at once: some twenty requests of the usual size. A larger one is read in several pieces."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is beyond them is refused, or its connection closed."""

    max_message: int = 65536
    """Bytes of a request."""
    max_metadata: int = 16384
    """Bytes of the metadata of a call, names and HTTP/2's own fields with them, and 32 a field."""
    max_streams: int = 128
    """How many calls of a connection run at once, those that share a stream as one; clients of gRPC let others wait."""
    max_calls: int = 4096
    """How many calls run at once in a process, however they came."""
    max_connections: int = 64
    """How many connections a process has: gateways and internal systems, each with a few. What floods cost in memory
    and time grows with them. A caller that does not take its answers can have `max_streams` calls on each that cost
    some kilobytes and are not among `max_calls`."""
    handshake: timedelta = timedelta(seconds=10)
    """How long a connection may take to begin."""
    receive: timedelta = timedelta(seconds=10)
    """How long a caller may take to send the message of a call."""
    idle: timedelta = timedelta(minutes=10)
    """How long a connection may be without a call."""
    keepalive: timedelta = timedelta(minutes=1)
    """After how long in silence a caller is asked whether it is there; it has 20 s to answer."""
    ping_interval: timedelta = timedelta(minutes=5)
    """How often a caller may ask the same while nothing is sent to it."""
    ping_strikes: int = 2
    """How often it may be too early."""

    def transport_options(self) -> Sequence[tuple[str, int]]:
        """Return them as options of `grpc.aio.server`: what gRPC itself sees to."""
        return (
            # Between the two an error of ours can be told; beyond this gRPC does not read what comes.
            ("grpc.max_receive_message_length", 2 * self.max_message),
            # gRPC refuses some calls at random between the first and the second.
            ("grpc.max_metadata_size", self.max_metadata),
            ("grpc.absolute_max_metadata_size", self.max_metadata),
            ("grpc.max_concurrent_streams", self.max_streams),
            ("grpc.max_allowed_incoming_connections", self.max_connections),
            ("grpc.server_handshake_timeout_ms", _milliseconds(self.handshake)),
            ("grpc.max_connection_idle_ms", _milliseconds(self.idle)),
            ("grpc.keepalive_time_ms", _milliseconds(self.keepalive)),
            ("grpc.keepalive_timeout_ms", 20_000),
            ("grpc.http2.min_ping_interval_without_data_ms", _milliseconds(self.ping_interval)),
            ("grpc.http2.max_ping_strikes", self.ping_strikes),
            # gRPC reads as much as there is otherwise, up to the kernel's whole buffer, before it looks at any of it.
            ("grpc.experimental.tcp_max_read_buffer_size", _READ_BYTES),
        )


def _milliseconds(duration: timedelta) -> int:
    return duration // timedelta(milliseconds=1)
