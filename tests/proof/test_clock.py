"""The server's clock jumps by 400 days, stands still and runs ten times as fast: nothing ends early, late or twice."""

import faulthandler
import random
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from connectingparty.sale.v1.access_token_service_pb2 import IssueAccessTokenRequest
from connectingparty.sale.v1.sale_pb2 import SaleState
from connectingparty.sale.v1.sale_service_pb2 import WatchSalesRequest
from google.protobuf.duration_pb2 import Duration

from service.idempotency import RETENTION
from tests.merchant import callback_parameters, check_document, initiate_document, write_config
from tests.proof.fake_clock import LIBRARY, FakeClock
from tests.running import Program, running, service_arguments
from tests.stores import schema
from tests.transports import OverGrpc, OverHttp

TTL = timedelta(seconds=6)
SETTINGS = '[sessions]\nttl = "6s"\n[access_tokens]\nttl = "6s"\n[housekeeping]\ninterval = "1s"\n'
LONGEST = Duration(seconds=366 * 86_400)
JUMP = timedelta(days=400)
STILL = datetime(2027, 3, 28, 1, 59, 59, tzinfo=UTC)
OPENED_AT_ONE_MOMENT = 20
KEPT = 10
"""How many things of each kind are tried each time."""


@dataclass
class Term:
    """A time that something has by the server's clock, which was not set between these two moments."""

    what: Any
    from_: datetime
    """When it ends at the earliest."""
    until: datetime
    """When it ends at the latest."""
    latest: datetime
    """How far the clock has got since it began."""

    def fault(self, before: datetime, after: datetime, *, accepted: bool) -> str | None:
        """Tell what was wrong with the server's judgement between two moments, if anything was."""
        if accepted and before >= self.until:
            return f"outlived its time: {self}, used between {before} and {after}"
        if not accepted and max(self.latest, after) < self.from_:
            return f"ended early: {self}, used between {before} and {after}"
        return None


