"""What sales take of limits, and what is refused for good."""

from datetime import timedelta
from typing import Any

import pytest

from service.errors import ErrorReason, SaleError
from service.origin import Origin, begin_from
from service.sale_limits import SaleLimit, SaleLimits, refusal
from service.sales import InitiateSale, Sales
from service.store import LimitReached
from tests.service.conftest import Clock
from tests.service.store.test_store import new_sale

HOUR = timedelta(hours=1)
ADDRESS = "192.0.2.1"


def keys(limit: SaleLimit, address: str | None = ADDRESS, **sale: Any) -> set[bytes]:
    return {charge.key for charge in SaleLimits([limit]).charges(new_sale(0, amount_centis=100, **sale), address)}


@pytest.mark.parametrize(
    ("per", "same", "other"),
    [
        ("consumer", {"serial_number": "x", "address": "192.0.2.2"}, {"consumer_id": "boris"}),
        ("device", {"consumer_id": "boris", "address": "192.0.2.2"}, {"serial_number": "x"}),
        ("endpoint", {"consumer_id": "boris", "address": "192.0.2.2"}, {"endpoint_id": "22220"}),
        ("address", {"consumer_id": "boris", "serial_number": "x"}, {"address": "192.0.2.2"}),
    ],
)
def test_sales_are_counted_together_that_have_the_subject_in_common(
    per: Any, same: dict[str, Any], other: dict[str, Any]
) -> None:
    limit = SaleLimit(per, HOUR, sales=3, centis=1000)

    assert len(keys(limit)) == 2
    assert keys(limit, **same) == keys(limit)
    assert keys(limit, **other).isdisjoint(keys(limit))


def test_limits_and_what_they_count_are_told_apart() -> None:
    limits = [
        SaleLimit("consumer", HOUR, sales=3),
        SaleLimit("consumer", HOUR, centis=1000),
        SaleLimit("consumer", 2 * HOUR, sales=3),
        SaleLimit("consumer", HOUR, sales=3, endpoint_id="11110"),
        SaleLimit("device", HOUR, sales=3),
    ]
    sale = new_sale(0, amount_centis=1, consumer_id="a", serial_number="a")

    assert len({charge.key for charge in SaleLimits(limits).charges(sale, None)}) == len(limits)
    # More or less of the same: what was taken counts on when the settings change.
    assert keys(SaleLimit("consumer", HOUR, sales=4)) == keys(SaleLimit("consumer", HOUR, sales=3))


def test_a_sale_takes_its_part_of_the_window() -> None:
    limits = SaleLimits([SaleLimit("consumer", HOUR, sales=4, centis=1000)])

    charges = limits.charges(new_sale(0, amount_centis=250), None)

    assert [(charge.share, charge.window) for charge in charges] == [(HOUR / 4, HOUR)] * 2


def test_amounts_are_summed_up_for_each_currency_by_itself() -> None:
    limit = SaleLimit("consumer", HOUR, centis=1000)

    assert keys(limit, currency="JPY").isdisjoint(keys(limit, currency="EUR"))


def test_a_limit_of_an_endpoint_counts_no_other_sale() -> None:
    assert keys(SaleLimit("consumer", HOUR, sales=1, endpoint_id="22220")) == set()
    assert keys(SaleLimit("consumer", HOUR, sales=1, endpoint_id="11110")) != set()


def test_a_sale_of_an_unknown_address_is_not_counted_by_address() -> None:
    assert keys(SaleLimit("address", HOUR, sales=1), address=None) == set()


def test_an_amount_that_no_time_makes_room_for_is_refused_as_such() -> None:
    limits = SaleLimits([SaleLimit("consumer", HOUR, centis=1000)])
    assert len(limits.charges(new_sale(0, amount_centis=1000), None)) == 1

    with pytest.raises(SaleError) as refused:
        limits.charges(new_sale(0, amount_centis=1001), None)

    assert refused.value.reason == ErrorReason.ERROR_REASON_AMOUNT_OUT_OF_LIMITS
    assert refused.value.retry_after_seconds is None


def test_a_limit_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^sales: "):
        SaleLimit("consumer", HOUR)


@pytest.mark.parametrize(
    ("wait", "seconds"),
    [(timedelta(microseconds=1), 1), (timedelta(seconds=1), 1), (timedelta(seconds=1, microseconds=1), 2)],
)
def test_the_wait_is_told_in_whole_seconds_that_are_enough(wait: timedelta, seconds: int) -> None:
    assert refusal(LimitReached(wait)).retry_after_seconds == seconds


@pytest.mark.anyio
async def test_a_sale_over_the_limit_is_opened_when_it_was_told_to_come_again(
    sales: Sales, limits: SaleLimits, request_: InitiateSale, clock: Clock
) -> None:
    limits.replace(
        [SaleLimit("address", timedelta(seconds=7), sales=2), SaleLimit("device", timedelta(seconds=10), sales=9)]
    )
    begin_from(Origin("gateway", ADDRESS))
    first = await sales.initiate(request_, "order-1")
    await sales.initiate(request_)

    with pytest.raises(SaleError) as refused:
        await sales.initiate(request_)
    assert await sales.initiate(request_, "order-1") == first  # repeats nothing but the answer
    begin_from(Origin("gateway", "192.0.2.2"))
    await sales.initiate(request_)
    begin_from(Origin("gateway", ADDRESS))

    assert refused.value.reason == ErrorReason.ERROR_REASON_TOO_MANY_SALES
    assert refused.value.retry_after_seconds == 4
    clock.now += timedelta(seconds=4)
    await sales.initiate(request_)
