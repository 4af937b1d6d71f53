"""Settings: from flags, over the environment (`SALE_HTTP__LISTEN`), over a TOML file, over defaults."""

import re
import socket
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

SettingsT = TypeVar("SettingsT", bound=BaseSettings)

_DURATION = re.compile(r"(\d{1,9})(ms|s|m|h|d)", re.ASCII)
_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}


class ConfigurationError(Exception):
    """A setting is wrong; the message is one line that begins with its name and holds no secret."""


class Address(NamedTuple):
    """A host and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _parse_address(value: object) -> object:
    if not isinstance(value, str):
        return value
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError("must be HOST:PORT, as in 127.0.0.1:8080")
    return Address(host.removeprefix("[").removesuffix("]"), int(port))


def _parse_duration(value: object) -> object:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str) or (match := _DURATION.fullmatch(value)) is None or int(match[1]) == 0:
        raise ValueError("must be a number above 0 and a unit, as in 500ms, 30s, 30m, 12h or 31d")
    return int(match[1]) * _UNITS[match[2]]


AddressSetting = Annotated[Address, NoDecode, BeforeValidator(_parse_address)]
DurationSetting = Annotated[timedelta, BeforeValidator(_parse_duration)]


class Section(BaseModel):
    """A table of the settings; a name that is not in it is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class HttpSettings(Section):
    """The JSON gateway."""

    listen: AddressSetting = Address("127.0.0.1", 8080)
    """Where it listens."""
    service: AddressSetting = Address("127.0.0.1", 50051)
    """Where `sale-gateway` finds the gRPC service; without meaning where both are one process."""
    deadline: DurationSetting = timedelta(seconds=5)
    """How long a call of the service may take."""
    max_body: Annotated[int, Field(ge=1024)] = 65536
    """Largest body of a request in bytes."""


class ProgramSettings(BaseSettings):
    """What every program has."""

    model_config = SettingsConfigDict(env_prefix="SALE_", env_nested_delimiter="__", frozen=True)

    http: HttpSettings = HttpSettings()
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    """How many processes share the ports."""
    shutdown_grace: DurationSetting = timedelta(seconds=20)
    """How long requests may run on after SIGTERM."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Put the TOML file under the environment."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


class GatewaySettings(ProgramSettings):
    """The settings of `sale-gateway`. Tables that only the service reads are let pass: both can share a file."""

    model_config = SettingsConfigDict(extra="ignore")


def load_settings(settings_class: type[SettingsT], file: Path | None, flags: Mapping[str, Any]) -> SettingsT:
    """Read all settings of a program.

    Args:
        settings_class: which settings there are.
        file: a TOML file, if there is one.
        flags: what the command line says, nested as in the file; None stands for a flag that was not given.

    Raises:
        ConfigurationError: a setting is wrong.
    """
    if file is not None and not file.is_file():
        raise ConfigurationError(f"--config: there is no file {file}")
    with_file = type(
        settings_class.__name__,
        (settings_class,),
        {"model_config": SettingsConfigDict(toml_file=file), "__module__": settings_class.__module__},
    )
    try:
        return settings_class.model_construct(**dict(with_file(**_given(flags))))
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(f"--config: {file} can't be read as text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"--config: {file} is not TOML: {error}") from None
    except SettingsError as error:
        raise ConfigurationError(f"environment: {error}") from None
    except ValidationError as error:
        raise ConfigurationError(_first_fault(error)) from None


def bind(address: Address, setting: str, *, reuse_port: bool = False) -> socket.socket:
    """Bind a TCP socket; it does not listen yet.

    Args:
        address: where; port 0 lets the system choose.
        setting: name of the setting, for the error.
        reuse_port: whether other sockets may be bound to the port after it.

    Raises:
        ConfigurationError: it can't be bound.
    """
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(where)
    except OSError as error:
        raise ConfigurationError(f"{setting}: can't listen on {address}: {error.strerror}") from None
    return bound


def bound_address(bound: socket.socket) -> Address:
    """Return where a socket is bound."""
    return Address(*bound.getsockname()[:2])


def _given(flags: Mapping[str, Any]) -> dict[str, Any]:
    nested = {key: _given(value) if isinstance(value, Mapping) else value for key, value in flags.items()}
    return {key: value for key, value in nested.items() if value is not None and value != {}}


def _first_fault(error: ValidationError) -> str:
    # Only place and words: the input that pydantic would quote may be a key.
    fault = error.errors(include_input=False, include_url=False, include_context=False)[0]
    name = ""
    for part in fault["loc"]:
        name += f"[{part}]" if isinstance(part, int) else f".{part}"
    words = {"extra_forbidden": "there is no such setting", "missing": "must be set"}
    text = words.get(fault["type"], fault["msg"].removeprefix("Value error, "))
    return f"{name[1:]}: {text}" if name else text
