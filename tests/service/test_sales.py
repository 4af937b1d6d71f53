"""What only a clock, a source of randomness or a hand in the database can show of a sale's life."""

import asyncio
import hmac
import re
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import apsw
import pytest

from service.access_tokens import AccessTokens, Binding
from service.blocklist import Blocklist
from service.call_log import begin_call, known_of_call
from service.cards import Cards, SourceOfFunds
from service.currencies import CURRENCIES
from service.endpoints import CentisRange, Endpoint, Endpoints
from service.errors import ErrorReason, SaleError
from service.idempotency import RETENTION
from service.identifiers import hash_access_token
from service.sale_limits import SaleLimits
from service.sales import CheckSale, ConfirmedSale, InitiateSale, Sales
from service.signing import parse_control_key
from service.store import Sale, StoredCard
from service.store.sqlite import SqliteStore
from service.vault import CardData
from tests.merchant import SBC, SESSION_TOKEN, sign
from tests.service.conftest import Clock, Randomness
from tests.service.store.test_store import new_entry, new_report

pytestmark = pytest.mark.anyio
NEW_KEY = "11111111-2222-3333-4444-555555555555"


def check_of(request: InitiateSale, sale: Sale, session_token: str = SESSION_TOKEN) -> CheckSale:
    return CheckSale(
        sale.invoice_id, request.access_token, request.serial_number, sale.nonce, sale.signature, session_token
    )


async def refusal(sales: Sales, check: CheckSale) -> str:
    with pytest.raises(SaleError) as refused:
        await sales.check(check)
    return ErrorReason.Name(refused.value.reason).removeprefix("ERROR_REASON_")


async def test_everything_that_was_sent_is_stored_but_the_token(
    sales: Sales, store: SqliteStore, request_: InitiateSale, clock: Clock
) -> None:
    sale = await sales.initiate(request_)

    assert await store.find_sale(sale.invoice_id) == sale
    assert sale.access_token_hash == hash_access_token(request_.access_token)
    assert (sale.serial_number, sale.imei, sale.ip_addresses) == (
        request_.serial_number,
        request_.imei,
        request_.ip_addresses,
    )
    assert (sale.lat, sale.lng, sale.amount_centis, sale.currency) == (0.0, None, 1042, request_.currency)
    assert (await sales.initiate(replace(request_, lat=None, lng=-180.0))).lng == -180.0
    assert (sale.initiate_time, sale.expire_time) == (clock.now, clock.now + timedelta(minutes=30))
    assert (sale.session_token, sale.check_time) == (None, None)


async def test_an_access_token_is_nowhere_in_the_database(sales: Sales, request_: InitiateSale, tmp_path: Path) -> None:
    await sales.initiate(request_, "order-1")

    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert request_.serial_number.encode() in stored
    assert request_.access_token.encode() not in stored


async def test_a_session_can_be_checked_until_it_expires(sales: Sales, request_: InitiateSale, clock: Clock) -> None:
    in_time, late = await sales.initiate(request_), await sales.initiate(request_)
    clock.now += timedelta(minutes=30) - timedelta(microseconds=1)
    first = await sales.check(check_of(request_, in_time))
    clock.now += timedelta(microseconds=1)

    assert await refusal(sales, check_of(request_, late)) == "SESSION_EXPIRED"
    repeated = await sales.check(check_of(request_, in_time))
    assert (repeated.session_token, repeated.check_signature) == (first.session_token, first.check_signature)


async def test_a_confirmation_tells_the_sale_the_session_token_and_no_card(
    sales: Sales, store: SqliteStore, request_: InitiateSale
) -> None:
    sale = await sales.initiate(request_)
    confirmed = await sales.check(check_of(request_, sale))

    assert confirmed.sale == await store.find_sale(sale.invoice_id)
    assert (confirmed.session_token, confirmed.source_of_funds) == (SESSION_TOKEN, None)


async def test_a_card_that_is_paid_with_is_told_signed_and_bound(
    sales: Sales, store: SqliteStore, request_: InitiateSale, clock: Clock
) -> None:
    sale = await sales.initiate(request_)
    card = StoredCard("card-1", sale.consumer_id, clock.now, sale.endpoint_id, "77000001", email="anna@example.com")
    await store.add_card(card, new_entry())
    check = replace(check_of(request_, sale), client_card_id="card-1")
    confirmed = await sales.check(check)

    assert confirmed.source_of_funds == SourceOfFunds("anna@example.com", "77000001")
    assert confirmed.check_signature == sign(
        SBC.control_key, sale.serial_number, sale.nonce, sale.endpoint_id, sale.invoice_id, "77000001"
    )
    assert confirmed.sale.check_card_id == "card-1"
    with pytest.raises(SaleError, match=r"^The session was already checked with another card\.$"):
        await sales.check(check_of(request_, sale))


