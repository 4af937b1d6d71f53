"""What the calls of a store cost that initiate and check make, one at a time and many at once."""

import asyncio
import secrets
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from service.identifiers import new_audit_entry_id, new_invoice_id, new_nonce, utc_now
from service.store import AuditEntry, Sale, Store, StoredAccessToken
from tests.merchant import SBC, SERIAL_NUMBER

AT_ONCE = 32
ItemT = TypeVar("ItemT")


async def measure_store(store: Store, *, rounds: int, calls: int) -> dict[str, float]:
    """Return the microseconds of CPU of each kind of call, the medians of several rounds.

    Args:
        store: has as many more sales and access tokens afterwards.
        rounds: how many.
        calls: of each kind in a round.
    """
    measured: dict[str, list[float]] = {}

    async def measure(
        what: str, call: Callable[[ItemT], Awaitable[object]], items: Sequence[ItemT], at_once: int
    ) -> None:
        measured.setdefault(what, []).append(await _cpu_us(call, items, at_once))

    async def add_access_token(token: StoredAccessToken) -> None:
        await store.add_access_token(token, _new_entry(token))

    for _ in range(rounds):
        for at_once, how in ((1, "alone"), (AT_ONCE, f"{AT_ONCE} at once")):
            sales = [_new_sale() for _ in range(calls)]
            await measure(f"open_session, {how}", lambda sale: store.open_session(sale, None), sales, at_once)
            await measure(
                f"bind_check, {how}",
                lambda sale: store.bind_check(sale.invoice_id, secrets.token_hex(16), None, sale.update_time),
                sales,
                at_once,
            )
        await measure("find_sale", lambda sale: store.find_sale(sale.invoice_id), sales, 1)
        for at_once, how in ((1, "alone"), (AT_ONCE, f"{AT_ONCE} at once")):
            tokens = [_new_token() for _ in range(calls)]
            await measure(f"add_access_token, {how}", add_access_token, tokens, at_once)
        await measure("find_access_token", lambda token: store.find_access_token(token.hash), tokens, 1)
    return {what: statistics.median(us) for what, us in measured.items()}


async def _cpu_us(call: Callable[[ItemT], Awaitable[object]], items: Sequence[ItemT], at_once: int) -> float:
    begin = time.process_time()
    if at_once == 1:
        for item in items:
            await call(item)
    else:
        for start in range(0, len(items), at_once):
            await asyncio.gather(*(call(item) for item in items[start : start + at_once]))
    return (time.process_time() - begin) / len(items) * 1e6


def _new_sale() -> Sale:
    now = utc_now()
    return Sale(
        invoice_id=new_invoice_id(now, secrets.token_bytes),
        endpoint_id=SBC.endpoint_id,
        consumer_id=f"device:{SERIAL_NUMBER}",
        access_token_hash=secrets.token_bytes(32),
        serial_number=SERIAL_NUMBER,
        imei=None,
        ip_addresses=("192.0.2.17",),
        lat=None,
        lng=None,
        amount_centis=1042,
        currency=SBC.currency,
        nonce=new_nonce(secrets.token_bytes),
        signature=secrets.token_hex(20).upper(),
        initiate_time=now,
        expire_time=now + timedelta(minutes=30),
        update_time=now,
    )


def _new_token() -> StoredAccessToken:
    now = utc_now()
    return StoredAccessToken(secrets.token_bytes(32), now, now + timedelta(minutes=30))


def _new_entry(token: StoredAccessToken) -> AuditEntry:
    entry_id = new_audit_entry_id(token.issue_time, secrets.token_bytes)
    return AuditEntry(
        entry_id, token.issue_time, "gateway in process", "192.0.2.17", "access_token.issued", token.hash.hex()
    )
