"""From SQLite to PostgreSQL: the way up for a merchant that outgrew one node.

A copy is a one-way synchronisation. It goes through every table, compares the rows on both sides, and writes those that
are missing or differ; then it reads both sides once more and finds them equal, or says that they are not. So one that
was interrupted is resumed by running it again.

It refuses a target that has served by itself. The signs are what no copy leaves behind: a sale or a card that the
source has not, a change without a position, a change that is not the source's. So where retention has removed a sale
from the source since it was copied, the target is refused, too: nothing tells such a sale from one of the target's own.
Changes that were purged from the source are removed from the target. What has expired, tokens and idempotency keys, may
be left over there: it counts for nothing, and the target's housekeeping removes it.
"""

import asyncio
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import click

from gateway.program.cli import config_option, one_line_errors
from gateway.program.settings import ConfigurationError, load_settings
from service.errors import StoreUnavailable
from service.program.settings import ServiceSettings, StoreSettings
from service.program.stores import connect, create_database, schema_versions
from service.store.migrations import SchemaMismatch
from service.store.postgresql.copying import CopyTarget
from service.store.postgresql.database import CONNECT_FAILURES
from service.store.postgresql.schema import require_current
from service.store.sqlite.copying import CopySource
from service.store.sqlite.tables import COPIED

_PAGE = 1000
_MAY_BE_LEFT_OVER = ("access_tokens", "idempotency_records")
_CHANGED_MEANWHILE = (
    "The target is not equal to the source, which has changed meanwhile. Stop its server and run this again."
)


@dataclass(slots=True)
class _Tally:
    """What a pass over a table has found."""

    equal: int = 0
    missing: int = 0
    different: int = 0


@click.command()
@config_option
@click.option("--from", "source", metavar="URL", required=True, help="Where everything is stored: sqlite:///PATH.")
@click.option("--to", "target", metavar="URL", required=True, help="Where it is copied to: postgresql://...")
@one_line_errors
def copy(config: Path | None, source: str, target: str) -> None:
    """Copy everything from SQLite to PostgreSQL, and verify it.

    Run sale-service migrate on the target first. A first copy can be made while the server runs; stop it for the last
    one, which writes only what is new, and start the servers on the target afterwards: cursors, sessions and
    idempotency keys stay valid. A copy that was interrupted is resumed by running it again.

    The target must not have served: one that has sales, cards or changes of its own is refused, and stays as it is.
    Leave housekeeping.retention out from the first copy to the last: a sale that was removed from the source meanwhile
    looks like one of the target's own, and the copy has to begin anew with an empty database.

    Exit code 0 means that everything is equal; 1 that it is not, or that nothing was done; 2 is a wrong option or
    setting.
    """
    from_settings, to_settings = _settings(config, source), _settings(config, target)
    if from_settings.path is None:
        raise ConfigurationError("--from: must be sqlite:///PATH")
    if to_settings.path is not None:
        raise ConfigurationError("--to: must be postgresql://USER@HOST/DATABASE")
    if not from_settings.path.is_file():
        raise ConfigurationError(f"--from: there is no file {from_settings.path}")
    try:
        asyncio.run(_copy(from_settings, from_settings.path, to_settings))
    except StoreUnavailable as error:
        raise click.ClickException(f"--from: {error.__cause__ or error}. Run this again to go on.") from None
    except asyncpg.UniqueViolationError:  # a card was deleted and saved again, say, between the pages that have it
        raise click.ClickException(_CHANGED_MEANWHILE) from None
    except CONNECT_FAILURES as error:
        raise click.ClickException(f"--to: {_told(error)}. Run this again to go on.") from None


def _settings(config: Path | None, url: str) -> StoreSettings:
    return load_settings(ServiceSettings, config, {"store": {"url": url}}).store


