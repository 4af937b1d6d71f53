"""A key opens one session, however often its request is sent at once and wherever the server dies on its way."""

import asyncio
import faulthandler
import json
import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.durability.nodes import Node
from tests.merchant import initiate_document
from tests.proof.connections import Answer, get, post
from tests.proof.nodes import Client, nodes
from tests.proof.stores import StoreReader, reading, rows
from tests.stores import schema

AT_ONCE = 16
"""How many requests with the same key are sent at the same time."""
GROUPS = 8
"""How many keys are asked for at the same time."""


class Keys:
    """Asks for a session a key; the amount is the number of the key, and so tells which one a sale is of."""

    def __init__(self, servers: list[Node], count: int) -> None:
        self.count = count
        self._numbers = iter(range(1, count + 1))
        self._clients = [Client(servers[number % len(servers)]) for number in range(GROUPS * AT_ONCE)]
        self.opened: dict[int, bytes] = {}
        """The answer that the first of each key's requests got."""
        self.unanswered: set[int] = set()
        """Keys that were asked for and of which no request was answered yet."""
        self._access_token = ""
        self._progress = asyncio.Event()

    async def request_access_token(self) -> None:
        answer = await self._clients[0].ask(get("/auth/request-access-token"))
        self._access_token = json.loads(answer.body)["session"]["accessToken"]

    async def open(self) -> None:
        """Ask for every key, so many times at once, and compare all answers of a key."""
        groups = [self._clients[start : start + AT_ONCE] for start in range(0, len(self._clients), AT_ONCE)]
        await asyncio.gather(*(self._open(group, self._numbers) for group in groups))

    async def wait_for(self, count: int) -> None:
        """Return when so many keys were answered."""
        while len(self.opened) < count:
            self._progress.clear()
            await self._progress.wait()

    async def replay(self) -> None:
        """Ask for every key once more."""
        numbers = iter(list(self.opened))
        await asyncio.gather(*(self._open([client], numbers) for client in self._clients))

    async def _open(self, clients: list[Client], numbers: Iterator[int]) -> None:
        for number in numbers:
            request = self._request(number)
            if number not in self.opened:
                self.unanswered.add(number)
            for answer in asyncio.as_completed([client.ask(request) for client in clients]):
                self._compare(number, await answer)

    def _compare(self, number: int, answer: Answer) -> None:
        assert answer.status == 200, answer
        self.unanswered.discard(number)
        self._progress.set()
        assert self.opened.setdefault(number, answer.body) == answer.body

    def _request(self, number: int) -> bytes:
        document = initiate_document(self._access_token, amount_centis=number)
        return post("/sale/initiate-sale", document, Idempotency_Key=f"order-{number}")

    def close(self) -> None:
        for client in self._clients:
            client.close()


async def kill_now_and_then(servers: list[Node], store: str, keys: Keys, kills: int, seed: int) -> int:
    """Kill all servers, or one, each time that so many keys more were answered, right after a commit.

    Returns:
        How many keys had their session stored when no request of theirs had been answered, nor would be.
    """
    chance = random.Random(seed)  # moments, not secrets
    found = 0
    async with reading(store) as reader:
        for number in range(kills):
            await keys.wait_for(int(keys.count * (number + 0.5) / kills))
            killed = servers if number % 2 == 0 else [chance.choice(servers)]
            # The store tells nobody: it is asked until it has a session of which nobody has been told.
            while not (committed := await stored(reader, keys.unanswered)) and keys.unanswered:  # noqa: ASYNC110
                await asyncio.sleep(0)
            for server in killed:
                server.kill()
            await asyncio.sleep(0.05)  # what was answered before is read
            if killed == servers:
                found += len(committed & keys.unanswered)
            assert all(await asyncio.gather(*(asyncio.to_thread(server.start) for server in killed)))
    return found


async def stored(reader: StoreReader, numbers: set[int]) -> set[int]:
    """Return which of these keys have a session."""
    listed = ", ".join(map(str, numbers)) or "0"
    return {
        number for (number,) in await reader.rows(f"SELECT amount_centis FROM sales WHERE amount_centis IN ({listed})")
    }


async def run(servers: list[Node], store: str, count: int, kills: int) -> tuple[Keys, int]:
    keys = Keys(servers, count)
    try:
        await keys.request_access_token()
        killing = asyncio.create_task(kill_now_and_then(servers, store, keys, kills, seed=count))
        await keys.open()
        found = await killing
        await keys.replay()
    finally:
        keys.close()
    return keys, found


@pytest.mark.parametrize(
    ("count", "kills"), [(60, 2), pytest.param(100_000, 200, marks=pytest.mark.long)], ids=["short", "long"]
)
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_a_key_opens_one_session_and_is_always_answered_the_same_bytes(
    request: pytest.FixtureRequest, tmp_path: Path, engine: str, count: int, kills: int
) -> None:
    faulthandler.cancel_dump_traceback_later()  # the long form takes longer, and ends by itself
    with ExitStack() as stack:
        if engine == "sqlite":
            store = f"sqlite:///{tmp_path / 'sale.db'}"
            servers = stack.enter_context(nodes(tmp_path, store))
        else:
            store = stack.enter_context(schema(request.getfixturevalue("postgresql_url")))
            servers = stack.enter_context(nodes(tmp_path, store, count=2))
        keys, unanswered = asyncio.run(run(servers, store, count, kills))
        sessions: dict[int, str] = dict(rows(store, "SELECT amount_centis, invoice_id FROM sales"))
        records: dict[str, str] = dict(rows(store, "SELECT idempotency_key, invoice_id FROM idempotency_records"))
        assert rows(store, "SELECT count(*) FROM sales") == [(count,)]
        assert sessions == {number: json.loads(body)["invoiceId"] for number, body in keys.opened.items()}
        assert records == {f"order-{number}": invoice_id for number, invoice_id in sessions.items()}
    assert len(sessions) == count
    assert unanswered > 0 or kills < 10
    print(f"{engine}: {count} keys x {AT_ONCE}, {kills} kills, {unanswered} sessions between commit and answer")
