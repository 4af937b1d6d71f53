"""What every store promises; each engine runs all of it."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from service.audit_trail import verify_chain
from service.errors import ErrorReason, SaleError
from service.identifiers import microseconds, new_audit_entry_id, new_client_card_id, new_invoice_id, new_nonce
from service.sale_states import SaleState
from service.store import (
    EVENTS_A_MICROSECOND,
    MAX_OTHER_REPORTS,
    MAX_SALE_EVENTS,
    AuditEntry,
    Block,
    BlockKey,
    Charge,
    IdempotencyRecord,
    IdentifierTaken,
    LimitReached,
    PositionUnknown,
    PurgeStep,
    Sale,
    SaleChange,
    SaleEvent,
    SaleFilter,
    StatusReport,
    Store,
    StoredAccessToken,
    StoredCard,
)
from service.store.sqlite import SqliteStore
from tests.stores import OpenStore, open_postgresql, schema

pytestmark = pytest.mark.anyio
NOW = datetime(2026, 11, 21, 12, 0, 0, 1, UTC)
LATER = NOW + timedelta(seconds=5)


@pytest.fixture(params=["sqlite", "postgresql"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    """Opens the same store each time."""
    if request.param == "sqlite":

        async def open_sqlite() -> Store:
            return SqliteStore(tmp_path / "sale.db")

        yield open_sqlite
        return
    with schema(request.getfixturevalue("postgresql_url")) as url:
        yield partial(open_postgresql, url)


@pytest.fixture
async def store(open_store: OpenStore, anyio_backend: str) -> AsyncIterator[Store]:
    store = await open_store()
    yield store
    await store.close()


def new_sale(number: int = 0, at: datetime = NOW, **named: Any) -> Sale:
    randomness = Random(number).randbytes  # the same identifiers for the same number

    values: dict[str, Any] = {
        "invoice_id": new_invoice_id(at, randomness),
        "endpoint_id": "11110",
        "consumer_id": "anna",
        "access_token_hash": b"h" * 32,
        "serial_number": "Серийный-№7 '\";--\n",
        "imei": None,
        "ip_addresses": ("192.0.2.17", "10.0.0.5"),
        "lat": 0.0,
        "lng": -180.0,
        "amount_centis": 2**63 - 1,
        "currency": "EUR",
        "nonce": new_nonce(randomness),
        "signature": "9D41" * 10,
        "initiate_time": at,
        "expire_time": at + timedelta(minutes=30),
        "update_time": at,
    }
    return Sale(**values | named)


def new_card(number: int = 0, **named: Any) -> StoredCard:
    values: dict[str, Any] = {
        "client_card_id": new_client_card_id(NOW, Random(number).randbytes),
        "consumer_id": "anna",
        "create_time": NOW,
        "endpoint_id": "11110",
        "server_card_id": "77",
        "unique_reference_card_id": 2**63 - 1,
        "bin": "044455",
        "email": "anna@example.com",
    }
    return StoredCard(**values | named)


def new_event(sale: Sale, number: int, **named: Any) -> SaleEvent:
    values: dict[str, Any] = {
        "invoice_id": sale.invoice_id,
        "event_id": (microseconds(NOW) + number) * EVENTS_A_MICROSECOND,
        "duration": 2500,
        "rpc": "SaleService.CheckSale",
        "caller": "gateway",
        "address": "2001:db8::7" if number else None,
        "request_id": "id",
        "error_reason": 1102 if number else 0,
        "error_message": None,
    }
    return SaleEvent(**values | named)


def new_report(sale: Sale, status: str = "approved", type: str = "sale", **named: Any) -> StatusReport:
    values: dict[str, Any] = {
        "invoice_id": sale.invoice_id,
        "type": type,
        "status": status,
        "orderid": "1",
        "amount": "10.42",
        "amount_differs": False,
        "parameters": (("status", status), ("name", "Ж\n"), ("name", "")),
        "receive_time": LATER,
    }
    return StatusReport(**values | named)


def new_entry(**named: Any) -> AuditEntry:
    values: dict[str, Any] = {
        "entry_id": new_audit_entry_id(NOW, secrets.token_bytes),
        "create_time": NOW,
        "caller": "merchant",
        "address": "192.0.2.17",
        "action": "access_token.issued",
        "subject": "Ж'\n",
        "details": (("consumer_id", "anna"), ("b", "")),
    }
    return AuditEntry(**values | named)


async def states_of(store: Store, sale: Sale) -> list[str]:
    """Return the states that the sale's changes have left it in."""
    changes = await store.list_changes(0, 1000)
    return [
        SaleState.Name(change.sale.state).removeprefix("SALE_STATE_")
        for change in changes
        if change.sale.invoice_id == sale.invoice_id
    ]


def record_of(sale: Sale, request_hash: bytes = b"r" * 32) -> IdempotencyRecord:
    expire_time = sale.initiate_time + timedelta(days=31)
    return IdempotencyRecord(sale.access_token_hash, "order-1", request_hash, sale.invoice_id, expire_time)


async def reports_of(store: Store, sale: Sale) -> list[StatusReport]:
    found = await store.find_sale_and_reports(sale.invoice_id)
    return [] if found is None else list(found[1])


async def test_a_sale_is_read_back_as_it_was_stored(store: Store) -> None:
    sale = new_sale()

    assert await store.find_sale(sale.invoice_id) is None
    assert await store.open_session(sale, None) is None
    assert await store.find_sale(sale.invoice_id) == sale


async def test_a_sale_is_shown_to_its_own_access_token_and_device_only(store: Store) -> None:
    sale = new_sale()
    await store.open_session(sale, None)

    own: dict[str, Any] = {name: getattr(sale, name) for name in ("invoice_id", "access_token_hash", "serial_number")}
    assert await store.find_own_sale(**own) == sale
    for name, foreign in zip(own, ("no such invoice", b"o" * 32, sale.serial_number.lower()), strict=True):
        assert await store.find_own_sale(**(own | {name: foreign})) is None
    assert [await store.has_sale(id) for id in (sale.invoice_id, "no such invoice")] == [True, False]


