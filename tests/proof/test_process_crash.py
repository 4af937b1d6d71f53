"""kill -9 under load, at any moment and at every write and sync: nothing acknowledged is lost, nothing done twice."""

import faulthandler
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.durability.nodes import Node
from tests.merchant import write_config
from tests.postgresql import PostgresqlServer, postgresql_server
from tests.proof.crashes import LONG_LIVED, Crashes, crashes_on_sqlite
from tests.proof.tracing import killed_at_call, killed_below, needs_strace
from tests.stores import schema

KILLS = int(os.environ.get("SALE_TEST_KILLS", "1000"))
CALLS = int(os.environ.get("SALE_TEST_CALLS", "500"))
"""How many of each the long forms are together, on both stores."""
PATIENCE_SECONDS = 60.0


@pytest.mark.parametrize("kills", [3, pytest.param(KILLS // 4, marks=pytest.mark.long)])
@pytest.mark.parametrize("more", [(), ("--workers=2",)], ids=["one process", "two workers"])
def test_a_killed_server_loses_nothing_that_it_acknowledged(tmp_path: Path, more: tuple[str, ...], kills: int) -> None:
    faulthandler.cancel_dump_traceback_later()  # the long form takes longer, and waits for nothing without an end
    with crashes_on_sqlite(tmp_path, tmp_path / "sale.db", 1, *more) as (crashes, node):

        def kill() -> str:
            crashes.pause()
            if more and crashes.done.total() % 2:
                with suppress(ProcessLookupError, IndexError):
                    os.kill(node.children()[-1], signal.SIGKILL)
                return "a worker"
            node.kill()
            assert node.start()
            return "the server"

        crashes.run(kills, kill)
    assert crashes.wrong == []
    assert crashes.acknowledged > 10 * kills


@needs_strace
@pytest.mark.parametrize("count", [1, pytest.param(-(-CALLS // 8), marks=pytest.mark.long)])
def test_a_server_killed_at_any_write_or_sync_loses_nothing(tmp_path: Path, count: int) -> None:
    """Of the file and of its log, each write and each sync up to this number."""
    faulthandler.cancel_dump_traceback_later()
    points = [
        (call, file, number)
        for number in range(1, count + 1)
        for file in ("sale.db-wal", "sale.db")
        for call in ("pwrite64", "fdatasync")
    ]
    with crashes_on_sqlite(tmp_path, tmp_path / "sale.db", 2) as (crashes, node):

        def kill() -> str:
            call, file, number = points.pop(0)
            crashes.pause()  # what is in the log then is moved into the file by the next start
            node.kill()
            was_killed = killed_at_call(node, call, tmp_path / file, number)
            node.kill()
            assert node.start()
            return f"{call} of {file}" if was_killed else "no such call"

        crashes.run(len(points), kill)
    assert crashes.wrong == []
    assert crashes.done["no such call"] <= max(2, crashes.done.total() // 10)


@contextmanager
def crashes_on_postgresql(folder: Path, seed: int) -> Iterator[tuple[Crashes, list[Node], PostgresqlServer]]:
    """Run two nodes on a server, whose database is whole in the end."""
    with ExitStack() as stack:
        server = stack.enter_context(postgresql_server("crashing"))
        url = stack.enter_context(schema(server.url()))
        config = write_config(folder / "sale.toml", LONG_LIVED)
        nodes = [Node(config, url, folder / f"log-{number}") for number in range(2)]
        name = url.rpartition("=")[2]

        def query(sql: str) -> list[tuple[str, ...]]:
            wait_for_order(server, name)
            return server.execute(f"SET search_path TO {name}; {sql}")

        for node in nodes:
            stack.callback(node.kill)
            assert node.start()
        crashes = Crashes(nodes, query, random.Random(seed))
        stack.callback(lambda: print(crashes))
        yield crashes, nodes, server
        for node in nodes:
            node.kill()
        server.check()


def wait_for_order(server: PostgresqlServer, name: str) -> None:
    """Wait until all changes have their position."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while server.execute(f"SELECT 1 FROM {name}.unordered_changes LIMIT 1"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("kills", [3, pytest.param(KILLS // 2, marks=pytest.mark.long)])
def test_killed_nodes_and_database_servers_lose_nothing(tmp_path: Path, kills: int) -> None:
    faulthandler.cancel_dump_traceback_later()
    with crashes_on_postgresql(tmp_path, 3) as (crashes, nodes, server):
        chance = random.Random(3)

        def kill() -> str:
            crashes.pause()
            kind = crashes.done.total() % 4
            if kind < 2:
                node = nodes[kind]
                node.kill()
                assert node.start()
                return "a node"
            if kind == 2:
                with suppress(ProcessLookupError):  # whereupon the server starts all others anew by itself
                    os.kill(chance.choice(server.children()), signal.SIGKILL)
                return "a process of PostgreSQL"
            server.kill()
            server.start()
            return "PostgreSQL"

        crashes.run(kills, kill)
    assert crashes.wrong == []
    assert crashes.acknowledged > 5 * kills


@needs_strace
@pytest.mark.long
def test_a_database_server_killed_at_any_write_or_sync_loses_nothing(tmp_path: Path) -> None:
    faulthandler.cancel_dump_traceback_later()
    points = [(call, number) for number in range(1, CALLS // 4 + 1) for call in ("pwrite64", "fdatasync")]
    with crashes_on_postgresql(tmp_path, 4) as (crashes, _, server):

        def kill() -> str:
            call, number = points.pop(0)
            was_killed = killed_below(server.pid, call, number)
            if not server.running:
                server.start()
            return call if was_killed else "no such call"

        crashes.run(len(points), kill)
    assert crashes.wrong == []
    assert crashes.done["no such call"] <= crashes.done.total() // 5
