"""The commands of sales: what happened to one, which there are, what changes."""

import sys
import time
from collections.abc import Iterator
from typing import Any

import click
import grpc
from connectingparty.sale.v1.error_reason_pb2 import ErrorReason
from connectingparty.sale.v1.sale_pb2 import Sale, SaleState
from connectingparty.sale.v1.sale_service_pb2 import (
    GetSaleTimelineRequest,
    ListSalesRequest,
    SaleEvent,
    WatchSalesRequest,
)
from google.protobuf.timestamp_pb2 import Timestamp

from service.program.printing import (
    amount_text,
    enum_text,
    json_option,
    print_fields,
    print_json,
    print_table,
    time_text,
)
from service.program.remote import Remote, asks_server, reason_of
from service.program.request_options import field_options, request_of

_PAGE = 500
_RECONNECT_SECONDS = 1.0
_LIST_HEAD = ("initiated", "invoice id", "state", "amount", "endpoint", "consumer")
_LIST_GOES_FIRST = ("consumer", "endpoint")
_EVENT_HEAD = ("time", "what", "state", "by", "from", "ms", "answer")
_EVENT_GOES_FIRST = ("from", "ms", "by")


@click.group()
def sales() -> None:
    """Look at sales of a server that runs: needs the role reader."""


@sales.command()
@click.argument("invoice")
@json_option
@asks_server
def show(remote: Remote, invoice: str, as_json: bool) -> None:
    """Tell what happened to the sale INVOICE: every request that named it, what was answered, and where it moved."""
    told = remote.call("SaleService.GetSaleTimeline", GetSaleTimelineRequest(invoice_id=invoice))
    if as_json:
        print_json(told)
        return
    print_fields(_fields(told.sale))
    click.echo()
    print_table(_EVENT_HEAD, map(_event_row, told.events), _EVENT_GOES_FIRST)


@sales.command("list")
@field_options(ListSalesRequest, "state", "endpoint_id", "consumer_id", "client_card_id", "start_time", "end_time")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many at most.")
@json_option
@asks_server
def list_sales(remote: Remote, limit: int, as_json: bool, **filters: Any) -> None:
    """List sales, the latest first. Every filter that is given must hold."""
    found = _listed(remote, request_of(ListSalesRequest, filters), limit)
    if as_json:
        for sale in found:
            print_json(sale)
    else:
        print_table(_LIST_HEAD, [_list_row(sale) for sale in found], _LIST_GOES_FIRST)


@sales.command()
@field_options(WatchSalesRequest, "cursor", "start_time")
@json_option
@asks_server
def watch(remote: Remote, as_json: bool, **begin: Any) -> None:
    """Print every change of every sale as it happens, until Ctrl-C; without --cursor and --since those from now on.

    Goes on by itself when the server was away: nothing is lost and nothing comes twice. At the end it tells the cursor
    with which to go on later.
    """
    if len([value for value in begin.values() if value is not None]) > 1:
        raise click.UsageError("--cursor and --since exclude each other: either says where to begin.")
    request = request_of(WatchSalesRequest, begin)
    if request.WhichOneof("start") is None:
        now = Timestamp()
        now.GetCurrentTime()
        request.start_time.CopyFrom(now)
    try:
        _watch(remote, request, as_json=as_json)
    except KeyboardInterrupt:
        if request.cursor:
            click.echo(f"Go on with --cursor {request.cursor}", err=True)


def _watch(remote: Remote, request: WatchSalesRequest, *, as_json: bool) -> None:
    while True:
        try:
            for change in remote.stream("SaleService.WatchSales", request):
                request.cursor = change.cursor
                if as_json:
                    print_json(change)
                else:
                    click.echo(_change_line(change.sale))
                sys.stdout.flush()
        except grpc.RpcError as error:
            if not _is_passing(error):
                raise remote.refusal("SaleService.WatchSales", error) from None
            click.echo(f"{remote.refusal('SaleService.WatchSales', error)} Trying again.", err=True)
        time.sleep(_RECONNECT_SECONDS)


def _is_passing(error: Any) -> bool:
    return reason_of(error) in {
        ErrorReason.ERROR_REASON_SERVER_UNAVAILABLE,
        ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED,
        None,
    }


def _listed(remote: Remote, request: ListSalesRequest, limit: int) -> Iterator[Sale]:
    left = limit
    while left:
        request.page_size = min(left, _PAGE)
        page = remote.call("SaleService.ListSales", request)
        yield from page.sales
        left -= len(page.sales)
        request.page_token = page.next_page_token
        if not page.next_page_token:
            return


def _list_row(sale: Sale) -> tuple[str, ...]:
    amount = amount_text(sale.amount_centis, sale.currency)
    state = enum_text(SaleState, sale.state)
    return time_text(sale.initiate_time), sale.invoice_id, state, amount, sale.endpoint_id, sale.consumer_id


def _change_line(sale: Sale) -> str:
    _, invoice_id, state, amount, endpoint_id, _ = _list_row(sale)
    return f"{time_text(sale.update_time)}  {invoice_id}  {state:<12}  {amount:>14}  {endpoint_id}"


def _fields(sale: Sale) -> Iterator[tuple[str, str]]:
    yield "invoice id", sale.invoice_id
    yield "state", enum_text(SaleState, sale.state)
    yield "amount", amount_text(sale.amount_centis, sale.currency) + " (a report differs)" * sale.amount_differs
    yield "endpoint", sale.endpoint_id
    yield "consumer", sale.consumer_id
    yield "serial number", sale.serial_number
    yield "ip addresses", " ".join(sale.ip_addresses)
    yield "card", sale.client_card_id
    yield "order", sale.orderid
    if sale.state == SaleState.SALE_STATE_INITIATED:
        yield "expires", time_text(sale.expire_time)


def _event_row(event: SaleEvent) -> tuple[str, ...]:
    what = event.rpc.partition(".")[2] or "time was over"
    if event.HasField("status_report"):
        report = event.status_report
        differs = " (differs)" * report.amount_differs
        what += f": {report.type} {report.status} {report.amount}".rstrip() + differs
    answer = f"{event.error_reason} {event.error_message}" if event.error_reason else "OK" * bool(event.caller)
    return (
        time_text(event.event_time),
        what,
        " ".join(enum_text(SaleState, state) for state in event.states),
        event.caller,
        event.address,
        f"{event.duration.ToMicroseconds() / 1000:.1f}" if event.caller else "",
        answer,
    )
