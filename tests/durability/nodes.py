"""A server that dies and is started again on the same ports."""

import random
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.durability.releases import Release
from tests.running import PROGRAMS, Program, Server, service_arguments

HOST = "127.0.0.1"
# Below the ports that systems give to outgoing connections: one of those could take the port of a server that is down.
PORTS = range(12_000, 20_000)


class Node(Server):
    """One on free ports of its own; it is not started.

    Args:
        config: the settings.
        store: URL of the store.
        log: file that takes its standard error.
        more: arguments.
        command: what to run in the place of the program.
    """

    def __init__(self, config: Path, store: str, log: Path, *more: str, command: Sequence[str] = ()) -> None:
        super().__init__(*(f"{HOST}:{free_port()}" for _ in range(2)))
        program, *arguments = service_arguments(config, store, f"--http={self.http}", f"--grpc={self.grpc}", *more)
        self._arguments = arguments
        self._command = [*(command or [str(PROGRAMS / program)]), *arguments]
        self._environment: Mapping[str, str] = {}
        self._log = log
        self.program: Program | None = None

    def use(self, release: Release) -> None:
        """Let it be of a release from its next start on."""
        self._command = [*release.command, *self._arguments]
        self._environment = release.environment

    def start(self, *wrapper: str) -> bool:
        """Start it, and return whether it serves, or has ended before.

        Args:
            wrapper: a command line in front of its own, such as strace's.
        """
        with suppress(AssertionError):  # it has ended
            self.program = Program([*wrapper, *self._command], self._log, environment=self._environment)
            return True
        return False

    def kill(self) -> None:
        """End all of its processes at once."""
        if self.program is not None:
            self.program.kill()

    def children(self) -> list[int]:
        """Return the processes that it has started."""
        assert self.program is not None
        pid = self.program.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def free_port() -> int:
    """Return a port that nobody listens on."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            return port
