"""`config show`: the settings in effect, without secrets, and where each one comes from."""

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import click
import orjson
from pydantic import BaseModel, SecretStr
from pydantic_settings import BaseSettings, EnvSettingsSource, TomlConfigSettingsSource

from gateway.program.options import config_option, one_line_errors
from gateway.program.settings import REDACTED, is_redacted, load_settings, without_password
from gateway.program.values import Address

_DELIMITER, _PREFIX = "__", "SALE_"
_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


class EffectiveSetting(NamedTuple):
    """A setting as it counts."""

    name: str
    """As in `http.listen` or `endpoints[0].id`."""
    value: Any
    """As JSON has it; `REDACTED` in the place of a secret."""
    source: str
    """As in `flag --http`, `environment SALE_HTTP__LISTEN`, `file sale.toml` or `default`."""


def config_commands(settings_class: type[BaseSettings], flags: Mapping[str, str]) -> click.Group:
    """Return the group `config` of a program.

    Args:
        settings_class: which settings the program has.
        flags: options of its `serve`, as in `--http`, and the settings that they set, as in `http.listen`.
    """

    @click.group()
    def config() -> None:
        """Look at the settings."""

    @config_option
    @click.option("--json", "as_json", is_flag=True, help="As a JSON array of objects.")
    @one_line_errors
    def show(config: Path | None, as_json: bool, **given: str | None) -> None:
        """Print the settings in effect, without secrets, and where each comes from."""
        options = {setting: option for option, setting in flags.items() if given[_argument(option)] is not None}
        nested: dict[str, Any] = {}
        for setting, option in options.items():
            *tables, last = setting.split(".")
            table = nested
            for name in tables:
                table = table.setdefault(name, {})
            table[last] = given[_argument(option)]
        settings = load_settings(settings_class, config, nested)
        shown = list(_effective(settings, _sources(settings_class, config, options)))
        if as_json:
            click.echo(orjson.dumps([each._asdict() for each in shown], option=orjson.OPT_INDENT_2).decode())
        else:
            for name, value, source in shown:
                click.echo(f"{name} = {orjson.dumps(value).decode()}  # {source}")

    command: Callable[..., Any] = show
    for option, setting in flags.items():
        command = click.option(option, metavar="VALUE", help=f"As of serve: {setting}.")(command)
    config.command("show")(command)
    return config


def _argument(option: str) -> str:
    return option.removeprefix("--").replace("-", "_")


Place = tuple[str | int, ...]
"""Where a setting is: the names of its tables, or positions in their arrays, and its own."""
Source = Callable[[Place], str | None]
"""Returns what it is called if it has a setting."""


def _sources(settings_class: type[BaseSettings], file: Path | None, options: Mapping[str, str]) -> list[Source]:
    variables = {name.upper(): name for name in os.environ}
    environment = EnvSettingsSource(settings_class)()
    in_file = {} if file is None else TomlConfigSettingsSource(settings_class, file)()

    def from_environment(place: Place) -> str | None:
        if not _has(environment, place):
            return None
        named = [str(part) for part in place]
        names = [(_PREFIX + _DELIMITER.join(named[:length])).upper() for length in range(len(named), 0, -1)]
        return next((f"environment {variables[name]}" for name in names if name in variables), None)

    return [
        lambda place: f"flag {options[_written(place)]}" if _written(place) in options else None,
        from_environment,
        lambda place: f"file {file}" if _has(in_file, place) else None,
    ]


def _has(values: Any, place: Place) -> bool:
    for part in place:
        known = range(len(values)) if isinstance(values, list) else values if isinstance(values, Mapping) else ()
        if part not in known:
            return False
        values = values[part]
    return True


def _written(place: Place) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


def _effective(settings: BaseModel, sources: list[Source], table: Place = ()) -> Iterator[EffectiveSetting]:
    for name, field in type(settings).model_fields.items():
        value, here = getattr(settings, name), (*table, name)
        if isinstance(value, BaseModel):
            yield from _effective(value, sources, here)
            continue
        # An array is taken whole from the first source that has it.
        source = next((source for source in sources if source(here) is not None), None)
        for inside, plain in _plain(value, redact=is_redacted(field)):
            place = (*here, *inside)
            yield EffectiveSetting(_written(place), plain, (source and source(place)) or "default")


def _plain(value: Any, *, redact: bool = False) -> Iterator[tuple[Place, Any]]:
    """Return what is to be shown of a value, and where in it that is."""
    if isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            for inside, plain in _plain(getattr(value, name), redact=is_redacted(field)):
                yield (name, *inside), plain
    elif isinstance(value, tuple) and not isinstance(value, Address) and value:
        for position, each in enumerate(value):
            for inside, plain in _plain(each, redact=redact):
                yield (position, *inside), plain
    else:
        yield (), _leaf(value, redact=redact)


def _leaf(value: Any, *, redact: bool) -> Any:
    if isinstance(value, SecretStr) or (redact and value):
        return REDACTED
    if isinstance(value, timedelta):
        return _duration(value)
    if isinstance(value, frozenset):
        return sorted(map(str, value))
    if isinstance(value, str):
        return without_password(value)
    if isinstance(value, tuple) and not isinstance(value, Address):
        return []
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _duration(value: timedelta) -> str:
    seconds = value.total_seconds()
    for unit, length in _UNITS:
        if seconds % length == 0:
            return f"{int(seconds) // length}{unit}"
    return f"{round(seconds * 1000)}ms"
