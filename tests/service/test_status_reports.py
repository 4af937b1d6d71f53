"""What a clock, several keys or a missing endpoint show of callbacks and amounts."""

from dataclasses import replace

import pytest

from service.endpoints import Endpoint, Endpoints
from service.errors import ErrorReason, SaleError
from service.sales import InitiateSale, Sales
from service.signing import parse_control_key
from service.status_reports import Callback, StatusReports, amount_differs
from service.store.sqlite import SqliteStore
from tests.merchant import SBC, callback_parameters
from tests.service.conftest import Clock

pytestmark = pytest.mark.anyio
NEW_KEY = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def status_reports(store: SqliteStore, endpoints: Endpoints, clock: Clock) -> StatusReports:
    return StatusReports(store, endpoints, clock=clock)


def callback_of(invoice_id: str, control_key: str = SBC.control_key) -> Callback:
    parameters = callback_parameters(invoice_id, control_key=control_key)
    return Callback(
        parameters["status"], parameters["orderid"], invoice_id, parameters["control"], tuple(parameters.items())
    )


async def test_every_control_key_of_the_endpoint_verifies_a_callback(
    sales: Sales, status_reports: StatusReports, request_: InitiateSale, endpoints: Endpoints, endpoint: Endpoint
) -> None:
    sale = await sales.initiate(request_)
    endpoints.replace([replace(endpoint, control_keys=(parse_control_key(NEW_KEY), *endpoint.control_keys))])

    for key in (NEW_KEY, SBC.control_key):
        await status_reports.receive_callback(callback_of(sale.invoice_id, key))
    endpoints.replace([replace(endpoint, control_keys=(parse_control_key(NEW_KEY),))])
    with pytest.raises(SaleError) as refusal:
        await status_reports.receive_callback(callback_of(sale.invoice_id))
    assert refusal.value.reason == ErrorReason.ERROR_REASON_CONTROL_MISMATCH


async def test_an_endpoint_that_is_gone_makes_the_payment_gateway_come_again(
    sales: Sales, status_reports: StatusReports, request_: InitiateSale, endpoints: Endpoints, endpoint: Endpoint
) -> None:
    sale = await sales.initiate(request_)
    endpoints.replace([replace(endpoint, id="99999")])

    with pytest.raises(SaleError) as refusal:
        await status_reports.receive_callback(callback_of(sale.invoice_id))
    assert refusal.value.reason == ErrorReason.ERROR_REASON_SERVER_UNAVAILABLE


@pytest.mark.parametrize(
    ("amount", "centis", "differs"),
    [
        (None, 1, False),
        ("92233720368547758.07", 2**63 - 1, False),
        ("92233720368547758.06", 2**63 - 1, True),
        ("0" * 60 + "1.00", 100, False),
        ("1." + "0" * 61 + "1", 100, True),
        ("1.", 100, True),
        (".01", 1, True),
        ("1_0", 1000, True),
        ("\u0661", 100, True),
        ("sNaN", 1, True),
        ("1e999999999999999999", 1, True),
    ],
)
def test_amounts_are_compared_exactly(amount: str | None, centis: int, differs: bool) -> None:
    assert amount_differs(amount, centis) is differs
