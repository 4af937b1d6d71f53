"""The documents of initiate sale and check sale as pydantic models, with the bounds of the proto."""

from typing import Annotated

from pydantic import AfterValidator, AliasGenerator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

from service.currencies import CURRENCIES

_NO_NUL = r"^[^\x00]*$"
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"


def _require_currency(value: str) -> str:
    if value not in CURRENCIES:
        raise ValueError("must be an ISO 4217 alpha code, three upper-case letters such as EUR")
    return value


SerialNumber = Annotated[str, StringConstraints(min_length=1, max_length=50, pattern=_NO_NUL)]
Imei = Annotated[str, StringConstraints(min_length=14, max_length=16, pattern=_NO_NUL)]
Ipv4 = Annotated[str, StringConstraints(pattern=rf"^{_OCTET}(?:\.{_OCTET}){{3}}$")]
Secret = Annotated[str, StringConstraints(min_length=32, max_length=128, pattern=_NO_NUL)]
SessionToken = Annotated[str, StringConstraints(min_length=16, max_length=36, pattern=_NO_NUL)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=_NO_NUL)]
Currency = Annotated[str, AfterValidator(_require_currency)]
Amount = Annotated[int, Field(gt=0, lt=2**63)]


class Document(BaseModel):
    """What a request says; members that are not named are ignored."""

    model_config = ConfigDict(alias_generator=AliasGenerator(validation_alias=to_camel))


class Answer(BaseModel):
    """What is answered."""

    model_config = ConfigDict(alias_generator=AliasGenerator(serialization_alias=to_camel))


class InitiatingDevice(Document):
    serial_number: SerialNumber
    imei: Imei | None = None


class InitiatingConsumer(Document):
    device: InitiatingDevice
    ip_addresses: Annotated[tuple[Ipv4, ...], Field(max_length=64)] = ()


class Location(Document):
    lat: Annotated[float, Field(ge=-90, le=90)] | None = None
    lng: Annotated[float, Field(ge=-180, le=180)] | None = None


class InitiatingSession(Document):
    access_token: Secret


class InitiatingTransaction(Document):
    amount_centis: Amount
    currency: Currency


class InitiateSaleRequest(Document):
    consumer: InitiatingConsumer
    location: Location | None = None
    session: InitiatingSession
    transaction: InitiatingTransaction


class OpenedSession(Answer):
    nonce: str
    signature: str


class InitiateSaleResponse(Answer):
    endpoint_id: str
    invoice_id: str
    session: OpenedSession


class Device(Document):
    serial_number: SerialNumber


class Consumer(Document):
    device: Device


class CheckingSession(Document):
    access_token: Secret
    nonce: Secret
    signature: Secret
    token: SessionToken


class CardReference(Document):
    client_card_id: Id | None = None


class SourceOfFunds(Document):
    reference: CardReference | None = None


class CheckSaleRequest(Document):
    consumer: Consumer
    session: CheckingSession
    source_of_funds: SourceOfFunds | None = None


class ConfirmedConsumer(Answer):
    email: str | None = None


class ConfirmedSession(Answer):
    check_signature: str
    nonce: str
    token: str


class ServerReference(Answer):
    server_card_id: str | None = None


class ConfirmedSourceOfFunds(Answer):
    reference: ServerReference


class ConfirmedTransaction(Answer):
    currency: str | None = None
    random_sum_centis: int | None = None


class CheckSaleResponse(Answer):
    consumer: ConfirmedConsumer | None = None
    invoice_id: str
    session: ConfirmedSession
    source_of_funds: ConfirmedSourceOfFunds | None = None
    transaction: ConfirmedTransaction
