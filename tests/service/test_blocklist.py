"""What is blocked, what counts as being it, and when."""

from collections.abc import Awaitable
from dataclasses import replace
from datetime import timedelta

import pytest

from service.audit import AuditLog
from service.blocklist import Blocklist, Suspect
from service.cards import Cards
from service.errors import ErrorReason, SaleError
from service.origin import Origin, begin_from
from service.pages import next_token
from service.sales import CheckSale, InitiateSale, Sales
from service.store.sqlite import SqliteStore
from service.vault import CardData
from tests.merchant import SESSION_TOKEN
from tests.service.conftest import Clock

pytestmark = pytest.mark.anyio
ANNA = Suspect("anna", "R58M", "35693803564380", ("192.0.2.17", "2001:db8:0:1::5"), "44445566")


async def is_refused(call: Awaitable[object]) -> bool:
    """Tell whether a call is refused for what is blocked, and for nothing else."""
    try:
        await call
    except SaleError as error:
        return error.reason == ErrorReason.ERROR_REASON_BLOCKED
    return False


async def is_blocked(blocklist: Blocklist, suspect: Suspect = ANNA) -> bool:
    return await is_refused(blocklist.require_free(suspect))


@pytest.mark.parametrize(
    ("kind", "value", "blocked"),
    [
        ("SERIAL_NUMBER", "R58M", True),
        ("SERIAL_NUMBER", "r58m", False),
        ("SERIAL_NUMBER", "35693803564380", False),
        ("IMEI", "35693803564380", True),
        ("CONSUMER", "anna", True),
        ("CONSUMER", "R58M", False),
        ("ADDRESS", "192.0.2.17", True),
        ("ADDRESS", "192.0.2.17/32", True),
        ("ADDRESS", "192.0.2.16/31", True),
        ("ADDRESS", "192.0.2.18/31", False),
        ("ADDRESS", "192.0.0.0/16", True),
        ("ADDRESS", "0.0.0.0/0", True),
        ("ADDRESS", "::ffff:192.0.2.0/120", True),
        ("ADDRESS", "::/0", True),
        ("ADDRESS", "8000::/1", False),
        ("ADDRESS", "2001:db8:0:1::5", True),
        ("ADDRESS", "2001:DB8:0:1:0:0:0:5/128", True),
        ("ADDRESS", "2001:db8:0:1::4/127", True),
        ("ADDRESS", "2001:db8:0:1::6/127", False),
        ("ADDRESS", "2001:db8::/32", True),
        ("BIN", "4444", True),
        ("BIN", "444455", True),
        ("BIN", "44445566", True),
        ("BIN", "44445567", False),
        ("BIN", "5444", False),
    ],
)
async def test_a_block_is_in_force_for_all_that_it_names(
    blocklist: Blocklist, kind: str, value: str, blocked: bool
) -> None:
    assert not await is_blocked(blocklist)

    await blocklist.add(kind, value, "fraud", None, "merchant")

    assert await is_blocked(blocklist) is blocked
    await blocklist.remove(kind, value)
    assert not await is_blocked(blocklist)


async def test_an_ipv6_range_blocks_no_ipv4_address(blocklist: Blocklist) -> None:
    await blocklist.add("ADDRESS", "::/0", "fraud", None, "merchant")

    assert not await is_blocked(blocklist, ANNA._replace(addresses=("192.0.2.17",)))
    assert await is_blocked(blocklist, ANNA._replace(addresses=("::1",)))
    assert await is_blocked(blocklist, ANNA._replace(addresses=("192.0.2.17", "::1")))


async def test_of_a_card_of_which_less_is_known_than_is_blocked_nothing_is_said(blocklist: Blocklist) -> None:
    await blocklist.add("BIN", "44445566", "fraud", None, "merchant")

    assert not await is_blocked(blocklist, ANNA._replace(bin="444455"))
    assert not await is_blocked(blocklist, ANNA._replace(bin=None))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("ADDRESS", "198.51.100.1/24"),
        ("ADDRESS", "2001:db8::1/64"),
        ("ADDRESS", "198.51.100.0/33"),
        ("ADDRESS", "198.51.100"),
        ("ADDRESS", "fe80::1%eth0/128x"),
        ("ADDRESS", "localhost"),
        ("BIN", "444"),
        ("BIN", "444455667"),
        ("BIN", "4444a5"),
        ("BIN", "4444\n"),
        ("IMEI", "1" * 13),
        ("IMEI", "1" * 17),
        ("SERIAL_NUMBER", "x" * 51),
    ],
)
async def test_what_nothing_can_be_is_not_blocked(blocklist: Blocklist, kind: str, value: str) -> None:
    for change in (blocklist.add(kind, value, "fraud", None, "merchant"), blocklist.remove(kind, value)):
        with pytest.raises(SaleError) as refused:
            await change
        assert refused.value.reason == ErrorReason.ERROR_REASON_INVALID_FIELD
        assert str(refused.value).startswith("value must ")
        assert value not in str(refused.value)


async def test_a_block_ends_when_it_expires(blocklist: Blocklist, clock: Clock) -> None:
    end = clock.now + timedelta(seconds=10)
    await blocklist.add("CONSUMER", "anna", "fraud", end, "merchant")

    clock.now = end - timedelta(microseconds=1)
    assert await is_blocked(blocklist)
    clock.now = end
    assert not await is_blocked(blocklist)
    with pytest.raises(SaleError, match=r"^expireTime must be later than now$"):
        await blocklist.add("CONSUMER", "anna", "fraud", end, "merchant")


