"""The primary is lost under load and its synchronous standby promoted: nothing that was acknowledged is lost."""

import faulthandler
import os
import random
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from connectingparty.sale.v1.sale_pb2 import SaleState
from connectingparty.sale.v1.sale_service_pb2 import WatchSalesRequest
from connectingparty.sale.v1.sale_service_pb2_grpc import SaleServiceStub

from tests.conftest import Deployment, deploy
from tests.durability.cluster import Cluster, Failover
from tests.durability.losses import lost_at_the_nodes, lost_in_the_database
from tests.durability.sellers import ASK_AGAIN_SECONDS, NOT_NOW, Ledger, amounts, selling
from tests.merchant import check_document, initiate_document
from tests.postgresql import postgresql_installation
from tests.running import Program
from tests.transports import Answer, OverHttp

FAILOVERS = int(os.environ.get("SALE_TEST_FAILOVERS", "200"))
LONG_LIVED = '[sessions]\nttl = "12h"\n[access_tokens]\nttl = "12h"\n'
SHORT_PAUSES = (0.0, 0.1, 0.3)
PAUSES = (0.0, 0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.5, 7.0)
"""Seconds from the loss to the promotion: also longer than a node waits before it gives a request up."""
PATIENCE_SECONDS = 90.0


class Change(NamedTuple):
    """One message of WatchSales."""

    cursor: str
    invoice_id: str
    state: str


class Watcher:
    """Follows the changes of all sales from the last cursor on, through one node after another."""

    def __init__(self, nodes: Sequence[Program]) -> None:
        self.seen: list[Change] = []
        self.failures: list[str] = []
        self._channels = [node.channel() for node in nodes]
        self._stopping = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._stopping = True
        for channel in self._channels:
            channel.close()
        self._thread.join(30)

    def _run(self) -> None:
        turn = 0
        while not self._stopping:
            cursor = self.seen[-1].cursor if self.seen else None
            try:
                self.seen.extend(watch(self._channels[turn % len(self._channels)], cursor))
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE and not self._stopping:
                    self.failures.append(str(error))
            except ValueError:
                return  # the channel is closed
            turn += 1
            time.sleep(0.05)


def watch(channel: grpc.Channel, cursor: str | None, count: int | None = None) -> Iterator[Change]:
    """Yield the changes after a cursor, for ever or so many."""
    request = WatchSalesRequest() if cursor is None else WatchSalesRequest(cursor=cursor)
    stream = SaleServiceStub(channel).WatchSales(request, timeout=None if count is None else 30)
    try:
        for number, change in enumerate(stream, start=1):
            yield Change(
                change.cursor,
                change.sale.invoice_id,
                SaleState.Name(change.sale.state).removeprefix("SALE_STATE_"),
            )
            if number == count:
                return
    finally:
        stream.cancel()


@contextmanager
def watching(nodes: Sequence[Program]) -> Iterator[Watcher]:
    watcher = Watcher(nodes)
    try:
        yield watcher
    finally:
        watcher.close()