async def test_what_was_stored_is_there_when_the_store_is_opened_again(open_store: OpenStore) -> None:
    sale, token = new_sale(), StoredAccessToken(b"t" * 32, NOW, NOW + timedelta(minutes=30), "11110")
    first = await open_store()
    await first.open_session(sale, record_of(sale))
    bound = await first.bind_check(sale.invoice_id, "session-token-01", None, LATER)
    await first.add_access_token(token, new_entry())
    await first.close()

    second = await open_store()
    assert await second.find_sale(sale.invoice_id) == bound
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
    sale = new_sale()
    await store.open_session(sale, None)
    checked = replace(
        sale,
        state=SaleState.SALE_STATE_CHECKED,
        session_token="session-token-01",
        check_time=LATER,
        update_time=LATER,
        check_card_id="card-1",
        client_card_id="card-1",
    )

    assert await store.bind_check(sale.invoice_id, "session-token-01", "card-1", LATER) == checked
    assert await store.bind_check(sale.invoice_id, "session-token-02", None, LATER) == checked
    assert await store.find_sale(sale.invoice_id) == checked
    assert await states_of(store, sale) == ["INITIATED", "CHECKED"]


async def test_of_racing_session_tokens_all_are_told_the_same_winner(store: Store) -> None:
    sale = new_sale()
    await store.open_session(sale, None)

    told = await asyncio.gather(*(store.bind_check(sale.invoice_id, f"token-{n:010}", None, NOW) for n in range(100)))

    assert len({sale.session_token for sale in told}) == 1


@pytest.mark.parametrize("end", ["reported", "expired"])
async def test_a_sale_that_has_ended_is_not_bound_any_more(store: Store, end: str) -> None:
    sale = new_sale()
    await store.open_session(sale, None)
    if end == "reported":
        await store.report_status(new_report(sale), must_move=False)
    else:
        await store.expire_sessions(sale.expire_time, 10)

    assert (await store.bind_check(sale.invoice_id, "session-token-01", None, LATER)).session_token is None


async def test_a_sale_is_found_by_its_session_its_token_and_its_device_only(store: Store) -> None:
    first, second, other = new_sale(1), new_sale(2, LATER), new_sale(3, LATER, access_token_hash=b"o" * 32)
    for sale in (first, second, other):
        await store.open_session(sale, None)
        await store.bind_check(sale.invoice_id, "a" * 16, None, LATER)

    async def found(session_token: str, hash: bytes, serial_number: str) -> str | None:
        sale = await store.find_sale_by_session(session_token, hash, serial_number)
        return None if sale is None else sale.invoice_id

    assert await found("a" * 16, first.access_token_hash, first.serial_number) == second.invoice_id
    assert await found("a" * 16, other.access_token_hash, first.serial_number) == other.invoice_id
    assert await found("a" * 16, b"x" * 32, first.serial_number) is None
    assert await found("a" * 16, first.access_token_hash, "another device") is None
    assert await found("A" * 16, first.access_token_hash, first.serial_number) is None
    everyones = {first.invoice_id, second.invoice_id, other.invoice_id}
    assert set(await store.find_invoices_of_session("a" * 16, 9)) == everyones
    assert [len(await store.find_invoices_of_session(letter * 16, 2)) for letter in "aA"] == [2, 0]


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        (SaleFilter(), [4, 3, 2, 1, 0]),
        (SaleFilter(endpoint_id="22220"), [3, 1]),
        (SaleFilter(consumer_id="bob"), [4]),
        (SaleFilter(state=SaleState.SALE_STATE_CHECKED), [2]),
        (SaleFilter(client_card_id="card-1"), [2]),
        (SaleFilter(start_time=NOW + timedelta(microseconds=3)), [4, 3]),
        (SaleFilter(end_time=NOW + timedelta(microseconds=3)), [2, 1, 0]),
        (SaleFilter(start_time=NOW + timedelta(microseconds=1), end_time=NOW + timedelta(microseconds=3)), [2, 1]),
        (SaleFilter(SaleState.SALE_STATE_INITIATED, "11110", "anna"), [0]),
        (SaleFilter(SaleState.SALE_STATE_CHECKED, "11110", "anna", "card-1", NOW, LATER), [2]),
        (SaleFilter(consumer_id="nobody"), []),
    ],
)
async def test_sales_are_listed_by_whatever_holds_of_them_the_latest_first(
    store: Store, filter: SaleFilter, expected: list[int]
) -> None:
    sales = [
        new_sale(
            number,
            NOW + timedelta(microseconds=number),
            endpoint_id="22220" if number % 2 else "11110",
            consumer_id="bob" if number == 4 else "anna",
        )
        for number in range(5)
    ]
    for sale in reversed(sales):
        await store.open_session(sale, None)
    await store.bind_check(sales[2].invoice_id, "a" * 16, "card-1", NOW)

    listed, page = [], await store.list_sales(filter, None, 2)
    while True:
        assert len(page.sales) <= 2
        listed += [sale.invoice_id for sale in page.sales]
        if page.end is None:
            break
        page = await store.list_sales(filter, page.end, 2)

    assert listed == [sales[number].invoice_id for number in expected]
    oldest_first = await store.list_sales(filter, None, 10, oldest_first=True)
    assert [sale.invoice_id for sale in oldest_first.sales] == listed[::-1]
    assert oldest_first.end is None
    if listed:
        rest = await store.list_sales(filter, listed[-1], 10, oldest_first=True)
        assert [sale.invoice_id for sale in rest.sales] == listed[-2::-1]
    assert await store.count_sales(filter) == len(expected)


async def test_a_full_page_ends_with_its_last_sale(store: Store) -> None:
    for number in range(5):
        await store.open_session(new_sale(number), None)
    page = await store.list_sales(SaleFilter(), None, 3)

    assert page.end == page.sales[2].invoice_id


