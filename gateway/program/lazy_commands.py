"""Commands that are imported when they are asked for: a server must not keep in memory what only they need."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class LazyCommands(click.Group):
    """A group of commands.

    Args:
        later: module and name of each command that is imported on demand, as `package.module:name`, by its name.
    """

    def __init__(self, *arguments: Any, later: Mapping[str, str], **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._later = later

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted({*super().list_commands(ctx), *self._later})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; None if there is none of that name."""
        if (place := self._later.get(cmd_name)) is None:
            return super().get_command(ctx, cmd_name)
        module, _, name = place.partition(":")
        command = getattr(import_module(module), name)
        if not isinstance(command, click.Command):
            raise TypeError(f"{place} is no command")
        return command
