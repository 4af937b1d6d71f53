"""The settings of `sale-service`."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PrivateAttr, SecretStr, model_validator

from gateway.program.settings import (
    ConfigurationError,
    HttpSettings,
    ListenerSettings,
    ProgramSettings,
    Section,
)
from gateway.program.values import Address, AddressSetting, DurationSetting, KeyFileSetting, NameSetting, NetworkSetting
from service.access_tokens import AccessTokenMode
from service.callers import Caller, Callers
from service.endpoints import MAX_AMOUNT_CENTIS, CentisRange, Endpoint, Endpoints, PaymentGateway
from service.program.caller_settings import CallerSettings
from service.program.filter_settings import GuessSettings, SaleLimitSettings
from service.program.grpc_limits import GrpcLimitsSettings
from service.program.store_settings import StoreSettings
from service.signing import ControlKey, parse_control_key
from service.vault import KEY_BYTES, VaultKey

BoundedDuration = Annotated[DurationSetting, Field(le=timedelta(days=36500))]
"""What can be added to the present, and taken from it."""


def _read(path: Path, setting: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{setting}: {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{setting}: {path}: is not text") from None


class GrpcSettings(ListenerSettings):
    """The gRPC port. With `client_ca` every client needs a certificate."""

    listen: AddressSetting = Address("127.0.0.1", 50051)
    reflection: bool = False
    """Whether callers may ask what rpcs there are."""
    limits: GrpcLimitsSettings = GrpcLimitsSettings()


class AccessTokenSettings(Section):
    """Which access tokens count, and how they are made."""

    mode: AccessTokenMode = "issued"
    ttl: BoundedDuration = timedelta(minutes=30)
    public: bool = True
    """Whether `GET /auth/request-access-token` makes one for whoever asks."""


class SessionSettings(Section):
    """Sessions of sales."""

    ttl: BoundedDuration = timedelta(minutes=30)
    """How long after it was opened a session can be checked first."""


class WatchSettings(Section):
    """Streams of changes."""

    patience: DurationSetting = timedelta(seconds=30)
    """How long a reader may take nothing before it is cut off."""


class HousekeepingSettings(Section):
    """What `serve` does by itself, and `purge` by hand."""

    interval: DurationSetting = timedelta(seconds=10)
    retention: BoundedDuration | None = None
    """How long a final sale is kept after its last change; for ever if it is not set."""


class VaultKeySettings(Section):
    """A key of the vault; see `service.vault.VaultKey`."""

    id: NameSetting
    key: SecretStr | None = None
    """64 hexadecimal digits."""
    key_file: KeyFileSetting = None
    """A file with the key instead."""

    @model_validator(mode="after")
    def _require_key_once(self) -> "VaultKeySettings":
        if (self.key is None) == (self.key_file is None):
            raise ValueError("key: must be set, or key_file instead")
        return self

    def to_key(self) -> VaultKey:
        """Return the key, as its file holds it now.

        Raises:
            ValueError: it is none; the message begins with the name of the setting.
        """
        if self.key_file is None:
            name, text = "key", self.key.get_secret_value() if self.key else ""
        else:
            name = "key_file"
            text = _read(self.key_file, name)
        try:
            return VaultKey(self.id, bytes.fromhex(text))
        except ValueError:
            raise ValueError(f"{name}: must be {2 * KEY_BYTES} hexadecimal digits") from None


class VaultSettings(Section):
    """Card data that is kept here; off without a key."""

    keys: tuple[VaultKeySettings, ...] = ()
    """The first one encrypts, every one decrypts."""


class CentisRangeSettings(Section):
    """Amounts in centis, both ends inclusive."""

    min: int
    max: int

    def to_range(self) -> CentisRange:
        """Return the range."""
        return CentisRange(self.min, self.max)


class PaymentGatewaySettings(Section):
    """From where a payment gateway sends; see `service.endpoints.PaymentGateway`."""

    addresses: tuple[NetworkSetting, ...] = ()
    certificates: frozenset[str] = frozenset()

    def to_payment_gateway(self) -> PaymentGateway:
        """Return the payment gateway.

        Raises:
            ValueError: as of `PaymentGateway`.
        """
        return PaymentGateway(self.addresses, self.certificates)


class EndpointSettings(Section):
    """One endpoint at a payment gateway; see `service.endpoints.Endpoint`."""

    id: NameSetting
    provider: NameSetting
    control_keys: tuple[SecretStr, ...] = ()
    control_key_file: KeyFileSetting = None
    """A file with the control keys instead, one a line."""
    currencies: frozenset[str]
    min_centis: Annotated[int, Field(ge=1)] = 1
    max_centis: Annotated[int, Field(le=MAX_AMOUNT_CENTIS)] = MAX_AMOUNT_CENTIS
    signature_case: Literal["upper", "lower"] = "upper"
    default: bool = False
    random_sum_centis: CentisRangeSettings | None = None
    payment_gateway: PaymentGatewaySettings | None = None

    @model_validator(mode="after")
    def _require_keys_once(self) -> "EndpointSettings":
        if bool(self.control_keys) == (self.control_key_file is not None):
            raise ValueError("control_keys: must be set, or control_key_file instead")
        return self

    def to_endpoint(self) -> Endpoint:
        """Return the endpoint, with the keys that its file holds now.

        Raises:
            ValueError: as of `Endpoint`.
        """
        parts = {"control_keys", "control_key_file", "random_sum_centis", "payment_gateway"}
        values = self.model_dump(exclude=parts)
        limits, gateway = self.random_sum_centis, self.payment_gateway
        return Endpoint(
            **values,
            control_keys=self._read_keys(),
            random_sum_centis=None if limits is None else limits.to_range(),
            payment_gateway=None if gateway is None else gateway.to_payment_gateway(),
        )

    def _read_keys(self) -> tuple[ControlKey, ...]:
        if self.control_key_file is None:
            name, lines = "control_keys", [key.get_secret_value() for key in self.control_keys]
        else:
            name = "control_key_file"
            lines = _read(self.control_key_file, name).split()
        keys = []
        for position, line in enumerate(lines):
            try:
                keys.append(parse_control_key(line))
            except ValueError as error:
                raise ValueError(f"{name}[{position}]: {error}") from None
        return tuple(keys)


class ServiceSettings(ProgramSettings):
    """All settings of `sale-service`."""

    grpc: GrpcSettings = GrpcSettings()
    store: StoreSettings = StoreSettings()
    access_tokens: AccessTokenSettings = AccessTokenSettings()
    sessions: SessionSettings = SessionSettings()
    watch: WatchSettings = WatchSettings()
    housekeeping: HousekeepingSettings = HousekeepingSettings()
    vault: VaultSettings = VaultSettings()
    endpoints: tuple[EndpointSettings, ...] = ()
    callers: tuple[CallerSettings, ...] = ()
    """Who may call over gRPC, the gateway of another process among them."""
    sale_limits: tuple[SaleLimitSettings, ...] = ()
    """How much may be sold within a time."""
    guesses: GuessSettings = GuessSettings()
    _development: bool = PrivateAttr(default=False)

    @property
    def development(self) -> bool:
        """Whether `--dev` was given; no file and no environment can."""
        return self._development

    def in_development(
        self,
        endpoints: "tuple[EndpointSettings, ...]",
        grpc: GrpcSettings,
        store: StoreSettings,
        http: HttpSettings,
        metrics: ListenerSettings,
    ) -> "ServiceSettings":
        """Return these settings with others of development mode in their places."""
        update = {"endpoints": endpoints, "grpc": grpc, "store": store, "http": http, "metrics": metrics}
        settings = self.model_copy(update=update)
        settings._development = True
        return settings


def endpoints_of(settings: Sequence[EndpointSettings]) -> tuple[Endpoint, ...]:
    """Return the endpoints that the settings describe, which can work side by side.

    Raises:
        ConfigurationError: they can't, or one makes no sense.
    """
    endpoints = []
    for position, endpoint in enumerate(settings):
        try:
            endpoints.append(endpoint.to_endpoint())
        except ValueError as error:
            raise ConfigurationError(f"endpoints[{position}].{error}") from None
    if not endpoints:
        raise ConfigurationError("endpoints: needs one at least, with its control key; or try --dev")
    try:
        Endpoints(endpoints)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    return tuple(endpoints)


def callers_of(settings: ServiceSettings) -> tuple[Caller, ...]:
    """Return the callers that the settings describe; in development mode whoever calls is one, and needs no settings.

    Raises:
        ConfigurationError: there is none, one makes no sense, or two can't be told apart.
    """
    callers = []
    for position, caller in enumerate(settings.callers):
        try:
            callers.append(caller.to_caller())
        except ValueError as error:
            raise ConfigurationError(f"callers[{position}].{error}") from None
        if caller.certificate is not None and settings.grpc.client_ca is None and not settings.development:
            raise ConfigurationError(f"callers[{position}].certificate: needs grpc.client_ca, or nobody could show it")
    if not callers and not settings.development:
        raise ConfigurationError("callers: needs one at least, or nobody could use the gRPC port; or try --dev")
    try:
        Callers(callers)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    return tuple(callers)


def vault_keys_of(settings: VaultSettings) -> tuple[VaultKey, ...]:
    """Return the keys of the vault.

    Raises:
        ConfigurationError: one is wrong, or two have the same id.
    """
    keys: list[VaultKey] = []
    for position, key in enumerate(settings.keys):
        try:
            keys.append(key.to_key())
        except ValueError as error:
            raise ConfigurationError(f"vault.keys[{position}].{error}") from None
        if keys[-1].id in [known.id for known in keys[:-1]]:
            raise ConfigurationError(f"vault.keys[{position}].id: {key.id} is there twice")
    return tuple(keys)
