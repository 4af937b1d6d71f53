"""The server as a FastAPI program: pydantic models instead of a proto, no gRPC, the same domain over the same store.

As its documentation recommends for speed: asynchronous endpoints, models as return types (FastAPI writes them as JSON
in pydantic's compiled core, which another response class would turn off), uvicorn with uvloop and httptools, middleware
in pure ASGI, no OpenAPI routes, no telemetry. It has the two operations that the benchmark asks for.

Run by the benchmark: `python -m tests.bench.rivals.monolith CONFIG STORE`.
"""

import argparse
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Header, Request, Response
from fastapi import Path as PathParameter
from fastapi.exceptions import RequestValidationError
from fastapi.middleware import Middleware
from starlette.exceptions import HTTPException

from gateway.errors import GatewayError
from gateway.program.settings import load_settings
from service.call_log import tell
from service.cards import SourceOfFunds
from service.errors import ErrorReason, SaleError
from service.idempotency import parse_key
from service.program.domain import create_domain
from service.program.settings import ServiceSettings
from service.sales import CheckSale, InitiateSale, Sales
from tests.bench.rivals import models
from tests.bench.rivals.request_log import RequestLog
from tests.bench.rivals.serving import serve


def create_app(settings: ServiceSettings) -> FastAPI:
    """Return the application; its store is opened when it starts."""
    app = FastAPI(
        lifespan=_lifespan,
        middleware=[Middleware(RequestLog)],
        exception_handlers={
            SaleError: _tell_refusal,
            RequestValidationError: _tell_faulty_fields,
            HTTPException: _tell_route,
        },
        openapi_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.settings = settings
    app.post("/sale/initiate-sale")(initiate_sale)
    app.post("/sale/{invoice_id}/check", response_model_exclude_none=True)(check_sale)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    domain = await create_domain(app.state.settings)
    app.state.sales = domain.sales.sales
    yield
    await domain.store.close()


async def initiate_sale(
    document: models.InitiateSaleRequest,
    request: Request,
    idempotency_key: Annotated[list[str] | None, Header()] = None,
) -> models.InitiateSaleResponse:
    """Open a session for a sale."""
    sales: Sales = request.app.state.sales
    location = document.location or models.Location()
    sale = await sales.initiate(
        InitiateSale(
            access_token=document.session.access_token,
            serial_number=document.consumer.device.serial_number,
            amount_centis=document.transaction.amount_centis,
            currency=document.transaction.currency,
            imei=document.consumer.device.imei,
            ip_addresses=document.consumer.ip_addresses,
            lat=location.lat,
            lng=location.lng,
        ),
        parse_key(idempotency_key or ()),
    )
    return models.InitiateSaleResponse(
        endpoint_id=sale.endpoint_id,
        invoice_id=sale.invoice_id,
        session=models.OpenedSession(nonce=sale.nonce, signature=sale.signature),
    )


async def check_sale(
    invoice_id: Annotated[str, PathParameter(max_length=128)], document: models.CheckSaleRequest, request: Request
) -> models.CheckSaleResponse:
    """Confirm a session to the payment gateway."""
    sales: Sales = request.app.state.sales
    session, funds = document.session, document.source_of_funds
    confirmed = await sales.check(
        CheckSale(
            invoice_id=invoice_id,
            access_token=session.access_token,
            serial_number=document.consumer.device.serial_number,
            nonce=session.nonce,
            signature=session.signature,
            session_token=session.token,
            client_card_id=funds.reference.client_card_id if funds and funds.reference else None,
        )
    )
    sale, card = confirmed.sale, confirmed.source_of_funds
    return models.CheckSaleResponse(
        consumer=models.ConfirmedConsumer(email=card.email) if card and card.email else None,
        invoice_id=sale.invoice_id,
        session=models.ConfirmedSession(
            check_signature=confirmed.check_signature, nonce=sale.nonce, token=confirmed.session_token
        ),
        source_of_funds=_source_of_funds(card) if card else None,
        transaction=models.ConfirmedTransaction(currency=sale.currency, random_sum_centis=sale.random_sum_centis),
    )


def _source_of_funds(card: SourceOfFunds) -> models.ConfirmedSourceOfFunds:
    return models.ConfirmedSourceOfFunds(reference=models.ServerReference(server_card_id=card.server_card_id))


async def _tell_refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, SaleError)
    return _answer(request, error.reason, str(error))


async def _tell_faulty_fields(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = {".".join(map(str, fault["loc"][1:])): fault for fault in error.errors()}
    if "" in faults or any(fault["type"] == "json_invalid" for fault in faults.values()):
        return _answer(request, ErrorReason.ERROR_REASON_MALFORMED_REQUEST)
    words = (
        f"{path} is required" if fault["type"] == "missing" else f"{path}: {fault['msg']}"
        for path, fault in faults.items()
    )
    return _answer(request, ErrorReason.ERROR_REASON_INVALID_FIELD, "; ".join(words))


async def _tell_route(request: Request, error: Exception) -> Response:
    wrong_method = isinstance(error, HTTPException) and error.status_code == 405
    reason = ErrorReason.ERROR_REASON_METHOD_NOT_ALLOWED if wrong_method else ErrorReason.ERROR_REASON_PATH_NOT_FOUND
    return _answer(request, reason)


def _answer(request: Request, reason: ErrorReason.ValueType, message: str | None = None) -> Response:
    tell(code=int(reason))
    error = GatewayError(reason, message, invoice_id=request.path_params.get("invoice_id"))
    return Response(error.body(), error.http_status, media_type="application/json")


def main() -> None:
    parser = argparse.ArgumentParser(description="The FastAPI monolith of the benchmark.")
    parser.add_argument("config", type=Path)
    parser.add_argument("store")
    arguments = parser.parse_args()
    serve(create_app(load_settings(ServiceSettings, arguments.config, {"store": {"url": arguments.store}})))


if __name__ == "__main__":
    main()
