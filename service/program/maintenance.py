"""The commands beside `serve`: they work on the store, also while servers run on it."""

import asyncio
import os
import secrets
import stat
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO, TypeVar

import click

from gateway.program.options import config_option, one_line_errors
from gateway.program.settings import ConfigurationError, load_settings
from service.audit import AuditLog
from service.blocklist import Blocklist
from service.cards import Cards
from service.errors import SaleError
from service.housekeeping import Housekeeping
from service.identifiers import utc_now
from service.origin import Origin, begin_from
from service.program.export import Format, export_sales
from service.program.settings import ServiceSettings, vault_keys_of
from service.program.stores import migrate_store, open_store, require_current, require_file
from service.store import SaleFilter, Store
from service.store.migrations import SchemaMismatch
from service.vault import Vault

ResultT = TypeVar("ResultT")

TIMES = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"])

store_option = click.option(
    "--store", metavar="URL", help="Where everything is stored.  [default: sqlite:///var/sale.db]"
)


@click.command()
@config_option
@store_option
@click.option("--check", is_flag=True, help="Change nothing; exit code 1 if there is something to do.")
@one_line_errors
def migrate(config: Path | None, store: str | None, check: bool) -> None:
    """Bring the store's schema to the version that this program works with.

    Servers of the version before can go on meanwhile. `serve` does it by itself on SQLite, and never on PostgreSQL.
    """
    settings = settings_of(config, store).store
    try:
        version = asyncio.run(require_current(settings) if check else migrate_store(settings))
    except SchemaMismatch as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"schema_version {version}")


@click.command()
@config_option
@store_option
@one_line_errors
def purge(config: Path | None, store: str | None) -> None:
    """Expire sessions and remove what has expired, as `serve` does by itself.

    That is: access tokens and idempotency keys; and final sales and changes, where housekeeping.retention is set.
    """
    settings = settings_of(config, store)

    async def run(store: Store) -> None:
        housekeeping = Housekeeping(store, clock=utc_now, retention=settings.housekeeping.retention)
        for name, count in (await housekeeping.run()).items():
            click.echo(f"{name} {count}")

    with_store(settings, run)


@click.command("reencrypt-cards")
@config_option
@store_option
@one_line_errors
def reencrypt_cards(config: Path | None, store: str | None) -> None:
    """Encrypt card data under the first vault key that is encrypted under another one.

    Afterwards the others can be removed from vault.keys. Servers that run need the first key before (kill -HUP).
    """
    settings = settings_of(config, store)
    vault = Vault(vault_keys_of(settings.vault), secrets.token_bytes)

    async def run(store: Store) -> None:
        begin_from(Origin("sale-service reencrypt-cards"))
        audit_log = AuditLog(store, clock=utc_now, randomness=secrets.token_bytes)
        blocklist = Blocklist(store, audit_log, clock=utc_now)
        cards = Cards(store, vault, audit_log, blocklist, clock=utc_now, randomness=secrets.token_bytes)
        count, broken = await cards.reencrypt()
        click.echo(f"reencrypted_cards {count}")
        if broken:
            raise click.ClickException(f"left as they are, for they were tampered with: {', '.join(broken)}")

    with_store(settings, run)


@click.command()
@config_option
@store_option
@click.option("--since", type=TIMES, metavar="TIME", help="Only sales initiated then or later; UTC unless it says.")
@click.option("--until", type=TIMES, metavar="TIME", help="Only sales initiated before.  [default: now]")
@click.option("--format", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Instead of standard output.")
@one_line_errors
def export(
    config: Path | None,
    store: str | None,
    since: datetime | None,
    until: datetime | None,
    format: Format,
    output: Path | None,
) -> None:
    """Write sales, the oldest first, as JSON lines or CSV. No card data and no secret is in it."""
    settings = settings_of(config, store)
    filter = SaleFilter(start_time=in_utc(since), end_time=in_utc(until) or utc_now())

    async def run(store: Store) -> None:
        with ExitStack() as stack:
            target = sys.stdout if output is None else stack.enter_context(_open_private(output))
            progress = stack.enter_context(
                click.progressbar(
                    length=await store.count_sales(filter),
                    label="Exporting",
                    file=sys.stderr,
                    hidden=not sys.stderr.isatty(),
                )
            )
            await export_sales(store, filter, format, target, progress.update)

    with_store(settings, run, read_only=True)


def settings_of(config: Path | None, store: str | None) -> ServiceSettings:
    """Return the settings of a command with `--config` and `--store`.

    Raises:
        ConfigurationError: one is wrong.
    """
    return load_settings(ServiceSettings, config, {"store": {"url": store}})


def with_store(
    settings: ServiceSettings, run: Callable[[Store], Awaitable[ResultT]], *, read_only: bool = False
) -> ResultT:
    """Do something with the store of the settings, which has to be there.

    Args:
        settings: which store.
        run: what is done with it.
        read_only: whether nothing is going to be changed.

    Raises:
        ConfigurationError: it can't be opened.
        click.ClickException: it could not be done.
    """
    if settings.store.path is not None:
        require_file(settings.store.path)

    async def with_store() -> ResultT:
        store = await open_store(settings.store, read_only=read_only)
        try:
            return await run(store)
        finally:
            await store.close()

    try:
        return asyncio.run(with_store())
    except SaleError as error:
        raise click.ClickException(str(error)) from None


def in_utc(moment: datetime | None) -> datetime | None:
    """Return a moment of the command line in UTC, which it is in unless it says."""
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _open_private(path: Path) -> TextIO:
    # Who paid what is for nobody else to read.
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.fchmod(descriptor, 0o600)  # of a file that was there already, too
            os.ftruncate(descriptor, 0)
        return os.fdopen(descriptor, "w", encoding="utf-8", newline="")
    except OSError as error:
        raise ConfigurationError(f"--output: {path}: {error.strerror}") from None
