"""What becomes of settings that are read again while a program serves."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel


class SettingsSource(NamedTuple):
    """From where a program has its settings, beside the environment: what `load_settings` takes."""

    file: Path | None
    flags: Mapping[str, Any]


def waiting_for_restart(running: BaseModel, read: BaseModel, without: Collection[str]) -> dict[str, list[str]]:
    """Return what is told of settings that have changed and are only read at a start: their names, if there are some.

    Args:
        running: settings with which the program was started.
        read: settings that were read again.
        without: tables that count anew without a restart, or not at all.
    """
    names = [name for name in _differing(running, read) if name.partition(".")[0] not in without]
    return {"waiting_for_restart": names} if names else {}


def _differing(one: BaseModel, other: BaseModel, table: str = "") -> Iterator[str]:
    for field in type(one).model_fields:
        name, values = f"{table}{field}", (getattr(one, field), getattr(other, field))
        if all(isinstance(value, BaseModel) for value in values):
            yield from _differing(*values, f"{name}.")
        elif values[0] != values[1]:
            yield name