async def test_a_session_that_ended_is_refused_for_what_it_ended_with(
    sales: Sales, store: SqliteStore, request_: InitiateSale, clock: Clock
) -> None:
    expired, declined = await sales.initiate(request_), await sales.initiate(request_)
    await store.report_status(new_report(declined, "declined"), must_move=False)
    await store.expire_sessions(clock.now + timedelta(minutes=30), 10)

    assert await refusal(sales, check_of(request_, expired)) == "SESSION_EXPIRED"
    assert await refusal(sales, check_of(request_, declined)) == "SESSION_ALREADY_CHECKED"
    assert await refusal(sales, replace(check_of(request_, expired), invoice_id="no such")) == "INVOICE_NOT_FOUND"


async def test_a_sale_has_what_its_token_and_its_endpoint_give_it(
    sales: Sales, access_tokens: AccessTokens, request_: InitiateSale, endpoints: Endpoints, endpoint: Endpoint
) -> None:
    endpoints.replace(
        [replace(endpoint, default=True), replace(endpoint, id="22220", random_sum_centis=CentisRange(5, 7))]
    )
    token, _ = await access_tokens.issue(Binding(endpoint_id="22220", email="anna@example.com"))
    sale = await sales.initiate(replace(request_, access_token=token))

    assert (sale.endpoint_id, sale.email) == ("22220", "anna@example.com")
    assert sale.random_sum_centis in {5, 6, 7}
    other = await sales.initiate(request_)
    assert (other.endpoint_id, other.email, other.random_sum_centis) == (endpoint.id, None, None)


async def test_whatever_is_logged_of_a_call_names_its_sale(
    sales: Sales, request_: InitiateSale, endpoint: Endpoint
) -> None:
    begin_call("request-1")
    sale = await sales.initiate(request_)

    named = {"invoice_id": sale.invoice_id, "endpoint_id": endpoint.id, "provider": endpoint.provider}
    assert known_of_call() == {"request_id": "request-1", **named}


async def test_of_racing_session_tokens_one_is_bound(sales: Sales, request_: InitiateSale) -> None:
    sale = await sales.initiate(request_)
    checks = (sales.check(check_of(request_, sale, f"session-token-{number:03}")) for number in range(50))
    results = await asyncio.gather(*checks, return_exceptions=True)

    assert sum(isinstance(result, ConfirmedSale) for result in results) == 1
    assert sum(isinstance(result, SaleError) for result in results) == 49


async def test_of_racing_checks_with_different_cards_one_kind_is_confirmed(
    sales: Sales, cards: Cards, access_tokens: AccessTokens, request_: InitiateSale
) -> None:
    token, _ = await access_tokens.issue(Binding(consumer_id="anna"))
    request = replace(request_, access_token=token)
    data = CardData("4111111111111111", 1, 2030, "A", "B")
    ids = [None, *[(await cards.put("anna", data, None)).client_card_id for _ in range(2)]]
    sale = await sales.initiate(request)
    checks = [replace(check_of(request, sale), client_card_id=ids[number % 3]) for number in range(30)]
    results = await asyncio.gather(*(sales.check(check) for check in checks), return_exceptions=True)

    confirmed = {
        check.client_card_id for check, result in zip(checks, results, strict=True) if isinstance(result, ConfirmedSale)
    }
    assert len(confirmed) == 1
    for check in checks[:3]:
        if check.client_card_id in confirmed:
            assert await sales.check(check)
        else:
            assert await refusal(sales, check) == "SESSION_ALREADY_CHECKED"


@pytest.mark.parametrize("change", ["amount_centis = 1", "currency = 'USD'", "amount_centis = 10420"])
async def test_a_row_that_was_tampered_with_is_not_confirmed(
    sales: Sales, request_: InitiateSale, tmp_path: Path, change: str
) -> None:
    sale = await sales.initiate(request_)
    other = apsw.Connection(str(tmp_path / "sale.db"))
    other.execute(f"UPDATE sales SET {change}")
    other.close()

    assert await refusal(sales, check_of(request_, sale)) == "SESSION_MISMATCH"