class Shop:
    """Uses a server again and again, and compares what has ended with what that server's clock shows."""

    def __init__(self, program: Program, stack: ExitStack, chance: random.Random) -> None:
        self._http = OverHttp(stack.enter_context(program.client()))
        channel = stack.enter_context(program.channel())
        self._grpc = OverGrpc(channel)
        self._chance = chance
        self._long_lived = self._issue(LONGEST)
        self._tokens: list[Term] = []
        self._sessions: list[Term] = []
        self._keys: list[Term] = []
        self._shown = datetime.now(UTC)
        self._shown_at = time.monotonic()
        """When, by our monotonic clock, the server's was about to be read."""
        self.answers: Counter[str] = Counter()
        self.faults: list[str] = []
        self.made: list[tuple[str, str]] = []
        """Invoice id and state of every change that was acknowledged, in that order."""

    def look(self) -> None:
        """Use what there is, and let something new of each kind begin."""
        before = self._now()
        tried = [
            *((token, self._opens(token.what)) for token in self._some(self._tokens)),
            *((session, self._checks(session.what)) for session in self._some(self._sessions, keep=False)),
            *((key, self._remembers(*key.what)) for key in self._some(self._keys)),
        ]
        session = self._open(self._long_lived)
        key = f"order-{len(self.made)}"
        keyed = self._open(self._long_lived, key)
        after = self._now()
        self._note_reached(after)
        for term, accepted in tried:
            self.answers["accepted" if accepted else "refused"] += 1
            if (fault := term.fault(before, after, accepted=accepted)) is not None:
                self.faults.append(fault)
        forgotten = [term.what for term, accepted in tried if term in self._keys and not accepted]
        self._keys = [term for term in self._keys if term.what not in forgotten]
        self._sessions.append(Term(session, before + TTL, after + TTL, after))
        self._keys.append(Term((key, keyed["invoiceId"]), before + RETENTION, after + RETENTION, after))

    def note_moved(self, speed: int = 1) -> None:
        """Note how far the clock can have got before it was moved, which was just now.

        Args:
            speed: how many times as fast as the real one it ran.
        """
        self._note_reached(self._shown + speed * timedelta(seconds=time.monotonic() - self._shown_at))

    def open_at_one_moment(self) -> None:
        """Open several sessions."""
        for _ in range(OPENED_AT_ONE_MOMENT):
            self._open(self._long_lived)

    def changes(self) -> list[tuple[str, str]]:
        """Return what the server tells of the changes that were acknowledged, in its order."""
        told: list[tuple[str, str]] = []
        for change in self._grpc.sales.WatchSales(WatchSalesRequest(), timeout=60):
            state = SaleState.Name(change.sale.state).removeprefix("SALE_STATE_")
            if state != "EXPIRED":
                told.append((change.sale.invoice_id, state))
            if len(told) == len(self.made):
                return told
        raise AssertionError("the stream has ended")

    def _note_reached(self, moment: datetime) -> None:
        for term in (*self._tokens, *self._sessions, *self._keys):
            term.latest = max(term.latest, moment)

    def _some(self, terms: list[Term], *, keep: bool = True) -> list[Term]:
        """Return some, and drop them or the oldest if there are many."""
        chosen = self._chance.sample(terms, min(KEPT, len(terms)) if keep else len(terms) // 2)
        terms[:] = terms[-3 * KEPT :] if keep else [term for term in terms if term not in chosen]
        return chosen

    def _issue(self, ttl: Duration | None = None) -> str:
        return self._grpc.access_tokens.IssueAccessToken(IssueAccessTokenRequest(ttl=ttl), timeout=20).access_token

    def _now(self) -> datetime:
        """Return the time by the server's clock: that at which it issues a token."""
        self._shown_at = time.monotonic()
        issued = self._grpc.access_tokens.IssueAccessToken(IssueAccessTokenRequest(), timeout=20)
        ends = issued.expire_time.ToDatetime(UTC)
        self._tokens.append(Term(issued.access_token, ends, ends, ends - TTL))
        self._shown = ends - TTL
        return self._shown

    def _open(self, access_token: str, key: str | None = None) -> dict[str, Any]:
        answer = self._http.initiate(initiate_document(access_token), key)
        assert answer.code == 0, answer
        if (answer.body["invoiceId"], "INITIATED") not in self.made:
            self.made.append((answer.body["invoiceId"], "INITIATED"))
        return answer.body

    def _opens(self, access_token: str) -> bool:
        answer = self._http.initiate(initiate_document(access_token))
        assert answer.code in {0, 1101}, answer
        if answer.code == 0:
            self.made.append((answer.body["invoiceId"], "INITIATED"))
        return answer.code == 0

    def _checks(self, opened: dict[str, Any]) -> bool:
        invoice_id = opened["invoiceId"]
        answer = self._grpc.check(invoice_id, check_document(self._long_lived, opened))
        assert answer.code in {0, 1103}, answer
        if answer.code == 0:
            assert self._http.callback(callback_parameters(invoice_id)).code == 0
            self.made += [(invoice_id, "CHECKED"), (invoice_id, "APPROVED")]
        return answer.code == 0

    def _remembers(self, key: str, invoice_id: str) -> bool:
        return bool(self._open(self._long_lived, key)["invoiceId"] == invoice_id)


def turn(clock: FakeClock, shop: Shop, fast_seconds: float) -> None:
    """Move the clock to and fro once, and look at every place."""
    for by in (JUMP, timedelta(), -JUMP, timedelta()):
        clock.shift(by)
        shop.note_moved()
        shop.look()
    clock.stand_still(STILL)
    shop.note_moved()
    shop.open_at_one_moment()
    shop.look()
    clock.shift(timedelta(), speed=10)
    end = time.monotonic() + fast_seconds
    while time.monotonic() < end:
        shop.look()
    clock.stand_still(STILL)
    shop.note_moved(speed=10)
    shop.open_at_one_moment()  # at the same one
    shop.look()
    clock.shift(timedelta())
    shop.look()


@pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed: make needs-faketime")
@pytest.mark.parametrize(
    ("turns", "fast_seconds"), [(1, 0.7), pytest.param(300, 2.0, marks=pytest.mark.long)], ids=["short", "long"]
)
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_nothing_ends_early_or_late_or_twice_whatever_the_clock_does(
    request: pytest.FixtureRequest, tmp_path: Path, engine: str, turns: int, fast_seconds: float
) -> None:
    faulthandler.cancel_dump_traceback_later()  # the long form takes longer, and ends by itself
    with ExitStack() as stack:
        store = f"sqlite:///{tmp_path / 'sale.db'}"
        if engine == "postgresql":
            store = stack.enter_context(schema(request.getfixturevalue("postgresql_url")))
        clock = FakeClock(tmp_path)
        arguments = service_arguments(write_config(tmp_path / "sale.toml", SETTINGS), store)
        program = stack.enter_context(running(arguments, tmp_path / "log", environment=clock.environment))
        clock.shift(JUMP)  # a token of the furthest moment counts at all
        shop = Shop(program, stack, random.Random(turns))
        for _ in range(turns):
            turn(clock, shop, fast_seconds)
        told = shop.changes()
        assert program.stop() == 0

    assert told == shop.made
    opened = [invoice_id for invoice_id, state in shop.made if state == "INITIATED"]
    assert len(set(opened)) == len(opened)
    assert shop.faults == []
    assert shop.answers.keys() == {"accepted", "refused"}
    print(f"{engine}: {turns} turns, {len(opened)} sessions, {dict(shop.answers)}, {len(told)} changes in order")
