"""What is stored, in the words of the domain."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from service.identifiers import from_microseconds
from service.sale_states import SaleState

EVENTS_A_MICROSECOND = 1024


@dataclass(frozen=True, slots=True)
class Sale:
    """A sale and its session."""

    invoice_id: str
    """A later sale's is larger (`service.identifiers.new_invoice_id`)."""
    endpoint_id: str
    consumer_id: str
    """Who pays, and whose card is saved."""
    access_token_hash: bytes
    """SHA-256 of the consumer's access token, 32 bytes."""
    serial_number: str
    imei: str | None
    ip_addresses: tuple[str, ...]
    lat: float | None
    lng: float | None
    amount_centis: int
    currency: str
    nonce: str
    signature: str
    initiate_time: datetime
    expire_time: datetime
    """From then on a first check is refused."""
    update_time: datetime
    """When it changed last."""
    state: SaleState.ValueType = SaleState.SALE_STATE_INITIATED
    email: str | None = None
    """The consumer's, for a card that is saved with the sale."""
    random_sum_centis: int | None = None
    random_sum_failures: int = 0
    """How often something else was taken for the random sum."""
    session_token: str | None = None
    """The payment gateway's token, once the first check has bound it."""
    check_time: datetime | None = None
    check_card_id: str | None = None
    """The client card id that the first check named."""
    client_card_id: str | None = None
    """The card that it was paid with, or that was saved with it: of both the one that was saved later."""
    orderid: str | None = None
    """The payment gateway's id of the order, once a report named it."""
    amount_differs: bool = False
    """Whether a report named another amount."""


@dataclass(frozen=True, slots=True)
class SaleFilter:
    """Which sales to list: those for which all holds that is set."""

    state: SaleState.ValueType | None = None
    endpoint_id: str | None = None
    consumer_id: str | None = None
    client_card_id: str | None = None
    start_time: datetime | None = None
    """Initiated then or later."""
    end_time: datetime | None = None
    """Initiated before."""


class SalePage(NamedTuple):
    """Part of a list of sales."""

    sales: Sequence[Sale]
    end: str | None
    """The invoice id up to which the list was looked through; None if it ends here."""


class PurgeStep(NamedTuple):
    """What a look at old sales came to."""

    removed: int
    """How many."""
    end: str | None
    """The invoice id up to which was looked; None if there are no more."""
    leaves_final: bool
    """Whether there are some that are final, but have changed since: their time comes later."""


@dataclass(frozen=True, slots=True)
class SaleChange:
    """A sale as one change of it has left it."""

    position: int
    """Grows in the order in which changes are committed."""
    sale: Sale


@dataclass(frozen=True, slots=True)
class StatusReport:
    """What was reported about the result of a sale. Invoice id, type, status and orderid identify it."""

    invoice_id: str
    type: str
    status: str
    orderid: str
    amount: str | None
    """In major units, as it was written."""
    amount_differs: bool
    """Whether that is not the sale's amount."""
    parameters: tuple[tuple[str, str], ...]
    """Name and value of everything that came with it."""
    receive_time: datetime


