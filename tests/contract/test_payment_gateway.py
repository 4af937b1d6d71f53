"""An endpoint whose payment gateway alone may check sales, map cards and call back: who else does is refused."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from connectingparty.sale.v1.sale_service_pb2 import CheckSaleRequest
from connectingparty.sale.v1.sale_service_pb2_grpc import SaleServiceStub
from google.protobuf import json_format

from tests.conftest import Deployment
from tests.contract.test_sale import opened
from tests.merchant import (
    PROVIDERS,
    Provider,
    callback_parameters,
    check_document,
    client_ids_document,
    notification_document,
    write_config,
)
from tests.running import ANY_PORT, running, service_arguments
from tests.transports import OverHttp, Transport

HERE = PROVIDERS[0]._replace(more='payment_gateway = {addresses = ["127.0.0.0/8", "::1/128"]}\n')
ELSEWHERE = PROVIDERS[1]._replace(more='payment_gateway = {addresses = ["192.0.2.0/24", "2001:db8::/32"]}\n')
CERTIFIED = PROVIDERS[2]._replace(more='payment_gateway = {certificates = ["toptechpay.example"]}\n')


@pytest.fixture(scope="module", params=["one process", "two processes"])
def merchant(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("merchant")
    config = write_config(folder / "sale.toml", providers=(HERE, ELSEWHERE, CERTIFIED))
    arguments = service_arguments(config, f"sqlite:///{folder}/sale.db")
    with ExitStack() as stack:
        if request.param == "one process":
            service = gateway = stack.enter_context(running(arguments, folder / "service.log"))
        else:
            service = stack.enter_context(running([*arguments, "--no-http"], folder / "service.log"))
            serve = ["sale-gateway", "serve", f"--http={ANY_PORT}", f"--service={service.grpc}"]
            gateway = stack.enter_context(running(serve, folder / "gateway.log"))
        deployment = Deployment([service], [gateway])
        stack.callback(deployment.close)
        yield deployment


@pytest.fixture(params=["http", "grpc"])
def transport(request: pytest.FixtureRequest, merchant: Deployment) -> Transport:
    return merchant.http if request.param == "http" else merchant.grpc


def codes(transport: Transport, provider: Provider) -> dict[str, int]:
    """Send everything about a sale, in its order, and return what was answered."""
    access_token, sale = opened(transport, provider)
    invoice_id = sale["invoiceId"]
    token = f"session-{invoice_id[:24]}"
    callback = callback_parameters(invoice_id, control_key=provider.control_key)
    return {
        "check": transport.check(invoice_id, check_document(access_token, sale, token)).code,
        "notification": transport.notify(notification_document(access_token, token)).code,
        "client ids": transport.client_ids(invoice_id, client_ids_document(access_token)).code,
        "callback": transport.callback(callback).code,
    }


def test_its_payment_gateway_may_send_everything(transport: Transport) -> None:
    assert codes(transport, HERE) == {"check": 0, "notification": 0, "client ids": 0, "callback": 0}


@pytest.mark.parametrize("provider", [ELSEWHERE, CERTIFIED], ids=lambda provider: provider.name)
def test_nobody_else_may_send_a_check_or_a_callback(transport: Transport, provider: Provider) -> None:
    # Without a check there is no session token for a notification, and no card for the consumer.
    assert codes(transport, provider) == {"check": 1111, "notification": 1104, "client ids": 1106, "callback": 1111}


def test_a_notification_of_somebody_else_is_refused(merchant: Deployment) -> None:
    access_token, sale = opened(merchant.http, ELSEWHERE)
    token = f"session-{sale['invoiceId'][:24]}"
    document = {"invoiceId": sale["invoiceId"], **check_document(access_token, sale, token)}
    check = json_format.ParseDict(document, CheckSaleRequest())
    # A gateway tells where a request has come from.
    SaleServiceStub(merchant.channel).CheckSale(check, timeout=20, metadata=(("client-address", "192.0.2.9"),))

    refused = merchant.http.notify(notification_document(access_token, token))

    assert refused.code == 1111
    assert merchant.http.client_ids(sale["invoiceId"], client_ids_document(access_token)).code == 1106


def test_what_a_client_says_of_its_address_does_not_count(merchant: Deployment) -> None:
    access_token, sale = opened(merchant.http, ELSEWHERE)
    headers = {"client-address": "192.0.2.9", "X-Forwarded-For": "192.0.2.9", "Forwarded": "for=192.0.2.9"}
    merchant.http.client.headers.update(headers)
    try:
        pretended = OverHttp(merchant.http.client)
        assert pretended.check(sale["invoiceId"], check_document(access_token, sale)).code == 1111
    finally:
        for name in headers:
            del merchant.http.client.headers[name]
