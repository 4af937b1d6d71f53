"""What settings are written as: addresses, networks, durations."""

import re
from datetime import timedelta
from enum import Enum
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BeforeValidator, PlainValidator
from pydantic_settings import NoDecode

_DURATION = re.compile(r"(\d{1,9})(ms|s|m|h|d)", re.ASCII)
_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}


class Address(NamedTuple):
    """A host and a port."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this host reaches it."""
        try:
            return self.host == "localhost" or ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _parse_address(value: object) -> object:
    if not isinstance(value, str):
        return value
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError("must be HOST:PORT, as in 127.0.0.1:8080")
    return Address(host.removeprefix("[").removesuffix("]"), int(port))


def parse_duration(value: object) -> timedelta:
    """Return a length of time as people write it.

    Args:
        value: as in `500ms`, `30s`, `30m`, `12h` or `31d`.

    Raises:
        ValueError: it is none; the message tells how one is written.
    """
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str) or (match := _DURATION.fullmatch(value)) is None or int(match[1]) == 0:
        raise ValueError("must be a number above 0 and a unit, as in 500ms, 30s, 30m, 12h or 31d")
    return int(match[1]) * _UNITS[match[2]]


def _parse_network(value: object) -> IPv4Network | IPv6Network:
    try:
        return ip_network(str(value))
    except ValueError:
        raise ValueError("must be an address or a network, as in 10.0.0.1 or 10.0.0.0/8") from None


def matching(pattern: str, words: str) -> AfterValidator:
    """Return what makes sure that the whole of a text is as it has to be.

    Args:
        pattern: a regular expression for it.
        words: what it must be, for whoever wrote it: nobody should have to read the expression.
    """
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if compiled.fullmatch(text) is None:
            raise ValueError(words)
        return text

    return AfterValidator(check)


NameSetting = Annotated[
    str, matching(r"[0-9A-Za-z._-]{1,64}", "must be 1 to 64 letters, digits, dots, underscores or hyphens")
]
NetworkSetting = Annotated[IPv4Network | IPv6Network, PlainValidator(_parse_network)]


class FileOf(Enum):
    """What a file that a setting names holds."""

    KEYS = "keys"
    CERTIFICATE = "certificate"


KeyFileSetting = Annotated[Path | None, FileOf.KEYS]
CertificateFileSetting = Annotated[Path | None, FileOf.CERTIFICATE]
AddressSetting = Annotated[Address, NoDecode, BeforeValidator(_parse_address)]
DurationSetting = Annotated[timedelta, BeforeValidator(parse_duration)]
