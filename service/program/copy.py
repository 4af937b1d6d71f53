"""From SQLite to PostgreSQL: the way up for a merchant that outgrew one node.

A copy is a one-way synchronisation. It goes through every table, compares the rows on both sides, and makes the
target's like the source's; then it reads both sides once more and finds them equal, or says that they are not. So one
that was interrupted is resumed by running it again.

What a server has used is never a target, and no server uses a target before a copy has found it equal.
"""

import asyncio
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import click

from gateway.program.options import config_option, one_line_errors
from gateway.program.settings import ConfigurationError, load_settings
from service.errors import StoreUnavailable
from service.program.postgresql import connect, create_database
from service.program.settings import ServiceSettings
from service.program.store_settings import StoreSettings
from service.program.stores import require_current
from service.store.migrations import SchemaMismatch
from service.store.postgresql import schema
from service.store.postgresql.copying import CopyOvertaken, CopyTarget
from service.store.postgresql.database import first_line
from service.store.sqlite.copying import CopySource
from service.store.sqlite.tables import COPIED

_PAGE = 1000
_CHANGED_MEANWHILE = (
    "The target is not equal to the source, which has changed meanwhile. Stop its server and run this again."
)


@dataclass(slots=True)
class _Tally:
    """What a pass over a table has found."""

    equal: int = 0
    missing: int = 0
    different: int = 0
    surplus: int = 0

    @property
    def changes(self) -> int:
        return self.missing + self.different + self.surplus


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

    A target that a server has used is refused, and stays as it is. None can use it before a copy has found it equal.

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
    except CopyOvertaken:
        raise click.ClickException("--to: another copy has ended since this one began, which writes no more.") from None
    except asyncpg.UniqueViolationError:  # a card was deleted and saved again, say, between the pages that have it
        raise click.ClickException(_CHANGED_MEANWHILE) from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise click.ClickException(f"--to: {_told(error)}. Run this again to go on.") from None


def _settings(config: Path | None, url: str) -> StoreSettings:
    return load_settings(ServiceSettings, config, {"store": {"url": url}}).store


def _told(error: BaseException) -> str:
    # Without a value that PostgreSQL refuses, which is in the first line.
    if isinstance(error, asyncpg.DataError):
        return "it does not take a value that the source has"
    return first_line(error)


async def _copy(from_settings: StoreSettings, path: Path, to_settings: StoreSettings) -> None:
    try:
        await require_current(from_settings)
    except SchemaMismatch as error:
        raise click.ClickException(f"--from: {error}") from None
    connection = await connect(create_database(to_settings), to_settings)
    try:
        await schema.require_current(connection)
        with closing(CopySource(path)) as source:
            target = CopyTarget(connection)
            if not await target.begin():
                raise click.ClickException("--to: a server has used it. Nothing was changed. Copy into a new database.")
            await _synchronise(source, target)
    except SchemaMismatch as error:
        raise click.ClickException(f"--to: {error}") from None
    finally:
        await connection.close()


async def _synchronise(source: CopySource, target: CopyTarget) -> None:
    """Copy, verify, and tell what was done of each table; fail unless everything is equal then."""
    copied = await _pass(source, target, "Copying", write=True)
    purged, _ = source.ends()
    await target.note_ends(purged)
    if any(tally.changes for tally in copied.values()):
        await target.analyze()
    verified = await _pass(source, target, "Verifying", write=False)
    unequal = 0
    for name, tally in verified.items():
        done = copied[name]
        # What the source has got behind the place that was looked at is not in the tally.
        not_equal = tally.changes + abs(source.count(name) - tally.equal - tally.missing - tally.different)
        click.echo(
            f"{name} {done.missing} copied, {done.different} updated, {done.surplus} removed, {tally.equal} equal"
            f"{f', {not_equal} not equal' if not_equal else ''}"
        )
        unequal += not_equal
    if unequal or await target.ends() != source.ends():
        raise click.ClickException(_CHANGED_MEANWHILE)
    await target.end()


async def _pass(source: CopySource, target: CopyTarget, label: str, *, write: bool) -> dict[str, _Tally]:
    tallies = {name: _Tally() for name in COPIED}
    with click.progressbar(
        length=sum(map(source.count, COPIED)), label=label, file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as progress:
        for name, tally in tallies.items():
            for page in source.pages(name, _PAGE):
                difference = await target.compare(name, page)
                if write:
                    await target.write(name, difference)
                tally.missing += len(difference.missing)
                tally.different += len(difference.different)
                tally.surplus += len(difference.surplus)
                tally.equal += len(page.records) - len(difference.missing) - len(difference.different)
                progress.update(len(page.records))
    return tallies