@pytest.mark.parametrize(
    ("reported", "moves"),
    [
        (["sale approved"], ["APPROVED"]),
        (["sale declined"], ["DECLINED"]),
        (["sale filtered"], ["FILTERED"]),
        (["sale error"], ["FAILED"]),
        (["sale unknown"], []),
        (["sale processing", "sale approved"], ["APPROVED"]),
        (["sale approved", "sale processing"], ["APPROVED"]),
        (["sale approved", "sale declined"], ["APPROVED"]),
        (["sale declined", "sale approved"], ["DECLINED"]),
        (["sale approved", "reversal approved"], ["APPROVED", "REVERSED"]),
        (["reversal approved", "sale approved"], ["APPROVED", "REVERSED"]),
        (["sale approved", "reversal declined"], ["APPROVED"]),
        (["sale approved", "chargeback approved"], ["APPROVED", "CHARGED_BACK"]),
        (["chargeback approved", "reversal approved", "sale approved"], ["APPROVED", "REVERSED", "CHARGED_BACK"]),
        (["sale approved", "chargeback approved", "reversal approved"], ["APPROVED", "CHARGED_BACK"]),
        (["sale declined", "reversal approved"], ["DECLINED"]),
        (["capture approved", "sale Approved", "Sale approved"], []),
    ],
)
async def test_reports_make_the_moves_that_are_legal_in_whatever_order_they_come(
    store: Store, reported: list[str], moves: list[str]
) -> None:
    sale = new_sale()
    await store.open_session(sale, None)
    await store.bind_check(sale.invoice_id, "a" * 16, None, NOW)
    reports = [new_report(sale, *reversed(words.split())) for words in reported]

    for report in reports:
        told = await store.report_status(report, must_move=False)
        assert told == await store.find_sale(sale.invoice_id)

    kept = dict.fromkeys(await states_of(store, sale))  # naming the order is a change that moves nothing
    assert list(kept) == ["INITIATED", "CHECKED", *moves]
    assert await reports_of(store, sale) == reports


async def test_a_repeated_report_changes_nothing(store: Store) -> None:
    sale = new_sale()
    await store.open_session(sale, None)
    first = await store.report_status(new_report(sale), must_move=False)
    again = new_report(sale, amount="99.99", amount_differs=True, receive_time=LATER + timedelta(days=1))

    assert await store.report_status(again, must_move=False) == first
    assert await reports_of(store, sale) == [new_report(sale)]
    assert await states_of(store, sale) == ["INITIATED", "APPROVED"]


async def test_of_racing_reports_each_is_kept_once(store: Store) -> None:
    sale = new_sale()
    await store.open_session(sale, None)
    reports = [new_report(sale, status) for status in ("approved", "declined", "processing")] * 20

    await asyncio.gather(*(store.report_status(report, must_move=False) for report in reports))

    assert len(await reports_of(store, sale)) == 3
    assert len(dict.fromkeys(await states_of(store, sale))) == 2


async def test_a_result_names_the_order_and_flags_an_amount(store: Store) -> None:
    sale = new_sale()
    await store.open_session(sale, None)
    # Anyone who has seen one checksum can make up types: such a report is kept, and says nothing of the sale.
    for words in (("approved", "made-up"), ("processing", "sale"), ("approved1", "sale")):
        assert await store.report_status(new_report(sale, *words, amount_differs=True), must_move=False) == sale
    await store.report_status(new_report(sale, orderid="78"), must_move=False)
    await store.report_status(
        new_report(sale, "approved", "reversal", orderid="79", amount_differs=True), must_move=False
    )

    found = await store.find_sale(sale.invoice_id)
    assert found is not None
    assert (found.orderid, found.amount_differs, found.update_time) == ("78", True, LATER)
    assert len(await reports_of(store, sale)) == 5
    # Once it is flagged, it stays so.
    chargeback = await store.report_status(new_report(sale, "approved", "chargeback"), must_move=False)
    assert chargeback is not None
    assert (chargeback.orderid, chargeback.amount_differs) == ("78", True)


async def test_of_what_tells_of_nothing_known_only_so_much_is_kept(store: Store) -> None:
    sale = new_sale()
    await store.open_session(sale, None)
    told = [
        await store.report_status(new_report(sale, type=f"made-up-{number}"), must_move=False)
        for number in range(MAX_OTHER_REPORTS + 2)
    ]

    assert told == [sale] * MAX_OTHER_REPORTS + [None] * 2
    assert len(await reports_of(store, sale)) == MAX_OTHER_REPORTS
    assert await store.report_status(new_report(sale), must_move=False) != sale


async def test_a_report_that_must_move_and_cannot_is_not_kept(store: Store) -> None:
    sale = new_sale()
    await store.open_session(sale, None)

    assert await store.report_status(new_report(sale, "approved", "reversal"), must_move=True) is None
    assert await reports_of(store, sale) == []
    approved = await store.report_status(new_report(sale), must_move=True)
    assert approved is not None
    assert await store.report_status(new_report(sale), must_move=True) == approved
    assert await store.report_status(new_report(sale, "declined"), must_move=True) is None
    assert await store.find_sale(sale.invoice_id) == approved


async def test_a_repeated_report_that_never_moved_the_sale_does_not_count_as_moving_it(store: Store) -> None:
    sale, early = new_sale(), new_report(new_sale(), "approved", "reversal")
    await store.open_session(sale, None)
    await store.report_status(early, must_move=False)

    assert await store.report_status(early, must_move=True) is None
    await store.report_status(new_report(sale), must_move=True)
    reversed_ = await store.report_status(early, must_move=True)
    assert reversed_ is not None
    assert reversed_.state == SaleState.SALE_STATE_REVERSED
    # What the sale has passed is a success too.
    assert await store.report_status(new_report(sale), must_move=True) == reversed_


async def test_a_report_of_where_the_sale_is_already_is_kept_too(store: Store) -> None:
    sale = new_sale()
    await store.open_session(sale, None)
    await store.report_status(new_report(sale, orderid=""), must_move=True)

    told = await store.report_status(new_report(sale, orderid="78", amount_differs=True), must_move=True)
    assert told is not None
    assert (told.orderid, told.amount_differs) == ("78", True)
    assert len(await reports_of(store, sale)) == 2


async def test_a_clock_that_is_set_back_does_not_take_a_sale_back(store: Store) -> None:
    sale = new_sale(at=LATER)
    await store.open_session(sale, None)
    checked = await store.bind_check(sale.invoice_id, "a" * 16, None, NOW)
    reported = await store.report_status(new_report(sale, receive_time=NOW), must_move=False)

    assert reported is not None
    assert checked.update_time == reported.update_time == LATER


async def test_wrong_answers_to_a_random_sum_are_counted_one_by_one(store: Store) -> None:
    sale = new_sale(random_sum_centis=5)
    await store.open_session(sale, None)

    before = await asyncio.gather(
        *(store.count_random_sum_answer(sale.invoice_id, failed=number % 2 == 0) for number in range(20))
    )

    assert sorted(before[::2]) == list(range(10))
    assert await store.count_random_sum_answer(sale.invoice_id, failed=False) == 10