@pytest.mark.parametrize(
    "change",
    [
        "invoice_id = invoice_id || '1', amount_centis = 142",
        "amount_centis = 11, currency = '42' || currency",
        "invoice_id = substr(nonce, 64) || invoice_id, nonce = substr(nonce, 1, 63)",
    ],
)
async def test_a_row_whose_signature_fits_because_characters_were_moved_is_not_confirmed(
    sales: Sales, request_: InitiateSale, store: SqliteStore, tmp_path: Path, change: str
) -> None:
    request = replace(request_, amount_centis=1142)
    await sales.initiate(request)
    other = apsw.Connection(str(tmp_path / "sale.db"))
    ((invoice_id,),) = other.execute(f"UPDATE sales SET {change} RETURNING invoice_id").fetchall()
    other.close()
    sale = await store.find_sale(str(invoice_id))

    assert sale is not None
    assert await refusal(sales, check_of(request, sale)) == "SESSION_MISMATCH"


async def test_the_first_key_signs_and_every_key_verifies(
    sales: Sales, request_: InitiateSale, endpoints: Endpoints, endpoint: Endpoint
) -> None:
    sale = await sales.initiate(request_)
    endpoints.replace([replace(endpoint, control_keys=(parse_control_key(NEW_KEY), *endpoint.control_keys))])
    confirmed = await sales.check(check_of(request_, sale))
    endpoints.replace([replace(endpoint, control_keys=(parse_control_key(NEW_KEY),))])

    assert confirmed.check_signature == sign(NEW_KEY, sale.serial_number, sale.nonce, sale.endpoint_id, sale.invoice_id)
    assert await refusal(sales, check_of(request_, sale)) == "SESSION_MISMATCH"


async def test_an_endpoint_that_is_gone_is_no_mismatch(
    sales: Sales, request_: InitiateSale, endpoints: Endpoints, endpoint: Endpoint
) -> None:
    sale = await sales.initiate(request_)
    endpoints.replace([replace(endpoint, id="99999")])
    assert await refusal(sales, check_of(request_, sale)) == "SERVER_UNAVAILABLE"

    endpoints.replace([endpoint])
    assert await sales.check(check_of(request_, sale))


async def test_signatures_are_written_in_the_case_of_the_endpoint(
    sales: Sales, request_: InitiateSale, endpoints: Endpoints, endpoint: Endpoint
) -> None:
    endpoints.replace([replace(endpoint, signature_case="lower")])
    sale = await sales.initiate(request_)
    confirmed = await sales.check(check_of(request_, replace(sale, signature=sale.signature.upper())))

    assert sale.signature == sale.signature.lower()
    assert confirmed.check_signature == confirmed.check_signature.lower()


async def test_identifiers_that_are_taken_are_drawn_anew(
    sales: Sales, request_: InitiateSale, randomness: Randomness
) -> None:
    randomness.queued = iter([b"i" * 9, b"n" * 33, b"i" * 9, b"n" * 33])

    first, second = await sales.initiate(request_), await sales.initiate(request_)

    assert first.invoice_id != second.invoice_id
    assert first.nonce != second.nonce


async def test_randomness_that_only_repeats_itself_opens_no_session(
    sales: Sales, request_: InitiateSale, randomness: Randomness
) -> None:
    randomness.queued = iter([b"i" * 9, b"n" * 33] * 4)
    await sales.initiate(request_)

    with pytest.raises(RuntimeError, match=r"^the source of randomness repeats itself$"):
        await sales.initiate(request_)


async def test_a_key_is_remembered_for_31_days(
    sales: Sales, access_tokens: AccessTokens, request_: InitiateSale, clock: Clock
) -> None:
    token, _ = await access_tokens.issue(ttl=timedelta(days=60))
    request = replace(request_, access_token=token)
    first = await sales.initiate(request, "order-1")
    clock.now += RETENTION - timedelta(microseconds=1)
    assert await sales.initiate(request, "order-1") == first
    clock.now += timedelta(microseconds=1)

    again = await sales.initiate(request, "order-1")
    assert again.invoice_id != first.invoice_id
    assert await sales.initiate(request, "order-1") == again


async def test_a_key_that_runs_is_in_use_and_is_free_afterwards(sales: Sales, request_: InitiateSale) -> None:
    results = await asyncio.gather(*(sales.initiate(request_, "order-1") for _ in range(10)), return_exceptions=True)

    assert sum(isinstance(result, Sale) for result in results) == 1
    reasons = {result.reason for result in results if isinstance(result, SaleError)}
    assert reasons == {ErrorReason.ERROR_REASON_IDEMPOTENCY_KEY_IN_USE}
    assert await sales.initiate(request_, "order-1") in results


