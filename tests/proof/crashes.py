"""Load on nodes that die and come back, and a look at what is left of what they acknowledged."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.durability.losses import Query, lost_at_the_nodes, lost_in_the_database, query_of, twice_in_the_changes
from tests.durability.nodes import Node
from tests.durability.sellers import Ledger, amounts, selling
from tests.merchant import write_config
from tests.proof.integrity import faults_of
from tests.transports import OverHttp

LONG_LIVED = '[sessions]\nttl = "12h"\n[access_tokens]\nttl = "12h"\n'
SELLERS = 6
CRASHES_OF_A_LEDGER = 10
"""After so many everything is compared; until then the sellers go on through all of them."""

Crash = Callable[[], str]
"""Ends or loses something, brings it back, and returns what it was."""


class Crashes:
    """Load through crashes, and what was found of it afterwards.

    Args:
        nodes: they serve.
        query: of their database.
        chance: moments, not secrets.
    """

    def __init__(self, nodes: Sequence[Node], query: Query, chance: random.Random) -> None:
        self._nodes = nodes
        self._query = query
        self._chance = chance
        self._all = self._ledger = Ledger("", amounts())
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []
        """What was lost, done twice, or answered otherwise than it should."""

    def run(self, count: int, crash: Crash) -> None:
        """Crash so many times, or until something is wrong."""
        while self.done.total() < count and not self.wrong:
            with self._nodes[0].client() as client:
                ledger = self._ledger = Ledger(OverHttp(client).request_access_token(), self._all.amounts)
            with selling(self._nodes, ledger, SELLERS, self._chance.choice([0.0, 0.005]), self._chance):
                for _ in range(min(count - self.done.total(), CRASHES_OF_A_LEDGER)):
                    self.done[crash()] += 1
            self.wrong += ledger.wrong
            with self._nodes[0].client() as client:
                self.wrong += lost_at_the_nodes(OverHttp(client), ledger, self._chance)
            self._compare(ledger)
            self._all.sold += ledger.sold
            self._all.asked |= ledger.asked
            self._all.tokens |= ledger.tokens
        self._compare(self._all)

    @contextmanager
    def without_answers(self) -> Iterator[None]:
        """Let what is answered while the block runs count as not answered."""
        self._ledger.ignores_answers = True
        yield
        self._ledger.ignores_answers = False

    def pause(self) -> None:
        """Let the load go on for a moment."""
        time.sleep(self._chance.uniform(0.0, 0.5))

    @property
    def acknowledged(self) -> int:
        """How many effects were."""
        return sum(len(sold.states) for sold in self._all.sold) + sum(
            1 + revoked for revoked in self._all.tokens.values()
        )

    def __str__(self) -> str:
        crashes = ", ".join(f"{count} of {name}" for name, count in sorted(self.done.items()))
        figures = f"{self.acknowledged} effects acknowledged, {len(self.wrong)} lost, done twice or answered wrongly"
        return f"{self.done.total()} crashes ({crashes}): {figures}"

    def _compare(self, ledger: Ledger) -> None:
        self.wrong += lost_in_the_database(self._query, ledger)
        self.wrong += twice_in_the_changes(self._query, ledger)


@contextmanager
def crashes_on_sqlite(
    folder: Path, path: Path, seed: int, *more: str, command: Sequence[str] = ()
) -> Iterator[tuple[Crashes, Node]]:
    """Run a node on a file, which is whole in the end.

    Args:
        folder: takes the settings and the log.
        path: the file.
        seed: of the moments.
        more: arguments of the node.
        command: what runs in the place of the program.
    """
    config = write_config(folder / "sale.toml", LONG_LIVED)
    node = Node(config, f"sqlite:///{path}", folder / "log", *more, command=command)
    assert node.start()
    crashes = Crashes([node], query_of(path), random.Random(seed))
    try:
        yield crashes, node
        node.kill()
        crashes.wrong += faults_of(path)
    finally:
        node.kill()
        print(crashes)