async def test_every_change_is_read_once_in_the_order_of_the_commits(store: Store) -> None:
    sales = [new_sale(number) for number in range(40)]

    async def live(sale: Sale) -> None:
        await store.open_session(sale, None)
        await store.bind_check(sale.invoice_id, "a" * 16, None, LATER)
        await store.report_status(new_report(sale), must_move=False)

    seen: list[SaleChange] = []

    async def follow() -> None:
        while len(seen) < 3 * len(sales):
            changes = await store.list_changes(seen[-1].position if seen else 0, 7)
            seen.extend(changes)
            if not changes:
                await store.wait_for_change()

    await asyncio.wait_for(asyncio.gather(follow(), *(live(sale) for sale in sales)), 20)

    positions = [change.position for change in seen]
    assert positions == sorted(set(positions))
    for sale in sales:
        assert await states_of(store, sale) == ["INITIATED", "CHECKED", "APPROVED"]
    last = {change.sale.invoice_id: change.sale for change in seen}
    assert last == {sale.invoice_id: await store.find_sale(sale.invoice_id) for sale in sales}


async def test_a_change_shows_the_sale_as_it_was_then(store: Store) -> None:
    sale = new_sale()
    await store.open_session(sale, None)
    checked = await store.bind_check(sale.invoice_id, "a" * 16, "card-1", LATER)
    await store.report_status(new_report(sale, amount_differs=True), must_move=False)

    first, second, _ = await store.list_changes(0, 10)

    # The session token and the card of the check are no part of what is shown of a sale, and not kept by change.
    assert first.sale == replace(sale, session_token=checked.session_token, check_card_id="card-1")
    assert second.sale == checked


async def test_a_moment_has_a_position(store: Store) -> None:
    for number, seconds in enumerate((0, 10, 20)):
        await store.open_session(new_sale(number, NOW + timedelta(seconds=seconds)), None)
    positions = [change.position for change in await store.list_changes(0, 10)]

    assert await store.position_before(NOW) == 0
    assert await store.position_before(NOW + timedelta(seconds=10)) == positions[0]
    assert await store.position_before(NOW + timedelta(seconds=11)) == positions[1]
    assert await store.position_before(NOW + timedelta(days=1)) == positions[2]


async def test_whoever_waits_for_a_change_is_woken(store: Store) -> None:
    waiting = asyncio.create_task(store.wait_for_change())
    await asyncio.sleep(0)
    await store.open_session(new_sale(), None)

    await asyncio.wait_for(waiting, 1)


async def test_a_card_is_mapped_once_and_named_by_its_sale(store: Store) -> None:
    sale, card = new_sale(), new_card()
    await store.open_session(sale, None)
    card = replace(card, invoice_id=sale.invoice_id, create_time=LATER)

    await store.map_card(sale.invoice_id, card, new_entry())
    await asyncio.gather(*(store.map_card(sale.invoice_id, new_card(number), new_entry()) for number in range(1, 20)))

    assert list(await store.list_cards("anna", None, 10)) == [card]
    found = await store.find_sale(sale.invoice_id)
    assert found is not None
    assert (found.client_card_id, found.update_time) == (card.client_card_id, LATER)
    assert len(await store.list_changes(0, 10)) == 2


async def test_the_same_reference_of_another_consumer_or_endpoint_is_another_card(store: Store) -> None:
    owners = [("anna", "11110"), ("bob", "11110"), ("anna", "22220")]
    for number, (consumer_id, endpoint_id) in enumerate(owners):
        sale = new_sale(number, consumer_id=consumer_id, endpoint_id=endpoint_id)
        await store.open_session(sale, None)
        card = new_card(number, consumer_id=consumer_id, endpoint_id=endpoint_id, invoice_id=sale.invoice_id)
        await store.map_card(sale.invoice_id, card, new_entry())
        assert await store.find_card(consumer_id, card.client_card_id) == card

    assert len(await store.list_cards("anna", None, 10)) == 2
    assert len(await store.list_cards("bob", None, 10)) == 1


async def test_a_renewed_card_is_a_new_one_and_the_old_one_stays(store: Store) -> None:
    sale = new_sale()
    await store.open_session(sale, None)
    old = new_card(1, invoice_id=sale.invoice_id)
    later_id = new_client_card_id(LATER, Random(2).randbytes)
    renewed = new_card(2, server_card_id="78", invoice_id=sale.invoice_id, client_card_id=later_id)

    for card in (old, renewed, old, renewed):
        await store.map_card(sale.invoice_id, card, new_entry())

    assert await store.find_card("anna", old.client_card_id) == old
    assert await store.find_card("anna", renewed.client_card_id) == renewed
    found = await store.find_sale(sale.invoice_id)
    assert found is not None
    assert found.client_card_id == renewed.client_card_id


async def test_the_sales_card_is_the_later_one_whatever_was_there_first(store: Store) -> None:
    old = new_card(1)
    renewed = new_card(2, server_card_id="78", client_card_id=new_client_card_id(LATER, Random(2).randbytes))
    await store.add_card(old, new_entry())
    for number in range(2):
        sale = new_sale(number)
        await store.open_session(sale, None)
        checked = await store.bind_check(sale.invoice_id, f"{number}" * 16, old.client_card_id, NOW)
        assert checked.check_card_id == checked.client_card_id == old.client_card_id
        await store.map_card(sale.invoice_id, replace(renewed, invoice_id=sale.invoice_id), new_entry())

        found = await store.find_sale(sale.invoice_id)
        assert found is not None
        assert (found.check_card_id, found.client_card_id) == (old.client_card_id, renewed.client_card_id)


