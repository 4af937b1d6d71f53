"""SaleLimits on sales, as apps and gateways meet them: right across workers and nodes, and over both wires."""

import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import grpc
import pytest
from connectingparty.sale.v1.access_token_service_pb2 import IssueAccessTokenRequest
from connectingparty.sale.v1.sale_service_pb2 import InitiateSaleRequest
from google.protobuf import json_format
from google.rpc.error_details_pb2 import RetryInfo
from grpc_status import rpc_status

from tests.conftest import Deployment, deploy
from tests.merchant import PROVIDERS, initiate_document, with_member
from tests.stores import schema
from tests.transports import Transport

ELECSNET = PROVIDERS[1]
LIMITS = f"""
[[sale_limits]]
per = "device"
window = "1h"
sales = 10
[[sale_limits]]
per = "consumer"
window = "1d"
centis = 100_000
[[sale_limits]]
per = "consumer"
window = "2s"
sales = 2
endpoint_id = "{ELECSNET.endpoint_id}"
"""


@pytest.fixture(scope="module", params=["two workers", "three nodes"])
def limited(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with ExitStack() as stack:
        store = None
        if request.param == "three nodes":
            store = stack.enter_context(schema(request.getfixturevalue("postgresql_url")))
        yield deploy(stack, request.param, tmp_path_factory.mktemp("limited"), LIMITS, store)


@pytest.fixture(params=["http", "grpc"])
def wire(request: pytest.FixtureRequest, limited: Deployment) -> Transport:
    return limited.http if request.param == "http" else limited.grpc


def token_of(limited: Deployment, consumer_id: str) -> str:
    request = IssueAccessTokenRequest(consumer_id=consumer_id)
    return limited.grpc.access_tokens.IssueAccessToken(request, timeout=20).access_token


def document_of(limited: Deployment, currency: str = "EUR", amount_centis: int = 1) -> dict[str, Any]:
    """Return what a new consumer sends from a new device."""
    document = initiate_document(token_of(limited, secrets.token_hex(8)), currency, amount_centis)
    return with_member(document, "consumer.device.serialNumber", secrets.token_hex(8))


def test_of_many_sales_at_once_so_many_are_opened_as_the_limit_says(limited: Deployment) -> None:
    document = document_of(limited)
    # Consumers of their own share the device; half of the sales come over the other wire.
    documents = [
        with_member(document, "session.accessToken", token_of(limited, f"{n}-{id(document)}")) for n in range(8)
    ]

    def initiate(number: int) -> int:
        wire: Transport = limited.http if number % 2 else limited.grpc
        return wire.initiate(documents[number % 8]).code

    with ThreadPoolExecutor(32) as pool:
        codes = list(pool.map(initiate, range(64)))

    assert (codes.count(0), codes.count(2004)) == (10, 54)


def test_a_repeated_request_counts_once(limited: Deployment, wire: Transport) -> None:
    document = document_of(limited)
    answers = [wire.initiate(document, "order-1") for _ in range(12)]

    assert {answer.body["invoiceId"] for answer in answers} == {answers[0].body["invoiceId"]}
    assert [wire.initiate(document).code for _ in range(10)] == [0] * 9 + [2004]
    assert wire.initiate(document, "order-1") == answers[0]


def test_amounts_are_summed_up_and_none_is_taken_that_can_never_pass(limited: Deployment, wire: Transport) -> None:
    document = document_of(limited, amount_centis=60_000)

    def initiate(amount_centis: int) -> int:
        return wire.initiate(with_member(document, "transaction.amountCentis", amount_centis)).code

    assert [initiate(amount) for amount in (100_001, 60_000, 60_000, 40_000, 1)] == [2001, 0, 2004, 0, 2004]
    # Of another currency there is a sum of its own.
    assert wire.initiate(with_member(document, "transaction.currency", "JPY")).code == 0


def test_trying_again_after_the_time_that_is_told_works(limited: Deployment) -> None:
    for_http, for_grpc = (document_of(limited, ELECSNET.currency) for _ in range(2))
    request = json_format.ParseDict(for_grpc, InitiateSaleRequest())
    for _ in range(2):
        assert limited.http.initiate(for_http).code == limited.grpc.initiate(for_grpc).code == 0

    refused = limited.http.client.post("/sale/initiate-sale", json=for_http)
    with pytest.raises(grpc.RpcError) as error:
        limited.grpc.sales.InitiateSale(request, timeout=20)
    retry = RetryInfo()
    failed: Any = error.value
    status: Any = rpc_status.from_call(failed)
    assert any(detail.Unpack(retry) for detail in status.details)
    wait = int(refused.headers["Retry-After"])

    assert (refused.status_code, failed.code()) == (429, grpc.StatusCode.RESOURCE_EXHAUSTED)
    assert refused.json()["error"] == {
        "cause": "FILTERED",
        "code": "2004",
        "message": "Too many sales; try again later.",
    }
    assert wait == retry.retry_delay.seconds == 1
    time.sleep(wait)
    assert limited.http.initiate(for_http).code == limited.grpc.initiate(for_grpc).code == 0
