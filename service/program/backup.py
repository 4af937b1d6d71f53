"""The command that copies an SQLite store while servers work on it."""

from pathlib import Path

import click

from gateway.program.options import config_option, one_line_errors
from gateway.program.settings import ConfigurationError
from service.errors import StoreUnavailable
from service.program.maintenance import settings_of, store_option
from service.program.stores import require_file
from service.store.sqlite.backup import BackupBroken, back_up


@click.command()
@config_option
@store_option
@click.argument("file", type=click.Path(path_type=Path))
@one_line_errors
def backup(config: Path | None, store: str | None, file: Path) -> None:
    """Copy the SQLite store into FILE while servers go on with it, and check the copy.

    To restore it: stop the server, put the copy in the place of the store without the -wal and -shm files, start.
    PostgreSQL has its own ways: pg_dump, or base backups with a log archive.
    """
    path = settings_of(config, store).store.path
    if path is None:
        raise ConfigurationError("store.url: is on PostgreSQL, which pg_dump or pg_basebackup copies")
    require_file(path)
    try:
        made = back_up(path, file)
    except FileExistsError as error:
        raise ConfigurationError(f"FILE: there is a file {error.filename or file} already") from None
    except OSError as error:
        raise ConfigurationError(f"FILE: {file}: {error.strerror}") from None
    except BackupBroken as error:
        raise click.ClickException(f"{path} is damaged, no copy was made: {error}") from None
    except StoreUnavailable as error:
        raise click.ClickException(f"{path} was not copied: {error.__cause__ or error}") from None
    click.echo(f"schema_version {made.schema_version}\nbytes {made.bytes}")
