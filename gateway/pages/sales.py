"""`/docs/sales` and `/docs/sales/{invoice_id}`: what happens to the sales of development mode, as it happens.

A page is made anew for each request; `assets/live.js` asks for it again and puts what has changed in its place.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import grpc
from connectingparty.sale.v1.sale_pb2 import Sale, SaleState, StatusReport
from connectingparty.sale.v1.sale_service_pb2 import (
    GetSaleTimelineRequest,
    GetSaleTimelineResponse,
    ListSalesRequest,
    ListSalesResponse,
    SaleEvent,
)
from connectingparty.sale.v1.sale_service_pb2_grpc import SaleServiceStub
from google.protobuf.timestamp_pb2 import Timestamp
from starlette.types import Receive, Scope, Send

from gateway.comments import COMMENTS
from gateway.errors import from_rpc_error
from gateway.pages.comments import phrase
from gateway.pages.errors import name_of
from gateway.pages.layout import ERRORS, REFERENCE, SALES, page
from gateway.pages.markup import Content, Markup, element, joined
from gateway.pages.sending import send_page

_SHOWN = 50
_STATE_PREFIX = "SALE_STATE_"
_SCRIPT = "live.js"


class SalesPage:
    """The latest sales.

    Args:
        channel: to the service.
        pages: those to be led to.
        deadline_seconds: how long a call of the service may take.
    """

    def __init__(self, channel: grpc.aio.Channel, pages: Mapping[str, str], *, deadline_seconds: float) -> None:
        self._sales: Any = SaleServiceStub(channel)
        self._pages = pages
        self._deadline_seconds = deadline_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            GatewayError: the service can't say.
        """
        scope["state"]["record"].route = SALES
        try:
            listed = await self._sales.ListSales(ListSalesRequest(page_size=_SHOWN), timeout=self._deadline_seconds)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        await send_page(scope, send, _list_page(listed, self._pages))


class SalePage:
    """The life of one sale.

    Args:
        channel: to the service.
        pages: those to be led to.
        deadline_seconds: how long a call of the service may take.
    """

    def __init__(self, channel: grpc.aio.Channel, pages: Mapping[str, str], *, deadline_seconds: float) -> None:
        self._sales: Any = SaleServiceStub(channel)
        self._pages = pages
        self._deadline_seconds = deadline_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            GatewayError: there is no such sale, or the service can't say.
        """
        scope["state"]["record"].route = f"{SALES}/{{invoice_id}}"
        request = GetSaleTimelineRequest(invoice_id=scope["path_params"]["invoice_id"])
        try:
            timeline = await self._sales.GetSaleTimeline(request, timeout=self._deadline_seconds)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from error
        await send_page(scope, send, _timeline_page(timeline, self._pages))


def _list_page(listed: ListSalesResponse, pages: Mapping[str, str]) -> bytes:
    nothing = element(
        "li", "There is no sale yet. ", element("a", "Initiate one", href=f"{REFERENCE}#InitiateSale"), "."
    )
    items = [_listed(sale) for sale in listed.sales] or [nothing]
    return page(
        pages[SALES],
        element("p", _INTRODUCTION, class_="lead"),
        element("ul", items, class_="sales", id="sales", data_live=True),
        pages=pages,
        current=SALES,
        script=_SCRIPT,
    )


_INTRODUCTION = f"The latest {_SHOWN} sales, in development mode only. The page follows them. Times are UTC."


def _listed(sale: Sale) -> Markup:
    return element(
        "li",
        element("a", element("code", sale.invoice_id), href=f"{SALES}/{sale.invoice_id}"),
        " ",
        _state(sale.state),
        element("span", f"{_amount(sale)} · {_moment(sale.initiate_time)}", class_="note"),
        element("strong", "Reported amount differs", class_="differs") if sale.amount_differs else None,
    )


def _timeline_page(timeline: GetSaleTimelineResponse, pages: Mapping[str, str]) -> bytes:
    sale = timeline.sale
    return page(
        "Life of a sale",
        element("p", element("code", sale.invoice_id), class_="lead"),
        element("p", _state(sale.state), " ", _meaning(sale.state), id="state", class_="state-now", data_live=True),
        element("dl", _facts(sale), class_="facts", id="facts", data_live=True),
        element("h2", "What has happened"),
        element(
            "ol",
            [_event(event) for event in timeline.events],
            class_="timeline",
            id="events",
            data_live=True,
            aria_live="polite",
        ),
        element("p", "The page follows the sale. Times are UTC.", class_="note"),
        pages=pages,
        current=SALES,
        script=_SCRIPT,
    )


def _facts(sale: Sale) -> list[Markup]:
    facts: dict[str, str] = {
        "Amount": _amount(sale),
        "Endpoint": sale.endpoint_id,
        "Serial number": sale.serial_number,
        "Consumer": sale.consumer_id,
        "Initiated": _moment(sale.initiate_time),
        "To be checked until": _moment(sale.expire_time),
        "Order of the payment gateway": sale.orderid,
        "Card": sale.client_card_id,
        "Reported amount": "differs from the sale's" if sale.amount_differs else "",
    }
    return [element("div", element("dt", term), element("dd", fact)) for term, fact in facts.items() if fact]


def _event(event: SaleEvent) -> Markup:
    name = event.rpc.rpartition(".")[2] or "Time ran out"
    parts: list[Content] = [
        element(
            "p",
            element("time", _moment(event.event_time), class_="note"),
            " ",
            element("strong", name),
            " ",
            joined(_state(state) for state in event.states),
        ),
    ]
    if event.error_reason:
        code = int(event.error_reason)
        link = element("a", f"{code} {name_of(code)}", href=f"{ERRORS}#{code}")
        parts.append(element("p", link, f": {event.error_message}", class_="refused"))
    if event.HasField("status_report"):
        parts.append(_report(event.status_report))
    parts.append(element("p", " · ".join(_circumstances(event)), class_="note"))
    return element("li", parts, class_="refusal" if event.error_reason else None)


def _report(report: StatusReport) -> Markup:
    differs = " (not the sale's amount)" if report.amount_differs else ""
    amount = f", amount {report.amount}{differs}" if report.amount else ""
    return element("p", f"Reported: {report.type} {report.status}, order {report.orderid}{amount}")


def _circumstances(event: SaleEvent) -> Iterable[str]:
    if event.address:
        yield f"from {event.address}"
    if event.caller:
        yield f"by {event.caller}"
    if event.HasField("duration"):
        yield f"in {event.duration.ToMicroseconds() / 1000:.1f} ms"
    if event.request_id:
        yield f"request {event.request_id}"


def _state(state: SaleState.ValueType) -> Markup:
    name = SaleState.Name(state).removeprefix(_STATE_PREFIX)
    return element("span", name, class_=f"state {name.lower()}")


def _meaning(state: SaleState.ValueType) -> Markup:
    return phrase(COMMENTS[f"{SaleState.DESCRIPTOR.full_name}.{SaleState.Name(state)}"])


def _amount(sale: Sale) -> str:
    return f"{sale.amount_centis // 100}.{sale.amount_centis % 100:02} {sale.currency}"


def _moment(moment: Timestamp) -> str:
    return f"{moment.ToDatetime():%Y-%m-%d %H:%M:%S}.{moment.nanos // 1_000_000:03}"
