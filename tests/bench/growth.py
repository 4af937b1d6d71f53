"""How throughput changes with the number of sales that are stored: `python -m tests.bench.growth`.

Fills stores with sales in bulk: a year of them, each as one that was checked and approved leaves it. Then pairs of real
requests (initiate, check) run against a server on each store in turn, in several rounds; the medians are told side by
side. Needs wrk, and for ten million sales on both engines some 40 GB of disk and half an hour.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import apsw

from service.store.sqlite.file import open_writer
from service.store.tables import CHANGING
from tests.bench.load import pairs_per_second, wrk_is_missing
from tests.merchant import SBC, write_config
from tests.postgresql import PostgresqlInstallation, PostgresqlServer, postgresql_installation
from tests.running import PROGRAMS, Program, running, service_arguments

DEVICES = 1_000_000
TOKENS = 2_000
YEAR_SECONDS = 365 * 86_400
SERVER_SETTINGS = {"shared_buffers": "2GB", "max_wal_size": "8GB", "checkpoint_timeout": "15min"}
SETTINGS = '[access_tokens]\nmode = "any"\n'


class Dialect(NamedTuple):
    """How an engine says what the rows are made of."""

    hexadecimal: Callable[[int], str]
    """Random digits, of so many bytes."""
    blob: str
    """32 random bytes."""
    moment: Callable[[str], str]
    """A time, of microseconds since 1970."""
    digits: Callable[[str], str]
    """12 hexadecimal digits of a number."""
    false: str


SQLITE = Dialect(
    lambda size: f"lower(hex(randomblob({size})))",
    "randomblob(32)",
    lambda microseconds: microseconds,
    lambda number: f"printf('%012x', {number})",
    "0",
)
POSTGRESQL = Dialect(
    lambda size: f"substr({'||'.join(['md5(random()::text)'] * (-(-size // 16)))}, 1, {2 * size})",
    "sha256(random()::text::bytea)",
    lambda microseconds: f"timestamptz 'epoch' + ({microseconds}) * interval '1 microsecond'",
    lambda number: f"lpad(to_hex({number}), 12, '0')",
    "false",
)


def sale_columns(dialect: Dialect) -> Mapping[str, str]:
    """Return what the columns of sale number `i` hold, `t` being when it was initiated, in microseconds."""
    milliseconds, tail = dialect.digits("t / 1000"), dialect.hexadecimal(10)
    later = dialect.moment("t + 5000000")
    return {
        "invoice_id": f"substr({milliseconds}, 1, 8) || '-' || substr({milliseconds}, 9) || '-7' ||"
        f" substr({tail}, 1, 3) || '-8' || substr({tail}, 1, 3) || '-' || substr({tail}, 1, 11) || 'f'",
        "endpoint_id": f"'{SBC.endpoint_id}'",
        "consumer_id": f"'device:device-' || (i * 7919 % {DEVICES})",
        "access_token_hash": dialect.blob,
        "serial_number": f"'device-' || (i * 7919 % {DEVICES})",
        "ip_addresses": "'[\"192.0.2.17\"]'",
        "amount_centis": "1 + i % 99999",
        "currency": f"'{SBC.currency}'",
        "nonce": dialect.hexadecimal(32),
        "signature": f"upper({dialect.hexadecimal(20)})",
        "initiate_time": dialect.moment("t"),
        "expire_time": dialect.moment("t + 1800000000"),
        "update_time": later,
        "state": "'APPROVED'",
        "random_sum_failures": "0",
        "session_token": dialect.hexadecimal(18),
        "check_time": later,
        "orderid": "'' || i",
        "amount_differs": dialect.false,
    }


def change_columns() -> Mapping[str, str]:
    """Return what the columns of the changes of a sale hold: it is enough that they are as many and as large."""
    return {
        "position": "row_number() OVER (ORDER BY invoice_id, step)",
        "order_time": "update_time",
        "invoice_id": "invoice_id",
        **{name: name for name in CHANGING},
    }


def insert(table: str, columns: Mapping[str, str], source: str) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(columns.values())} FROM {source}"


def fill_sqlite(path: Path, count: int) -> None:
    """Make a file with so many sales."""
    begin = int((time.time() - YEAR_SECONDS) * 1e6)
    numbers = f"(WITH RECURSIVE numbers (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < {count})"
    source = f"{numbers} SELECT i, {begin} + i * {YEAR_SECONDS * 1_000_000 // count} AS t FROM numbers)"
    steps = "sales, (SELECT 1 AS step UNION ALL SELECT 2 UNION ALL SELECT 3)"
    open_writer(path).close()
    with closing(apsw.Connection(str(path))) as connection:
        for name, value in (("journal_mode", "OFF"), ("synchronous", "OFF"), ("cache_size", -4_000_000)):
            connection.pragma(name, value)
        triggers = list(connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'"))
        indexes = list(connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql NOT NULL"))
        for kind, found in (("TRIGGER", triggers), ("INDEX", indexes)):
            for name, _ in found:
                connection.execute(f"DROP {kind} {name}")
        connection.execute(insert("sales", sale_columns(SQLITE), source))
        connection.execute(insert("sale_changes", change_columns(), steps))
        for _, sql in [*triggers, *indexes]:
            connection.execute(sql)
        connection.execute("ANALYZE")


def fill_postgresql(server: PostgresqlServer, count: int) -> None:
    """Fill an empty schema with so many sales."""
    begin = int((time.time() - YEAR_SECONDS) * 1e6)
    source = (
        f"(SELECT i, {begin} + i * {YEAR_SECONDS * 1_000_000 // count} AS t"
        f" FROM generate_series(1::bigint, {count}) AS i) AS numbers"
    )
    indexes = server.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'sales' AND indexname <> 'sales_pkey'"
    )
    steps = "sales, generate_series(1, 3) AS step"
    statements = [
        *(f"DROP INDEX {name}" for name, _ in indexes),
        insert("sales", sale_columns(POSTGRESQL), source),
        insert("sale_changes", change_columns(), steps),
        "UPDATE change_order SET last_position = (SELECT max(position) FROM sale_changes), last_time = now()",
        "SET maintenance_work_mem = '1GB'; " + "; ".join(definition for _, definition in indexes),
        "VACUUM ANALYZE",
        "CHECKPOINT",
    ]
    for statement in statements:
        server.execute(statement, seconds=3600)


@dataclass(frozen=True)
class Contender:
    """A store that requests are run against."""

    engine: str
    count: int
    url: str
    bytes_per_sale: float


def make_sqlite(folder: Path, count: int) -> Contender:
    path = folder / f"{count}.db"
    fill_sqlite(path, count)
    return Contender("SQLite", count, f"sqlite:///{path}", path.stat().st_size / count)


def make_postgresql(installation: PostgresqlInstallation, count: int) -> Contender:
    server = installation.create(f"sales-{count}", SERVER_SETTINGS)
    server.start()
    subprocess.run(
        [str(PROGRAMS / "sale-service"), "migrate", f"--store={server.url()}"], check=True, stdout=subprocess.DEVNULL
    )
    ((before,),) = server.execute("SELECT pg_database_size('sale')")
    fill_postgresql(server, count)
    ((after,),) = server.execute("SELECT pg_database_size('sale')")
    return Contender("PostgreSQL", count, server.url(), (int(after) - int(before)) / count)


@contextmanager
def serving(contender: Contender, folder: Path) -> Iterator[Program]:
    config = write_config(folder / "sale.toml", SETTINGS)
    with running(service_arguments(config, contender.url), folder / "service.log") as program:
        yield program


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 100_000, 1_000_000, 10_000_000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--engines", nargs="+", default=["SQLite", "PostgreSQL"])
    arguments = parser.parse_args()
    if wrk_is_missing():
        parser.error("wrk is needed: apt-get install wrk")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="growth-")))
        tokens = folder / "tokens"
        tokens.write_text("".join(f"{os.urandom(32).hex()}\n" for _ in range(TOKENS)))
        contenders = []
        if "SQLite" in arguments.engines:
            contenders += [make_sqlite(folder, count) for count in arguments.counts]
        if "PostgreSQL" in arguments.engines:
            installation = stack.enter_context(postgresql_installation())
            contenders += [make_postgresql(installation, count) for count in arguments.counts]
        results: dict[Contender, list[float]] = {contender: [] for contender in contenders}
        for round_ in range(arguments.rounds):
            for contender, found in results.items():
                with serving(contender, folder) as program:
                    pairs_per_second(str(program.http), tokens, 2, 1000 + round_)
                    found.append(pairs_per_second(str(program.http), tokens, arguments.seconds, round_))
        print("| engine | sales stored | bytes a sale | pairs a second | of the smallest |")
        print("| --- | ---: | ---: | ---: | ---: |")
        for contender, found in results.items():
            smallest = next(results[other] for other in contenders if other.engine == contender.engine)
            ratio = statistics.median(found) / statistics.median(smallest)
            print(
                f"| {contender.engine} | {contender.count:,} | {contender.bytes_per_sale:,.0f}"
                f" | {statistics.median(found):,.0f} | {ratio:.0%} |"
            )


if __name__ == "__main__":
    main()