async def test_a_deleted_card_is_not_found_and_no_notification_of_a_sale_before_brings_it_back(store: Store) -> None:
    sale, other, later = (new_sale(number) for number in range(3))
    for each, check_time in ((sale, NOW), (other, NOW), (later, LATER + timedelta(seconds=1))):
        await store.open_session(each, None)
        await store.bind_check(each.invoice_id, each.invoice_id, None, check_time)
    card = new_card(1, invoice_id=sale.invoice_id)
    await store.map_card(sale.invoice_id, card, new_entry())
    assert await store.replace_card(replace(card, delete_time=LATER, bin=None), card, None)

    for each in (sale, other):
        await store.map_card(each.invoice_id, new_card(2, invoice_id=each.invoice_id), new_entry())
    assert await store.find_card("anna", card.client_card_id) is None
    assert list(await store.list_cards("anna", None, 10)) == []
    # With a sale that was made after it the consumer has saved it again.
    again = new_card(3, invoice_id=later.invoice_id)
    await store.map_card(later.invoice_id, again, new_entry())
    assert list(await store.list_cards("anna", None, 10)) == [again]


async def test_a_card_is_found_with_its_consumer_only(store: Store) -> None:
    card = new_card(endpoint_id=None, server_card_id=None, vault_key_id="1", sealed=b"\0sealed")
    await store.add_card(card, new_entry())

    assert await store.find_card("anna", card.client_card_id) == card
    assert await store.find_card("bob", card.client_card_id) is None
    assert await store.find_card("", card.client_card_id) is None
    assert list(await store.list_cards("bob", None, 10)) == []


async def test_a_card_that_has_changed_meanwhile_is_not_replaced(store: Store) -> None:
    card = new_card()
    await store.add_card(card, new_entry())

    results = await asyncio.gather(
        *(store.replace_card(replace(card, email=f"{number}@example.com"), card, None) for number in range(10))
    )

    assert results.count(True) == 1
    found = await store.find_card("anna", card.client_card_id)
    assert found == replace(card, email=f"{results.index(True)}@example.com")


async def test_cards_are_listed_in_pages_the_latest_first(store: Store) -> None:
    cards = [new_card(number, server_card_id=str(number)) for number in range(7)]
    for card in cards:
        await store.add_card(card, new_entry())

    listed: list[StoredCard] = []
    while page := await store.list_cards("anna", listed[-1].client_card_id if listed else None, 3):
        listed += page

    assert listed == sorted(cards, key=lambda card: card.client_card_id, reverse=True)


async def test_cards_under_another_key_are_listed(store: Store) -> None:
    vaulted = {"endpoint_id": None, "server_card_id": None, "sealed": b"s"}
    old = [new_card(number, vault_key_id="old", **vaulted) for number in range(5)]
    for card in (*old, new_card(8), new_card(9, vault_key_id="new", **vaulted)):
        await store.add_card(card, new_entry())

    listed: list[StoredCard] = []
    while page := await store.list_cards_sealed_otherwise("new", listed[-1].client_card_id if listed else "", 2):
        listed += page

    assert listed == sorted(old, key=lambda card: card.client_card_id)


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
    later = replace(new_sale(2), initiate_time=record_of(first).expire_time)

    before = later.initiate_time - timedelta(microseconds=1)
    assert await store.find_idempotency_record(first.access_token_hash, "order-1", before) == record_of(first)
    assert await store.find_idempotency_record(first.access_token_hash, "order-1", later.initiate_time) is None
    assert await store.open_session(later, record_of(later)) is None
    found = await store.find_idempotency_record(first.access_token_hash, "order-1", later.initiate_time)
    assert found == record_of(later)


async def test_a_key_counts_for_its_access_token_only(store: Store) -> None:
    first, second = new_sale(1), replace(new_sale(2), access_token_hash=b"o" * 32)

    assert await store.open_session(first, record_of(first)) is None
    assert await store.open_session(second, record_of(second)) is None


async def test_a_token_is_revoked_once_and_an_unknown_one_is_no_error(store: Store) -> None:
    token = StoredAccessToken(b"t" * 32, NOW, NOW + timedelta(minutes=30))
    await store.add_access_token(token, new_entry())
    await store.revoke_access_token(token.hash, NOW, new_entry())
    await store.revoke_access_token(token.hash, NOW + timedelta(seconds=1), new_entry())
    await store.revoke_access_token(b"u" * 32, NOW, new_entry())

    assert await store.find_access_token(token.hash) == replace(token, revoke_time=NOW)
    assert await store.find_access_token(b"u" * 32) is None


async def test_the_tokens_of_a_consumer_are_revoked_together(store: Store) -> None:
    def token(letter: bytes, consumer_id: str | None, minutes: int = 30) -> StoredAccessToken:
        return StoredAccessToken(letter * 32, NOW, NOW + timedelta(minutes=minutes), consumer_id=consumer_id)

    tokens = [token(b"a", "anna"), token(b"b", "anna"), token(b"c", "bob"), token(b"d", None), token(b"e", "anna", 1)]
    for each in tokens:
        await store.add_access_token(each, new_entry())

    assert await store.revoke_consumer_tokens("anna", NOW + timedelta(minutes=1), new_entry()) == 2
    revoked = [(await store.find_access_token(each.hash) or each).revoke_time is not None for each in tokens]
    assert revoked == [True, True, False, False, False]


async def test_sessions_expire_in_batches_when_their_time_is_over(store: Store) -> None:
    due = [new_sale(number) for number in range(5)]
    checked, early = new_sale(10), new_sale(11, LATER)
    for sale in (*due, checked, early):
        await store.open_session(sale, None)
    await store.bind_check(checked.invoice_id, "a" * 16, None, NOW)
    now = due[0].expire_time

    assert [await store.expire_sessions(now, 3) for _ in range(3)] == [3, 2, 0]
    assert {await state_of(store, sale) for sale in due} == {"EXPIRED"}
    assert [await state_of(store, sale) for sale in (checked, early)] == ["CHECKED", "INITIATED"]
    assert await states_of(store, due[0]) == ["INITIATED", "EXPIRED"]


async def state_of(store: Store, sale: Sale) -> str:
    return (await states_of(store, sale))[-1]


async def test_expired_tokens_and_records_are_purged_in_batches(store: Store) -> None:
    for number in range(5):
        hash = bytes([number]) * 32
        await store.add_access_token(StoredAccessToken(hash, NOW, NOW + timedelta(minutes=number)), new_entry())
        sale = new_sale(number, access_token_hash=hash)
        await store.open_session(sale, replace(record_of(sale), expire_time=NOW + timedelta(minutes=number)))
    now = NOW + timedelta(minutes=3)

    assert [await store.purge_access_tokens(now, 3) for _ in range(3)] == [3, 1, 0]
    assert [await store.purge_idempotency_records(now, 3) for _ in range(3)] == [3, 1, 0]
    assert await store.find_access_token(b"\3" * 32) is None
    assert await store.find_access_token(b"\4" * 32)
    assert await store.find_idempotency_record(b"\4" * 32, "order-1", NOW)


