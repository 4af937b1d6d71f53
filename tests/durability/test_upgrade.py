"""The procedure of the README, performed: to the next release and back, on a file, and on nodes while sales go on."""

import itertools
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.durability.nodes import Node
from tests.durability.releases import Release, next_release, release_of, this_release
from tests.merchant import AT_ONCE, check_document, initiate_document, write_config
from tests.stores import schema
from tests.transports import OverHttp, answer_of

BEFORE = "2a27de3"
"""The last commit before the schema of PostgreSQL got its third step."""


class Shop:
    """Sells without a pause, at one node after the other; what one refuses it asks of the next, once.

    Args:
        nodes: where.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.sold: list[tuple[dict[str, Any], str]] = []
        """What was answered, and the access token."""
        self.lost: list[str] = []
        self._clients = [node.client() for node in nodes]
        self._turns = itertools.cycle(self._clients)
        self._done = threading.Event()
        self._access_token = OverHttp(self._clients[0]).request_access_token()

    @contextmanager
    def open(self) -> Iterator["Shop"]:
        """Sell for as long as the block runs."""
        seller = threading.Thread(target=self._sell)
        seller.start()
        try:
            yield self
        finally:
            self._done.set()
            seller.join()
            for client in self._clients:
                client.close()

    def wait_for(self, count: int) -> None:
        """Return when so many more are sold."""
        until = len(self.sold) + count
        while len(self.sold) < until:
            assert not self._done.wait(0.01)

    def _sell(self) -> None:
        document = initiate_document(self._access_token)
        while not self._done.wait(0.01):  # a server that starts needs the processor too
            headers = {"Idempotency-Key": secrets.token_hex(16)}
            if self._try(document, headers) is not None and (fault := self._try(document, headers)) is not None:
                self.lost.append(fault)

    def _try(self, document: dict[str, Any], headers: dict[str, str]) -> str | None:
        """Return what kept a sale from being opened."""
        try:
            answer = answer_of(next(self._turns).post("/sale/initiate-sale", json=document, headers=headers))
        except httpx2.HTTPError as error:
            return repr(error)
        if answer.code:
            return str(answer)
        self.sold.append((answer.body, self._access_token))
        return None


def assert_all_are_checked(shop: Shop, node: Node) -> None:
    """Check what was sold, before and after: of many the first and the last ones."""
    with node.client() as client:
        for opened, access_token in [*shop.sold[:10], *shop.sold[-10:]]:
            document = check_document(access_token, opened, token=opened["invoiceId"])
            assert OverHttp(client).check(opened["invoiceId"], document).code == 0


def roll(nodes: Sequence[Node], release: Release, shop: Shop) -> None:
    """Put a release in the place of another one, one node at a time."""
    for node in nodes:
        assert node.program is not None
        assert node.program.stop() == 0
        node.use(release)
        assert node.start()
        shop.wait_for(10)


def start(nodes: Sequence[Node], release: Release) -> None:
    for node in nodes:
        node.use(release)
        assert node.start()


def test_nodes_on_postgresql_are_upgraded_one_by_one_while_sales_go_on(postgresql_url: str, tmp_path: Path) -> None:
    old, new = this_release(), next_release(tmp_path / "next")
    config = write_config(tmp_path / "sale.toml")
    with schema(postgresql_url) as store, nodes_on(store, config, tmp_path, 2) as nodes:
        start(nodes, old)
        with Shop(nodes).open() as shop:
            shop.wait_for(10)
            assert new.run("migrate", f"--store={store}").returncode == 0
            shop.wait_for(10)
            roll(nodes, new, shop)

        assert shop.lost == []
        assert_all_are_checked(shop, nodes[0])
        # The way back: a node of the release before can't be started any more.
        refused = old.run("serve", f"--config={config}", f"--store={store}", "--http=127.0.0.1:0", "--grpc=127.0.0.1:0")
        assert refused.returncode == 2
        assert "install a newer one" in refused.stderr


def test_a_file_is_upgraded_and_goes_back_by_its_backup(tmp_path: Path) -> None:
    old, new = this_release(), next_release(tmp_path / "next")
    config, file, copy = write_config(tmp_path / "sale.toml"), tmp_path / "sale.db", tmp_path / "copy.db"
    with nodes_on(f"sqlite:///{file}", config, tmp_path, 1) as nodes:
        start(nodes, old)
        with Shop(nodes).open() as shop:
            shop.wait_for(10)
        assert nodes[0].program is not None
        assert nodes[0].program.stop() == 0
        assert old.run("backup", f"--store=sqlite:///{file}", str(copy)).returncode == 0

        start(nodes, new)
        assert_all_are_checked(shop, nodes[0])
        assert nodes[0].program.stop() == 0

        nodes[0].use(old)
        assert not nodes[0].start()
        copy.replace(file)
        start(nodes, old)
        assert_all_are_checked(shop, nodes[0])


@pytest.mark.long
def test_nodes_of_an_earlier_commit_are_upgraded_to_this_one(postgresql_url: str, tmp_path: Path) -> None:
    old, new = release_of(BEFORE, tmp_path / "before"), this_release()
    if old is None:
        pytest.skip(f"the clone is too shallow to have {BEFORE}")
    config = write_config(tmp_path / "sale.toml")
    config.write_text(config.read_text().replace(AT_ONCE, ""))  # which it does not know
    with schema(postgresql_url, migrated=False) as store, nodes_on(store, config, tmp_path, 3) as nodes:
        assert old.run("migrate", f"--store={store}").returncode == 0
        start(nodes, old)
        with Shop(nodes).open() as shop:
            shop.wait_for(50)
            assert new.run("migrate", f"--store={store}").returncode == 0
            shop.wait_for(50)
            roll(nodes, new, shop)
            shop.wait_for(50)

        assert shop.lost == []
        assert_all_are_checked(shop, nodes[0])


@contextmanager
def nodes_on(store: str, config: Path, folder: Path, count: int) -> Iterator[list[Node]]:
    """Offer nodes that are not started; they are ended with the block."""
    nodes = [Node(config, store, folder / f"{number}.log") for number in range(count)]
    try:
        yield nodes
    finally:
        for node in nodes:
            node.kill()
