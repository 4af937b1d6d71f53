"""The rpcs of sales: message in, one call on the domain, message out."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import grpc
from connectingparty.sale.v1.sale_service_pb2 import (
    CheckSaleRequest,
    CheckSaleResponse,
    GetClientIdsRequest,
    GetClientIdsResponse,
    GetSaleRequest,
    GetSaleResponse,
    GetSaleTimelineRequest,
    GetSaleTimelineResponse,
    InitiateSaleRequest,
    InitiateSaleResponse,
    ListSalesRequest,
    ListSalesResponse,
    NotifyCardMappingRequest,
    NotifyCardMappingResponse,
    ReceiveCallbackRequest,
    ReceiveCallbackResponse,
    ReportSaleStatusRequest,
    ReportSaleStatusResponse,
    VerifyRandomSumRequest,
    VerifyRandomSumResponse,
    WatchSalesRequest,
    WatchSalesResponse,
)
from connectingparty.sale.v1.sale_service_pb2_grpc import SaleServiceServicer
from google.protobuf.descriptor import FieldDescriptor

from service.card_mapping import CardMapping, Notification
from service.cards import SourceOfFunds
from service.errors import ErrorReason, SaleError
from service.idempotency import HEADER, parse_key
from service.pages import cursor_of, position_of
from service.random_sums import RandomSums
from service.rpc.interceptors import metadata_values
from service.rpc.messages import moment, optional, sale_event_message, sale_message, status_report_message
from service.sale_reader import SaleReader
from service.sales import CheckSale, InitiateSale, Sales
from service.status_reports import Callback, StatusReports
from service.store import SaleChange, SaleFilter

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class SaleDomain:
    """What the rpcs of sales call on."""

    sales: Sales
    card_mapping: CardMapping
    status_reports: StatusReports
    random_sums: RandomSums
    reader: SaleReader


class SaleServicer(SaleServiceServicer):
    """`connectingparty.sale.v1.SaleService` over the domain.

    Args:
        domain: the domain.
        watch_patience: how long a reader of the stream may take nothing.
    """

    def __init__(self, domain: SaleDomain, *, watch_patience: timedelta) -> None:
        self._domain = domain
        self._watch_patience = watch_patience

    async def InitiateSale(self, request: InitiateSaleRequest, context: Context) -> InitiateSaleResponse:
        """See the proto."""
        consumer, location, transaction = request.consumer, request.location, request.transaction
        sale = await self._domain.sales.initiate(
            InitiateSale(
                access_token=request.session.access_token,
                serial_number=consumer.device.serial_number,
                amount_centis=transaction.amount_centis,
                currency=transaction.currency,
                imei=optional(consumer.device, "imei"),
                ip_addresses=tuple(consumer.ip_addresses),
                lat=optional(location, "lat"),
                lng=optional(location, "lng"),
            ),
            parse_key(metadata_values(context, HEADER.lower())),
        )
        return InitiateSaleResponse(
            endpoint_id=sale.endpoint_id,
            invoice_id=sale.invoice_id,
            session=InitiateSaleResponse.Session(nonce=sale.nonce, signature=sale.signature),
        )

    async def CheckSale(self, request: CheckSaleRequest, context: Context) -> CheckSaleResponse:
        """See the proto."""
        session = request.session
        confirmed = await self._domain.sales.check(
            CheckSale(
                invoice_id=request.invoice_id,
                access_token=session.access_token,
                serial_number=request.consumer.device.serial_number,
                nonce=session.nonce,
                signature=session.signature,
                session_token=session.token,
                client_card_id=optional(request.source_of_funds.reference, "client_card_id"),
            )
        )
        sale, funds = confirmed.sale, confirmed.source_of_funds
        return CheckSaleResponse(
            consumer=CheckSaleResponse.Consumer(email=funds.email) if funds and funds.email else None,
            invoice_id=sale.invoice_id,
            session=CheckSaleResponse.Session(
                check_signature=confirmed.check_signature,
                nonce=sale.nonce,
                token=confirmed.session_token,
            ),
            source_of_funds=_source_of_funds(funds) if funds else None,
            transaction=CheckSaleResponse.Transaction(currency=sale.currency, random_sum_centis=sale.random_sum_centis),
        )

    async def NotifyCardMapping(self, request: NotifyCardMappingRequest, context: Context) -> NotifyCardMappingResponse:
        """See the proto."""
        card, reference = request.source_card, request.source_card.reference
        acknowledged = await self._domain.card_mapping.notify(
            Notification(
                access_token=request.session.access_token,
                serial_number=request.consumer.device.serial_number,
                session_token=request.session.token,
                server_card_id=optional(reference, "server_card_id"),
                unique_reference_card_id=optional(reference, "unique_reference_card_id"),
                bin=optional(card, "bin"),
            )
        )
        return NotifyCardMappingResponse(
            invoice_id=acknowledged.sale.invoice_id,
            session=NotifyCardMappingResponse.Session(
                check_signature=acknowledged.check_signature,
                nonce=acknowledged.sale.nonce,
                token=acknowledged.session_token,
            ),
        )

    async def GetClientIds(self, request: GetClientIdsRequest, context: Context) -> GetClientIdsResponse:
        """See the proto."""
        card_id = await self._domain.card_mapping.find_client_card_id(
            request.invoice_id, request.session.access_token, request.consumer.device.serial_number
        )
        return GetClientIdsResponse(source_card_ref_id=card_id)

    async def ReceiveCallback(self, request: ReceiveCallbackRequest, context: Context) -> ReceiveCallbackResponse:
        """See the proto."""
        callback = Callback(
            status=request.status,
            orderid=request.orderid,
            client_orderid=request.client_orderid,
            control=request.control,
            parameters=tuple(_parameters(request)),
            amount=optional(request, "amount"),
        )
        if request.type:
            callback = replace(callback, type=request.type)
        await self._domain.status_reports.receive_callback(callback)
        return ReceiveCallbackResponse()

    async def ReportSaleStatus(self, request: ReportSaleStatusRequest, context: Context) -> ReportSaleStatusResponse:
        """See the proto."""
        sale = await self._domain.status_reports.report(
            request.invoice_id, request.state, optional(request, "orderid"), optional(request, "amount_centis")
        )
        return ReportSaleStatusResponse(sale=sale_message(sale))

    async def VerifyRandomSum(self, request: VerifyRandomSumRequest, context: Context) -> VerifyRandomSumResponse:
        """See the proto."""
        verification = await self._domain.random_sums.verify(request.invoice_id, request.random_sum_centis)
        return VerifyRandomSumResponse(
            verified=verification.verified, remaining_attempts=verification.remaining_attempts
        )

    async def GetSale(self, request: GetSaleRequest, context: Context) -> GetSaleResponse:
        """See the proto."""
        sale, reports = await self._domain.reader.get(request.invoice_id)
        return GetSaleResponse(
            sale=sale_message(sale), status_reports=[status_report_message(report) for report in reports]
        )

    async def GetSaleTimeline(self, request: GetSaleTimelineRequest, context: Context) -> GetSaleTimelineResponse:
        """See the proto."""
        sale, entries = await self._domain.reader.timeline(request.invoice_id)
        return GetSaleTimelineResponse(sale=sale_message(sale), events=[sale_event_message(entry) for entry in entries])

    async def ListSales(self, request: ListSalesRequest, context: Context) -> ListSalesResponse:
        """See the proto."""
        filter = SaleFilter(
            state=request.state or None,
            endpoint_id=optional(request, "endpoint_id"),
            consumer_id=optional(request, "consumer_id"),
            client_card_id=optional(request, "client_card_id"),
            start_time=moment(request, "start_time"),
            end_time=moment(request, "end_time"),
        )
        sales, token = await self._domain.reader.list(filter, optional(request, "page_token"), request.page_size)
        return ListSalesResponse(sales=[sale_message(sale) for sale in sales], next_page_token=token)

    async def WatchSales(  # type: ignore[override]  # writes to the context, for the time limit of each answer
        self, request: WatchSalesRequest, context: Context
    ) -> None:
        """See the proto."""
        async with aclosing(self._watch(request)) as changes:
            async for change in changes:
                response = WatchSalesResponse(cursor=cursor_of(change.position), sale=sale_message(change.sale))
                if not await self._write(response, context):
                    return

    async def _write(self, response: WatchSalesResponse, context: Context) -> bool:
        """Send an answer; return whether the reader is still there."""
        # Returns when the transport has taken it: what a reader leaves lying is never more than its window and a batch.
        patience = self._watch_patience.total_seconds()
        try:
            async with asyncio.timeout(patience):
                await context.write(response)
        except grpc.aio.InternalError:  # how grpc.aio tells that the reader has gone
            return False
        except TimeoutError:
            # The status has to wait for the reader like any answer before it. The call does not: it ends here, and the
            # reader finds the status when it reads on.
            if (call := asyncio.current_task()) is not None:
                asyncio.get_running_loop().call_later(patience, call.cancel)
            raise SaleError(
                ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED,
                "The reader took no change for too long; resume from the last cursor.",
            ) from None
        return True

    def _watch(self, request: WatchSalesRequest) -> AsyncGenerator[SaleChange, None]:
        if (start := moment(request, "start_time")) is not None:
            return self._domain.reader.watch_since(start)
        return self._domain.reader.watch(position_of(request.cursor) if request.HasField("cursor") else None)


def _source_of_funds(funds: SourceOfFunds) -> CheckSaleResponse.SourceOfFunds:
    if funds.data is None:
        reference = CheckSaleResponse.Reference(server_card_id=funds.server_card_id)
        return CheckSaleResponse.SourceOfFunds(reference=reference)
    return CheckSaleResponse.SourceOfFunds(
        card=CheckSaleResponse.Card(
            number=funds.data.number,
            expiry=CheckSaleResponse.Expiry(month=funds.data.month, year=funds.data.year),
            holder=CheckSaleResponse.Holder(first_name=funds.data.first_name, last_name=funds.data.last_name),
        )
    )


def _parameters(request: ReceiveCallbackRequest) -> Iterator[tuple[str, str]]:
    """Yield every parameter of a callback: the known ones, each under its field's name, then the others in order."""
    for field, value in request.ListFields():
        if field.type == FieldDescriptor.TYPE_STRING:
            yield field.name, value
    for parameter in request.parameters:
        yield parameter.name, parameter.value
