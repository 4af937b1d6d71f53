"""Whoever changes what is in the audit log is found out; in either engine, whatever he may do in the database."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import apsw
import asyncpg
import pytest

from service.audit_trail import ChainBroken, SoundChain, verify_chain
from service.store import Store
from service.store.audit_chain import next_hash
from service.store.sqlite import SqliteStore
from tests.service.store.test_store import audit_entries, new_entry
from tests.stores import open_postgresql, schema

pytestmark = pytest.mark.anyio
COUNT = 5
_OFF = {
    "sqlite": [
        f"DROP TRIGGER audit_{what}_{done}" for what in ("entry", "link") for done in ("updated", "deleted", "inserted")
    ],
    "postgresql": [f"ALTER TABLE audit_{name} DISABLE TRIGGER USER" for name in ("entries", "chain")],
}
_THIRD = "(SELECT entry_id FROM audit_chain WHERE position = 3)"


class Log:
    """An audit log of five entries, and the hands of somebody who has got into its database."""

    def __init__(self, engine: str, store: Store, execute: Callable[[str], Awaitable[None]]) -> None:
        self.engine = engine
        self.store = store
        self.execute = execute

    async def tamper(self, *statements: str) -> None:
        """Do what an owner of the tables can: he takes the triggers away before."""
        for statement in (*_OFF[self.engine], *statements):
            await self.execute(statement)

    async def broken(self, kept_head: bytes | None = None) -> str:
        with pytest.raises(ChainBroken) as error:
            await verify_chain(self.store, kept_head)
        return str(error.value)


@pytest.fixture(params=["sqlite", "postgresql"])
async def log(request: pytest.FixtureRequest, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Log]:
    if request.param == "sqlite":
        store: Store = SqliteStore(tmp_path / "sale.db")
        connection = apsw.Connection(str(tmp_path / "sale.db"))

        async def execute(statement: str) -> None:
            connection.execute(statement)

        yield await _filled(Log("sqlite", store, execute))
        await store.close()
        return
    made = schema(request.getfixturevalue("postgresql_url"))
    url = await asyncio.to_thread(made.__enter__)
    store = await open_postgresql(url)
    intruder = await asyncpg.connect(url)

    async def execute_there(statement: str) -> None:
        await intruder.execute(statement)

    yield await _filled(Log("postgresql", store, execute_there))
    await intruder.close()
    await store.close()
    await asyncio.to_thread(made.__exit__, None, None, None)


async def _filled(log: Log) -> Log:
    for number in range(COUNT):
        await log.store.append_audit_entry(new_entry(subject=f"subject-{number}"))
    await audit_entries(log.store, COUNT)
    return log


async def test_the_database_refuses_to_change_or_remove_what_is_in_it(log: Log) -> None:
    for table in ("audit_entries", "audit_chain"):
        for statement in (f"UPDATE {table} SET entry_id = 'x'", f"DELETE FROM {table}"):
            with pytest.raises((apsw.ConstraintError, asyncpg.RaiseError), match="the audit log is append-only"):
                await log.execute(statement)
    assert (await verify_chain(log.store)).count == COUNT


async def test_replacing_and_truncating_are_refused_too(log: Log) -> None:
    statements = {
        "sqlite": [
            "INSERT OR REPLACE INTO audit_entries SELECT * FROM audit_entries",
            "INSERT OR REPLACE INTO audit_chain SELECT * FROM audit_chain",
        ],
        "postgresql": ["TRUNCATE audit_entries", "TRUNCATE audit_chain"],
    }
    for statement in statements[log.engine]:
        with pytest.raises((apsw.ConstraintError, asyncpg.RaiseError), match="the audit log is append-only"):
            await log.execute(statement)


@pytest.mark.parametrize(
    "change",
    [
        "subject = 'nothing'",
        "action = 'card.put'",
        "caller = 'somebody'",
        "address = NULL",
        "details = '[]'",
        "create_time = (SELECT max(create_time) FROM audit_entries)",
    ],
)
async def test_an_entry_that_was_changed_is_found_at_its_place(log: Log, change: str) -> None:
    later = new_entry(create_time=new_entry().create_time.replace(year=2030))
    await log.store.append_audit_entry(later)
    await audit_entries(log.store, COUNT + 1)
    await log.tamper(f"UPDATE audit_entries SET {change} WHERE entry_id = {_THIRD}")

    assert (await log.broken()).startswith("position 3: the entry, or one before it, is not the one")


async def test_an_entry_that_was_removed_is_found(log: Log) -> None:
    await log.tamper(f"DELETE FROM audit_entries WHERE entry_id = {_THIRD}")

    assert await log.broken() == "position 3: its entry was removed"


async def test_a_place_that_was_removed_is_found(log: Log) -> None:
    await log.tamper(
        f"DELETE FROM audit_entries WHERE entry_id = {_THIRD}", "DELETE FROM audit_chain WHERE position = 3"
    )

    assert await log.broken() == "position 3: there is none"


async def test_a_place_that_was_closed_up_is_found(log: Log) -> None:
    await log.tamper(
        f"DELETE FROM audit_entries WHERE entry_id = {_THIRD}",
        "DELETE FROM audit_chain WHERE position = 3",
        "UPDATE audit_chain SET position = 3 WHERE position = 4",
        "UPDATE audit_chain SET position = 4 WHERE position = 5",
    )

    assert (await log.broken()).startswith("position 3: the entry, or one before it, is not the one")


async def test_entries_that_were_swapped_are_found(log: Log) -> None:
    await log.tamper(
        "UPDATE audit_chain SET position = -3 WHERE position = 3",
        "UPDATE audit_chain SET position = 3 WHERE position = 4",
        "UPDATE audit_chain SET position = 4 WHERE position = -3",
    )

    assert (await log.broken()).startswith("position 3: the entry, or one before it, is not the one")


async def test_an_end_of_the_chain_that_was_cut_off_is_found_while_its_entries_are_there(log: Log) -> None:
    await log.tamper("DELETE FROM audit_chain WHERE position > 3")

    assert await log.broken() == "position 4: cut off; 2 entries have no place in the chain"


async def test_an_end_that_was_cut_off_whole_is_found_by_a_hash_that_was_kept_elsewhere(log: Log) -> None:
    kept = (await verify_chain(log.store)).head
    await log.store.append_audit_entry(new_entry())
    await audit_entries(log.store, COUNT + 1)
    assert (await verify_chain(log.store, kept)).count == COUNT + 1  # it has grown since, and has the hash still
    await log.tamper(
        "DELETE FROM audit_entries WHERE entry_id IN (SELECT entry_id FROM audit_chain WHERE position > 3)",
        "DELETE FROM audit_chain WHERE position > 3",
    )

    assert (await verify_chain(log.store)) == SoundChain(3, (await log.store.list_audit_entries(2, 1))[0].link.hash, 0)
    assert (await log.broken(kept)).startswith("position 4: the kept hash is not in the chain")


def test_the_chain_is_the_one_that_anybody_can_compute() -> None:
    entry = new_entry(
        entry_id="01a1fd15-0839-7b58-8aa5-3d721121344c", subject='Ж"\n', details=(("consumer_id", "anna"),)
    )

    # printf '%064d' 0 | xxd -r -p, then the bytes of the entry as JSON, through sha256sum
    assert next_hash(bytes(32), entry).hex() == "7dec124f27525ce01afae293d03b933b1c724c4c9f4752113cb66e94a967a98e"
