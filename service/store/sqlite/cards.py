"""Statements about cards."""

from collections.abc import Sequence
from dataclasses import replace

import apsw

from service.identifiers import microseconds
from service.store.records import AuditEntry, StoredCard
from service.store.rules import names_card
from service.store.sqlite.audit_log import append_audit_entry
from service.store.sqlite.sales import change_sale, require_sale
from service.store.sqlite.tables import CARDS

_SELECT_BY_REFERENCE = (
    f"{CARDS.select} WHERE consumer_id = ? AND endpoint_id = ? AND server_card_id = ? AND delete_time IS NULL"
)
_EXISTS_DELETED_SINCE = (
    "SELECT EXISTS (SELECT 1 FROM cards WHERE consumer_id = ? AND endpoint_id = ? AND server_card_id = ?"
    " AND delete_time >= ?)"
)
_SELECT_CARD = f"{CARDS.select} WHERE client_card_id = ? AND consumer_id = ? AND delete_time IS NULL"
_SELECT_OF_CONSUMER = (
    f"{CARDS.select} WHERE consumer_id = ? AND delete_time IS NULL AND client_card_id < ?"
    " ORDER BY client_card_id DESC LIMIT ?"
)
_SELECT_SEALED_OTHERWISE = (
    f"{CARDS.select} WHERE vault_key_id IS NOT NULL AND vault_key_id <> ? AND client_card_id > ?"
    " ORDER BY client_card_id LIMIT ?"
)
_REPLACE = (
    f"UPDATE cards SET ({CARDS.columns}) = ({', '.join('?' * len(CARDS.names))})"
    f" WHERE client_card_id = ? AND ({CARDS.columns}) IS ({', '.join('?' * len(CARDS.names))}) RETURNING 1"
)
_AFTER_ALL_IDS = "~"  # no id has a character that is larger


def map_card(connection: apsw.Connection, invoice_id: str, card: StoredCard, audit: AuditEntry) -> None:
    """See `service.store.Store`."""
    sale = require_sale(connection, invoice_id)
    reference = card.consumer_id, card.endpoint_id, card.server_card_id
    if (row := connection.execute(_SELECT_BY_REFERENCE, reference).fetchone()) is not None:
        known = CARDS.record(row)
    elif connection.execute(
        _EXISTS_DELETED_SINCE, (*reference, None if sale.check_time is None else microseconds(sale.check_time))
    ).get:
        return  # the sale was made with the card that was deleted
    else:
        add_card(connection, card, audit)
        known = card
    if names_card(sale, known):
        update_time = max(sale.update_time, card.create_time)
        change_sale(connection, replace(sale, client_card_id=known.client_card_id, update_time=update_time))


def add_card(connection: apsw.Connection, card: StoredCard, audit: AuditEntry) -> None:
    """See `service.store.Store`."""
    connection.execute(CARDS.insert, CARDS.row(card))
    append_audit_entry(connection, audit)


def find_card(connection: apsw.Connection, consumer_id: str, client_card_id: str) -> StoredCard | None:
    """See `service.store.Store`."""
    row = connection.execute(_SELECT_CARD, (client_card_id, consumer_id)).fetchone()
    return None if row is None else CARDS.record(row)


def list_cards(connection: apsw.Connection, consumer_id: str, before: str | None, limit: int) -> Sequence[StoredCard]:
    """See `service.store.Store`."""
    bindings = consumer_id, _AFTER_ALL_IDS if before is None else before, limit
    return [CARDS.record(row) for row in connection.execute(_SELECT_OF_CONSUMER, bindings)]


def replace_card(connection: apsw.Connection, card: StoredCard, expected: StoredCard, audit: AuditEntry | None) -> bool:
    """See `service.store.Store`."""
    bindings = (*CARDS.row(card), card.client_card_id, *CARDS.row(expected))
    is_replaced = connection.execute(_REPLACE, bindings).get is not None
    if is_replaced and audit is not None:
        append_audit_entry(connection, audit)
    return is_replaced


def list_cards_sealed_otherwise(
    connection: apsw.Connection, vault_key_id: str, after: str, limit: int
) -> Sequence[StoredCard]:
    """See `service.store.Store`."""
    return [CARDS.record(row) for row in connection.execute(_SELECT_SEALED_OTHERWISE, (vault_key_id, after, limit))]
