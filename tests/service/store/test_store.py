"""What every store promises; each engine runs all of it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from service.identifiers import new_invoice_id, new_nonce
from service.store import IdempotencyRecord, IdentifierTaken, Sale, Store, StoredAccessToken
from service.store.sqlite import SqliteStore

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 21, 12, 0, 0, 1, UTC)
Open = Callable[[], Store]


@pytest.fixture(params=["sqlite"])
def open_store(tmp_path: Path) -> Open:
    """Opens the same store each time."""
    return lambda: SqliteStore(tmp_path / "sale.db")


@pytest.fixture
async def store(open_store: Open, anyio_backend: str) -> AsyncIterator[Store]:
    store = open_store()
    yield store
    await store.close()


def new_sale(number: int = 0) -> Sale:
    randomness = Random(number).randbytes  # the same identifiers for the same number

    return Sale(
        invoice_id=new_invoice_id(NOW, randomness),
        endpoint_id="11110",
        access_token_hash=b"h" * 32,
        serial_number="Серийный-№7 '\";--\n",
        imei=None,
        ip_addresses=("192.0.2.17", "10.0.0.5"),
        lat=0.0,
        lng=-180.0,
        amount_centis=2**63 - 1,
        currency="EUR",
        nonce=new_nonce(randomness),
        signature="9D41" * 10,
        initiated_at=NOW,
        expires_at=NOW + timedelta(minutes=30),
    )


def record_of(sale: Sale, request_hash: bytes = b"r" * 32) -> IdempotencyRecord:
    expires_at = sale.initiated_at + timedelta(days=31)
    return IdempotencyRecord(sale.access_token_hash, "order-1", request_hash, sale.invoice_id, expires_at)


async def test_a_sale_is_read_back_as_it_was_stored(store: Store) -> None:
    sale = new_sale()

    assert await store.find_sale(sale.invoice_id) is None
    assert await store.open_session(sale, None) is None
    assert await store.find_sale(sale.invoice_id) == sale


async def test_what_was_stored_is_there_when_the_store_is_opened_again(open_store: Open) -> None:
    sale, token = new_sale(), StoredAccessToken(b"t" * 32, "11110", NOW, NOW + timedelta(minutes=30))
    first = open_store()
    await first.open_session(sale, record_of(sale))
    await first.bind_check(sale.invoice_id, "session-token-01", NOW)
    await first.add_access_token(token)
    await first.close()

    second = open_store()
    assert await second.find_sale(sale.invoice_id) == replace(sale, session_token="session-token-01", checked_at=NOW)
    assert await second.find_access_token(token.hash) == token
    assert await second.find_idempotency_record(sale.access_token_hash, "order-1", NOW) == record_of(sale)
    await second.close()


@pytest.mark.parametrize("taken", ["invoice_id", "nonce"])
async def test_an_identifier_that_is_taken_stores_nothing(store: Store, taken: str) -> None:
    first, second = new_sale(1), new_sale(2)
    await store.open_session(first, None)
    clash = replace(second, **{taken: getattr(first, taken)})

    with pytest.raises(IdentifierTaken):
        await store.open_session(clash, record_of(clash))

    assert await store.find_sale(first.invoice_id) == first
    assert taken == "invoice_id" or await store.find_sale(second.invoice_id) is None
    assert await store.find_idempotency_record(clash.access_token_hash, "order-1", NOW) is None


async def test_the_first_session_token_is_bound_for_good(store: Store) -> None:
    sale, later = new_sale(), NOW + timedelta(seconds=5)
    await store.open_session(sale, None)

    assert await store.bind_check(sale.invoice_id, "session-token-01", NOW) == "session-token-01"
    assert await store.bind_check(sale.invoice_id, "session-token-02", later) == "session-token-01"
    bound = await store.find_sale(sale.invoice_id)
    assert bound == replace(sale, session_token="session-token-01", checked_at=NOW)


async def test_of_racing_session_tokens_all_are_told_the_same_winner(store: Store) -> None:
    sale = new_sale()
    await store.open_session(sale, None)

    told = await asyncio.gather(*(store.bind_check(sale.invoice_id, f"token-{n:010}", NOW) for n in range(100)))

    assert len(set(told)) == 1


async def test_of_racing_sessions_under_one_key_one_is_stored(store: Store) -> None:
    sales = [new_sale(number) for number in range(50)]

    results = await asyncio.gather(*(store.open_session(sale, record_of(sale)) for sale in sales))

    (winner,) = (sale for sale, result in zip(sales, results, strict=True) if result is None)
    assert {result for result in results if result is not None} == {record_of(winner)}
    found = [await store.find_sale(sale.invoice_id) for sale in sales]
    assert [sale for sale in found if sale is not None] == [winner]


async def test_an_expired_record_gives_way(store: Store) -> None:
    first = new_sale(1)
    await store.open_session(first, record_of(first))
    later = replace(new_sale(2), initiated_at=record_of(first).expires_at)

    before = later.initiated_at - timedelta(microseconds=1)
    assert await store.find_idempotency_record(first.access_token_hash, "order-1", before) == record_of(first)
    assert await store.find_idempotency_record(first.access_token_hash, "order-1", later.initiated_at) is None
    assert await store.open_session(later, record_of(later)) is None
    found = await store.find_idempotency_record(first.access_token_hash, "order-1", later.initiated_at)
    assert found == record_of(later)


async def test_a_key_counts_for_its_access_token_only(store: Store) -> None:
    first, second = new_sale(1), replace(new_sale(2), access_token_hash=b"o" * 32)

    assert await store.open_session(first, record_of(first)) is None
    assert await store.open_session(second, record_of(second)) is None


async def test_a_token_is_revoked_once_and_an_unknown_one_is_no_error(store: Store) -> None:
    token = StoredAccessToken(b"t" * 32, None, NOW, NOW + timedelta(minutes=30))
    await store.add_access_token(token)
    await store.revoke_access_token(token.hash, NOW)
    await store.revoke_access_token(token.hash, NOW + timedelta(seconds=1))
    await store.revoke_access_token(b"u" * 32, NOW)

    assert await store.find_access_token(token.hash) == replace(token, revoked_at=NOW)
    assert await store.find_access_token(b"u" * 32) is None


async def test_a_store_that_can_be_written_answers_a_ping(store: Store) -> None:
    await store.ping()