def _told(error: BaseException) -> str:
    # Without a row that PostgreSQL refuses, which is in further lines, and without a value, which is in the first.
    if isinstance(error, asyncpg.DataError):
        return "it does not take a value that the source has"
    return str(error).partition("\n")[0] or type(error).__name__


async def _copy(from_settings: StoreSettings, path: Path, to_settings: StoreSettings) -> None:
    try:
        found, known = await schema_versions(from_settings)
        if found < known:
            raise SchemaMismatch(f"the schema is version {found}, this program needs {known}: run sale-service migrate")
    except SchemaMismatch as error:
        raise click.ClickException(f"--from: {error}") from None
    connection = await connect(create_database(to_settings))
    try:
        await require_current(connection)
        with closing(CopySource(path)) as source:
            target = CopyTarget(connection)
            await target.open()
            if (sign := await _sign_of_life(source, target)) is not None:
                raise click.ClickException(
                    f"--to: {sign}: it has served by itself, or is the copy of another store. Nothing was changed."
                    " Copy into an empty database instead."
                )
            await _synchronise(source, target)
    except SchemaMismatch as error:
        raise click.ClickException(f"--to: {error}") from None
    finally:
        await connection.close()


async def _sign_of_life(source: CopySource, target: CopyTarget) -> str | None:
    """Return what only a target that has served by itself has, if it has something of the kind."""
    if await target.has_unordered():
        return "has changes of sales that no copy has made"
    # The source is read after the target, for it may be ahead.
    purged, last = await target.purged_position(), await target.last_position()
    if purged > source.purged_position() or last > source.last_position():
        return "is ahead of the source"
    change = source.change_at(last)
    if change and (await target.compare("sale_changes", change)).different:
        return "has changes of sales that are not the source's"
    for name in ("sales", "cards"):
        async for keys in target.keys(name, _PAGE):
            if not source.has_all(name, keys):
                return f"has {name} that the source has not"
    return None


async def _synchronise(source: CopySource, target: CopyTarget) -> None:
    """Copy, verify, and tell what was done of each table; fail unless everything is equal then."""
    copied = await _pass(source, target, "Copying", write=True)
    if any(tally.missing or tally.different for tally in copied.values()):
        await target.analyze()
    verified = await _pass(source, target, "Verifying", write=False)
    unequal = surplus = 0
    for name, tally in verified.items():
        passed = tally.equal + tally.missing + tally.different
        not_equal = tally.missing + tally.different + abs(source.count(name) - passed)
        more = 0 if name in _MAY_BE_LEFT_OVER else max(0, await target.count(name) - passed + tally.missing)
        click.echo(
            f"{name} {copied[name].missing} copied, {copied[name].different} updated, {tally.equal} equal"
            f"{f', {not_equal} not equal' if not_equal else ''}{f', {more} not in the source' if more else ''}"
        )
        unequal, surplus = unequal + not_equal, surplus + more
    positions = await target.purged_position(), await target.last_position()
    if unequal or positions != (source.purged_position(), source.last_position()):
        raise click.ClickException(_CHANGED_MEANWHILE)
    if surplus:
        raise click.ClickException(
            "The target has rows that the source has not: it has served by itself, or the source has removed them"
            " meanwhile. Stop the source's server and copy into an empty database."
        )


async def _pass(source: CopySource, target: CopyTarget, label: str, *, write: bool) -> dict[str, _Tally]:
    tallies = {name: _Tally() for name in COPIED}
    with click.progressbar(
        length=sum(map(source.count, COPIED)), label=label, file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as progress:
        for name, tally in tallies.items():
            if write and name == "sale_changes":
                await target.purge_changes(source.purged_position())
            for records in source.pages(name, _PAGE):
                difference = await target.compare(name, records)
                if write:
                    await target.write(name, difference)
                tally.missing += len(difference.missing)
                tally.different += len(difference.different)
                tally.equal += len(records) - len(difference.missing) - len(difference.different)
                progress.update(len(records))
    return tallies
