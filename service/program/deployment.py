"""The command that hands out the files with which the server is run: units, a container's recipe, manifests."""

import shutil
from importlib.resources import as_file, files
from pathlib import Path

import click

from gateway.program.options import one_line_errors
from gateway.program.settings import ConfigurationError

PACKAGE = "service.deployment"


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@one_line_errors
def deployment(folder: Path) -> None:
    """Write the files for systemd, containers, Kubernetes and monitoring into FOLDER, a new one."""
    try:
        with as_file(files(PACKAGE)) as source:
            shutil.copytree(source, folder, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    except FileExistsError:
        raise ConfigurationError(f"FOLDER: {folder} is there already; name a new one") from None
    except OSError as error:
        raise ConfigurationError(f"FOLDER: {folder}: {error.strerror}") from None
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            click.echo(path)
