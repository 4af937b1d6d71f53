"""Servers on one store that are killed and started again while clients keep asking."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.merchant import write_config
from tests.proof.connections import Answer, Connection, Gone
from tests.running import Program, service_arguments

LONG_LIVED = '[sessions]\nttl = "12h"\n[access_tokens]\nttl = "12h"\n'
NOT_NOW = {1108, 4000, 4001}
"""Codes after which the contract lets a client send the same again."""
_AGAIN_SECONDS = 0.04


class Node:
    """A server that can be replaced; its log is that of the last one only.

    Args:
        arguments: of the program.
        log: file that takes its standard error.
        environment: variables that it gets beside those of this process.
    """

    def __init__(self, arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self._arguments = arguments
        self._log = log
        self._environment = environment
        self.program = self._start()
        self._up = asyncio.Event()
        self._up.set()

    async def address(self) -> str:
        """Return where it listens, once it does."""
        await self._up.wait()
        return str(self.program.http)

    def kill(self) -> None:
        """End it at once. Nobody is sent to its port from then on, which others can get."""
        self._up.clear()
        self.program.kill()

    async def start_again(self) -> None:
        self._log.unlink()
        self.program = await asyncio.to_thread(self._start)
        self._up.set()

    def _start(self) -> Program:
        return Program(self._arguments, self._log, environment=self._environment)


@contextmanager
def nodes(folder: Path, store: str, *more: str, count: int = 1, extra: str = LONG_LIVED) -> Iterator[list[Node]]:
    """Run nodes on one store for as long as the block does.

    Args:
        folder: takes their files.
        store: its URL.
        more: arguments of the program.
        count: how many.
        extra: settings.
    """
    arguments = service_arguments(write_config(folder / "sale.toml", extra), store, *more)
    with ExitStack() as stack:
        started = []
        for number in range(count):
            node = Node(arguments, folder / f"node-{number}.log")
            stack.callback(node.kill)
            started.append(node)
        yield started


class Client:
    """Asks one node over a connection of its own, again and again until there is an answer.

    Args:
        node: whom.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._connection: Connection | None = None

    async def ask(self, request: bytes) -> Answer:
        """Return the answer to a request that is safe to send again."""
        while True:
            address = await self._node.address()
            try:
                if self._connection is None:
                    self._connection = await Connection.to(address)
                answer = await self._connection.ask(request)
            except (Gone, OSError):
                self._connection = None
                await asyncio.sleep(_AGAIN_SECONDS)
                continue
            if answer.code not in NOT_NOW:
                return answer
            await asyncio.sleep(_AGAIN_SECONDS)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
