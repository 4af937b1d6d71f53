"""What happened to a sale, told from what is stored of it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from service.errors import ErrorReason
from service.identifiers import microseconds
from service.sale_states import LEGAL_MOVES, SaleState, state_name
from service.sale_timeline import CALLBACK, CHECK, INITIATE, REPORT, TimelineEntry, timeline_of
from service.store import EVENTS_A_MICROSECOND, Sale, SaleEvent, StatusReport
from service.store.rules import weigh_report
from tests.service.store.test_store import NOW, new_report, new_sale

WORDS = [(type, status) for type in ("sale", "reversal", "chargeback") for status in ("approved", "declined", "odd")]


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def request(sale: Sale, rpc: str, at: datetime, seconds: float = 0.01, reason: int = 0) -> SaleEvent:
    event_id = microseconds(at) * EVENTS_A_MICROSECOND
    return SaleEvent(sale.invoice_id, event_id, int(seconds * 1e6), rpc, "gateway", "192.0.2.7", "id", reason, None)


def told(entries: Sequence[TimelineEntry]) -> list[tuple[str, list[str], bool]]:
    """Return what each entry tells: the rpc, the states and whether its request is known."""
    return [(entry.rpc, [*map(state_name, entry.states)], entry.request is not None) for entry in entries]


def is_checked(sale: Sale, at: datetime) -> Sale:
    return replace(sale, state=SaleState.SALE_STATE_CHECKED, check_time=at, session_token="s" * 16)


def test_moves_are_told_without_any_request_that_is_known() -> None:
    sale = is_checked(new_sale(), after(2))
    reports = [new_report(sale, receive_time=after(3)), new_report(sale, "approved", "reversal", receive_time=after(4))]

    entries = timeline_of(replace(sale, state=SaleState.SALE_STATE_REVERSED), reports, [])

    assert told(entries) == [
        (INITIATE, ["INITIATED"], False),
        (CHECK, ["CHECKED"], False),
        (CALLBACK, ["APPROVED"], False),
        (CALLBACK, ["REVERSED"], False),
    ]
    assert [entry.time for entry in entries] == [NOW, after(2), after(3), after(4)]
    assert [entry.report for entry in entries] == [None, None, *reports]


def test_a_move_is_told_with_the_request_that_was_running_when_it_happened() -> None:
    sale = is_checked(new_sale(), after(2))
    refused = request(sale, CHECK, after(1.995), reason=ErrorReason.ERROR_REASON_SESSION_MISMATCH)
    first, again = request(sale, CHECK, after(1.998)), request(sale, CHECK, after(5))
    opened = request(sale, INITIATE, NOW - timedelta(milliseconds=1))

    entries = timeline_of(sale, [], [opened, refused, first, again])

    assert [(entry.request, [*map(state_name, entry.states)]) for entry in entries] == [
        (opened, ["INITIATED"]),
        (refused, []),
        (first, ["CHECKED"]),
        (again, []),
    ]


def test_a_request_whose_answer_was_lost_may_have_made_the_move_but_not_where_another_one_has() -> None:
    sale = is_checked(new_sale(), after(2))
    lost = request(sale, CHECK, after(1.999), reason=ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED)
    answered = request(sale, CHECK, after(1.9995))

    assert timeline_of(sale, [], [lost])[1].request is lost
    assert [entry.states for entry in timeline_of(sale, [], [lost, answered]) if entry.request is lost] == [()]


def test_a_report_that_came_too_early_moves_the_sale_with_the_one_that_it_waited_for() -> None:
    sale = new_sale(state=SaleState.SALE_STATE_REVERSED)
    reports = [
        new_report(sale, "approved", "reversal", receive_time=after(1)),
        new_report(sale, parameters=(), receive_time=after(2)),
    ]

    assert told(timeline_of(sale, reports, []))[1:] == [
        (CALLBACK, [], False),
        (REPORT, ["APPROVED", "REVERSED"], False),
    ]


def test_a_session_that_nobody_checked_has_expired_when_its_time_was_over() -> None:
    sale = new_sale(state=SaleState.SALE_STATE_EXPIRED, update_time=after(1860))
    late = new_report(sale, receive_time=after(3600))

    (_, expired) = timeline_of(sale, [], [])
    assert (expired.time, *told([expired])) == (sale.expire_time, ("", ["EXPIRED"], False))
    entries = timeline_of(replace(sale, state=SaleState.SALE_STATE_APPROVED), [late], [])
    assert [states for _, states, _ in told(entries)] == [["INITIATED"], ["EXPIRED"], ["APPROVED"]]
    in_time = replace(late, receive_time=after(1799))
    entries = timeline_of(replace(sale, state=SaleState.SALE_STATE_APPROVED), [in_time], [])
    assert [states for _, states, _ in told(entries)] == [["INITIATED"], ["APPROVED"]]


@given(st.lists(st.sampled_from(WORDS), unique=True), st.booleans())
def test_the_moves_are_legal_and_end_where_the_sale_is(words: list[tuple[str, str]], checked: bool) -> None:
    sale, reports = new_sale(), list[StatusReport]()
    if checked:
        sale = is_checked(sale, after(0.5))
    for number, (type, status) in enumerate(words, start=1):
        report = new_report(sale, status, type, receive_time=after(number))
        weighed = weigh_report(sale, [(r.type, r.status, r.orderid) for r in reports], report, must_move=False)
        sale = weighed.answer or sale
        reports.append(report)

    states = [state for entry in timeline_of(sale, reports, []) for state in entry.states]

    assert states[-1] == sale.state
    assert all(second in LEGAL_MOVES[first] for first, second in pairwise(states))