async def test_the_expired_records_of_one_token_are_purged_in_batches_too(store: Store) -> None:
    for number in range(5):
        sale = new_sale(number)
        await store.open_session(sale, replace(record_of(sale), idempotency_key=str(number), expire_time=NOW))

    assert [await store.purge_idempotency_records(NOW, 3) for _ in range(3)] == [3, 2, 0]


async def test_requests_that_named_a_sale_are_told_in_the_order_of_time(store: Store) -> None:
    sale, other = new_sale(), new_sale(1)
    for each in (sale, other):
        await store.open_session(each, None)
    events = [new_event(sale, number, error_message="Ж'\n" if number else None) for number in range(3)]

    await store.append_sale_events([events[2], new_event(other, 1), events[0]])
    await store.append_sale_events([events[1], events[2]])  # as when the end of the first try was not known

    assert await store.list_sale_events(sale.invoice_id) == events
    assert await store.list_sale_events(other.invoice_id) == [new_event(other, 1)]


async def test_of_a_sale_that_there_is_not_no_request_is_kept(store: Store) -> None:
    sale, unknown = new_sale(), new_sale(1)
    await store.open_session(sale, None)

    await store.append_sale_events([new_event(unknown, 1), new_event(sale, 1)])

    assert await store.list_sale_events(unknown.invoice_id) == []
    assert await store.list_sale_events(sale.invoice_id) == [new_event(sale, 1)]


@pytest.mark.parametrize("batch", [1, 70, 250])
async def test_of_many_requests_the_first_and_the_last_are_kept(store: Store, batch: int) -> None:
    sale, other = new_sale(), new_sale(1)
    for each in (sale, other):
        await store.open_session(each, None)
    events = [new_event(sale, number) for number in range(250)]
    await store.append_sale_events([new_event(other, number) for number in range(MAX_SALE_EVENTS)])

    for begin in range(0, len(events), batch):
        await store.append_sale_events(events[begin : begin + batch])

    assert await store.list_sale_events(sale.invoice_id) == [*events[:100], *events[-100:]]
    assert len(await store.list_sale_events(other.invoice_id)) == MAX_SALE_EVENTS == 200


async def test_final_sales_are_purged_with_all_that_is_theirs_but_their_cards(store: Store) -> None:
    final, later, open_ = [new_sale(number) for number in range(4)], new_sale(5), new_sale(6)
    for sale in (*final, later, open_):
        await store.open_session(sale, record_of(sale) if sale is final[1] else None)
        if sale is not open_:
            await store.report_status(
                new_report(sale, receive_time=NOW + timedelta(days=sale is later)), must_move=False
            )
    await store.append_sale_events([new_event(sale, 0) for sale in (*final, later)])
    card = new_card(invoice_id=final[0].invoice_id)
    await store.map_card(final[0].invoice_id, card, new_entry())
    cut = NOW + timedelta(minutes=1)

    counts, end = [], ""
    while True:
        step = await store.purge_sales(cut, end, 3)
        counts.append(step.removed)
        if step.end is None:
            break
        end = step.end
    assert sum(counts) == 4
    assert len(counts) >= 2
    assert [await store.find_sale(sale.invoice_id) for sale in final] == [None] * 4
    assert await store.find_sale_and_reports(final[0].invoice_id) is None
    assert [len(await store.list_sale_events(sale.invoice_id)) for sale in (*final, later)] == [0, 0, 0, 0, 1]
    assert await store.find_sale(later.invoice_id)
    assert await store.find_sale(open_.invoice_id)
    assert await store.find_card("anna", card.client_card_id) == card
    # A key whose sale is gone counts no more.
    record = record_of(final[1])
    assert await store.find_idempotency_record(record.access_token_hash, record.idempotency_key, NOW) is None
    for change in (
        store.bind_check(final[0].invoice_id, "a" * 16, None, NOW),
        store.report_status(new_report(final[0]), must_move=False),
        store.map_card(final[0].invoice_id, new_card(1), new_entry()),
        store.count_random_sum_answer(final[0].invoice_id, failed=True),
    ):
        with pytest.raises(SaleError) as refusal:
            await change
        assert refusal.value.reason == ErrorReason.ERROR_REASON_INVOICE_NOT_FOUND


async def test_a_step_of_the_purge_tells_where_it_got_to_and_whether_it_left_a_final_sale(store: Store) -> None:
    sales = sorted((new_sale(number) for number in range(3)), key=lambda sale: sale.invoice_id)
    for sale in sales:
        await store.open_session(sale, None)
        await store.report_status(new_report(sale), must_move=False)
    end = sales[2].invoice_id

    assert await store.purge_sales(LATER, "", 3) == PurgeStep(0, end, leaves_final=True)  # they changed right then
    assert await store.purge_sales(LATER + timedelta(microseconds=1), "", 3) == PurgeStep(3, end, leaves_final=False)
    assert await store.purge_sales(LATER + timedelta(days=1), "", 3) == PurgeStep(0, None, leaves_final=False)


async def test_changes_are_purged_the_oldest_first_and_a_reader_that_is_behind_is_told(store: Store) -> None:
    for number in range(6):
        await store.open_session(new_sale(number, NOW + timedelta(seconds=number)), None)
    positions = [change.position for change in await store.list_changes(0, 10)]

    cut = NOW + timedelta(seconds=4)
    assert [await store.purge_changes(cut, 3) for _ in range(3)] == [3, 1, 0]

    for behind in positions[:3]:
        with pytest.raises(PositionUnknown):
            await store.list_changes(behind, 10)
    assert [change.position for change in await store.list_changes(positions[3], 10)] == positions[4:]
    assert [change.position for change in await store.list_changes(0, 10, skip_purged=True)] == positions[4:]
    assert await store.position_before(NOW + timedelta(seconds=1)) == positions[3]
    with pytest.raises(PositionUnknown):
        await store.list_changes(positions[-1] + 1, 10)