def lost_of_the_changes(
    cluster: Cluster, deployment: Deployment, watcher: Watcher, start: int, ledger: Ledger
) -> list[str]:
    """Return where changes after so many are missing, are told twice or in another order than they were made."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (rows := _changes(cluster, start)) is None or len(watcher.seen) < start + len(rows):
        if time.monotonic() > deadline:
            return [f"the watcher has seen {len(watcher.seen)} changes; {watcher.failures}"]
        time.sleep(0.05)
    lost = list(watcher.failures)
    if [position for position, _, _ in rows] != [str(start + number) for number in range(1, len(rows) + 1)]:
        lost.append(f"positions after {start} are not without a gap")
    seen = watcher.seen[start:]
    if [(change.invoice_id, change.state) for change in seen] != [(invoice_id, state) for _, invoice_id, state in rows]:
        lost.append(f"the watcher has not seen the changes after {start} as they are")
    if start:  # a reader that was away all the time
        again = list(watch(deployment.channel, watcher.seen[start - 1].cursor, len(seen)))
        if again != seen:
            lost.append(f"from the cursor of {start} on the changes are told differently")
    states = defaultdict(list)
    for change in seen:
        states[change.invoice_id].append(change.state)
    lost += [
        f"{sold.invoice_id}: its changes are {states[sold.invoice_id]}, not {sold.states}"
        for sold in ledger.sold
        if states[sold.invoice_id] != sold.states
    ]
    return lost


def _changes(cluster: Cluster, start: int) -> list[tuple[str, ...]] | None:
    """Return the changes after so many; None if there are some without a position."""
    if cluster.primary.execute("SELECT 1 FROM unordered_changes LIMIT 1"):
        return None
    selected = "SELECT position, invoice_id, state FROM sale_changes"
    return cluster.primary.execute(f"{selected} WHERE position > {start} ORDER BY position")


@dataclass
class Figures:
    """Seconds to the first acknowledgement."""

    accepted: list[float] = field(default_factory=list)
    """From the promotion until writes are taken."""
    from_loss: list[float] = field(default_factory=list)
    from_promotion: list[float] = field(default_factory=list)
    from_acceptance: list[float] = field(default_factory=list)
    by_each_node: list[float] = field(default_factory=list)
    """From the promotion, of each node."""
    by_last_node: list[float] = field(default_factory=list)
    """From the promotion, of the last node."""
    acknowledged: int = 0

    def take(self, failover: Failover, firsts: dict[int, float]) -> None:
        first = min(firsts.values())
        self.accepted.append(failover.accepting - failover.promoted)
        self.from_loss.append(first - failover.lost)
        self.from_promotion.append(first - failover.promoted)
        self.from_acceptance.append(first - failover.accepting)
        self.by_each_node.extend(moment - failover.promoted for moment in firsts.values())
        self.by_last_node.append(max(firsts.values()) - failover.promoted)

    def __str__(self) -> str:
        lines = [f"{len(self.accepted)} failovers, {self.acknowledged} sessions acknowledged, 0 lost"]
        for name, words in (
            ("accepted", "promotion to writes taken"),
            ("from_promotion", "promotion to first acknowledgement"),
            ("by_each_node", "the same, of each node"),
            ("by_last_node", "the same, of the last node"),
            ("from_acceptance", "writes taken to first acknowledgement"),
            ("from_loss", "loss to first acknowledgement"),
        ):
            values = sorted(getattr(self, name))
            p99 = values[min(len(values) - 1, int(len(values) * 0.99))]
            lines.append(f"{words:40} median {statistics.median(values):.3f} p99 {p99:.3f} max {values[-1]:.3f} s")
        return "\n".join(lines)


def first_acknowledgements(ledger: Ledger, failover: Failover, nodes: int) -> dict[int, float]:
    """Wait until every node has acknowledged a write after the promotion, and return when each did first."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(firsts := ledger.first_after(failover.promoted)) < nodes:
        assert time.monotonic() < deadline, f"of {nodes} nodes only {sorted(firsts)} acknowledge anything"
        time.sleep(0.01)
    return firsts


