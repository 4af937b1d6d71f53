"""The sandbox remembers the latest sales, and no more."""

import asyncio
from datetime import UTC, datetime

import pytest

from gateway.parties.payment_gateway import CheckedSession
from gateway.sandbox.cards import CARDS
from gateway.sandbox.sales import Sale, Sales

pytestmark = pytest.mark.anyio


def sale(number: int) -> Sale:
    session = CheckedSession("serial", "access token", "nonce", "signature", f"token-{number}")
    return Sale(
        str(number), "1111", "invoice", session, 1042, "EUR", CARDS[0], False, datetime(2026, 11, 21, tzinfo=UTC)
    )


async def test_the_oldest_sale_is_forgotten_with_what_it_waits_for() -> None:
    sales, first = Sales(most=2), sale(1)
    first.charging = asyncio.create_task(asyncio.sleep(60))
    for each in (first, sale(2), sale(3)):
        sales.add(each)
    await asyncio.wait([first.charging], timeout=1)

    assert len(sales) == 2
    assert sales.find("token-1") is None
    assert sales.find_page(first.page) is None
    assert first.charging.cancelled()


async def test_a_page_is_found_by_what_only_the_app_was_told() -> None:
    sales, one = Sales(most=2), sale(1)
    sales.add(one)

    assert sales.find_page(one.page) is one
    assert sales.find_page(one.session.token) is None


async def test_times_are_written_as_public_clients_read_them() -> None:
    assert sale(1).document("")["transaction"]["orderCreatedDate"] == "2026-11-21 00:00:00.000+0000"
