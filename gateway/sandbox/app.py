"""The sandbox as an ASGI application: the Device API, and the page on which a consumer confirms."""

from urllib.parse import parse_qs

from connectingparty.sale.v1.error_reason_pb2 import ErrorReason
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.errors import GatewayError
from gateway.http_messages import require_json
from gateway.json_body import parse_object
from gateway.parties.consumer_app import DEVICE_API, Decision, State
from gateway.sandbox import pages
from gateway.sandbox.processing import Processing
from gateway.sandbox.requests import read_perform_sale, read_sale_status
from gateway.sandbox.sales import Sale

_SALE = DEVICE_API + "/{endpoint_id}/{invoice_id}"
_PAGE = "/paynet/3ds"


def create_sandbox(processing: Processing) -> Starlette:
    """Return the application.

    Args:
        processing: what is done with sales.
    """
    paths = _Paths(processing)
    return Starlette(
        routes=[
            Route(_SALE, paths.perform_sale, methods=["POST"]),
            Route(f"{_SALE}/status", paths.sale_status, methods=["POST"]),
            Route(f"{_PAGE}/{{page}}", paths.show_page, methods=["GET"]),
            Route(f"{_PAGE}/{{page}}", paths.take_decision, methods=["POST"]),
        ],
        exception_handlers={GatewayError: _tell, HTTPException: _tell_no_route},
    )


class _Paths:
    def __init__(self, processing: Processing) -> None:
        self._processing = processing

    async def perform_sale(self, request: Request) -> Response:
        require_json(request.scope)
        wish = read_perform_sale(parse_object(await request.body()))
        where = request.path_params
        sale = await self._processing.perform(where["endpoint_id"], where["invoice_id"], wish)
        return JSONResponse({"invoiceId": sale.invoice_id, "session": {"token": sale.session.token}})

    async def sale_status(self, request: Request) -> Response:
        require_json(request.scope)
        asked = read_sale_status(parse_object(await request.body()))
        sale, where = self._processing.sales.find(asked.token), request.path_params
        if sale is None or (sale.endpoint_id, sale.invoice_id) != (where["endpoint_id"], where["invoice_id"]):
            raise GatewayError(ErrorReason.ERROR_REASON_INVOICE_NOT_FOUND, "session.token belongs to no such sale")
        if sale.session.access_token != asked.access_token:
            raise GatewayError(ErrorReason.ERROR_REASON_ACCESS_TOKEN_INVALID, "session.accessToken is not the sale's")
        host = request.headers.get("host", "")
        return JSONResponse(sale.document(f"http://{host}{_PAGE}/{sale.page}"))

    async def show_page(self, request: Request) -> Response:
        sale = self._waiting(request)
        return pages.nothing_to_confirm() if sale is None else pages.question(sale)

    async def take_decision(self, request: Request) -> Response:
        sale = self._waiting(request)
        if sale is None:
            return pages.nothing_to_confirm()
        decisions = parse_qs((await request.body()).decode("latin-1")).get(pages.DECISION)
        if decisions not in ([Decision.APPROVE], [Decision.DECLINE]):
            return pages.question(sale)
        approved = decisions == [Decision.APPROVE]
        sale.confirmed.set_result(approved)
        return pages.thanks(approved=approved)

    def _waiting(self, request: Request) -> Sale | None:
        sale = self._processing.sales.find_page(request.path_params["page"])
        return sale if sale and sale.state is State.REDIRECT_REQUEST and not sale.confirmed.done() else None


async def _tell(request: Request, error: Exception) -> Response:
    if not isinstance(error, GatewayError):
        raise error
    headers = {name.decode(): value.decode() for name, value in error.headers}
    return Response(error.body(), error.http_status, headers, "application/json")


async def _tell_no_route(request: Request, error: Exception) -> Response:
    allowed = error.headers.get("Allow") if isinstance(error, HTTPException) and error.headers else None
    if allowed is not None:
        headers = ((b"allow", allowed.encode()),)
        return await _tell(request, GatewayError(ErrorReason.ERROR_REASON_METHOD_NOT_ALLOWED, headers=headers))
    return await _tell(request, GatewayError(ErrorReason.ERROR_REASON_PATH_NOT_FOUND))
