"""How long a refusal takes tells nothing: neither which value did not match, nor whether there is an invoice.

The same measurement finds what it looks for where the code is careless: a comparison that stops at the first
difference, and answers that leave as soon as they can.
"""

import gc
import secrets
import statistics
import string
import time
from array import array
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import grpc
import pytest
from connectingparty.sale.v1.sale_service_pb2 import CheckSaleRequest, GetClientIdsRequest
from connectingparty.sale.v1.sale_service_pb2_grpc import SaleServiceStub
from google.protobuf import json_format

from gateway.program.settings import load_settings
from service.guesses import Slowness
from service.identifiers import hash_access_token, new_invoice_id, utc_now
from service.program.domain import create_domain
from service.program.settings import ServiceSettings
from service.rpc.server import SaleServer
from service.sales import CheckSale, InitiateSale, _matches
from service.store import Sale
from tests.merchant import SBC, SERIAL_NUMBER, SESSION_TOKEN, check_document, client_ids_document, write_config
from tests.proof.welch import BOUND, cropped, t_of
from tests.service.store.test_store import new_sale

ALPHABET = string.hexdigits
POOL = 200
"""So many sales and requests of each kind: where in the memory one lies must not tell the kinds apart."""
KINDS = ("nothing right", "serial number", "access token", "nonce", "signature", "first digits", "last digits")
NO_LIMIT = 10**9
FLOOR = timedelta(milliseconds=2)
DIFFERENCE_US = 50.0
"""So far apart the means may be of an unknown and a foreign invoice."""
Comparison = Callable[[Sale, CheckSale], bool]


def careless(sale: Sale, request: CheckSale) -> bool:
    """Compare until something differs."""
    return (
        sale.nonce == request.nonce
        and sale.signature.lower() == request.signature.lower()
        and sale.serial_number == request.serial_number
        and sale.access_token_hash == hash_access_token(request.access_token)
    )


def other(value: str, position: int | None = None) -> str:
    """Return a value of the same length that differs: in all of it, or at one position."""
    digits = [secrets.choice(ALPHABET.replace(old, "")) for old in value]
    if position is None:
        return "".join(digits)
    cut = position % len(value)
    return value[:cut] + digits[cut] + value[cut + 1 :]


def refused_values(number: int) -> tuple[Sale, list[tuple[str, ...]]]:
    """Return a sale and, of each kind, what does not match it: access token, serial number, nonce and signature."""
    token, serial_number, signature = secrets.token_hex(32), secrets.token_hex(8), secrets.token_hex(20).upper()
    sale = replace(
        new_sale(number),
        access_token_hash=hash_access_token(token),
        serial_number=serial_number,
        signature=signature,
    )
    right = (token, serial_number, sale.nonce, signature)
    wrong = tuple(map(other, right))
    refused: list[tuple[str, ...]] = [
        wrong,
        (token, wrong[1], sale.nonce, signature),
        (wrong[0], serial_number, sale.nonce, signature),
        (token, serial_number, wrong[2], signature),
        (token, serial_number, sale.nonce, wrong[3]),
        tuple(other(value, 0) for value in right),
        tuple(other(value, -1) for value in right),
    ]
    return sale, [tuple(map(copied, values)) for values in refused]


def copied(value: str) -> str:
    """Return an equal string elsewhere in the memory: one that was just read is compared faster."""
    return value.encode().decode()


def measure_comparisons(matches: Comparison, count: int) -> dict[str, float]:
    """Return t of each kind of mismatch against all others, measured so often each in a random order."""
    pool = [refused_values(number) for number in range(POOL)]
    chance = Random(count)
    taken = {kind: array("q") for kind in KINDS}
    clock, numbers = time.perf_counter_ns, range(len(KINDS))
    gc.disable()
    try:
        for _ in range(count):
            for number in chance.sample(numbers, len(KINDS)):
                sale, values = pool[chance.randrange(POOL)]
                # Strings of their own, as a request brings them: where one lies in the memory must not tell its kind.
                token, serial_number, nonce, signature = map(copied, values[number])
                request = CheckSale(sale.invoice_id, token, serial_number, nonce, signature, SESSION_TOKEN)
                began = clock()
                matched = matches(sale, request)
                ended = clock()
                assert not matched
                taken[KINDS[number]].append(ended - began)
    finally:
        gc.enable()
    kept = dict(zip(KINDS, cropped(*taken.values()), strict=True))
    return {
        kind: t_of(sample, [value for name, values in kept.items() if name != kind for value in values])
        for kind, sample in kept.items()
    }


