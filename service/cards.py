"""Saved cards: references to cards that a payment gateway keeps, and card data in our own vault."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from service.audit import AuditAction, AuditLog
from service.blocklist import BIN_DIGITS, Blocklist, Suspect
from service.errors import ErrorReason, FieldViolation, SaleError
from service.identifiers import Clock, Randomness, new_client_card_id
from service.pages import next_token, page_of
from service.store import AuditEntry, Sale, Store, StoredCard
from service.vault import CardData, SealBroken, Sealed, Vault

_REENCRYPT_BATCH = 100


@dataclass(frozen=True, slots=True)
class SourceOfFunds:
    """A saved card, as a sale is paid with it."""

    email: str | None
    """The consumer's, if the card has one."""
    server_card_id: str | None = None
    """The payment gateway's id of the card."""
    data: CardData | None = None
    """What is on the card, if it is ours to keep; then there is no server card id."""
    bin: str | None = None
    """First digits of its number, as many as are known."""


class Cards:
    """The cards of consumers. One is only ever found together with its consumer.

    Args:
        store: where they are stored.
        vault: encrypts card data.
        audit_log: what tells who has put, seen and deleted them.
        blocklist: whose cards, and which ones, are not taken.
        clock: the time.
        randomness: what ids are made of.
    """

    def __init__(
        self,
        store: Store,
        vault: Vault,
        audit_log: AuditLog,
        blocklist: Blocklist,
        *,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._store = store
        self._vault = vault
        self._audit_log = audit_log
        self._blocklist = blocklist
        self._clock = clock
        self._randomness = randomness

    async def get(self, consumer_id: str, client_card_id: str) -> StoredCard:
        """Return a card.

        Raises:
            SaleError: `ERROR_REASON_CLIENT_CARD_NOT_FOUND`, it is another consumer's, deleted or unknown.
        """
        card = await self._store.find_card(consumer_id, client_card_id)
        if card is None:
            raise SaleError(ErrorReason.ERROR_REASON_CLIENT_CARD_NOT_FOUND)
        return card

    async def source_of_funds(self, sale: Sale, client_card_id: str) -> SourceOfFunds:
        """Return a card of the sale's consumer, as the sale's payment gateway needs it.

        Args:
            sale: the sale that is paid.
            client_card_id: the card's.

        Raises:
            SaleError: ERROR_REASON_CLIENT_CARD_NOT_FOUND, it is another consumer's, deleted, unknown, or a reference
                that another endpoint made; _SERVER_UNAVAILABLE, its vault key is not configured now.
            SealBroken: its data was tampered with.
        """
        card = await self.get(sale.consumer_id, client_card_id)
        if card.endpoint_id not in (None, sale.endpoint_id):
            raise SaleError(ErrorReason.ERROR_REASON_CLIENT_CARD_NOT_FOUND)
        data = self._open(card)
        bin = card.bin if data is None else data.number[:BIN_DIGITS]
        return SourceOfFunds(card.email, card.server_card_id, data, bin)

    async def note_shown(self, sale: Sale, client_card_id: str) -> None:
        """Keep in the audit log that the payment gateway of a sale is about to be shown the data of a card.

        Raises:
            StoreUnavailable: it can't be kept; then nothing may be shown.
        """
        await self._audit_log.append(
            AuditAction.CARD_SHOWN,
            client_card_id,
            consumer_id=sale.consumer_id,
            invoice_id=sale.invoice_id,
            endpoint_id=sale.endpoint_id,
        )

    async def list(
        self, consumer_id: str, page_token: str | None = None, page_size: int = 0
    ) -> tuple[Sequence[StoredCard], str]:
        """Return a page of a consumer's cards, the latest first, and the token of the next page.

        Args:
            consumer_id: whose.
            page_token: of the page before, for the first page none.
            page_size: how many at most; 0 for the usual number.

        Raises:
            SaleError: `ERROR_REASON_INVALID_FIELD`, the token is not one of this list.
        """
        page = page_of(page_token, page_size, consumer_id)
        cards = await self._store.list_cards(consumer_id, page.before, page.size + 1)
        last = cards[page.size - 1].client_card_id if len(cards) > page.size else None
        return cards[: page.size], next_token(last, consumer_id)

    async def put(
        self, consumer_id: str, data: CardData, email: str | None, client_card_id: str | None = None
    ) -> StoredCard:
        """Keep card data: as a new card, or in the place of what the vault holds of one.

        Args:
            consumer_id: whose card it is.
            data: what is on it.
            email: the consumer's; None leaves that of a card that there is as it is.
            client_card_id: the card whose data it is to be; None for a new card.

        Returns:
            The card.

        Raises:
            SaleError: ERROR_REASON_PATH_NOT_FOUND, the vault is off; _INVALID_FIELD, the number is none of a card;
                _BLOCKED; _CLIENT_CARD_NOT_FOUND, this consumer has no such card in the vault.
        """
        self._vault.require_key()
        if not _passes_luhn(data.number):
            raise SaleError.invalid_fields([FieldViolation("card.number", "must be right by the Luhn formula")])
        await self._blocklist.require_free(Suspect(consumer_id, bin=data.number[:BIN_DIGITS]))
        if client_card_id is None:
            now = self._clock()
            new = StoredCard(new_client_card_id(now, self._randomness), consumer_id, now, email=email)
            card = self._sealed(new, data)
            await self._store.add_card(card, self._entry(AuditAction.CARD_PUT, card))
            return card

        def resealed(known: StoredCard) -> StoredCard:
            if known.sealed is None:
                raise SaleError(ErrorReason.ERROR_REASON_CLIENT_CARD_NOT_FOUND)
            return self._sealed(replace(known, email=known.email if email is None else email), data)

        return await self._change(consumer_id, client_card_id, resealed, AuditAction.CARD_PUT)

    async def delete(self, consumer_id: str, client_card_id: str) -> None:
        """Delete a card. Its ids stay, so that a notification of it that is repeated does not bring it back.

        Raises:
            SaleError: `ERROR_REASON_CLIENT_CARD_NOT_FOUND`.
        """

        def deleted(known: StoredCard) -> StoredCard:
            return replace(
                known,
                unique_reference_card_id=None,
                bin=None,
                last_four=None,
                email=None,
                vault_key_id=None,
                sealed=None,
                delete_time=self._clock(),
            )

        await self._change(consumer_id, client_card_id, deleted, AuditAction.CARD_DELETED)

    async def set_email(self, consumer_id: str, client_card_id: str, email: str | None) -> StoredCard:
        """Set or remove the e-mail address of a card.

        Returns:
            The card as it is now.

        Raises:
            SaleError: `ERROR_REASON_CLIENT_CARD_NOT_FOUND`.
        """
        return await self._change(consumer_id, client_card_id, lambda known: replace(known, email=email))

    async def reencrypt(self) -> tuple[int, Sequence[str]]:
        """Encrypt under the first vault key what is encrypted under another one, while the server runs on.

        Returns:
            How many cards there were, and the ids of those whose data was tampered with; they stay as they are.

        Raises:
            SaleError: ERROR_REASON_PATH_NOT_FOUND, the vault is off; _SERVER_UNAVAILABLE, a key is not configured.
        """
        key_id = self._vault.require_key()
        await self._audit_log.append(AuditAction.CARDS_REENCRYPTED, key_id)
        count, broken, after = 0, [], ""
        while cards := await self._store.list_cards_sealed_otherwise(key_id, after, _REENCRYPT_BATCH):
            after = cards[-1].client_card_id
            for card in cards:
                try:
                    count += await self._reencrypt(card, key_id)
                except SealBroken:
                    broken.append(card.client_card_id)
        return count, broken

    async def _change(
        self,
        consumer_id: str,
        client_card_id: str,
        change: Callable[[StoredCard], StoredCard],
        action: AuditAction | None = None,
    ) -> StoredCard:
        while True:
            known = await self.get(consumer_id, client_card_id)
            changed = change(known)
            audit = None if action is None else self._entry(action, changed)
            if await self._store.replace_card(changed, known, audit):  # otherwise it has changed meanwhile
                return changed

    def _entry(self, action: AuditAction, card: StoredCard) -> AuditEntry:
        return self._audit_log.entry(
            action, card.client_card_id, consumer_id=card.consumer_id, vault_key_id=card.vault_key_id
        )

    async def _reencrypt(self, card: StoredCard, key_id: str) -> bool:
        known: StoredCard | None = card
        while known is not None and known.vault_key_id != key_id:
            if (data := self._open(known)) is None:
                break
            if await self._store.replace_card(self._sealed(known, data), known, None):
                return True
            known = await self._store.find_card(card.consumer_id, card.client_card_id)  # it has changed meanwhile
        return False

    def _open(self, card: StoredCard) -> CardData | None:
        if card.vault_key_id is None or card.sealed is None:
            return None
        sealed = Sealed(card.vault_key_id, card.sealed)
        return self._vault.open(sealed, client_card_id=card.client_card_id, consumer_id=card.consumer_id)

    def _sealed(self, card: StoredCard, data: CardData) -> StoredCard:
        sealed = self._vault.seal(data, client_card_id=card.client_card_id, consumer_id=card.consumer_id)
        return replace(card, bin=data.number[:6], last_four=data.number[-4:], **sealed._asdict())


def _passes_luhn(number: str) -> bool:
    # ISO/IEC 7812-1, annex B: every second digit from the right counts twice.
    digits = [int(digit) for digit in reversed(number)]
    return sum(digits[::2] + [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]) % 10 == 0
