"""Sales: opening a session, and confirming it to the payment gateway."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hmac import compare_digest

from service.access_tokens import AccessTokens, Authentication
from service.blocklist import Blocklist, Suspect
from service.cards import Cards, SourceOfFunds
from service.currencies import CURRENCIES
from service.endpoints import Endpoint, Endpoints
from service.errors import ErrorReason, SaleError
from service.idempotency import RETENTION, RunningKeys, hash_request
from service.identifiers import Clock, Randomness, are_of_ours, hash_access_token, new_invoice_id, new_nonce
from service.named_sale import bind_to_log, find_named_sale
from service.origin import origin_of_call
from service.random_sums import draw_random_sum
from service.sale_limits import SaleLimits, refusal
from service.sale_states import FINAL, SaleState
from service.signing import check_signature, same, same_signature, session_signature
from service.store import IdempotencyRecord, IdentifierTaken, LimitReached, Sale, Store

_ATTEMPTS = 3
"""How often new identifiers are drawn: ones this long are taken only where the source of randomness repeats itself."""


@dataclass(frozen=True, slots=True)
class InitiateSale:
    """What a consumer's app asks for. Every value is within the bounds of the proto."""

    access_token: str
    serial_number: str
    amount_centis: int
    currency: str
    imei: str | None = None
    ip_addresses: tuple[str, ...] = ()
    lat: float | None = None
    lng: float | None = None

    def hash(self) -> bytes:
        """Return the SHA-256 of all but the access token, by which a repeated request is known."""
        return hash_request(
            self.serial_number, self.amount_centis, self.currency, self.imei, self.ip_addresses, self.lat, self.lng
        )


@dataclass(frozen=True, slots=True)
class CheckSale:
    """What the payment gateway was given by the app. Every value is within the bounds of the proto."""

    invoice_id: str
    access_token: str
    serial_number: str
    nonce: str
    signature: str
    session_token: str
    client_card_id: str | None = None


@dataclass(frozen=True, slots=True)
class ConfirmedSale:
    """A sale whose check succeeded."""

    sale: Sale
    session_token: str
    check_signature: str
    source_of_funds: SourceOfFunds | None
    """The saved card that it is paid with, if it is."""


