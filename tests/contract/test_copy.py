"""`sale-service copy`: from the file of one node to the database of many, and what it refuses."""

import asyncio
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import apsw
import asyncpg
import pytest
from click.testing import CliRunner, Result
from connectingparty.sale.v1.access_token_service_pb2 import RevokeAccessTokenRequest
from connectingparty.sale.v1.blocklist_service_pb2 import AddBlockRequest, BlockKind
from connectingparty.sale.v1.card_service_pb2 import DeleteCardRequest, PutCardRequest
from connectingparty.sale.v1.sale_service_pb2 import WatchSalesRequest

from service.program.cli import main
from service.sale_events import FLUSH_SECONDS
from service.store.postgresql.copying import CopyOvertaken, CopyTarget
from service.store.postgresql.database import Connection
from service.store.sqlite.file import open_writer
from service.store.sqlite.tables import CARDS, SALE_EVENTS, SALES, STATUS_REPORTS
from service.store.tables import Page
from tests.conftest import Deployment, deploy
from tests.contract.test_callback import checked, stored
from tests.contract.test_cards import NUMBER, card_data, consumer_of, refusal
from tests.contract.test_watch import take
from tests.merchant import (
    RANDOM_SUM,
    callback_parameters,
    check_document,
    client_ids_document,
    initiate_document,
    write_config,
)
from tests.running import PROGRAMS
from tests.service.store.test_store import NOW, new_card, new_event, new_report, new_sale
from tests.stores import open_postgresql, schema

