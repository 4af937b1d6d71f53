"""Measures the store, and what happens to the sales in it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from time import perf_counter
from typing import Any

from service.errors import StoreUnavailable
from service.meters import Count, Meters
from service.sale_states import LEGAL_MOVES, SaleState, has_got_to, is_known, state_name
from service.store import AuditEntry, IdempotencyRecord, Sale, StatusReport, Store, StoredAccessToken
from service.store.proxy import Method, with_around
from service.store.usage import Measurable

_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_WAITS_OR_ENDS = frozenset({"wait_for_change", "close"})
"""How long these take says nothing of the store."""
CALLBACK_OUTCOMES = ("moved", "late", "repeated", "without_effect", "other", "refused")
"""What became of a callback under a right checksum. `late`: it ended a sale whose session had expired unchecked.
`without_effect`: it is kept, but the sale can't move there, or not yet. `other`: it tells of no end."""


class StoreMetrics:
    """Measures a store.

    Args:
        meters: what measures.
        provider_of: returns the provider of an endpoint by its id; empty if it is not configured any more.
    """

    def __init__(self, meters: Meters, provider_of: Callable[[str], str]) -> None:
        self._provider_of = provider_of
        self._seconds = meters.histogram(
            "sale_store_call_seconds",
            "Time that a call of the store took, with its wait for a commit.",
            _SECONDS,
            ["call"],
        )
        self._commit_seconds = meters.histogram(
            "sale_store_commit_seconds", "Time that a commit took.", _SECONDS
        ).labels()
        self._commit_size = meters.histogram(
            "sale_store_commit_writes", "Writes that shared a commit.", _SIZES
        ).labels()
        self._unavailable = meters.counter(
            "sale_store_unavailable", "Calls that failed because the store could not be used."
        ).labels()
        self._states = meters.counter(
            "sale_state_changes",
            "Sales that came into a state, by provider; of those that expired it is not told.",
            ["state", "provider"],
        )
        self._changes: dict[tuple[SaleState.ValueType, str], Count] = {}
        """By state and endpoint, until the settings are read again."""
        self._callbacks = meters.counter(
            "sale_callbacks",
            f"Callbacks under a right checksum, by provider and outcome: {', '.join(CALLBACK_OUTCOMES)}.",
            ["provider", "outcome"],
        )
        self._amounts = meters.counter(
            "sale_callback_amount_mismatches",
            "Callbacks that told another amount than the sale's, by provider; repeated ones are not counted.",
            ["provider"],
        )
        self._tokens = meters.counter("sale_access_tokens_issued", "Access tokens that were issued.").labels()
        self._replays = meters.counter(
            "sale_idempotent_replays", "Requests answered with what the same request did before."
        ).labels()
        self._observers = self._observers_by_call()

    def around(self, store: Store) -> Store:
        """Return a store that is measured.

        Args:
            store: what is measured.
        """
        if isinstance(store, Measurable):
            store.measure(self._note_commit)
        return with_around(store, self._timed)

    def expect(self, providers: Iterable[str]) -> None:
        """Tell zeros of providers of whom nothing has happened yet: a series that begins with 1 hides the first time.

        Args:
            providers: their names.
        """
        self._changes.clear()
        for provider in providers:
            for state in LEGAL_MOVES:
                self._states.labels(state_name(state), provider)
            for outcome in CALLBACK_OUTCOMES:
                self._callbacks.labels(provider, outcome)
            self._amounts.labels(provider)

    def _observers_by_call(self) -> Mapping[str, Callable[..., None]]:
        return {
            "open_session": self._note_session,
            "bind_check": self._note_check,
            "report_status": self._note_report,
            "expire_sessions": self._note_expired,
            "add_access_token": self._note_token,
            "find_idempotency_record": self._note_record,
        }

    def _timed(self, name: str, method: Method) -> Method:
        if name in _WAITS_OR_ENDS:
            return method
        observe = self._observers.get(name)
        seconds = self._seconds.labels(name)

        async def timed(*arguments: Any, **named: Any) -> Any:
            began = perf_counter()
            try:
                result = await method(*arguments, **named)
            except StoreUnavailable:
                self._unavailable.inc()
                raise
            finally:
                seconds.observe(perf_counter() - began)
            if observe is not None:
                observe(result, *arguments, **named)
            return result

        return timed

    def _note_commit(self, size: int, seconds: float) -> None:
        self._commit_size.observe(size)
        self._commit_seconds.observe(seconds)

    def _note_state(self, sale: Sale) -> None:
        key = sale.state, sale.endpoint_id
        if (changes := self._changes.get(key)) is None:
            provider = self._provider_of(sale.endpoint_id)
            changes = self._changes[key] = self._states.labels(state_name(sale.state), provider)
        changes.inc()

    # What is told to one of these: the result of the call, and its arguments.

    def _note_session(
        self, outcome: object, sale: Sale, record: IdempotencyRecord | None, charges: Sequence[object] = ()
    ) -> None:
        if outcome is None:
            self._note_state(sale)
        elif isinstance(outcome, IdempotencyRecord):
            self._replays.inc()

    def _note_check(
        self, sale: Sale, invoice_id: str, session_token: str, client_card_id: str | None, now: datetime
    ) -> None:
        if sale.check_time == now and sale.state == SaleState.SALE_STATE_CHECKED:  # otherwise it was an earlier one's
            self._note_state(sale)

    def _note_report(self, sale: Sale | None, report: StatusReport, *, must_move: bool) -> None:
        # Whoever moves a sale leaves its time there; where clocks of nodes disagree, one can be missed.
        has_moved = sale is not None and sale.update_time == report.receive_time
        if sale is not None and has_moved:
            self._note_state(sale)
        if must_move:
            return  # it is no callback
        if sale is None:
            self._callbacks.labels("", "refused").inc()
            return
        provider, outcome = self._provider_of(sale.endpoint_id), _outcome(sale, report, has_moved=has_moved)
        self._callbacks.labels(provider, outcome).inc()
        if report.amount_differs and outcome not in ("repeated", "other"):
            self._amounts.labels(provider).inc()

    def _note_expired(self, count: int, now: datetime, limit: int) -> None:
        if count:
            self._states.labels(state_name(SaleState.SALE_STATE_EXPIRED), "").inc(count)

    def _note_token(self, result: None, token: StoredAccessToken, audit: AuditEntry) -> None:
        self._tokens.inc()

    def _note_record(
        self, record: IdempotencyRecord | None, access_token_hash: bytes, idempotency_key: str, now: datetime
    ) -> None:
        if record is not None:
            self._replays.inc()


def _outcome(sale: Sale, report: StatusReport, *, has_moved: bool) -> str:
    if not is_known(report.type, report.status):
        return "other"
    if has_moved:
        return "late" if sale.check_time is None and sale.expire_time <= report.receive_time else "moved"
    return "repeated" if has_got_to(sale.state, report.type, report.status) else "without_effect"
