"""Settings: from flags, over the environment (`SALE_HTTP__LISTEN`), over a TOML file, over defaults."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from gateway.program.values import (
    Address,
    AddressSetting,
    CertificateFileSetting,
    DurationSetting,
    KeyFileSetting,
    NameSetting,
    NetworkSetting,
)

SettingsT = TypeVar("SettingsT", bound=BaseSettings)


class ConfigurationError(Exception):
    """A setting is wrong; the message is one line that begins with its name and holds no secret."""


REDACTED = "[redacted]"
"""Stands for a secret where settings are shown."""
Redacted = Field(json_schema_extra={"redacted": True})
"""Marks a setting that is not shown, and is no `SecretStr`."""
_PASSWORD_IN_URL = re.compile(r"(?<=://)([^/?#@:]*:)\S*(?=@)|(?<=[?&])((?:ssl)?password=)[^&]*")


def is_redacted(field: FieldInfo) -> bool:
    """Tell whether a setting is marked by `Redacted`."""
    return isinstance(field.json_schema_extra, dict) and "redacted" in field.json_schema_extra


def without_password(text: str) -> str:
    """Return a text in which the passwords of a URL are replaced."""
    return _PASSWORD_IN_URL.sub(lambda found: (found[1] or found[2]) + REDACTED, text)


class Section(BaseModel):
    """A table of the settings; a name that is not in it is refused. What is secret in it is not in its `repr`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            field = type(self).model_fields.get(name or "")
            if field is not None and is_redacted(field):
                yield name, REDACTED
            else:
                yield name, without_password(value) if isinstance(value, str) else value


class ListenerSettings(Section):
    """A port that is served."""

    listen: AddressSetting
    """Where it is."""
    tls_cert: CertificateFileSetting = None
    """A file with the certificate, and those of the authorities between it and the root, as PEM. Without it: no TLS."""
    tls_key: KeyFileSetting = None
    """A file with the certificate's private key, as PEM."""
    client_ca: Path | None = None
    """A file with the certificates of the authorities that sign those of clients, as PEM."""
    plaintext: bool = False
    """Whether a port that other hosts reach may be without TLS: something in between encrypts."""

    @model_validator(mode="after")
    def _require_whole_tls(self) -> "ListenerSettings":
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert: must be set together with tls_key")
        if self.client_ca is not None and self.tls_cert is None:
            raise ValueError("client_ca: needs tls_cert and tls_key")
        return self

    def require_protected(self, name: str) -> None:
        """Make sure that what goes over the port is encrypted where others could read it.

        Args:
            name: of the table.

        Raises:
            ConfigurationError: it is not.
        """
        if self.tls_cert is None and not self.plaintext and not self.listen.is_loopback:
            raise ConfigurationError(
                f"{name}.listen: other hosts reach {self.listen}: set {name}.tls_cert and tls_key, or {name}.plaintext"
                " where something in between encrypts"
            )


class HttpLimitsSettings(Section):
    """What a process takes from HTTP clients; see `gateway.http_limits.Limits`."""

    head: Annotated[int, Field(ge=1024, le=1 << 20)] = 49152
    """Largest request line with headers, in bytes."""
    headers: Annotated[int, Field(ge=8, le=1000)] = 64
    url: Annotated[int, Field(ge=256, le=1 << 20)] = 32768
    """Longest URL in bytes."""
    connections: Annotated[int, Field(ge=1)] = 4096
    connections_per_address: Annotated[int, Field(ge=1)] = 256
    """Those of trusted proxies count in the total only."""
    handshake: DurationSetting = timedelta(seconds=5)
    """For TLS."""
    receive: DurationSetting = timedelta(seconds=8)
    """For a request, from its first byte to its last."""
    idle: DurationSetting = timedelta(seconds=5)
    """Between an answer and the next request."""
    send: DurationSetting = timedelta(seconds=5)
    """For a client to take its answers."""
    in_flight: Annotated[int, Field(ge=1)] = 128
    """How many requests are worked on at once; more are refused with 4000."""
    unready_when_overloaded: bool = False
    """Whether `GET /readyz` says so while requests are refused for that."""