TABLES = (
    "sales",
    "status_reports",
    "sale_events",
    "cards",
    "access_tokens",
    "idempotency_records",
    "sale_changes",
    "audit_entries",
    "audit_chain",
    "limit_uses",
    "blocks",
)
PROGRAM = str(PROGRAMS / "sale-service")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MADE_BY_THE_TARGET = "change_time"
Contents = dict[str, list[str]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sale.db"


@pytest.fixture
def target(postgresql_url: str) -> Iterator[str]:
    with schema(postgresql_url) as url:
        yield url


def arguments(path: Path, target: str, *more: str) -> list[str]:
    return ["copy", f"--from=sqlite:///{path}", f"--to={target}", *more]


def copy(*arguments: str) -> Result:
    """Run the command within this process: starting a program takes longer than copying some rows."""
    return CliRunner().invoke(main, arguments)


def require_copied(path: Path, target: str, *more: str) -> dict[str, tuple[int, ...]]:
    """Copy, and return how many rows of each table were copied, updated, removed and equal."""
    done = copy(*arguments(path, target, *more))
    assert (done.exit_code, done.stderr) == (0, ""), done.output
    return counts(done.stdout)


def counts(output: str) -> dict[str, tuple[int, ...]]:
    words = [line.replace(",", "").split() for line in output.splitlines()]
    assert all(line[2::2] == ["copied", "updated", "removed", "equal"] for line in words)
    return {line[0]: tuple(map(int, line[1::2])) for line in words}


def require_refused(path: Path, target: str, *told: str, code: int = 1) -> None:
    done = copy(*arguments(path, target))
    assert (done.exit_code, done.stdout) == (code, ""), done.output
    assert done.stderr.startswith("Error: ")
    assert len(done.stderr.splitlines()) == 1
    assert all(words in done.stderr for words in told), done.stderr


def fill(path: Path, *numbers: int) -> None:
    """Store sales, each with a change and three reports, of which a later one has a smaller key."""
    with closing(open_writer(path)) as connection, connection:
        for number in numbers:
            sale = new_sale(number, NOW + timedelta(milliseconds=number))
            connection.execute(SALES.insert, SALES.row(sale))
            for status in ("unknown", "processing", "approved"):
                connection.execute(STATUS_REPORTS.insert, STATUS_REPORTS.row(new_report(sale, status)))
            connection.execute(SALE_EVENTS.insert, SALE_EVENTS.row(new_event(sale, 1)))


def in_source(path: Path, statement: str) -> None:
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(statement)


def in_target(target: str, statement: str) -> list[Any]:
    async def fetch() -> list[Any]:
        connection = await asyncpg.connect(target)
        try:
            return await connection.fetch(statement)
        finally:
            await connection.close()

    return asyncio.run(fetch())


def on_target(target: str) -> None:
    """Open the store as a server does."""

    async def run() -> None:
        await (await open_postgresql(target)).close()

    asyncio.run(run())


def select(table: str) -> str:
    return f"SELECT * FROM {table}"


def contents_of_source(path: Path) -> Contents:
    """Return all that is stored; a report with the number of its arrival."""
    contents: Contents = {}
    with closing(apsw.Connection(str(path))) as connection:
        for table in TABLES:
            names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            rows = [dict(zip(names, row, strict=True)) for row in connection.execute(select(table))]
            if table == "status_reports":
                arrivals: dict[str, int] = {}
                for row in rows:  # they are in the order of their arrival
                    row["arrival"] = arrivals[row["invoice_id"]] = arrivals.get(row["invoice_id"], 0) + 1
            contents[table] = sorted(str(sorted(row.items())) for row in rows)
        purged = connection.execute("SELECT position FROM purged_changes").get
        last, time = connection.execute("SELECT max(position), max(order_time) FROM sale_changes").get
        contents["change_order"] = [f"{purged} {last} {time}"]
    return contents


def contents_of_target(target: str) -> Contents:
    """Return all that is stored, in SQLite's words."""

    def plain(value: Any) -> Any:
        if isinstance(value, datetime):
            return (value - EPOCH) // timedelta(microseconds=1)
        return int(value) if isinstance(value, bool) else value

    contents = {
        table: sorted(
            str(sorted((name, plain(value)) for name, value in row.items() if name != MADE_BY_THE_TARGET))
            for row in in_target(target, select(table))
        )
        for table in TABLES
    }
    order = "SELECT purged_position, last_position, nullif(last_time, '-infinity') FROM change_order"
    ((purged, last, time),) = in_target(target, order)
    return {**contents, "change_order": [f"{purged} {last} {plain(time)}"]}


def watched(deployment: Deployment, count: int, cursor: str = "") -> list[Any]:
    request = WatchSalesRequest(cursor=cursor) if cursor else WatchSalesRequest()
    return take(deployment.grpc.sales.WatchSales(request, timeout=20), count)


def test_the_servers_after_a_copy_go_on_where_the_one_before_it_stopped(path: Path, target: str) -> None:
    folder = path.parent
    with ExitStack() as stack:
        before = deploy(stack, "one process", folder)
        anna = consumer_of(before, before.http, email="anna@example.com")
        put = PutCardRequest(consumer_id=anna.id, card=card_data())
        kept, deleted = (before.grpc.cards.PutCard(put, timeout=20).card.client_card_id for _ in range(2))
        ended = checked(before.http)
        for status in ("unknown", "processing", "approved"):
            assert before.http.callback(callback_parameters(ended, status)).code == 0
        block = AddBlockRequest(kind=BlockKind.BLOCK_KIND_BIN, value="5555", reason="fraud")
        before.grpc.blocklist.AddBlock(block, timeout=20)
        time.sleep(5 * FLUSH_SECONDS)  # a copy is verified, and must not meet what is written behind the answers
        while_it_serves = require_copied(path, target)
        before.grpc.cards.DeleteCard(DeleteCardRequest(consumer_id=anna.id, client_card_id=deleted), timeout=20)
        revoked = before.http.request_access_token()
        before.grpc.access_tokens.RevokeAccessToken(RevokeAccessTokenRequest(access_token=revoked), timeout=20)
        checked(before.http, RANDOM_SUM)
        document = initiate_document(before.http.request_access_token())
        opened = before.http.initiate(document, "order-1")
        reports = stored(before, ended).status_reports
        changes = watched(before, 9)

    assert while_it_serves["sales"] == (2, 0, 0, 2)
    program = subprocess.run([PROGRAM, *arguments(path, target)], capture_output=True, text=True, check=True)
    assert program.stderr == ""  # no terminal, no bar
    done = counts(program.stdout)
    assert (done["sales"], done["cards"]) == ((2, 0, 0, 4), (0, 1, 0, 3))
    assert done["sale_changes"] == (3, 0, 0, 9)
    assert contents_of_target(target) == contents_of_source(path)

    with ExitStack() as stack:
        (folder / "after").mkdir()
        after = deploy(stack, "one process", folder / "after", store=target)
        blocked = PutCardRequest(consumer_id=anna.id, card=card_data("5555555555554444"))
        assert refusal(after.grpc.cards.PutCard, blocked).code == 2003
        assert watched(after, 6, changes[2].cursor) == changes[3:]
        assert stored(after, ended).status_reports == reports
        assert after.http.initiate(document, "order-1") == opened
        check = check_document(document["session"]["accessToken"], opened.body)
        assert after.http.check(opened.body["invoiceId"], check).code == 0
        assert watched(after, 1, changes[-1].cursor)[0].sale.invoice_id == opened.body["invoiceId"]
        told = after.http.client_ids(anna.invoice_id, client_ids_document(anna.access_token, anna.serial_number))
        assert told.body["sourceCardRefId"] == anna.client_card_id
        by_reference = anna.check(after.http, anna.client_card_id).body["sourceOfFunds"]
        assert by_reference == {"reference": {"serverCardId": anna.server_card_id}}
        assert anna.check(after.http, kept).body["sourceOfFunds"]["card"]["number"] == NUMBER
        assert anna.check(after.http, deleted).code == 1106
        assert after.http.initiate(initiate_document(revoked)).code == 1101

    before_it = contents_of_target(target)
    require_refused(path, target, "--to: a server has used it. Nothing was changed.")
    assert contents_of_target(target) == before_it


def test_a_second_copy_brings_what_is_new_and_repairs_what_differs(path: Path, target: str) -> None:
    fill(path, *range(1003))
    expected = {"sales": 1003, "status_reports": 3009, "sale_events": 1003, "sale_changes": 1003}
    for copied in (1, 0):
        assert require_copied(path, target) == {
            table: (expected.get(table, 0) * copied, 0, 0, expected.get(table, 0)) for table in TABLES
        }

    for statement in (
        "UPDATE sales SET amount_centis = 1, ip_addresses = '[]' WHERE serial_number IS NOT NULL AND nonce ="
        " (SELECT min(nonce) FROM sales)",
        "UPDATE status_reports SET status = 'other' WHERE arrival = 2",
        "DELETE FROM sale_changes WHERE position = 500",
        "UPDATE sale_changes SET update_time = update_time + interval '1 microsecond' WHERE position = 2",
        "DELETE FROM sales WHERE invoice_id = (SELECT max(invoice_id) FROM sales)",
    ):
        in_target(target, statement)
    fill(path, 1003)
    done = require_copied(path, target)

    assert done["sales"] == (2, 1, 0, 1004)
    assert done["status_reports"] == (3, 1003, 0, 3012)
    assert done["sale_changes"] == (2, 1, 0, 1004)
    assert contents_of_target(target) == contents_of_source(path)


def test_a_sale_may_have_any_number_of_reports(path: Path, target: str) -> None:
    fill(path, 0, 1)
    with closing(apsw.Connection(str(path))) as connection, connection:
        for orderid in range(2101, 1, -1):
            report = new_report(new_sale(0), orderid=str(orderid))
            connection.execute(STATUS_REPORTS.insert, STATUS_REPORTS.row(report))

    assert require_copied(path, target)["status_reports"] == (2106, 0, 0, 2106)
    assert contents_of_target(target) == contents_of_source(path)


def test_a_card_that_was_deleted_and_saved_again_is_copied_as_both(path: Path, target: str) -> None:
    fill(path)
    old, new = (new_card(number) for number in range(2))
    for card in (old, new):
        with closing(apsw.Connection(str(path))) as connection:
            connection.execute("UPDATE cards SET delete_time = 1")
            connection.execute(CARDS.insert, CARDS.row(card))
        done = require_copied(path, target)

    assert done["cards"] == (1, 1, 0, 2)
    assert contents_of_target(target) == {**contents_of_source(path), "change_order": ["0 0 None"]}


def test_a_copy_that_is_killed_is_finished_by_the_next_one(path: Path, target: str) -> None:
    fill(path, *range(6000))

    async def wait_for_sales() -> None:
        connection = await asyncpg.connect(target)
        async with asyncio.timeout(20):
            while not await connection.fetchval("SELECT count(*) FROM sales"):  # noqa: ASYNC110  # of another process
                await asyncio.sleep(0.001)
        await connection.close()

    with subprocess.Popen([PROGRAM, *arguments(path, target)], stdout=subprocess.DEVNULL) as process:
        asyncio.run(wait_for_sales())
        process.send_signal(signal.SIGKILL)
    ((copied,),) = in_target(target, "SELECT count(*) FROM sales")

    assert 0 < copied < 6000
    assert require_copied(path, target)["sales"] == (6000 - copied, 0, 0, 6000)
    assert contents_of_target(target) == contents_of_source(path)


def test_what_the_source_has_no_more_is_removed(path: Path, target: str) -> None:
    fill(path, *range(1005))
    in_source(path, "INSERT INTO access_tokens (hash, issue_time, expire_time) VALUES (x'00', 1, 2)")
    require_copied(path, target)
    for purge in (
        "DELETE FROM sale_changes WHERE position <= 3",
        "UPDATE purged_changes SET position = 3",
        "DELETE FROM access_tokens",
        "DELETE FROM sales WHERE invoice_id = (SELECT min(invoice_id) FROM sales)",
        "DELETE FROM status_reports WHERE invoice_id = (SELECT max(invoice_id) FROM sales)",
    ):
        in_source(path, purge)

    done = require_copied(path, target)

    assert {table: removed for table, (_, _, removed, _) in done.items() if removed} == {
        "sales": 1,
        "status_reports": 3,
        "access_tokens": 1,
        "sale_changes": 3,
    }
    assert contents_of_target(target) == contents_of_source(path)
    in_source(path, "DELETE FROM sale_changes")
    in_source(path, "UPDATE purged_changes SET position = 1005")
    require_copied(path, target)
    assert in_target(target, "SELECT last_position, purged_position FROM change_order") == [(1005, 1005)]


def test_a_source_that_changes_until_the_end_is_told(path: Path, target: str) -> None:
    fill(path, *range(3))
    ended = threading.Event()

    def keep_changing() -> None:
        with closing(apsw.Connection(str(path))) as connection:
            connection.pragma("synchronous", "OFF")
            connection.set_busy_timeout(2000)
            while not ended.is_set():
                connection.execute("UPDATE sales SET random_sum_failures = random_sum_failures + 1")

    thread = threading.Thread(target=keep_changing)
    thread.start()
    try:
        done = copy(*arguments(path, target))
    finally:
        ended.set()
        thread.join()

    assert done.exit_code == 1
    assert "sales 3 copied, 0 updated, 0 removed, 0 equal, 3 not equal\n" in done.stdout
    assert "status_reports 9 copied, 0 updated, 0 removed, 9 equal\n" in done.stdout
    assert done.stderr.startswith("Error: The target is not equal to the source")
    assert "Stop its server and run this again." in done.stderr
    assert require_copied(path, target)["sales"] == (0, 3, 0, 3)


def test_a_target_that_was_used_is_refused_and_one_that_is_not_equal_yet_is_not_used(path: Path, target: str) -> None:
    fill(path, *range(3))
    in_target(target, "ALTER TABLE cards ADD CHECK (consumer_id <> 'anna')")
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(CARDS.insert, CARDS.row(new_card()))
    assert copy(*arguments(path, target)).exit_code == 1
    arguments_of_server = ["serve", f"--config={write_config(path.parent / 'sale.toml')}", f"--store={target}"]
    refused = CliRunner().invoke(main, ["purge", *arguments_of_server[1:]])
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "a copy into the database is not finished" in refused.stderr

    in_target(target, "ALTER TABLE cards DROP CONSTRAINT cards_consumer_id_check")
    require_copied(path, target)
    looked_at = CliRunner().invoke(main, ["export", *arguments_of_server[1:], "--until=2030-01-01"])
    assert len(looked_at.stdout.splitlines()) == 3
    require_copied(path, target)
    on_target(target)
    before = contents_of_target(target)
    fill(path, 7)
    require_refused(path, target, "--to: a server has used it. Nothing was changed.")
    assert contents_of_target(target) == before


def test_what_is_not_migrated_or_not_there_is_refused(path: Path, postgresql_url: str, tmp_path: Path) -> None:
    fill(path)
    with schema(postgresql_url, migrated=False) as target:
        require_refused(path, target, "--to: the schema is version 0", "run sale-service migrate")
        require_refused(tmp_path / "other.db", target, "--from: there is no file", code=2)
        in_source(path, "PRAGMA user_version = 1")
        require_refused(path, target, "--from: the schema is version 1", "run sale-service migrate")
        in_source(path, "PRAGMA user_version = 99")
        require_refused(path, target, "--from: the schema is version 99", "install a newer one")
        path.write_text("no database, but long enough to be taken for one" * 100)
        require_refused(path, target, "can't be opened", code=2)
    assert not (tmp_path / "other.db").exists()


@pytest.mark.parametrize(
    ("source", "target", "told"),
    [
        ("postgresql://a@127.0.0.1/a", "postgresql://b@127.0.0.1/b", "--from: must be sqlite:///PATH"),
        ("sqlite:///a.db", "sqlite:///b.db", "--to: must be postgresql://"),
        ("sqlite:///a.db", "mysql://b@127.0.0.1/b", "store.url: must be sqlite:///PATH"),
    ],
)
def test_the_wrong_kind_of_store_is_told_in_one_line(source: str, target: str, told: str) -> None:
    done = copy("copy", "--from", source, "--to", target)

    assert done.exit_code == 2
    assert done.stderr.startswith(f"Error: {told}")
    assert len(done.stderr.splitlines()) == 1


def test_hosts_and_password_are_those_of_the_settings_and_no_secret_is_told(path: Path, target: str) -> None:
    fill(path, 1)
    parts = urlsplit(target)
    hosts = f"127.0.0.1:1,{parts.hostname}:{parts.port or 5432}"
    url = parts._replace(netloc=f"{parts.username}@{hosts}").geturl()
    (path.parent / "password").write_text(f"{parts.password or ''}\n")
    settings = f'[store]\npassword_file = "{path.parent / "password"}"\n'
    config = write_config(path.parent / "sale.toml", settings)

    assert require_copied(path, url, f"--config={config}")["sales"] == (1, 0, 0, 1)

    in_target(target, "DELETE FROM sales")
    in_target(target, "ALTER TABLE sales ADD CHECK (amount_centis < 1000)")
    done = copy(*arguments(path, url, f"--config={config}"))
    assert done.exit_code == 1
    assert "violates check constraint" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert new_sale(1).nonce not in done.stderr


@pytest.mark.anyio
async def test_a_copy_that_another_one_has_overtaken_writes_no_more(target: str, anyio_backend: str) -> None:
    connections = [await asyncpg.connect(target, connection_class=Connection) for _ in range(2)]
    slow, quick = map(CopyTarget, connections)
    assert await slow.begin()
    assert await quick.begin()
    await quick.end()
    store = await open_postgresql(target)
    await store.open_session(new_sale(), None)

    surplus = await slow.compare("sales", Page([], ("",), None))
    assert len(surplus.surplus) == 1
    for work in (slow.write("sales", surplus), slow.note_ends(7), slow.end()):
        with pytest.raises(CopyOvertaken):
            await work
    assert not await slow.begin()
    assert await store.find_sale(new_sale().invoice_id) == new_sale()
    await store.close()
    for connection in connections:
        await connection.close()