async def test_a_reader_that_comes_to_a_sale_that_was_purged_is_told(store: Store) -> None:
    gone, kept = new_sale(1), new_sale(2)
    for sale in (kept, gone):
        await store.open_session(sale, None)
    await store.report_status(new_report(gone), must_move=False)
    first, *_ = await store.list_changes(0, 10)
    await store.purge_sales(NOW + timedelta(days=1), "", 10)

    with pytest.raises(PositionUnknown):
        await store.list_changes(first.position, 10)
    assert [change.sale for change in await store.list_changes(0, 10, skip_purged=True)] == [kept]


async def test_no_change_of_a_moment_is_before_its_position_whatever_the_clocks_say(store: Store) -> None:
    days = (0, 3, 1, 5, 2, 4, 4, 9)
    for number, day in enumerate(days):
        await store.open_session(new_sale(number, NOW + timedelta(days=day)), None)
    changes = await store.list_changes(0, 10)

    for day in range(10):
        moment = NOW + timedelta(days=day)
        position = await store.position_before(moment)
        assert all(change.position > position for change in changes if change.sale.update_time >= moment)
    assert await store.purge_changes(NOW + timedelta(days=4), 10) == 3  # after the fourth nothing is surely old


async def test_no_position_is_given_a_second_time(store: Store) -> None:
    await store.open_session(new_sale(1), None)
    last = await store.last_position()
    await store.purge_changes(NOW + timedelta(days=1), 10)

    assert list(await store.list_changes(last, 10)) == []
    await store.open_session(new_sale(2), None)
    (new,) = await store.list_changes(last, 10)
    assert new.position > last


async def audit_entries(store: Store, count: int) -> list[AuditEntry | None]:
    """Return the entries of the chain once there are so many; it is sound."""
    async with asyncio.timeout(20):
        while len(chained := await store.list_audit_entries(0, 1000)) < count:  # noqa: ASYNC110  # of another process
            await asyncio.sleep(0.01)
    sound = await verify_chain(store)
    assert (sound.count, sound.waiting) == (count, 0)
    assert [link.position for link, _ in chained] == list(range(1, count + 1))
    return [entry for _, entry in chained]


async def test_an_audit_entry_is_read_back_as_it_was_kept_and_chained(store: Store) -> None:
    entries = [new_entry(), new_entry(address=None, details=())]
    for entry in entries:
        await store.append_audit_entry(entry)
        await asyncio.sleep(0.002)  # ids of one millisecond are in any order

    found = await audit_entries(store, 2)

    assert sorted(map(str, found)) == sorted(map(str, entries))
    assert [chained.link.position for chained in await store.list_audit_entries(1, 1)] == [2]


async def test_an_audit_entry_is_kept_with_what_it_tells_of_and_only_if_that_changes_something(store: Store) -> None:
    sale, card, token = new_sale(), new_card(), StoredAccessToken(b"t" * 32, NOW, LATER, consumer_id="anna")
    await store.open_session(sale, None)
    kept = [new_entry(action=str(number)) for number in range(7)]
    spare = new_entry(action="spare")
    await store.add_access_token(token, kept[0])
    await store.add_access_token(replace(token, hash=b"u" * 32), kept[1])
    for entry in (kept[2], spare):
        await store.revoke_access_token(token.hash, NOW, entry)
    await store.revoke_access_token(b"unknown" * 4, NOW, spare)
    for entry in (kept[3], spare):
        await store.revoke_consumer_tokens("anna", NOW, entry)
    for entry in (kept[4], spare):
        await store.map_card(sale.invoice_id, card, entry)
    other = replace(new_card(1), server_card_id="other")
    await store.add_card(other, kept[5])
    for entry in (kept[6], spare):
        await store.replace_card(replace(other, delete_time=LATER), replace(other, delete_time=None), entry)

    found = await audit_entries(store, 7)

    assert sorted(str(entry and entry.action) for entry in found) == [str(number) for number in range(7)]


async def test_entries_of_many_writers_are_in_one_chain(open_store: OpenStore) -> None:
    stores = [await open_store() for _ in range(3)]
    await asyncio.gather(*(store.append_audit_entry(new_entry()) for store in stores for _ in range(40)))

    assert len(set(map(str, await audit_entries(stores[0], 120)))) == 120
    for store in stores:
        await store.close()


async def test_what_was_not_chained_yet_is_when_the_store_is_closed(open_store: OpenStore) -> None:
    first = await open_store()
    await first.append_audit_entry(new_entry())
    await first.close()

    second = await open_store()
    assert (await verify_chain(second)).count == 1
    await second.close()


async def test_a_store_that_can_be_written_answers_a_ping(store: Store) -> None:
    await store.ping()


HOUR = timedelta(hours=1)


def charge(key: str, of: int) -> Charge:
    """Return what a sale takes of a limit of so many an hour."""
    return Charge(key.encode() * 32, HOUR / of, HOUR)


async def opens(store: Store, number: int, *charges: Charge, at: datetime = NOW) -> bool | timedelta:
    """Tell whether a sale was opened, or when it can be."""
    outcome = await store.open_session(new_sale(number, at), None, charges)
    assert (await store.find_sale(new_sale(number, at).invoice_id) is None) is (outcome is not None)
    return outcome.wait if isinstance(outcome, LimitReached) else outcome is None


async def test_a_limit_lets_so_many_sales_through_and_tells_when_there_is_room_again(store: Store) -> None:
    assert [await opens(store, number, charge("a", 3)) for number in range(3)] == [True] * 3
    wait = await opens(store, 3, charge("a", 3))

    assert wait == HOUR / 3
    assert await opens(store, 4, charge("a", 3), at=NOW + HOUR / 3 - timedelta(microseconds=1)) is not True
    assert await opens(store, 5, charge("a", 3), at=NOW + HOUR / 3) is True
    assert await opens(store, 6, charge("a", 3), at=NOW + HOUR / 3) == HOUR / 3
    assert await opens(store, 7, charge("b", 3)) is True


async def test_a_sale_that_one_limit_refuses_takes_of_none(store: Store) -> None:
    assert await opens(store, 0, charge("a", 1), charge("b", 2)) is True

    assert await opens(store, 1, charge("b", 2), charge("a", 1)) == HOUR
    assert await opens(store, 2, charge("c", 4), charge("b", 2)) is True
    assert await opens(store, 3, charge("a", 1), charge("b", 4)) == HOUR  # the longest wait of all


