"""Servers on one store that are killed and started again while clients keep asking."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.durability.nodes import Node
from tests.merchant import write_config
from tests.proof.connections import Answer, Connection, Gone

LONG_LIVED = '[sessions]\nttl = "12h"\n[access_tokens]\nttl = "12h"\n'
NOT_NOW = {1108, 4000, 4001}
"""Codes after which the contract lets a client send the same again."""
_AGAIN_SECONDS = 0.04


@contextmanager
def nodes(folder: Path, store: str, count: int = 1, extra: str = LONG_LIVED) -> Iterator[list[Node]]:
    """Run nodes on one store for as long as the block does.

    Args:
        folder: takes their files.
        store: its URL.
        count: how many.
        extra: settings.
    """
    config = write_config(folder / "sale.toml", extra)
    with ExitStack() as stack:
        started = [Node(config, store, folder / f"node-{number}.log") for number in range(count)]
        for node in started:
            stack.callback(node.kill)
            assert node.start()
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
            try:
                if self._connection is None:
                    self._connection = await Connection.to(str(self._node.http))
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
