"""Statements about uses of limits."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from service.store import IdentifierTaken
from service.store.postgresql.database import Connection
from service.store.postgresql.idempotency_records import claim_key, find_record
from service.store.postgresql.sales import NewSession, find_sales, insert_sales, is_same_session, lock_order
from service.store.records import IdempotencyRecord, LimitReached
from service.store.rules import weigh_charges

# Locked in the order of their keys, so that no two transactions wait for each other; what is not there yet is made, so
# that there is something to lock.
_LOCK = (
    "INSERT INTO limit_uses (key, end_time) SELECT key, $2 FROM unnest($1::bytea[]) AS key ORDER BY key"
    " ON CONFLICT (key) DO UPDATE SET end_time = limit_uses.end_time RETURNING key, end_time"
)
_UPDATE = (
    "UPDATE limit_uses SET end_time = taken.end_time"
    " FROM unnest($1::bytea[], $2::timestamptz[]) AS taken (key, end_time) WHERE limit_uses.key = taken.key"
)
# With the limit in its words the plan is made for few rows.
_PURGE = (
    "WITH ended AS (SELECT key FROM limit_uses WHERE end_time <= $1 LIMIT {limit} FOR UPDATE SKIP LOCKED)"
    " DELETE FROM limit_uses USING ended WHERE limit_uses.key = ended.key RETURNING 1"
)

Outcome = IdempotencyRecord | LimitReached | None
"""What `Store.open_session` returns."""


async def open_limited_sessions(connection: Connection, sessions: Sequence[NewSession]) -> Sequence[Outcome]:
    """See `Store.open_session`, for sessions one after the other in one transaction; one that is stored is a success.

    Raises:
        IdentifierTaken: an identifier of one of them is not new.
    """
    try:
        async with connection.transaction():
            return await _open(connection, sessions)
    except asyncpg.UniqueViolationError:
        raise IdentifierTaken from None


async def _open(connection: Connection, sessions: Sequence[NewSession]) -> Sequence[Outcome]:
    end_times = await _lock_end_times(connection, sessions)
    # From now on nobody else takes of these limits: an earlier try, of which nobody knew what had become, is over.
    stored = await find_sales(connection, [session.sale.invoice_id for session in sessions])
    outcomes: dict[str, Outcome] = {}
    claimed: dict[tuple[bytes, str], IdempotencyRecord] = {}
    taken: dict[bytes, datetime] = {}
    opened = []
    for session in sorted((new for new, known in zip(sessions, stored, strict=True) if known is None), key=lock_order):
        sale, record, charges = session
        weighed = weigh_charges(charges, end_times | taken, sale.initiate_time)
        reached = weighed if isinstance(weighed, LimitReached) else None
        earlier = None
        if record is not None:
            earlier = claimed.get(lock_order(session)) or await _earlier(connection, session, claim=reached is None)
            if reached is None:
                claimed[lock_order(session)] = earlier or record
        outcomes[sale.invoice_id] = earlier or reached
        if earlier is None and not isinstance(weighed, LimitReached):
            taken |= weighed
            opened.append(sale)
    if opened:
        await insert_sales(connection, opened)
        await connection.execute(_UPDATE, list(taken), list(taken.values()))
    if any(known and not is_same_session(known, new.sale) for new, known in zip(sessions, stored, strict=True)):
        raise IdentifierTaken
    return [outcomes.get(session.sale.invoice_id) for session in sessions]


async def _lock_end_times(connection: Connection, sessions: Sequence[NewSession]) -> dict[bytes, datetime]:
    keys = sorted({charge.key for session in sessions for charge in session.charges})
    nothing_taken = min(session.sale.initiate_time for session in sessions)
    return {row["key"]: row["end_time"] for row in await connection.fetch(_LOCK, keys, nothing_taken)}


async def _earlier(connection: Connection, session: NewSession, *, claim: bool) -> IdempotencyRecord | None:
    sale, record, _ = session
    if record is None:
        return None
    if claim:
        return await claim_key(connection, record, sale.initiate_time)
    return await find_record(connection, record.access_token_hash, record.idempotency_key, sale.initiate_time)


async def purge_limit_uses(connection: Connection, now: datetime, limit: int) -> int:
    """See `service.store.Store`."""
    return len(await connection.fetch(_PURGE.format(limit=int(limit)), now))
