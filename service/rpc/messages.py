"""Records of the store as messages of the proto, and the other way round."""

from datetime import UTC, datetime, timedelta
from typing import Any

from connectingparty.sale.v1.blocklist_service_pb2 import Block, BlockKind
from connectingparty.sale.v1.card_service_pb2 import Card
from connectingparty.sale.v1.sale_pb2 import Location, QueryParameter, Sale, StatusReport
from connectingparty.sale.v1.sale_service_pb2 import SaleEvent
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from service.errors import ErrorReason, FieldViolation, SaleError, kind_of
from service.sale_timeline import TimelineEntry
from service.store import records

CONTROL = "control"
"""The parameter of a callback that is not shown: whoever has it could send the callback under another type."""

_BLOCK_KIND = "BLOCK_KIND_"


def timestamp(moment: datetime) -> Timestamp:
    """Return a moment as a message."""
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def moment(message: Message, field: str) -> datetime | None:
    """Return a Timestamp field as an aware datetime in UTC; None if it is not set.

    Raises:
        SaleError: `ERROR_REASON_INVALID_FIELD`, its nanoseconds are no part of a second.
    """
    value = _in_range(message, field)
    return None if value is None else value.ToDatetime(UTC)


def period(message: Message, field: str) -> timedelta | None:
    """Return a Duration field; None if it is not set.

    Raises:
        SaleError: `ERROR_REASON_INVALID_FIELD`, its nanoseconds are no part of a second.
    """
    value = _in_range(message, field)
    return None if value is None else value.ToTimedelta()


def _in_range(message: Message, field: str) -> Any:
    # The bounds of the proto compare seconds and nanoseconds, and let these be any number.
    value = optional(message, field)
    if value is not None and not 0 <= value.nanos < 1_000_000_000:
        name = message.DESCRIPTOR.fields_by_name[field].json_name
        raise SaleError.invalid_fields([FieldViolation(name, "must have nanos from 0 to 999999999")])
    return value


def optional(message: Message, field: str) -> Any:
    """Return a field that has presence; None if it is not set."""
    return getattr(message, field) if message.HasField(field) else None


def sale_message(sale: records.Sale) -> Sale:
    """Return a sale for internal systems: without what authenticates it."""
    located = sale.lat is not None or sale.lng is not None
    return Sale(
        invoice_id=sale.invoice_id,
        state=sale.state,
        endpoint_id=sale.endpoint_id,
        consumer_id=sale.consumer_id,
        serial_number=sale.serial_number,
        imei=sale.imei,
        ip_addresses=sale.ip_addresses,
        location=Location(lat=sale.lat, lng=sale.lng) if located else None,
        amount_centis=sale.amount_centis,
        currency=sale.currency,
        initiate_time=timestamp(sale.initiate_time),
        expire_time=timestamp(sale.expire_time),
        check_time=None if sale.check_time is None else timestamp(sale.check_time),
        update_time=timestamp(sale.update_time),
        client_card_id=sale.client_card_id,
        orderid=sale.orderid,
        amount_differs=sale.amount_differs,
    )


def status_report_message(report: records.StatusReport) -> StatusReport:
    """Return a report about a sale."""
    return StatusReport(
        status=report.status,
        type=report.type,
        orderid=report.orderid,
        amount=report.amount,
        amount_differs=report.amount_differs,
        parameters=[QueryParameter(name=name, value=value) for name, value in report.parameters if name != CONTROL],
        receive_time=timestamp(report.receive_time),
    )


def sale_event_message(entry: TimelineEntry) -> SaleEvent:
    """Return something that happened to a sale."""
    message = SaleEvent(
        event_time=timestamp(entry.time),
        rpc=entry.rpc,
        states=entry.states,
        status_report=None if entry.report is None else status_report_message(entry.report),
    )
    if (request := entry.request) is not None:
        message.caller, message.request_id = request.caller, request.request_id
        message.address = request.address or ""
        message.duration.FromMicroseconds(request.duration)
        if request.error_reason:
            message.error_reason = ErrorReason.ValueType(request.error_reason)
            message.error_message = request.error_message or kind_of(message.error_reason).message
    return message


def card_message(card: records.StoredCard) -> Card:
    """Return what may be shown of a card."""
    return Card(
        client_card_id=card.client_card_id,
        consumer_id=card.consumer_id,
        endpoint_id=card.endpoint_id,
        server_card_id=card.server_card_id,
        unique_reference_card_id=card.unique_reference_card_id,
        bin=card.bin,
        last_four=card.last_four,
        email=card.email,
        invoice_id=card.invoice_id,
        create_time=timestamp(card.create_time),
    )


def block_kind_name(kind: BlockKind.ValueType) -> str:
    """Return how the domain names a kind of block."""
    return BlockKind.Name(kind).removeprefix(_BLOCK_KIND)


def block_message(block: records.Block) -> Block:
    """Return a block."""
    return Block(
        kind=BlockKind.Value(_BLOCK_KIND + block.kind),
        value=block.value,
        reason=block.reason,
        expire_time=None if block.expire_time is None else timestamp(block.expire_time),
        create_time=timestamp(block.create_time),
        caller=block.caller,
    )
