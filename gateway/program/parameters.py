"""Kinds of values that commands take; each raises `click.BadParameter` with the rule that was broken."""

from datetime import timedelta

import click
from pydantic import TypeAdapter, ValidationError

from gateway.program.values import Address, AddressSetting, DurationSetting

_ADDRESS: TypeAdapter[Address] = TypeAdapter(AddressSetting)
_DURATION: TypeAdapter[timedelta] = TypeAdapter(DurationSetting)


def address(text: str) -> Address:
    """Return a host and a port, written as in the settings."""
    try:
        return _ADDRESS.validate_python(text)
    except ValidationError as error:
        raise _broken(error) from None


def seconds(text: str) -> float:
    """Return a duration in seconds, written as in the settings: 500ms, 30s, 12h."""
    try:
        return _DURATION.validate_python(text).total_seconds()
    except ValidationError as error:
        raise _broken(error) from None


def base_url(text: str) -> str:
    """Return the address of a server, without a slash at its end and with nothing of a request."""
    scheme, _, rest = text.partition("://")
    if scheme not in {"http", "https"} or not rest.strip("/") or {"?", "#", "@", " "} & set(rest):
        raise click.BadParameter("must be scheme, host and port, as in http://127.0.0.1:8080")
    return text.rstrip("/")


def _broken(error: ValidationError) -> click.BadParameter:
    return click.BadParameter(error.errors(include_url=False)[0]["msg"].removeprefix("Value error, "))
