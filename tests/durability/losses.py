"""What a ledger says was acknowledged, and the server or its database does not know, or has done twice."""

import random
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw

from tests.durability.sellers import Ledger, Sold
from tests.merchant import check_document, initiate_document
from tests.transports import OverHttp

ASKED_AGAIN = 30
"""Of how many sales the nodes are asked again; of all, the database is."""
PROBE_CENTIS = 10**9
"""Of sales that are opened to see whether a token is good: no seller comes so far."""

Query = Callable[[str], list[tuple[str, ...]]]
"""Returns the rows of a statement, as text; NULL is empty."""


def query_of(path: Path) -> Query:
    """Return a query of an SQLite file."""

    def query(sql: str) -> list[tuple[str, ...]]:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
            connection.set_busy_timeout(10_000)
            return [tuple("" if value is None else str(value) for value in row) for row in connection.execute(sql)]

    return query


def lost_in_the_database(query: Query, ledger: Ledger) -> list[str]:
    """Return every acknowledged effect that the database does not have, and every request that had two."""
    if not ledger.sold:
        return []
    first = min(sold.invoice_id for sold in ledger.sold)

    def rows(columns: str, table: str) -> list[tuple[str, ...]]:
        return query(f"SELECT {columns} FROM {table} WHERE invoice_id >= '{first}'")

    columns = "invoice_id, amount_centis, nonce, signature, session_token, state, client_card_id"
    sales = {row[0]: row[1:] for row in rows(columns, "sales")}
    keys = {row[0]: row[1] for row in rows("idempotency_key, invoice_id", "idempotency_records")}
    reports = Counter(row[0] for row in rows("invoice_id", "status_reports"))
    cards = {row[0]: row[1] for row in query("SELECT server_card_id, client_card_id FROM cards")}
    lost = []
    for sold in ledger.sold:
        session = sold.opened["session"]
        amount = str(sold.amount_centis)
        expected = amount, session["nonce"], session["signature"], sold.token or "", sold.states[-1], sold.card or ""
        if sales.get(sold.invoice_id) != expected:
            lost.append(f"{sold.invoice_id}: is {sales.get(sold.invoice_id)}, not {expected}")
        if sold.key is not None and keys.get(sold.key) != sold.invoice_id:
            lost.append(f"{sold.invoice_id}: its key is of {keys.get(sold.key)}")
        if reports[sold.invoice_id] != (sold.state is not None):
            lost.append(f"{sold.invoice_id}: has {reports[sold.invoice_id]} reports")
        if sold.card is not None and cards.get(sold.server_card_id) != sold.card:
            lost.append(f"{sold.invoice_id}: its card is {cards.get(sold.server_card_id)}, not {sold.card}")
    opened = Counter(int(row[0]) for row in sales.values())
    for asked, key in ledger.asked.items():
        if opened[asked] > 1 or (key is not None and opened[asked] == 0):
            lost.append(f"the request of {asked} with the key {key} opened {opened[asked]} sessions")
    return lost


def lost_at_the_nodes(http: OverHttp, ledger: Ledger, chance: random.Random) -> list[str]:
    """Return what the nodes do not answer as they did before, of some sales."""
    lost = []

    def check(sold: Sold, token: str) -> tuple[int, object]:
        return http.check(sold.invoice_id, check_document(ledger.access_token, sold.opened, token))

    for sold in chance.sample(ledger.sold, min(ASKED_AGAIN, len(ledger.sold))):
        if sold.key is not None and (again := http.initiate(sold.document, sold.key)).body != sold.opened:
            lost.append(f"{sold.invoice_id}: its key gives {again}")
        if sold.token is None:
            continue
        checked = check(sold, sold.token)
        # A sale that is final is not checked any more, not even with its own session token.
        if checked != (0, sold.checked) if sold.state is None else checked[0] != 1105:
            lost.append(f"{sold.invoice_id}: its check gives {checked}")
        if (other := check(sold, "another-session-token"))[0] != 1105:
            lost.append(f"{sold.invoice_id}: a check with another session token gives {other}")
    for token, revoked in ledger.tokens.items():
        answer = http.initiate(initiate_document(token, amount_centis=PROBE_CENTIS))
        if answer.code != (1101 if revoked else 0):
            lost.append(f"a token that was {'revoked' if revoked else 'issued'} gives {answer}")
    return lost


def twice_in_the_changes(query: Query, ledger: Ledger) -> list[str]:
    """Return the sales whose changes are not each step once."""
    if not ledger.sold:
        return []
    first = min(sold.invoice_id for sold in ledger.sold)
    states: dict[str, list[str]] = {}
    for invoice_id, state in query(
        f"SELECT invoice_id, state FROM sale_changes WHERE invoice_id >= '{first}' ORDER BY position"
    ):
        states.setdefault(invoice_id, []).append(state)
    return [
        f"{sold.invoice_id}: its changes are {states.get(sold.invoice_id)}, not {sold.states}"
        for sold in ledger.sold
        if states.get(sold.invoice_id) != sold.states
    ]