async def test_of_a_limit_everybody_who_races_gets_their_part_only(open_store: OpenStore) -> None:
    stores = [await open_store() for _ in range(3)]
    try:
        limits = [charge("a", 10), charge("b", 30)]
        opened = await asyncio.gather(
            # Each in another order: transactions that lock in that order would wait for each other.
            *(opens(stores[number % 3], number, *limits[:: number % 2 * 2 - 1]) for number in range(64))
        )
        assert opened.count(True) == 10
        assert await opens(stores[0], 64, charge("b", 30)) is True
        assert await stores[1].count_sales(SaleFilter()) == 11
    finally:
        for store in stores:
            await store.close()


async def test_a_request_that_is_repeated_takes_of_a_limit_once(store: Store) -> None:
    first, again, *others = (new_sale(number) for number in range(5))
    limits = [charge("a", 3)]
    assert await store.open_session(first, record_of(first), limits) is None

    assert await store.open_session(again, record_of(again), limits) == record_of(first)
    raced = await asyncio.gather(*(store.open_session(again, record_of(again), limits) for _ in range(8)))
    assert raced == [record_of(first)] * 8
    assert [await store.open_session(sale, None, limits) for sale in others[:2]] == [None, None]
    assert await store.open_session(others[2], None, limits) == LimitReached(HOUR / 3)
    assert await store.open_session(again, record_of(again), limits) == record_of(first)


async def test_an_identifier_that_is_taken_takes_of_no_limit(store: Store) -> None:
    sale, taken, other = new_sale(0), replace(new_sale(0), signature="0" * 40), new_sale(1)
    await store.open_session(sale, None)

    outcomes = await asyncio.gather(
        *(store.open_session(each, None, [charge("a", 1)]) for each in (taken, other)), return_exceptions=True
    )

    assert isinstance(outcomes[0], IdentifierTaken)
    assert outcomes[1] is None
    assert await store.open_session(new_sale(2), None, [charge("a", 1)]) == LimitReached(HOUR)


async def test_uses_of_limits_are_removed_once_all_has_come_back(store: Store) -> None:
    for number in range(5):
        await opens(store, number, charge(str(number), 1 if number < 2 else 2))

    assert await store.purge_limit_uses(NOW + HOUR / 2 - timedelta(microseconds=1), 100) == 0
    assert await store.purge_limit_uses(NOW + HOUR / 2, 2) == 2
    assert await store.purge_limit_uses(NOW + HOUR / 2, 100) == 1
    assert await opens(store, 10, charge("1", 1), at=NOW + HOUR / 2) == HOUR / 2
    assert await store.purge_limit_uses(NOW + HOUR, 100) == 2


def block(kind: str, value: str, prefix_length: int = 0, expire_time: datetime | None = None) -> Block:
    return Block(kind, prefix_length, value, "Ж\n", NOW, expire_time, "merchant")


async def test_a_block_is_found_until_it_is_removed_or_expires(store: Store) -> None:
    serial, other = block("SERIAL_NUMBER", "Ж'\";--", expire_time=LATER), block("CONSUMER", "anna")
    assert not await store.has_block([serial.key, other.key], NOW)
    await store.put_block(serial, new_entry())
    await store.put_block(other, new_entry())

    assert await store.has_block([BlockKey("IMEI", 0, "x"), serial.key], LATER - timedelta(microseconds=1))
    assert not await store.has_block([serial.key], LATER)
    assert not await store.has_block([BlockKey("IMEI", 0, serial.value), BlockKey("CONSUMER", 0, "ann")], NOW)
    assert not await store.has_block([BlockKey("CONSUMER", 4, "anna")], NOW)
    for _ in range(2):
        await store.remove_block(other.key, new_entry(action="removed"))
    assert [entry and entry.action for entry in await audit_entries(store, 3)].count("removed") == 1
    assert not await store.has_block([other.key], NOW)


async def test_a_block_that_is_put_again_takes_the_place_of_the_one_before(store: Store) -> None:
    await store.put_block(block("BIN", "4444", 4, expire_time=LATER), new_entry())
    again = replace(block("BIN", "4444", 4), reason="other", create_time=LATER, caller="other")

    await store.put_block(again, new_entry())

    assert await store.list_blocks(None, None, 10, LATER) == [again]


async def test_blocks_are_listed_in_their_order_without_those_that_have_expired(store: Store) -> None:
    blocks = [
        block("ADDRESS", "198.51.100.0/24", 24),
        block("ADDRESS", "192.0.2.1/32", 32),
        block("BIN", "4444", 4, expire_time=LATER),
        block("BIN", "444455", 6),
        block("BIN", "555555", 6, expire_time=NOW),
        block("CONSUMER", "B"),
        block("CONSUMER", "a"),
        block("CONSUMER", "Ж"),
    ]
    for each in reversed(blocks):
        await store.put_block(each, new_entry())
    in_force = [each for each in blocks if each.expire_time != NOW]

    assert await store.list_blocks(None, None, 10, NOW) == in_force
    assert await store.list_blocks(None, in_force[1].key, 3, NOW) == in_force[2:5]
    assert await store.list_blocks("BIN", None, 10, NOW) == in_force[2:4]
    assert await store.list_blocks("BIN", in_force[2].key, 10, NOW) == in_force[3:4]
    assert await store.list_blocks("IMEI", None, 10, NOW) == []
    assert set(await store.find_block_shapes()) == {
        ("ADDRESS", 24),
        ("ADDRESS", 32),
        ("BIN", 4),
        ("BIN", 6),
        ("CONSUMER", 0),
    }


async def test_blocks_that_have_expired_are_removed(store: Store) -> None:
    for number in range(5):
        await store.put_block(block("CONSUMER", str(number), expire_time=NOW if number < 3 else LATER), new_entry())
    await store.put_block(block("CONSUMER", "5"), new_entry())

    assert await store.purge_blocks(NOW - timedelta(microseconds=1), 10) == 0
    assert [await store.purge_blocks(NOW, 2) for _ in range(3)] == [2, 1, 0]
    assert [each.value for each in await store.list_blocks(None, None, 10, NOW)] == ["3", "4", "5"]
    assert set(await store.find_block_shapes()) == {("CONSUMER", 0)}