class Sales:
    """Opens sessions and confirms them.

    Args:
        store: where they are stored.
        endpoints: where they can go.
        access_tokens: who may open one.
        cards: what they can be paid with.
        limits: how many may be opened within a time.
        blocklist: of whom none is opened or confirmed.
        session_ttl: how long after it was opened a session can be checked first.
        clock: the time.
        randomness: what invoice ids and nonces are made of.
    """

    def __init__(
        self,
        store: Store,
        endpoints: Endpoints,
        access_tokens: AccessTokens,
        cards: Cards,
        limits: SaleLimits,
        blocklist: Blocklist,
        *,
        session_ttl: timedelta,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._store = store
        self._endpoints = endpoints
        self._access_tokens = access_tokens
        self._cards = cards
        self._limits = limits
        self._blocklist = blocklist
        self._session_ttl = session_ttl
        self._clock = clock
        self._randomness = randomness
        self._running_keys = RunningKeys()

    async def initiate(self, request: InitiateSale, idempotency_key: str | None = None) -> Sale:
        """Open a session, or return the one that the same request with the same key opened before.

        Args:
            request: the sale to open.
            idempotency_key: makes it safe to send the request again, within the scope of the access token.

        Returns:
            The sale, which is stored durably.

        Raises:
            SaleError: ERROR_REASON_ACCESS_TOKEN_INVALID, _BLOCKED, _CURRENCY_NOT_ACCEPTED, _AMOUNT_OUT_OF_LIMITS,
                _TOO_MANY_SALES, _IDEMPOTENCY_KEY_REUSED, _IDEMPOTENCY_KEY_IN_USE or _SERVER_UNAVAILABLE; no session was
                opened, but the last leaves open whether one was.
        """
        consumer = await self._access_tokens.authenticate(request.access_token, request.serial_number)
        await self._blocklist.require_free(_suspect_of(request, consumer))
        if idempotency_key is None:
            sale = await self._open(request, consumer, None)
        else:
            with self._running_keys.claim(consumer.access_token_hash, idempotency_key):
                sale = await self._open_once(request, consumer, idempotency_key)
        bind_to_log(sale, self._endpoints)
        return sale

    async def check(self, request: CheckSale) -> ConfirmedSale:
        """Confirm that a session was opened with exactly these values, and bind the session token to it.

        Args:
            request: what the payment gateway knows.

        Returns:
            The confirmation: the same one for the same request, however often it is sent.

        Raises:
            SaleError: ERROR_REASON_INVOICE_NOT_FOUND, _CALLER_NOT_PERMITTED, _SESSION_MISMATCH, _SESSION_EXPIRED,
                _CLIENT_CARD_NOT_FOUND, _BLOCKED, _SESSION_ALREADY_CHECKED or _SERVER_UNAVAILABLE; the sale stays as it
                was.
        """
        sale = await find_named_sale(self._store, request.invoice_id)
        bind_to_log(sale, self._endpoints)
        endpoint = self._endpoints.require(sale.endpoint_id)
        endpoint.require_payment_gateway()
        if not (_matches(sale, request) and _is_authentic(sale, endpoint, request.access_token)):
            raise SaleError(ErrorReason.ERROR_REASON_SESSION_MISMATCH)
        now = self._clock()
        _require_open(sale, request.session_token, now)
        card = None
        if request.client_card_id is not None:
            card = await self._cards.source_of_funds(sale, request.client_card_id)
        bin = None if card is None else card.bin
        await self._blocklist.require_free(
            Suspect(sale.consumer_id, sale.serial_number, sale.imei, sale.ip_addresses, bin)
        )
        # Also where it was found bound: what was found need not be durable yet.
        sale = await self._store.bind_check(sale.invoice_id, request.session_token, request.client_card_id, now)
        _require_open(sale, request.session_token, now)
        if sale.check_card_id != request.client_card_id:
            raise SaleError(
                ErrorReason.ERROR_REASON_SESSION_ALREADY_CHECKED, "The session was already checked with another card."
            )
        if card is not None and card.data is not None and request.client_card_id is not None:
            await self._cards.note_shown(sale, request.client_card_id)
        signature = check_signature(
            endpoint.control_keys[0],
            serial_number=sale.serial_number,
            nonce=sale.nonce,
            endpoint_id=sale.endpoint_id,
            invoice_id=sale.invoice_id,
            server_card_id=(card and card.server_card_id) or "",
        )
        return ConfirmedSale(sale, request.session_token, endpoint.in_case(signature), card)

    async def _open_once(self, request: InitiateSale, consumer: Authentication, idempotency_key: str) -> Sale:
        record = await self._store.find_idempotency_record(consumer.access_token_hash, idempotency_key, self._clock())
        if record is None:
            return await self._open(request, consumer, idempotency_key)
        return await self._repeat(request, record)

    async def _repeat(self, request: InitiateSale, record: IdempotencyRecord) -> Sale:
        if record.request_hash != request.hash():
            raise SaleError(ErrorReason.ERROR_REASON_IDEMPOTENCY_KEY_REUSED)
        sale = await self._store.find_sale(record.invoice_id)
        if sale is None:
            raise LookupError("an idempotency record names a sale that is not stored")
        return sale

    async def _open(self, request: InitiateSale, consumer: Authentication, idempotency_key: str | None) -> Sale:
        endpoint = self._endpoints.choose(request.currency, consumer.endpoint_id)
        endpoint.require_within_limits(request.amount_centis)
        for _ in range(_ATTEMPTS):
            sale = self._new_sale(request, consumer, endpoint)
            record = None if idempotency_key is None else _record(sale, idempotency_key, request)
            charges = self._limits.charges(sale, origin_of_call().address)
            try:
                outcome = await self._store.open_session(sale, record, charges)
            except IdentifierTaken:
                continue
            if isinstance(outcome, LimitReached):
                raise refusal(outcome)
            return sale if outcome is None else await self._repeat(request, outcome)
        raise RuntimeError("the source of randomness repeats itself")

    def _new_sale(self, request: InitiateSale, consumer: Authentication, endpoint: Endpoint) -> Sale:
        now = self._clock()
        invoice_id, nonce = new_invoice_id(now, self._randomness), new_nonce(self._randomness)
        signature = session_signature(
            endpoint.control_keys[0],
            access_token=request.access_token,
            serial_number=request.serial_number,
            endpoint_id=endpoint.id,
            nonce=nonce,
            invoice_id=invoice_id,
            amount_centis=request.amount_centis,
            currency=request.currency,
        )
        limits = endpoint.random_sum_centis
        return Sale(
            invoice_id=invoice_id,
            endpoint_id=endpoint.id,
            consumer_id=consumer.consumer_id,
            access_token_hash=consumer.access_token_hash,
            serial_number=request.serial_number,
            imei=request.imei,
            ip_addresses=request.ip_addresses,
            lat=request.lat,
            lng=request.lng,
            amount_centis=request.amount_centis,
            currency=request.currency,
            nonce=nonce,
            signature=endpoint.in_case(signature),
            initiate_time=now,
            expire_time=now + self._session_ttl,
            update_time=now,
            email=consumer.email,
            random_sum_centis=limits and draw_random_sum(limits, self._randomness),
        )


def _suspect_of(request: InitiateSale, consumer: Authentication) -> Suspect:
    address = origin_of_call().address
    addresses = request.ip_addresses if address is None else (address, *request.ip_addresses)
    return Suspect(consumer.consumer_id, request.serial_number, request.imei, addresses)


def _record(sale: Sale, idempotency_key: str, request: InitiateSale) -> IdempotencyRecord:
    return IdempotencyRecord(
        sale.access_token_hash, idempotency_key, request.hash(), sale.invoice_id, sale.initiate_time + RETENTION
    )


def _require_open(sale: Sale, session_token: str, now: datetime) -> None:
    if sale.state == SaleState.SALE_STATE_EXPIRED:
        raise SaleError(ErrorReason.ERROR_REASON_SESSION_EXPIRED)
    if sale.state in FINAL:
        raise SaleError(ErrorReason.ERROR_REASON_SESSION_ALREADY_CHECKED)
    if sale.session_token is None:
        if sale.expire_time <= now:
            raise SaleError(ErrorReason.ERROR_REASON_SESSION_EXPIRED)
    elif not same(sale.session_token, session_token):
        raise SaleError(ErrorReason.ERROR_REASON_SESSION_ALREADY_CHECKED)


def _matches(sale: Sale, request: CheckSale) -> bool:
    # One comparison of all there is: of several, even what was found of each can be told by the time that it takes.
    # Nothing between them is ambiguous: NUL is in no string, and the hash has a fixed length.
    return compare_digest(
        _joined(sale.serial_number, sale.nonce, sale.signature, sale.access_token_hash),
        _joined(request.serial_number, request.nonce, request.signature, hash_access_token(request.access_token)),
    )


def _joined(serial_number: str, nonce: str, signature: str, access_token_hash: bytes) -> bytes:
    parts = (serial_number.encode(), nonce.encode(), signature.encode().lower(), access_token_hash)
    return b"\0".join(parts)


def _is_authentic(sale: Sale, endpoint: Endpoint, access_token: str) -> bool:
    # The stored values match what was sent; now the stored signature has to be one that we made over them. It is not
    # when a row was tampered with (the amount is in no request of the gateway), or its key was withdrawn. Nor where
    # characters were moved in the row: "...b" and 1142 sign like "...b1" and 142, so the parts must have their forms.
    if not (are_of_ours(sale.invoice_id, sale.nonce) and sale.currency in CURRENCIES):
        return False
    signatures = [
        session_signature(
            key,
            access_token=access_token,
            serial_number=sale.serial_number,
            endpoint_id=sale.endpoint_id,
            nonce=sale.nonce,
            invoice_id=sale.invoice_id,
            amount_centis=sale.amount_centis,
            currency=sale.currency,
        )
        for key in endpoint.control_keys
    ]
    return any(same_signature(sale.signature, signature) for signature in signatures)
