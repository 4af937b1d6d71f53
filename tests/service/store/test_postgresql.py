"""What the store does when its PostgreSQL server fails, and what several nodes see of each other."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from service.errors import StoreUnavailable
from service.sale_states import SaleState
from service.store import Sale, SaleChange, Store, StoredAccessToken
from service.store.postgresql import PostgresqlStore, database
from service.store.postgresql.database import Connection, Database
from service.store.postgresql.sales import NewSession, open_new_sessions
from tests.postgresql import PostgresqlServer, postgresql_server
from tests.service.store.test_store import LATER, NOW, new_entry, new_report, new_sale, record_of
from tests.stores import open_postgresql, schema

pytestmark = pytest.mark.anyio
OUR_BACKENDS = "FROM pg_stat_activity WHERE application_name = 'sale-service'"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    """A server that tests may treat badly."""
    with postgresql_server("mistreated") as server:
        yield server


@pytest.fixture
def url(server: PostgresqlServer) -> Iterator[str]:
    # Where a try to connect is given up while it asks for TLS, asyncpg leaves an exception behind that nobody looks at.
    with schema(server.url(sslmode="disable")) as url:
        yield url


@pytest.fixture
async def store(url: str, anyio_backend: str) -> AsyncIterator[PostgresqlStore]:
    store = await open_postgresql(url)
    yield store
    await store.close()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(url, connection_class=Connection)
    try:
        yield connection
    finally:
        await connection.close()


async def administer(server: PostgresqlServer, sql: str) -> list[tuple[str, ...]]:
    return await asyncio.to_thread(server.execute, sql)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + 10
    while not await condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def fails_with(store: Store, url: str, sqlstate: str, times: int) -> None:
    """Make the server fail with this SQLSTATE when a sale is inserted, so many times."""
    async with connected(url) as connection:
        await connection.execute(f"""
            CREATE SEQUENCE failures;
            CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF nextval('failures') <= {times} THEN
                    RAISE EXCEPTION 'on purpose' USING ERRCODE = '{sqlstate}';
                END IF;
                RETURN new;
            END $$;
            CREATE TRIGGER fail BEFORE INSERT ON sales FOR EACH ROW EXECUTE FUNCTION fail();
        """)


@pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
async def test_a_transaction_that_lost_a_conflict_is_made_again(store: Store, url: str, sqlstate: str) -> None:
    await fails_with(store, url, sqlstate, 3)
    sale = new_sale()

    assert await store.open_session(sale, record_of(sale)) is None
    assert await store.find_sale(sale.invoice_id) == sale


@pytest.mark.parametrize("sqlstate", ["53100", "53200", "57014", "58030", "XX000", "55P03"])
async def test_a_server_that_can_not_write_is_said_to_be_unavailable(store: Store, url: str, sqlstate: str) -> None:
    await fails_with(store, url, sqlstate, 1)
    sale = new_sale()

    with pytest.raises(StoreUnavailable) as refusal:
        await store.open_session(sale, record_of(sale))
    assert refusal.value.retry_after_seconds == 1
    assert await store.find_sale(sale.invoice_id) is None
    assert await store.find_idempotency_record(sale.access_token_hash, "order-1", NOW) is None
    assert await store.open_session(sale, record_of(sale)) is None


async def test_a_fault_that_nobody_foresaw_is_told_as_it_is_and_is_not_its_neighbours(store: Store) -> None:
    sales = [new_sale(number) for number in range(20)]
    sales[7] = replace(sales[7], amount_centis=0)

    results = await asyncio.gather(*(store.open_session(sale, None) for sale in sales), return_exceptions=True)

    assert isinstance(results.pop(7), asyncpg.CheckViolationError)
    assert results == [None] * 19
    assert await store.find_sale(sales[8].invoice_id) == sales[8]


async def test_a_statement_that_takes_too_long_is_given_up(url: str) -> None:
    store = PostgresqlStore(Database(url, statement_timeout=timedelta(milliseconds=200)))
    await store.open()
    sale = new_sale()
    async with connected(url) as other, other.transaction():
        await other.execute("LOCK TABLE sales")
        with pytest.raises(StoreUnavailable):
            await store.open_session(sale, None)

    assert await store.find_sale(sale.invoice_id) is None
    await store.close()


async def test_a_sale_in_other_hands_does_not_hold_up_other_checks(store: Store, url: str) -> None:
    held, free = new_sale(1), new_sale(2)
    for sale in (held, free):
        await store.open_session(sale, None)
    async with connected(url) as other, other.transaction():
        await other.execute("SELECT FROM sales WHERE invoice_id = $1 FOR UPDATE", held.invoice_id)
        waiting = asyncio.create_task(store.bind_check(held.invoice_id, "a" * 16, None, LATER))
        checked = await asyncio.wait_for(store.bind_check(free.invoice_id, "b" * 16, None, LATER), 1)
        assert checked.session_token == "b" * 16
        assert not waiting.done()
    assert (await waiting).session_token == "a" * 16


async def test_a_pool_that_is_exhausted_refuses_in_time(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "PATIENCE_SECONDS", 0.3)
    store = PostgresqlStore(Database(url, connections=3))
    await store.open()
    sales = [new_sale(number) for number in range(5)]
    for sale in sales:
        await store.open_session(sale, None)
    async with connected(url) as other, other.transaction():
        await other.execute("LOCK TABLE status_reports")
        reports = [store.report_status(new_report(sale), must_move=False) for sale in sales]
        results = await asyncio.gather(*reports, return_exceptions=True)
        assert {type(result) for result in results} == {StoreUnavailable}
        assert await store.find_sale(sales[0].invoice_id)  # reads have connections of their own

    assert await store.report_status(new_report(sales[-1]), must_move=False)
    await store.close()


async def test_connections_that_are_cut_lose_no_session_and_open_none_twice(
    store: PostgresqlStore, server: PostgresqlServer
) -> None:
    opened: dict[str, Sale] = {}
    bound: dict[str, str] = {}
    cutting = True

    async def cut() -> None:
        while cutting:
            await administer(server, f"SELECT pg_terminate_backend(pid) {OUR_BACKENDS}")
            await asyncio.sleep(0.05)

    async def live(number: int) -> None:
        sale = new_sale(number)
        record = replace(record_of(sale), idempotency_key=f"order-{number}")
        try:
            assert await store.open_session(sale, record) is None
            opened[sale.invoice_id] = sale
            token = f"token-{number:012}"
            assert (await store.bind_check(sale.invoice_id, token, None, LATER)).session_token == token
            bound[sale.invoice_id] = token
        except StoreUnavailable:
            pass

    cutter = asyncio.create_task(cut())
    for start in range(0, 600, 60):
        await asyncio.gather(*(live(number) for number in range(start, start + 60)))
    cutting = False
    await cutter

    assert len(bound) > 300
    for invoice_id, sale in opened.items():
        found = await store.find_sale(invoice_id)
        assert found is not None
        assert found.signature == sale.signature
        assert bound.get(invoice_id) in {None, found.session_token}
    changes = await store.list_changes(0, 10_000)
    assert len({(change.sale.invoice_id, change.sale.state) for change in changes}) == len(changes)


async def test_a_server_that_restarts_is_found_again(store: Store, server: PostgresqlServer) -> None:
    before, after = new_sale(1), new_sale(2)
    await store.open_session(before, None)
    opening = None
    for mode in ("fast", "immediate"):
        await asyncio.to_thread(server.stop, mode)
        opening = asyncio.create_task(store.open_session(replace(after, nonce=mode, invoice_id=mode), None))
        await asyncio.sleep(0.1)
        assert not opening.done()
        await asyncio.to_thread(server.start)
        assert await opening is None

    assert await store.find_sale(before.invoice_id) == before


async def test_a_server_that_stays_away_is_said_to_be_unavailable(
    store: Store, server: PostgresqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PATIENCE_SECONDS", 0.3)
    await asyncio.to_thread(server.stop)
    try:
        for call in (store.find_sale("x"), store.open_session(new_sale(), None), store.ping()):
            with pytest.raises(StoreUnavailable):
                await call
    finally:
        await asyncio.to_thread(server.start)

    assert await store.open_session(new_sale(), None) is None


async def test_a_server_that_takes_no_writes_is_left(
    store: Store, server: PostgresqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PATIENCE_SECONDS", 0.3)
    await store.ping()
    async with read_only_from_now_on(server):
        with pytest.raises(StoreUnavailable):
            await store.open_session(new_sale(), None)
        with pytest.raises(StoreUnavailable):
            await store.ping()

    assert await store.open_session(new_sale(), None) is None


@asynccontextmanager
async def read_only_from_now_on(server: PostgresqlServer) -> AsyncIterator[None]:
    await administer(server, "ALTER SYSTEM SET default_transaction_read_only = on")
    await administer(server, "SELECT pg_reload_conf()")
    await asyncio.sleep(0.2)
    yield
    await administer(server, "ALTER SYSTEM RESET default_transaction_read_only")
    await administer(server, "SELECT pg_reload_conf()")
    await asyncio.sleep(0.2)


@asynccontextmanager
async def away_from_its_standby(server: PostgresqlServer) -> AsyncIterator[None]:
    """Let commits wait for a standby that is not there."""
    await administer(server, "ALTER SYSTEM SET synchronous_standby_names = 'ghost'")
    await administer(server, "SELECT pg_reload_conf()")
    await administer(server, "CHECKPOINT")
    try:
        yield
    finally:
        await administer(server, "ALTER SYSTEM RESET synchronous_standby_names")
        await administer(server, "SELECT pg_reload_conf()")


async def give_up_waiting(server: PostgresqlServer, how: str = "pg_cancel_backend") -> bool:
    """End the wait of all commits: what they wrote is on this server, and nowhere else. Tell whether there were any."""
    return bool(await administer(server, f"SELECT {how}(pid) {OUR_BACKENDS} AND wait_event = 'SyncRep'"))


@pytest.mark.parametrize("how", ["pg_cancel_backend", "pg_terminate_backend"])
async def test_a_commit_without_its_standby_is_not_acknowledged_before_another_one_was(
    store: Store, server: PostgresqlServer, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PATIENCE_SECONDS", 30)
    sale = new_sale()
    await store.open_session(new_sale(1), None)
    async with away_from_its_standby(server):
        opening = asyncio.create_task(store.open_session(sale, record_of(sale)))

        async def is_visible() -> bool:
            await give_up_waiting(server, how)
            return await store.find_sale(sale.invoice_id) is not None

        await until(is_visible)
        await asyncio.sleep(0.5)
        assert not opening.done()
    assert await opening is None
    assert await store.find_sale(sale.invoice_id) == sale
    assert await store.find_idempotency_record(sale.access_token_hash, "order-1", NOW) == record_of(sale)


async def test_what_is_on_one_server_only_is_neither_told_to_readers_nor_taken_for_done(
    store: Store, server: PostgresqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PATIENCE_SECONDS", 30)
    sale, token = new_sale(), StoredAccessToken(b"t" * 32, NOW, NOW + timedelta(days=1), consumer_id="anna")
    await store.add_access_token(token, new_entry())
    async with away_from_its_standby(server):
        begun: list[asyncio.Task[Any]] = [
            asyncio.create_task(store.open_session(sale, None)),
            asyncio.create_task(store.revoke_access_token(token.hash, NOW, new_entry())),
        ]

        async def are_visible() -> bool:
            await give_up_waiting(server)
            revoked = await store.find_access_token(token.hash)
            return bool(await store.find_sale(sale.invoice_id) and revoked and revoked.revoke_time)

        await until(are_visible)
        begun += [
            asyncio.create_task(store.list_changes(0, 10)),
            asyncio.create_task(store.revoke_access_token(token.hash, LATER, new_entry())),
            asyncio.create_task(store.revoke_consumer_tokens("anna", LATER, new_entry())),
        ]
        await asyncio.sleep(0.5)
        assert not any(task.done() for task in begun)
    *_, changes, _, count = await asyncio.gather(*begun)
    assert [change.sale for change in changes] == [sale]
    assert count == 0


async def test_a_warning_of_another_kind_keeps_nothing_from_being_acknowledged(store: Store, url: str) -> None:
    async with connected(url) as connection:
        await connection.execute("""
            CREATE FUNCTION warn() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                RAISE WARNING 'database must be vacuumed';
                RETURN new;
            END $$;
            CREATE TRIGGER warn BEFORE INSERT ON sales FOR EACH ROW EXECUTE FUNCTION warn();
        """)

    assert await asyncio.wait_for(store.open_session(new_sale(), None), 2) is None


async def test_a_server_that_would_not_wait_or_not_warn_is_not_taken_as_it_is(url: str) -> None:
    with pytest.raises(RuntimeError, match="synchronous_commit is off"):
        await open_postgresql(f"{url}&synchronous_commit=off")

    quiet = Database(f"{url}&client_min_messages=error")
    assert await quiet.read(lambda connection: connection.fetchval("SHOW client_min_messages")) == "warning"
    await quiet.close()


async def test_what_can_not_be_found_out_is_not_done_twice(store: Store, server: PostgresqlServer) -> None:
    sale = new_sale(random_sum_centis=5)
    await store.open_session(sale, None)
    async with away_from_its_standby(server):
        counting = asyncio.create_task(store.count_random_sum_answer(sale.invoice_id, failed=True))
        await until(lambda: give_up_waiting(server, "pg_terminate_backend"))
        with pytest.raises(StoreUnavailable):
            await counting
    assert await store.count_random_sum_answer(sale.invoice_id, failed=False) == 1


async def test_a_server_that_hangs_keeps_nobody_waiting(
    url: str, server: PostgresqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PATIENCE_SECONDS", 0.5)
    store = await open_postgresql(url)
    await store.open_session(new_sale(), None)
    server.pause()
    try:
        calls = [
            store.find_card("anna", "x"),
            store.find_sale("x"),
            store.open_session(new_sale(1), None),
            store.list_changes(0, 10),
        ]
        results = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 5)
        assert {type(result) for result in results} == {StoreUnavailable}
        await asyncio.wait_for(store.close(), 5)
    finally:
        server.resume()


async def test_changes_are_told_again_after_an_error_that_nobody_foresaw(store: Store, url: str) -> None:
    other = await open_postgresql(url)
    async with connected(url) as connection:
        await connection.execute("ALTER TABLE change_order RENAME TO lost")
        await store.open_session(new_sale(1), None)
        await asyncio.sleep(0.2)
        await connection.execute("ALTER TABLE lost RENAME TO change_order")
    await other.wait_for_change()
    waiting = asyncio.create_task(other.wait_for_change())
    begun = time.monotonic()
    await asyncio.sleep(0.1)
    await store.open_session(new_sale(2), None)
    await waiting
    assert time.monotonic() - begun < 0.7
    assert len(await other.list_changes(0, 10)) == 2
    await other.close()


async def test_a_write_goes_on_when_whoever_asked_is_gone(store: Store, url: str) -> None:
    sale = new_sale()
    await store.open_session(sale, None)
    async with connected(url) as other, other.transaction():
        await other.execute("LOCK TABLE status_reports")
        reporting = asyncio.create_task(store.report_status(new_report(sale), must_move=False))
        await asyncio.sleep(0.1)
        reporting.cancel()

    async def is_reported() -> bool:
        found = await store.find_sale_and_reports(sale.invoice_id)
        return found is not None and len(found[1]) == 1

    await until(is_reported)


async def test_a_host_that_does_not_answer_keeps_nobody_from_the_other(url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connections to it are made, and nobody takes them up
        begun = time.monotonic()
        store = await open_postgresql(url.replace("@127.0.0.1", f"@127.0.0.1:{silent.getsockname()[1]},127.0.0.1"))
        assert await store.open_session(new_sale(), None) is None
        assert time.monotonic() - begun < database._CONNECT_SECONDS
        await store.close()


async def test_a_change_that_becomes_visible_late_is_told_after_those_that_were_told(store: Store, url: str) -> None:
    first, second, third = (new_sale(number) for number in range(3))
    async with connected(url) as slow:
        transaction = slow.transaction()
        await transaction.start()
        await open_new_sessions(slow, [NewSession(first, None)])
        await store.open_session(second, None)
        (told,) = await store.list_changes(0, 10)
        await store.open_session(third, None)
        await transaction.commit()

        later = await store.list_changes(told.position, 10)
    assert told.sale == second
    assert {change.sale.invoice_id for change in later} == {first.invoice_id, third.invoice_id}
    assert [change.position for change in later] == [told.position + 1, told.position + 2]


async def test_nodes_that_write_and_read_side_by_side_see_the_same_changes_in_the_same_order(url: str) -> None:
    nodes = [await open_postgresql(url) for _ in range(3)]
    sales = [new_sale(number) for number in range(60)]
    acknowledged: list[tuple[float, float, tuple[str, SaleState.ValueType]]] = []

    async def live(number: int, sale: Sale) -> None:
        first, second, third = (nodes[(number + step) % 3] for step in range(3))
        steps: list[tuple[SaleState.ValueType, Callable[[], Awaitable[object]]]] = [
            (SaleState.SALE_STATE_INITIATED, lambda: first.open_session(sale, None)),
            (SaleState.SALE_STATE_CHECKED, lambda: second.bind_check(sale.invoice_id, "a" * 16, None, LATER)),
            (SaleState.SALE_STATE_APPROVED, lambda: third.report_status(new_report(sale), must_move=False)),
        ]
        for state, step in steps:
            begun = time.monotonic()
            await step()
            acknowledged.append((begun, time.monotonic(), (sale.invoice_id, state)))

    async def follow(node: Store) -> list[SaleChange]:
        seen: list[SaleChange] = []
        while len(seen) < 3 * len(sales):
            changes = await node.list_changes(seen[-1].position if seen else 0, 7)
            seen.extend(changes)
            if not changes:
                await node.wait_for_change()
        return seen

    living = asyncio.gather(*map(live, range(len(sales)), sales))
    seen = await asyncio.wait_for(asyncio.gather(*(follow(node) for node in nodes)), 30)
    await living
    for node in nodes:
        await node.close()

    told = [[(change.position, (change.sale.invoice_id, change.sale.state)) for change in changes] for changes in seen]
    assert told[0] == told[1] == told[2]
    position = {change: position for position, change in told[0]}
    for begun, _, change in acknowledged:
        for _, ended, earlier in acknowledged:
            if ended < begun:  # acknowledged before the other was begun
                assert position[earlier] < position[change]


async def test_a_change_on_one_node_wakes_whoever_waits_on_another(store: Store, url: str) -> None:
    other = await open_postgresql(url)
    await other.wait_for_change()  # from then on it listens
    for number in range(3):
        waiting = asyncio.create_task(other.wait_for_change())
        await asyncio.sleep(0.1)
        begun = time.monotonic()
        await store.open_session(new_sale(number), None)
        await waiting
        assert time.monotonic() - begun < 0.7  # by itself it would have waited on
    await other.close()


async def test_without_notifications_changes_are_looked_for(store: Store, url: str, server: PostgresqlServer) -> None:
    other = await open_postgresql(url)
    await other.wait_for_change()
    await administer(server, f"SELECT pg_terminate_backend(pid) {OUR_BACKENDS} AND query LIKE 'LISTEN%'")
    sale = new_sale()
    await store.open_session(sale, None)

    await asyncio.wait_for(other.wait_for_change(), 2)
    assert [change.sale for change in await other.list_changes(0, 10)] == [sale]
    await other.close()


async def test_of_nodes_that_race_for_one_key_one_opens_a_session(url: str) -> None:
    nodes = [await open_postgresql(url) for _ in range(3)]
    for round_ in range(10):
        sales = [new_sale(100 * round_ + number) for number in range(9)]
        records = [replace(record_of(sale), idempotency_key=f"order-{round_}") for sale in sales]

        results = await asyncio.gather(
            *(
                nodes[n % 3].open_session(sale, record)
                for n, (sale, record) in enumerate(zip(sales, records, strict=True))
            )
        )

        (winner,) = (n for n, result in enumerate(results) if result is None)
        assert {result for result in results if result is not None} == {records[winner]}
        found = [await nodes[0].find_sale(sale.invoice_id) for sale in sales]
        assert [sale for sale in found if sale is not None] == [sales[winner]]
    for node in nodes:
        await node.close()


async def test_a_read_that_is_cancelled_leaves_no_transaction_behind(url: str) -> None:
    database = Database(url)

    async def take_a_snapshot(connection: Connection) -> None:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.fetchval("SELECT 1")

    async def find_read_only(connection: Connection) -> str:
        return str(await connection.fetchval("SHOW transaction_read_only"))

    await database.read(find_read_only)
    for turns in range(10):
        task = asyncio.create_task(database.read(take_a_snapshot))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

        assert await database.read(find_read_only) == "off"
    await database.close()