@pytest.mark.parametrize("step", [timedelta(seconds=0.5), timedelta(seconds=-0.5)])
async def test_what_another_process_changes_is_in_force_after_half_a_second(
    store: SqliteStore, audit_log: AuditLog, clock: Clock, step: timedelta
) -> None:
    here, there = (Blocklist(store, audit_log, clock=clock) for _ in range(2))
    assert not await is_blocked(here)
    await there.add("CONSUMER", "anna", "fraud", None, "merchant")

    clock.now += step  # also when the clock is set back
    assert await is_blocked(here)
    await there.remove("CONSUMER", "anna")
    assert not await is_blocked(here)  # that there is something of this kind is kept, what it is is not


async def test_a_page_of_the_list_goes_on_where_the_one_before_ended(blocklist: Blocklist) -> None:
    values = ["192.0.0.0/16", "192.0.2.0/24", "2001:db8::/32", "192.0.2.1/32"]
    for value in values:
        await blocklist.add("ADDRESS", value, "fraud", None, "merchant")
    await blocklist.add("CONSUMER", "Ж", "fraud", None, "merchant")
    found, token = [], ""
    for _ in range(5):
        blocks, token = await blocklist.list(None, token, 1)
        found.append(blocks[0].value)

    assert found == ["192.0.0.0/16", "192.0.2.0/24", "192.0.2.1/32", "2001:db8::/32", "Ж"]
    assert token == ""
    _, token = await blocklist.list("ADDRESS", None, 1)
    with pytest.raises(SaleError, match=r"^pageToken "):
        await blocklist.list(None, token, 1)


@pytest.mark.parametrize(
    "key",
    ["x", "[]", '["ADDRESS", 24]', '["ADDRESS", "24", "x"]', '["ADDRESS", 24, null]', f'["BIN", {9**30}, "x"]', "7"],
)
async def test_a_token_that_somebody_made_up_is_none(blocklist: Blocklist, key: str) -> None:
    with pytest.raises(SaleError, match=r"^pageToken "):
        await blocklist.list(None, next_token(key, None), 1)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("SERIAL_NUMBER", "R58M123ABC"),
        ("IMEI", "356938035643809"),
        ("CONSUMER", "device:R58M123ABC"),
        ("ADDRESS", "192.0.2.0/24"),
        ("ADDRESS", "203.0.113.9"),
        ("BIN", "4111"),
    ],
)
async def test_no_sale_is_opened_or_confirmed_of_what_is_blocked(
    sales: Sales, cards: Cards, blocklist: Blocklist, request_: InitiateSale, kind: str, value: str
) -> None:
    begin_from(Origin("gateway", "203.0.113.9"))
    card = await cards.put("device:R58M123ABC", CardData("4111111111111111", 1, 2030, "A", "B"), None)
    sale = await sales.initiate(request_, "order-1")
    check = CheckSale(
        sale.invoice_id,
        request_.access_token,
        sale.serial_number,
        sale.nonce,
        sale.signature,
        SESSION_TOKEN,
        card.client_card_id,
    )
    await blocklist.add(kind, value, "fraud", None, "merchant")

    assert (
        await is_refused(sales.check(replace(check, nonce="x" * 64))) is False
    )  # is not the session's: learns nothing
    assert await is_refused(sales.initiate(request_)) is (kind != "BIN")
    assert await is_refused(sales.initiate(request_, "order-1")) is (kind != "BIN")
    # The payment gateway's own address is nobody's who buys.
    assert await is_refused(sales.check(check)) is (value != "203.0.113.9")


async def test_no_card_is_kept_that_is_blocked_or_of_whom_is(cards: Cards, blocklist: Blocklist) -> None:
    blocked, other = (CardData(number, 1, 2030, "A", "B") for number in ("4111111111111111", "4222222222222"))
    await blocklist.add("BIN", "411111", "fraud", None, "merchant")
    await blocklist.add("CONSUMER", "boris", "fraud", None, "merchant")

    assert await is_refused(cards.put("anna", blocked, None))
    assert await is_refused(cards.put("boris", other, None))
    assert (await cards.put("anna", other, None)).bin == "422222"


async def test_a_refusal_does_not_tell_what_is_blocked(blocklist: Blocklist) -> None:
    messages = set()
    for kind, value in (("CONSUMER", "anna"), ("BIN", "4444"), ("IMEI", "35693803564380")):
        await blocklist.add(kind, value, "fraud", None, "merchant")
        with pytest.raises(SaleError) as refused:
            await blocklist.require_free(ANNA)
        messages.add(str(refused.value))
        await blocklist.remove(kind, value)

    assert messages == {"The sale is refused."}


async def test_every_change_is_in_the_audit_log(blocklist: Blocklist, store: SqliteStore, clock: Clock) -> None:
    begin_from(Origin("merchant", "203.0.113.9"))
    end = clock.now + timedelta(seconds=10)
    await blocklist.add("ADDRESS", "192.0.2.1", "fraud", end, "merchant")
    for _ in range(2):
        await blocklist.remove("ADDRESS", "192.0.2.1/32")

    entries = [entry for _, entry in await store.list_audit_entries(0, 10) if entry is not None]

    assert [(entry.action, entry.subject, entry.caller) for entry in entries] == [
        ("block.added", "ADDRESS 192.0.2.1/32", "merchant"),
        ("block.removed", "ADDRESS 192.0.2.1/32", "merchant"),
    ]
    assert dict(entries[0].details) == {"reason": "fraud", "expire_time": end.isoformat()}
