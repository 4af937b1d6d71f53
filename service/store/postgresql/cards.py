"""Statements about cards."""

from collections.abc import Sequence
from dataclasses import replace

from service.store.postgresql.audit_log import append_audit_entry, audited, row_of
from service.store.postgresql.database import Connection
from service.store.postgresql.sales import change_sale, lock_sale
from service.store.postgresql.tables import CARDS, placeholder, typed_placeholders
from service.store.records import AuditEntry, StoredCard
from service.store.rules import names_card

_INSERT_BY_REFERENCE = (
    f"{CARDS.insert} ON CONFLICT (consumer_id, endpoint_id, server_card_id)"
    " WHERE server_card_id IS NOT NULL AND delete_time IS NULL DO NOTHING RETURNING 1"
)
_SELECT_BY_REFERENCE = (
    f"{CARDS.select} WHERE consumer_id = $1 AND endpoint_id = $2 AND server_card_id = $3 AND delete_time IS NULL"
)
_EXISTS_DELETED_SINCE = (
    "SELECT EXISTS (SELECT FROM cards WHERE consumer_id = $1 AND endpoint_id = $2 AND server_card_id = $3"
    " AND delete_time >= $4)"
)
_SELECT_ANY = f"{CARDS.select} WHERE client_card_id = $1"
_SELECT_CARD = f"{CARDS.select} WHERE client_card_id = $1 AND consumer_id = $2 AND delete_time IS NULL"
_SELECT_OF_CONSUMER = (
    f"{CARDS.select} WHERE consumer_id = $1 AND delete_time IS NULL AND ($2::text IS NULL OR client_card_id < $2)"
    " ORDER BY client_card_id DESC LIMIT $3"
)
_SELECT_SEALED_OTHERWISE = (
    f"{CARDS.select} WHERE vault_key_id IS NOT NULL AND vault_key_id <> $1 AND client_card_id > $2"
    " ORDER BY client_card_id LIMIT $3"
)
_WIDTH = len(CARDS.names)
_INSERT_IF_NEW = audited(f"{CARDS.insert} ON CONFLICT (client_card_id) DO NOTHING", _WIDTH + 1)
_REPLACE = (
    f"UPDATE cards SET ({CARDS.columns}) = ROW ({typed_placeholders(CARDS.types)})"
    f" WHERE client_card_id = {placeholder(2 * _WIDTH + 1)}"
    f" AND ROW ({CARDS.columns}) IS NOT DISTINCT FROM ROW ({typed_placeholders(CARDS.types, _WIDTH + 1)}) RETURNING 1"
)


async def map_card(connection: Connection, invoice_id: str, card: StoredCard, audit: AuditEntry) -> None:
    """See `service.store.Store`."""
    async with connection.transaction():
        sale = await lock_sale(connection, invoice_id)
        reference = card.consumer_id, card.endpoint_id, card.server_card_id
        while True:
            if (row := await connection.fetchrow(_SELECT_BY_REFERENCE, *reference)) is not None:
                known = CARDS.record(row)
                break
            if await connection.fetchval(_EXISTS_DELETED_SINCE, *reference, sale.check_time):
                return  # the sale was made with the card that was deleted
            if await connection.fetchval(_INSERT_BY_REFERENCE, *CARDS.row(card)) is not None:
                await append_audit_entry(connection, audit)
                known = card
                break
            # Another sale has brought the same card at this moment: now it is there.
        if names_card(sale, known):
            update_time = max(sale.update_time, card.create_time)
            await change_sale(connection, replace(sale, client_card_id=known.client_card_id, update_time=update_time))


async def add_card(connection: Connection, card: StoredCard, audit: AuditEntry) -> None:
    """See `service.store.Store`; one that is stored already is a success."""
    if await connection.fetchval(_INSERT_IF_NEW, *CARDS.row(card), *row_of(audit)) == 0:
        row = await connection.fetchrow(_SELECT_ANY, card.client_card_id)
        if row is None or CARDS.record(row) != card:
            raise RuntimeError("the source of randomness repeats itself")


async def find_card(connection: Connection, consumer_id: str, client_card_id: str) -> StoredCard | None:
    """See `service.store.Store`."""
    row = await connection.fetchrow(_SELECT_CARD, client_card_id, consumer_id)
    return None if row is None else CARDS.record(row)


async def list_cards(connection: Connection, consumer_id: str, before: str | None, limit: int) -> Sequence[StoredCard]:
    """See `service.store.Store`."""
    return [CARDS.record(row) for row in await connection.fetch(_SELECT_OF_CONSUMER, consumer_id, before, limit)]


async def replace_card(
    connection: Connection, card: StoredCard, expected: StoredCard, audit: AuditEntry | None
) -> bool:
    """See `service.store.Store`; one that has this place already is a success."""
    values = (*CARDS.row(card), *CARDS.row(expected), card.client_card_id)
    async with connection.transaction():
        if await connection.fetchval(_REPLACE, *values) is not None:
            if audit is not None:
                await append_audit_entry(connection, audit)
            return True
    row = await connection.fetchrow(_SELECT_ANY, card.client_card_id)
    return row is not None and CARDS.record(row) == card


async def list_cards_sealed_otherwise(
    connection: Connection, vault_key_id: str, after: str, limit: int
) -> Sequence[StoredCard]:
    """See `service.store.Store`."""
    return [CARDS.record(row) for row in await connection.fetch(_SELECT_SEALED_OTHERWISE, vault_key_id, after, limit)]
