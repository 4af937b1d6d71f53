"""What every engine decides alike, between the statements of one step."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from service.sale_states import has_got_to, is_known, is_state_of, legal_moves_of
from service.store import MAX_OTHER_REPORTS, PositionUnknown
from service.store.records import Charge, LimitReached, Sale, StatusReport, StoredCard


class WeighedReport(NamedTuple):
    """What is to be done about a report."""

    is_stored: bool
    """Whether it is kept."""
    moves: Sequence[Sale]
    """The sale as each change leaves it."""
    answer: Sale | None
    """What `Store.report_status` returns."""


def weigh_report(
    sale: Sale, known: Sequence[tuple[str, str, str]], report: StatusReport, *, must_move: bool
) -> WeighedReport:
    """Decide what a report does to its sale.

    Args:
        sale: as it is stored.
        known: type, status and orderid of the reports that are stored of it, in the order of arrival.
        report: the one that has come.
        must_move: as of `Store.report_status`.
    """
    if (report.type, report.status, report.orderid) in known:
        has_moved = not must_move or has_got_to(sale.state, report.type, report.status)
        return WeighedReport(False, (), sale if has_moved else None)
    states = list(
        legal_moves_of(sale.state, [*((type, status) for type, status, _ in known), (report.type, report.status)])
    )
    cannot_move = must_move and not states and not is_state_of(sale.state, report.type, report.status)
    if cannot_move or _is_one_too_many(report, known):
        return WeighedReport(False, (), None)
    if not is_known(report.type, report.status):
        return WeighedReport(True, (), sale)
    told = replace(
        sale,
        orderid=sale.orderid or report.orderid or None,
        amount_differs=sale.amount_differs or report.amount_differs,
    )
    if not states and told != sale:
        states = [sale.state]
    told = replace(told, update_time=max(sale.update_time, report.receive_time))
    moves = [replace(told, state=state) for state in states]
    return WeighedReport(True, moves, moves[-1] if moves else sale)


def _is_one_too_many(report: StatusReport, known: Sequence[tuple[str, str, str]]) -> bool:
    if is_known(report.type, report.status):
        return False
    return sum(not is_known(type, status) for type, status, _ in known) >= MAX_OTHER_REPORTS


def names_card(sale: Sale, card: StoredCard) -> bool:
    """Tell whether a sale that was paid with a card has to name it: it does not where it names a later one.

    A repeated notification of the card before must not bring that back as the sale's: ids grow with time.
    """
    return sale.client_card_id is None or sale.client_card_id < card.client_card_id


def require_complete(after: int, positions: Sequence[int], purged: int, last: int) -> None:
    """Refuse changes that are not all of those that follow a position.

    Args:
        after: the position.
        positions: of the changes that were found after it.
        purged: the position up to which changes were purged.
        last: position of the last change.

    Raises:
        PositionUnknown: some between are missing, or no change has got as far.
    """
    without_gap = list(range(after + 1, after + 1 + len(positions)))
    if not purged <= after <= last or list(positions) != without_gap or (not positions and after < last):
        raise PositionUnknown


def weigh_charges(
    charges: Sequence[Charge], end_times: Mapping[bytes, datetime], now: datetime
) -> LimitReached | Mapping[bytes, datetime]:
    """Decide whether all limits of a sale have room for it.

    Args:
        charges: what it takes of them, one each.
        end_times: of the uses that are stored, by their keys.
        now: when it is initiated.

    Returns:
        The end times as it leaves them, by their keys; or, if one limit has no room, that.
    """
    taken = {charge.key: max(end_times.get(charge.key, now), now) + charge.share for charge in charges}
    wait = max((taken[charge.key] - charge.window - now for charge in charges), default=timedelta())
    return LimitReached(wait) if wait > timedelta() else taken