@pytest.mark.parametrize(
    "other",
    [
        {"serial_number": "other"},
        {"amount_centis": 1043},
        {"currency": "USD"},
        {"imei": None},
        {"ip_addresses": ("192.0.2.17", "192.0.2.18")},
        {"lat": None},
        {"lng": 0.0},
    ],
    ids=lambda other: next(iter(other)),
)
async def test_a_key_counts_for_one_request_only(sales: Sales, request_: InitiateSale, other: dict[str, Any]) -> None:
    first = await sales.initiate(request_, "order-1")

    with pytest.raises(SaleError) as refused:
        await sales.initiate(replace(request_, **other), "order-1")
    assert refused.value.reason == ErrorReason.ERROR_REASON_IDEMPOTENCY_KEY_REUSED
    assert await sales.initiate(request_, "order-1") == first


async def test_only_the_same_key_of_the_same_token_is_in_use(
    sales: Sales, access_tokens: AccessTokens, request_: InitiateSale
) -> None:
    other = replace(request_, access_token=await access_tokens.request())
    opened = await asyncio.gather(
        sales.initiate(request_, "order-1"), sales.initiate(request_, "order-2"), sales.initiate(other, "order-1")
    )

    assert len({sale.invoice_id for sale in opened}) == 3


async def test_a_key_gives_its_session_though_the_endpoint_takes_no_such_sale_any_more(
    sales: Sales, request_: InitiateSale, endpoints: Endpoints, endpoint: Endpoint
) -> None:
    first = await sales.initiate(request_, "order-1")
    endpoints.replace([replace(endpoint, currencies=frozenset({"USD"}))])

    assert await sales.initiate(request_, "order-1") == first


async def test_two_processes_that_store_one_key_at_once_answer_the_same(
    sales: Sales,
    store: SqliteStore,
    endpoints: Endpoints,
    access_tokens: AccessTokens,
    cards: Cards,
    blocklist: Blocklist,
    request_: InitiateSale,
    clock: Clock,
    randomness: Randomness,
) -> None:
    # Each process has its own idea of what runs; the store has the last word.
    other = Sales(
        store,
        endpoints,
        access_tokens,
        cards,
        SaleLimits(),
        blocklist,
        session_ttl=timedelta(minutes=30),
        clock=clock,
        randomness=randomness,
    )
    one, two = await asyncio.gather(sales.initiate(request_, "order-1"), other.initiate(request_, "order-1"))

    assert one == two


@pytest.mark.parametrize("end", ["unknown", "expired", "revoked"])
async def test_a_token_that_does_not_count_opens_no_session(
    sales: Sales, access_tokens: AccessTokens, request_: InitiateSale, clock: Clock, end: str
) -> None:
    if end == "expired":
        clock.now += timedelta(minutes=30)
    elif end == "revoked":
        await access_tokens.revoke(request_.access_token)
    else:
        request_ = replace(request_, access_token="f" * 64)

    with pytest.raises(SaleError) as refused:
        await sales.initiate(request_)

    assert refused.value.reason == ErrorReason.ERROR_REASON_ACCESS_TOKEN_INVALID


async def test_no_shift_of_characters_between_neighbours_gives_parts_that_we_make(
    sales: Sales, request_: InitiateSale, endpoints: Endpoints
) -> None:
    sale = await sales.initiate(request_)
    parts = [
        request_.access_token,
        sale.serial_number,
        sale.endpoint_id,
        sale.nonce,
        sale.invoice_id,
        str(sale.amount_centis),
        sale.currency,
    ]
    key = parse_control_key(SBC.control_key)

    def are_ours(token: str, serial: str, endpoint: str, nonce: str, invoice: str, amount: str, currency: str) -> bool:
        return (
            re.fullmatch("[0-9a-f]{64}", token) is not None
            and 1 <= len(serial) <= 50
            and endpoints.find(endpoint) is not None
            and re.fullmatch("[a-f][0-9a-f]{63}", nonce) is not None
            and re.fullmatch("[0-9a-f-]{35}[a-f]", invoice) is not None
            and re.fullmatch("[1-9][0-9]*", amount) is not None
            and currency in CURRENCIES
        )

    assert are_ours(*parts)
    shifts = 0
    for left in range(len(parts) - 1):
        joined = parts[left] + parts[left + 1]
        for cut in range(len(joined) + 1):
            shifted = [*parts[:left], joined[:cut], joined[cut:], *parts[left + 2 :]]
            if shifted != parts:
                # The weakness of the wire: each of them is signed alike.
                assert hmac.digest(key.bytes, "".join(shifted).encode(), "sha1").hex().upper() == sale.signature
                assert not are_ours(*shifted)
                shifts += 1
    assert shifts == sum(len(one) + len(other) for one, other in pairwise(parts))
