"""What happened to a sale, in the order of time: how its state moved, and the requests around that.

The moves follow from what is stored with the sale, so they are as durable as it, and there for as long. Each is told
together with the request that made it, as far as that is known.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from service.errors import ErrorReason
from service.sale_states import SaleState, legal_moves_of
from service.store import Sale, SaleEvent, StatusReport

INITIATE, CHECK = "SaleService.InitiateSale", "SaleService.CheckSale"
CALLBACK, REPORT = "SaleService.ReceiveCallback", "SaleService.ReportSaleStatus"
_LEAVES_OPEN = frozenset(
    {
        0,
        ErrorReason.ERROR_REASON_SERVER_FAILED,
        ErrorReason.ERROR_REASON_SERVER_UNAVAILABLE,
        ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED,
    }
)
"""The ends of requests that may have had an effect."""


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """Something that happened to a sale."""

    time: datetime
    rpc: str
    """Service and rpc; empty where the session's time ended by itself."""
    states: tuple[SaleState.ValueType, ...] = ()
    """Where the sale moved by it."""
    report: StatusReport | None = None
    """What was reported by it, if that was new."""
    request: SaleEvent | None = None
    """The request, if it is known."""


def timeline_of(sale: Sale, reports: Sequence[StatusReport], requests: Sequence[SaleEvent]) -> Sequence[TimelineEntry]:
    """Return what happened to a sale, in the order of time.

    Args:
        sale: as it is stored.
        reports: about it, in the order of arrival.
        requests: that named it.
    """
    entries, left = [], list(requests)
    for step in _steps(sale, reports):
        request = _request_of(step, left)
        if request is None:
            entries.append(step)
        else:
            left.remove(request)
            entries.append(replace(step, time=request.receive_time, request=request))
    entries += [TimelineEntry(request.receive_time, request.rpc, request=request) for request in left]
    return sorted(entries, key=lambda entry: entry.time)  # of the same time, steps keep their order


def _steps(sale: Sale, reports: Sequence[StatusReport]) -> Iterator[TimelineEntry]:
    yield TimelineEntry(sale.initiate_time, INITIATE, (SaleState.SALE_STATE_INITIATED,))
    state = SaleState.SALE_STATE_INITIATED
    if sale.check_time is not None:
        state = SaleState.SALE_STATE_CHECKED
        yield TimelineEntry(sale.check_time, CHECK, (state,))
    told = list(_told(state, reports))
    first_move = next((entry.time for entry in told if entry.states), None)
    if sale.state == SaleState.SALE_STATE_EXPIRED or (
        sale.check_time is None and first_move is not None and first_move >= sale.expire_time
    ):
        yield TimelineEntry(sale.expire_time, "", (SaleState.SALE_STATE_EXPIRED,))
    yield from told


def _told(state: SaleState.ValueType, reports: Sequence[StatusReport]) -> Iterator[TimelineEntry]:
    # A report moves a sale from EXPIRED to where it moves it from INITIATED.
    words: list[tuple[str, str]] = []
    for report in reports:
        words.append((report.type, report.status))
        states = tuple(legal_moves_of(state, words))
        state = states[-1] if states else state
        # Only a callback has parameters.
        yield TimelineEntry(report.receive_time, CALLBACK if report.parameters else REPORT, states, report)


def _request_of(step: TimelineEntry, requests: Sequence[SaleEvent]) -> SaleEvent | None:
    """Return the request that a step was made in: one that succeeded, rather than one whose end left that open."""
    candidates = [
        request
        for request in requests
        if request.rpc == step.rpc
        and request.error_reason in _LEAVES_OPEN
        and request.receive_time <= step.time <= request.answer_time
    ]
    return min(candidates, key=lambda request: request.error_reason, default=None)