def run_failovers(
    folder: Path,
    failovers: int,
    *,
    seed: int,
    pauses: Sequence[float] = PAUSES,
    sellers: Sequence[int] = range(3, 10),
    by_hanging: bool = False,
) -> Figures:
    """Lose the primary under load so many times, and return how long it took."""
    chance = random.Random(seed)  # moments, not secrets
    figures = Figures()
    ledgers: list[Ledger] = []
    numbers = amounts()
    with ExitStack() as stack:
        cluster = Cluster(stack.enter_context(postgresql_installation()))
        deployment = deploy(stack, "three nodes", folder, LONG_LIVED, cluster.url)
        nodes = deployment.programs
        watcher = stack.enter_context(watching(nodes))
        for _ in range(failovers):
            start = len(watcher.seen)
            ledger = Ledger(deployment.http.request_access_token(), numbers)
            with selling(nodes, ledger, chance.choice(sellers), chance.choice([0.0, 0.005, 0.05]), chance):
                time.sleep(chance.uniform(0.2, 0.8))
                failover = cluster.fail_over(chance.choice(pauses), by_hanging=by_hanging)
                figures.take(failover, first_acknowledgements(ledger, failover, len(nodes)))
                if by_hanging:  # it comes to itself, and nobody has told it that it is not the primary any more
                    cluster.standby.resume()
                    time.sleep(chance.uniform(0.5, 1.5))
                cluster.rebuild()
            assert ledger.wrong == []
            assert lost_in_the_database(cluster.primary.execute, ledger) == []
            assert lost_at_the_nodes(deployment.http, ledger, chance) == []
            assert lost_of_the_changes(cluster, deployment, watcher, start, ledger) == []
            ledgers.append(ledger)
            figures.acknowledged += len(ledger.sold)
        for ledger in ledgers:
            assert lost_in_the_database(cluster.primary.execute, ledger) == []
    return figures


def test_a_lost_primary_takes_nothing_along_that_was_acknowledged(tmp_path: Path) -> None:
    figures = run_failovers(tmp_path, 2, seed=1, pauses=SHORT_PAUSES, sellers=[3, 4])
    print(figures)
    assert figures.acknowledged > 50


@pytest.mark.long
def test_primaries_lost_two_hundred_times_take_nothing_along(tmp_path: Path) -> None:
    faulthandler.cancel_dump_traceback_later()  # it takes longer, and waits for nothing without an end of its own
    print(run_failovers(tmp_path, FAILOVERS, seed=2))


def test_a_primary_that_hangs_is_left_for_good_and_takes_nothing_along(tmp_path: Path) -> None:
    figures = run_failovers(tmp_path, 1, seed=3, pauses=SHORT_PAUSES, sellers=[3], by_hanging=True)
    print(figures)
    assert figures.acknowledged > 20


@pytest.mark.long
def test_primaries_that_hang_again_and_again_are_left(tmp_path: Path) -> None:
    print(run_failovers(tmp_path, FAILOVERS // 10, seed=4, by_hanging=True))


def test_what_a_primary_has_alone_is_not_acknowledged(tmp_path: Path) -> None:
    """After a crash it shows what no standby has: a repeat that finds it must wait like the request did."""
    with ExitStack() as stack:
        cluster = Cluster(stack.enter_context(postgresql_installation()))
        deployment = deploy(stack, "three nodes", tmp_path, LONG_LIVED, cluster.url)
        first, *others = (OverHttp(stack.enter_context(node.client())) for node in deployment.programs)
        access_token = first.request_access_token()
        document = initiate_document(access_token)
        opened = first.initiate(document)
        check = check_document(access_token, opened.body)
        invoice_id = opened.body["invoiceId"]

        cluster.standby.kill()
        pool = stack.enter_context(ThreadPoolExecutor(4))
        pool.submit(first.initiate, document, "a key")
        pool.submit(first.check, invoice_id, check)
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        while int(cluster.primary.execute(waiting)[0][0]) < 2:
            time.sleep(0.02)
        cluster.primary.kill()
        cluster.primary.start()
        repeated = [
            pool.submit(until_acknowledged, partial(others[0].initiate, document, "a key")),
            pool.submit(until_acknowledged, partial(others[1].check, invoice_id, check)),
        ]
        time.sleep(1)
        assert not any(future.done() for future in repeated)

        cluster.standby.start()
        assert all(future.result().code == 0 for future in repeated)


def until_acknowledged(ask: Callable[[], Answer]) -> Answer:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (answer := ask()).code in NOT_NOW and time.monotonic() < deadline:
        time.sleep(ASK_AGAIN_SECONDS)
    return answer
