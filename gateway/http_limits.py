"""What one process takes from its HTTP clients at most, and how much of it is in use."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

_REST_SECONDS = 0.15
"""How long a connection whose request was refused is not read: a client that does not wait costs next to nothing."""
_SOON_SECONDS = 0.005
"""Connections that would be woken so soon are woken together."""
LIMITS = (
    "connections",
    "connections_per_address",
    "descriptors",
    "handshake",
    "in_flight",
    "malformed",
    "receive",
    "send",
)
"""What refusals are counted by."""
_LINES = 20
"""How many refused requests have a line of their own in the log until the next count is told."""

_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a process; sizes in bytes, times in seconds."""

    head: int
    """Of the request line and all headers together."""
    headers: int
    """How many there may be."""
    url: int
    body: int
    connections: int
    """On all ports of the process together."""
    connections_per_address: int
    """Of those, from one address that is no trusted proxy's."""
    handshake_seconds: float
    """For TLS."""
    receive_seconds: float
    """From the first byte of a request, or from its connection on, to its last one."""
    idle_seconds: float
    """Between an answer and the next request."""
    send_seconds: float
    """For a client to take what is there for it."""
    in_flight: int
    """How many requests may be worked on at once."""


class Resting(Protocol):
    """A connection that is not read for a while."""

    def wake(self) -> None:
        """Read it again."""


class Load:
    """What is in use of the limits, and what was refused because of them; shared by all ports of a process.

    Args:
        limits: of the process.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.in_flight = 0
        self._connections = 0
        self._by_address: dict[str, int] = {}
        self._resting: deque[tuple[float, Resting]] = deque()
        self._refused: Counter[str] = Counter()
        """Since the log was told."""
        self._told: Counter[str] = Counter()
        """Before."""
        self._lines = 0
        self._overloaded_until = 0.0

    @property
    def is_full(self) -> bool:
        """Whether no more requests are taken now."""
        return self.in_flight >= self.limits.in_flight

    @property
    def connections(self) -> int:
        """How many are open."""
        return self._connections

    @property
    def refused(self) -> Mapping[str, int]:
        """What was refused since the beginning, by the limits."""
        return self._told + self._refused

    @property
    def is_overloaded(self) -> bool:
        """Whether a request was refused within the last second because there were too many."""
        return time.monotonic() < self._overloaded_until

    def admit(self, address: str | None) -> bool:
        """Count a new connection.

        Args:
            address: where it comes from; None is counted in the total only.

        Returns:
            Whether there is room for it; then it has to be let go with `leave`.
        """
        if self._connections >= self.limits.connections:
            self.count("connections")
            return False
        if address is not None:
            known = self._by_address.get(address, 0)
            if known >= self.limits.connections_per_address:
                self.count("connections_per_address")
                return False
            self._by_address[address] = known + 1
        self._connections += 1
        return True

    def leave(self, address: str | None) -> None:
        """Let go of a connection that was admitted.

        Args:
            address: as of `admit`.
        """
        self._connections -= 1
        if address is not None:
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]

    def refuse_overload(self) -> None:
        """Count a request that is refused because of too many others."""
        self._overloaded_until = time.monotonic() + 1.0
        self._refused["in_flight"] += 1

    def rest(self, connection: Resting) -> None:
        """Wake a connection in a while.

        Args:
            connection: not read any longer.
        """
        self._resting.append((time.monotonic() + _REST_SECONDS, connection))
        if len(self._resting) == 1:
            asyncio.get_running_loop().call_later(_REST_SECONDS, self._wake)

    def count(self, limit: str) -> bool:
        """Count a refusal.

        Args:
            limit: what was exceeded.

        Returns:
            Whether it may have a line of its own in the log.
        """
        self._refused[limit] += 1
        self._lines += 1
        return self._lines <= _LINES

    def tell(self) -> None:
        """Write into the log what was refused since the last time; called at most once a second."""
        if self._refused:
            refused, self._refused, self._lines = self._refused, Counter(), 0
            self._told += refused
            _log.warning("requests refused", **refused)

    def _wake(self) -> None:
        now = time.monotonic()
        while self._resting and self._resting[0][0] <= now + _SOON_SECONDS:
            self._resting.popleft()[1].wake()
        if self._resting:
            asyncio.get_running_loop().call_later(self._resting[0][0] - now, self._wake)