class SaleEvent(NamedTuple):
    """A request that named a sale, and how it was answered: the values as a database has them, one for each request."""

    invoice_id: str
    event_id: int
    """When it was received: microseconds since 1970 times `EVENTS_A_MICROSECOND`, and a number that keeps apart those
    of the same one."""
    duration: int
    """Microseconds until it was answered."""
    rpc: str
    """Service and rpc, as in `SaleService.CheckSale`."""
    caller: str
    """Name of who has called."""
    address: str | None
    """IP address of whoever has sent the request, if it is known."""
    request_id: str
    """Its id in the logs."""
    error_reason: int
    """As of `service.errors.ErrorReason`; 0 for a success."""
    error_message: str | None
    """What was answered, if that is not what is always said for the reason."""

    @property
    def receive_time(self) -> datetime:
        """When it was received."""
        return from_microseconds(self.event_id // EVENTS_A_MICROSECOND)

    @property
    def answer_time(self) -> datetime:
        """When it was answered."""
        return self.receive_time + timedelta(microseconds=self.duration)


@dataclass(frozen=True, slots=True)
class StoredCard:
    """A saved card: a reference to one that the payment gateway keeps, or card data in our vault."""

    client_card_id: str
    consumer_id: str
    create_time: datetime
    endpoint_id: str | None = None
    """The endpoint that the reference is from."""
    server_card_id: str | None = None
    unique_reference_card_id: int | None = None
    bin: str | None = None
    """First digits of the card number."""
    last_four: str | None = None
    email: str | None = None
    invoice_id: str | None = None
    """The sale that it was saved with."""
    vault_key_id: str | None = None
    """The key that `sealed` is encrypted with."""
    sealed: bytes | None = None
    """The card data, encrypted (`service.vault`)."""
    delete_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class StoredAccessToken:
    """An access token."""

    hash: bytes
    """SHA-256 of it, 32 bytes."""
    issue_time: datetime
    expire_time: datetime
    endpoint_id: str | None = None
    """The endpoint that it is bound to."""
    consumer_id: str | None = None
    """The consumer that it was issued for."""
    email: str | None = None
    """The consumer's."""
    serial_number: str | None = None
    """The device that it is bound to."""
    revoke_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class IdempotencyRecord:
    """Which session a request with an idempotency key opened."""

    access_token_hash: bytes
    """The key counts for this token only."""
    idempotency_key: str
    request_hash: bytes
    """SHA-256 of the request, 32 bytes."""
    invoice_id: str
    expire_time: datetime
    """From then on the key can be used anew."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Something that was done, or refused, and has to be traceable: who, what, when, never a secret."""

    entry_id: str
    create_time: datetime
    caller: str
    """Name of who has called; of a command or a process, where nobody has."""
    address: str | None
    """IP address of whoever has sent the request, if it is known."""
    action: str
    """What was done, as in `service.audit.AuditAction`."""
    subject: str
    """To what: an id, or the SHA-256 of an access token."""
    details: tuple[tuple[str, str], ...] = ()
    """Name and value of what else is to be known."""


@dataclass(frozen=True, slots=True)
class AuditLink:
    """The place of an audit entry in the chain."""

    position: int
    """From 1, without a gap."""
    entry_id: str
    hash: bytes
    """See `service.store.audit_chain`."""


class ChainedEntry(NamedTuple):
    """An audit entry in its place."""

    link: AuditLink
    entry: AuditEntry | None
    """None if there is none where the chain names one: it was removed."""


class UnchainedEntries(NamedTuple):
    """Audit entries that are not in the chain."""

    waiting: int
    """How many are going to be soon."""
    lost: int
    """How many have no place and wait for none: the end of the chain was cut off, or they were put in by hand."""


class Charge(NamedTuple):
    """What a new sale takes of a limit."""

    key: bytes
    """Which limit, and whose: 32 bytes."""
    share: timedelta
    """The part of the window that it fills."""
    window: timedelta
    """How much there is before anything is taken; it comes back as time goes."""


class LimitReached(NamedTuple):
    """A limit has no room for a sale now."""

    wait: timedelta
    """When there is room in every limit of the sale, unless others take it before."""


@dataclass(frozen=True, slots=True)
class LimitUse:
    """What was taken of a limit."""

    key: bytes
    """As of `Charge`."""
    end_time: datetime
    """When all of it has come back."""


class BlockKey(NamedTuple):
    """What is blocked."""

    kind: str
    """Its kind, as `connectingparty.sale.v1.BlockKind` names it without the prefix."""
    prefix_length: int
    """Of an address in bits, of a bin in digits; otherwise 0."""
    value: str


@dataclass(frozen=True, slots=True)
class Block:
    """Something that no sale is taken from. Kind, prefix length and value identify it, as of `BlockKey`."""

    kind: str
    prefix_length: int
    value: str
    reason: str
    create_time: datetime
    expire_time: datetime | None
    """From then on it is not blocked any more."""
    caller: str
    """Who has blocked it."""

    @property
    def key(self) -> BlockKey:
        """What identifies it."""
        return BlockKey(self.kind, self.prefix_length, self.value)
