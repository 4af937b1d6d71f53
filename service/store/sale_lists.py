"""The statements that list sales: the same for every engine but for how a binding is named.

Of a filter, what an index serves is looked up; the rest is looked for in a bounded number of rows.
"""

from collections.abc import Callable
from typing import NamedTuple

from service.identifiers import first_uuid
from service.sale_states import SaleState, state_name
from service.store.records import SaleFilter

_LOOK = 5000
"""How many rows are looked at for one page: some milliseconds."""


class Statement(NamedTuple):
    """A statement and its bindings."""

    text: str
    bindings: tuple[object, ...]


class SaleList:
    """One list of sales.

    Args:
        columns: the columns of `sales` to select.
        filter: which sales.
        beyond: only those that come after the one with this invoice id.
        oldest_first: whether the oldest come first; otherwise the latest do.
        placeholder: how the engine's SQL names a binding, by its number from 1.
    """

    def __init__(
        self,
        columns: str,
        filter: SaleFilter,
        beyond: str | None = None,
        *,
        oldest_first: bool = False,
        placeholder: Callable[[int], str],
    ) -> None:
        self._columns = columns
        self._placeholder = placeholder
        self._rest = [
            (name, "=", value)
            for name, value in (
                ("client_card_id", filter.client_card_id),
                ("consumer_id", filter.consumer_id),
                ("state", None if filter.state is None else state_name(filter.state)),
                ("endpoint_id", filter.endpoint_id),
            )
            if value is not None
        ]
        self._served: list[tuple[str, str, str]] = []
        self._words = "TRUE"
        if filter.client_card_id is not None or filter.consumer_id is not None:
            self._served.append(self._rest.pop(0))
        elif filter.state == SaleState.SALE_STATE_INITIATED:
            self._words = "state = 'INITIATED'"  # an index of some states only is found by the words it was made with
            self._rest.pop(0)
        elif filter.state is not None:
            self._words = "state <> 'INITIATED'"
            self._served.append(self._rest.pop(0))
        # Of two bounds on one side an engine may look up one, and go through all that is between them. No invoice id is
        # the one that a moment begins with, for its last digit is a letter.
        lower = [
            *([] if filter.start_time is None else [first_uuid(filter.start_time)]),
            *([beyond] if oldest_first and beyond is not None else []),
        ]
        upper = [
            *([] if filter.end_time is None else [first_uuid(filter.end_time)]),
            *([beyond] if not oldest_first and beyond is not None else []),
        ]
        self._served += [("invoice_id", ">", max(lower))] if lower else []
        self._served += [("invoice_id", "<", min(upper))] if upper else []
        self._order = "ASC" if oldest_first else "DESC"

    def page(self, limit: int) -> Statement:
        """Return the statement that selects at most so many of the rows that are looked at."""
        served, bindings = self._joined(self._served, 1)
        rest, more = self._joined(self._rest, 1 + len(bindings))
        looked_at = f"SELECT {self._columns} FROM sales WHERE {self._words} AND {served}"
        text = (
            f"SELECT * FROM ({looked_at} ORDER BY invoice_id {self._order} LIMIT {_LOOK}) AS looked_at WHERE {rest}"
            f" LIMIT {self._placeholder(1 + len(bindings) + len(more))}"
        )
        return Statement(text, (*bindings, *more, limit))

    def may_go_on(self, count: int, limit: int) -> bool:
        """Tell whether the list may go on after a page with so many rows of at most so many."""
        # Where nothing that was looked at was left out, a short page is the end.
        return count < limit and (bool(self._rest) or count >= min(limit, _LOOK))

    def end(self) -> Statement:
        """Return the statement that selects the invoice id up to which rows were looked at; no row if that is all."""
        served, bindings = self._joined(self._served, 1)
        text = (
            f"SELECT invoice_id FROM sales WHERE {self._words} AND {served} ORDER BY invoice_id {self._order}"
            f" LIMIT 1 OFFSET {_LOOK - 1}"
        )
        return Statement(text, bindings)

    def count(self) -> Statement:
        """Return the statement that counts them all."""
        conditions, bindings = self._joined([*self._served, *self._rest], 1)
        return Statement(f"SELECT count(*) FROM sales WHERE {self._words} AND {conditions}", bindings)

    def _joined(self, conditions: list[tuple[str, str, str]], first: int) -> tuple[str, tuple[str, ...]]:
        texts = [
            f"{name} {operator} {self._placeholder(number)}"
            for number, (name, operator, _) in enumerate(conditions, start=first)
        ]
        return " AND ".join(texts) or "TRUE", tuple(value for _, _, value in conditions)
