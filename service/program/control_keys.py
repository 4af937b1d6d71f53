"""From where a command takes the control key of an endpoint: never from its arguments, which every process can read."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click

from gateway.parties.development import CONTROL_KEY
from gateway.program.options import config_option
from gateway.program.settings import ConfigurationError, load_settings
from service.program.settings import ServiceSettings, endpoints_of
from service.signing import ControlKey, parse_control_key

VARIABLE = "SALE_CONTROL_KEY"


class SigningKeys(NamedTuple):
    """The control keys of an endpoint, and how it writes signatures."""

    keys: tuple[ControlKey, ...]
    """The first one signs, every one verifies."""
    is_lower: bool = False
    """Whether signatures are in lower case."""


def control_key_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that tell where the control key is."""
    file = click.option(
        "--control-key-file",
        type=click.Path(path_type=Path, allow_dash=True),
        metavar="FILE",
        help=f"A file with the control key, or - for standard input. Otherwise the environment variable {VARIABLE},"
        " --config with --endpoint-id, --dev, or a prompt.",
    )
    dev = click.option("--dev", is_flag=True, help="The control key of development mode.")
    return config_option(file(dev(command)))


def find_signing_keys(
    control_key_file: Path | None, config: Path | None, endpoint_id: str | None, *, dev: bool
) -> SigningKeys:
    """Return the control keys that the options name, or those that are asked for.

    Args:
        control_key_file: a file with one; `-` for standard input.
        config: settings with endpoints.
        endpoint_id: which of them.
        dev: whether it is the one of development mode.

    Raises:
        ConfigurationError: there is none, or it is wrong.
    """
    if control_key_file is not None:
        return SigningKeys((_parsed(_read(control_key_file), "--control-key-file"),))
    if dev:
        return SigningKeys((parse_control_key(CONTROL_KEY),))
    if config is not None:
        return _configured(config, endpoint_id)
    if VARIABLE in os.environ:
        return SigningKeys((_parsed(os.environ[VARIABLE], VARIABLE),))
    if not sys.stdin.isatty():
        raise ConfigurationError(f"--control-key-file: name a file, set {VARIABLE}, or give --config or --dev")
    return SigningKeys((_parsed(click.prompt("Control key", hide_input=True, err=True), "control key"),))


def _read(file: Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"--control-key-file: {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"--control-key-file: {file}: is not text") from None


def _parsed(text: str, source: str) -> ControlKey:
    try:
        return parse_control_key(text)
    except ValueError as error:
        raise ConfigurationError(f"{source}: {error}") from None


def _configured(config: Path, endpoint_id: str | None) -> SigningKeys:
    endpoints = {each.id: each for each in endpoints_of(load_settings(ServiceSettings, config, {}).endpoints)}
    if endpoint_id is None and len(endpoints) == 1:
        endpoint_id = next(iter(endpoints))
    if endpoint_id not in endpoints:
        raise ConfigurationError(f"--endpoint-id: must be one of {', '.join(endpoints)}, got {endpoint_id}")
    endpoint = endpoints[endpoint_id]
    return SigningKeys(endpoint.control_keys, endpoint.signature_case == "lower")
