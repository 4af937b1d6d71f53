"""What a service manager such as systemd is told: that this program serves, reads settings again, stops, is alive.

The protocol is sd_notify's: a datagram of lines to the socket that `NOTIFY_SOCKET` names. Nothing is told without one.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

import structlog

NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
_MICROSECONDS = 1_000_000
_DATAGRAM_BYTES = 256
_log = structlog.stdlib.get_logger(__name__)


class ServiceManager:
    """Whoever started this program and waits for word of it.

    Args:
        environment: variables of this process; `NOTIFY_SOCKET` is a path, or with @ in front an abstract name,
            `WATCHDOG_USEC` how long the manager waits for a sign of life, of the process `WATCHDOG_PID` if that is set.
        pid: of this process.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ, pid: int | None = None) -> None:
        name = environment.get(NOTIFY_SOCKET, "")
        self._address = "\0" + name[1:] if name.startswith("@") else name
        wait = environment.get(WATCHDOG_USEC, "")
        concerned = environment.get(WATCHDOG_PID, "") in {"", str(pid or os.getpid())}
        self.sign_seconds = int(wait) / _MICROSECONDS / 2 if self._address and wait.isdecimal() and concerned else None
        """How long may be between two signs of life, half of what the manager waits; None where it waits for none."""

    def say_ready(self) -> None:
        """Tell that all ports are served."""
        self._send("READY=1")

    def say_stopping(self) -> None:
        """Tell that it ends, on its own or because it was asked to."""
        self._send("STOPPING=1")

    def give_sign(self) -> None:
        """Tell that it is alive."""
        self._send("WATCHDOG=1")

    def reload(self, reload: Callable[[], None]) -> None:
        """Tell that settings are read again, do so, and tell that this is over.

        Args:
            reload: reads them; what is wrong with them it tells itself.
        """
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        reload()
        self.say_ready()

    async def give_signs(self) -> None:
        """Tell that the event loop is alive, again and again; return at once where nobody waits for that."""
        while self.sign_seconds is not None:
            self.give_sign()
            await asyncio.sleep(self.sign_seconds)

    def _send(self, lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
                sender.setblocking(False)  # a manager that takes nothing must not stop the sales
                sender.connect(self._address)
                sender.send(lines.encode())
        except OSError as error:
            _log.warning("service manager not told", fault=error.strerror, told=lines.partition("\n")[0])


class SignsOfLife:
    """What a supervisor of workers hears of one of them, whose service manager it is.

    Args:
        sign_seconds: how often a sign is given.
    """

    def __init__(self, sign_seconds: float) -> None:
        self._patience = 2 * sign_seconds
        self._heard = time.monotonic()
        self._receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._receiver.setblocking(False)
        self._receiver.bind("")  # the system chooses an abstract name
        self.name = "@" + self._receiver.getsockname()[1:].decode()
        """What the worker's `NOTIFY_SOCKET` is."""

    def are_missing(self) -> bool:
        """Tell whether none has come for longer than two should take."""
        with suppress(BlockingIOError):
            while self._receiver.recv(_DATAGRAM_BYTES):
                self._heard = time.monotonic()
        return time.monotonic() - self._heard > self._patience

    def close(self) -> None:
        """Hear no more."""
        self._receiver.close()