@pytest.mark.parametrize("count", [4_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def test_no_kind_of_mismatch_takes_another_time_to_be_found(count: int) -> None:
    found = measure_comparisons(_matches, count)
    print(f"\n{count:,} comparisons of each kind:", {kind: round(t, 2) for kind, t in found.items()})

    control = max(map(abs, measure_comparisons(careless, min(count, 10_000)).values()))
    assert control > 20 * BOUND
    assert max(map(abs, found.values())) < BOUND, found


@asynccontextmanager
async def served(folder: Path, slowness: Slowness | None) -> AsyncIterator[tuple[Any, list[dict[str, Any]]]]:
    """Serve in this process; yield the stub, and what a payment gateway and an app send of sales that there are."""
    config = write_config(folder / "sale.toml", f'[store]\nurl = "sqlite:///{folder}/sale.db"\n')
    settings = load_settings(ServiceSettings, config, {})
    domain = await create_domain(settings)
    server = SaleServer(
        domain.sales,
        domain.access_tokens,
        domain.cards,
        domain.blocklist,
        domain.endpoints,
        domain.sale_events,
        domain.store,
        domain.callers.identify,
        lambda reason, rpc, **details: None,
        None,
        limits=settings.grpc.limits.to_limits(),
        slowness=slowness,
        watch_patience=settings.watch.patience,
        reflection=False,
        reuse_port=False,
    )
    sales = []
    for _ in range(POOL // 4):
        token = await domain.access_tokens.request()
        sale = await domain.sales.sales.initiate(InitiateSale(token, SERIAL_NUMBER, 1042, SBC.currency))
        session = {"nonce": sale.nonce, "signature": sale.signature}
        sales.append({"invoice_id": sale.invoice_id, "check": check_document(token, {"session": session})})
    try:
        yield SaleServiceStub(server.channel()), sales
    finally:
        await domain.sale_events.close()
        await domain.store.close()


def requests_of(rpc: str, sales: Sequence[dict[str, Any]]) -> tuple[Any, Any]:
    """Return a request about somebody else's sale, and one about a sale that there is not."""
    mine, foreign = secrets.SystemRandom().sample(sales, 2)
    unknown_id = new_invoice_id(utc_now(), secrets.token_bytes)
    token = mine["check"]["session"]["accessToken"]
    document, message = (
        (mine["check"], CheckSaleRequest) if rpc == "CheckSale" else (client_ids_document(token), GetClientIdsRequest)
    )
    requests = [
        json_format.ParseDict({"invoiceId": invoice_id, **document}, message())
        for invoice_id in (foreign["invoice_id"], unknown_id)
    ]
    return requests[0], requests[1]


async def measure_invoices(folder: Path, rpc: str, slowness: Slowness | None, count: int) -> tuple[float, float]:
    """Return t of foreign against unknown invoices, and how many microseconds their means are apart."""
    taken: tuple[list[float], list[float]] = ([], [])
    folder.mkdir()
    async with served(folder, slowness) as (stub, sales):
        for number in range(count + 20):
            pairs = list(enumerate(requests_of(rpc, sales)))
            for kind, request in pairs if secrets.randbelow(2) else reversed(pairs):
                began = time.perf_counter()
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await getattr(stub, rpc)(request, timeout=20)
                ended = time.perf_counter()
                expected = (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.NOT_FOUND)[kind]
                assert refused.value.code() is expected
                if number >= 20:  # warm by then
                    taken[kind].append((ended - began) * 1e6)
    foreign, unknown = cropped(*taken)
    return t_of(foreign, unknown), statistics.fmean(foreign) - statistics.fmean(unknown)


@pytest.mark.anyio
@pytest.mark.parametrize("count", [150, pytest.param(20_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("rpc", ["CheckSale", "GetClientIds"])
async def test_an_unknown_invoice_is_answered_as_late_as_a_foreign_one(rpc: str, count: int, tmp_path: Path) -> None:
    slowness = Slowness(NO_LIMIT, timedelta(seconds=2), 256, FLOOR)

    t, difference = await measure_invoices(tmp_path / "slowed", rpc, slowness, count)
    print(f"\n{count:,} of each, {rpc}: t = {t:.2f}, {difference:.1f} µs apart")

    assert abs(t) < BOUND
    if count > 1_000:  # of fewer, chance alone makes more on a busy machine
        assert abs(difference) < DIFFERENCE_US
    if rpc == "CheckSale":  # to compare takes longer than not to: this finds it
        assert (await measure_invoices(tmp_path / "at-once", rpc, None, max(count, 1_500)))[0] > BOUND