class HttpSettings(ListenerSettings):
    """The JSON gateway. With `client_ca` a client may show a certificate."""

    listen: AddressSetting = Address("127.0.0.1", 8080)
    service: AddressSetting = Address("127.0.0.1", 50051)
    """Where `sale-gateway` finds the gRPC service; without meaning where both are one process."""
    deadline: DurationSetting = timedelta(seconds=5)
    """How long a call of the service may take."""
    max_body: Annotated[int, Field(ge=1024)] = 65536
    """Largest body of a request in bytes."""
    trusted_proxies: tuple[NetworkSetting, ...] = ()
    """From where X-Forwarded-For is believed."""
    docs: bool = False
    """Whether the pages under `/docs` are served."""
    limits: HttpLimitsSettings = HttpLimitsSettings()
    payment_gateway: ListenerSettings | None = None
    """A port for what payment gateways send, which the other one does not serve then. With `client_ca` every client
    needs a certificate."""

    def listeners(self) -> dict[str, ListenerSettings]:
        """Return the ports by the names of their tables."""
        other = {} if self.payment_gateway is None else {"http.payment_gateway": self.payment_gateway}
        return {"http": self, **other}


class ServiceAccessSettings(Section):
    """How `sale-gateway` reaches the service: as one of its callers, with the role `gateway`."""

    tls: bool = False
    """Whether by TLS; the authorities of the system are trusted where none are named."""
    tls_ca: Path | None = None
    """A file with the certificates of the authorities that sign the service's, as PEM."""
    tls_cert: CertificateFileSetting = None
    """A file with the gateway's own certificate, as PEM."""
    tls_key: KeyFileSetting = None
    """A file with its private key, as PEM."""
    key: SecretStr | None = None
    """The gateway's bearer key."""
    key_file: KeyFileSetting = None
    """A file with the bearer key instead."""

    @model_validator(mode="after")
    def _require_sense(self) -> "ServiceAccessSettings":
        if self.key is not None and self.key_file is not None:
            raise ValueError("key: must not be set beside key_file")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("tls_cert: must be set together with tls_key")
        if not self.tls and (self.tls_ca or self.tls_cert):
            raise ValueError("tls: must be true for the files to count")
        return self


class TracingSettings(Section):
    """Traces, by OpenTelemetry; none without an endpoint."""

    otlp_endpoint: str | None = None
    """Where they are sent by OTLP over HTTP, as in `http://127.0.0.1:4318`; without a path it is `/v1/traces`."""
    service_name: NameSetting | None = None
    """What they are from; the program's name if it is not set."""
    sample_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0
    """How many of the traces that begin here are kept; of others whoever began them has decided."""

    @field_validator("otlp_endpoint")
    @classmethod
    def _require_url(cls, url: str | None) -> str | None:
        if url is not None:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
                raise ValueError("must be a URL as in http://127.0.0.1:4318")
            if "@" in parts.netloc:
                raise ValueError("must have no credentials; set OTEL_EXPORTER_OTLP_HEADERS in the environment")
        return url

    @property
    def traces_url(self) -> str | None:
        """Where traces are sent; None if they are not."""
        if self.otlp_endpoint is None or urlsplit(self.otlp_endpoint).path not in ("", "/"):
            return self.otlp_endpoint
        return self.otlp_endpoint.rstrip("/") + "/v1/traces"


class ProgramSettings(BaseSettings):
    """What every program has."""

    model_config = SettingsConfigDict(env_prefix="SALE_", env_nested_delimiter="__", frozen=True)

    http: HttpSettings = HttpSettings()
    service: ServiceAccessSettings = ServiceAccessSettings()
    """Without meaning where both are one process."""
    metrics: ListenerSettings | None = None
    """The port from which Prometheus reads; none if it is not set. With `client_ca` it needs a certificate."""
    tracing: TracingSettings = TracingSettings()
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    """How many processes share the ports."""
    shutdown_grace: DurationSetting = timedelta(seconds=20)
    """How long requests may run on after SIGTERM."""

    def listeners(self) -> dict[str, ListenerSettings]:
        """Return the ports of every program by the names of their tables."""
        return {} if self.metrics is None else {"metrics": self.metrics}

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


def read_file(path: Path | None, setting: str) -> bytes | None:
    """Return what a file holds that a setting names; None if it names none.

    Args:
        path: of the file.
        setting: name of the setting, for the error.

    Raises:
        ConfigurationError: it can't be read.
    """
    try:
        return None if path is None else path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{setting}: {path}: {error.strerror}") from None


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
