"""Callbacks that come twice, in the wrong order and late: no sale goes back on how it ended, and none is lost."""

import asyncio
import faulthandler
import json
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

import pytest

from service.sale_states import LEGAL_MOVES, SaleState
from tests.durability.nodes import Node
from tests.merchant import callback_parameters, check_document, initiate_document
from tests.proof.connections import get, post
from tests.proof.nodes import Client, nodes
from tests.proof.stores import rows
from tests.stores import schema

CONNECTIONS = 64
CALLBACKS_OF_A_SALE = 20
SETTINGS = '[sessions]\nttl = "2s"\n[access_tokens]\nttl = "12h"\n[housekeeping]\ninterval = "1s"\n'
"""Sessions end soon: most of the callbacks come after that."""
RESULTS = ("approved", "declined", "filtered", "error")
UNKNOWN = (("sale", "processing"), ("reversal", "declined"), ("sale", "unknown"), ("transfer", "approved"))
BECOMES = {"approved": "APPROVED", "declined": "DECLINED", "filtered": "FILTERED", "error": "FAILED"}


class Report(NamedTuple):
    """What a callback says."""

    invoice_id: str
    type: str
    status: str
    orderid: str


@dataclass
class Opened:
    """A session, and what the payment gateway sends to check it."""

    invoice_id: str
    check: bytes


def reports_of(invoice_id: str, chance: random.Random) -> list[Report]:
    """Return what a payment gateway that has gone mad reports of a sale: each thing once."""
    result = "approved" if chance.random() < 0.6 else chance.choice(RESULTS)
    told = [("sale", result)]
    if chance.random() < 0.3:
        told.append(("sale", chance.choice(RESULTS)))  # it contradicts itself
    if chance.random() < 0.5:
        told.append(("reversal", "approved"))
    if chance.random() < 0.3:
        told.append(("chargeback", "approved"))
    told += chance.sample(UNKNOWN, chance.randrange(3))
    orderids = [str(chance.randrange(10**6)) for _ in range(1 + (chance.random() < 0.2))]
    return list({Report(invoice_id, *words, chance.choice(orderids)) for words in told})


def deliveries(reports: Sequence[Report], count: int, chance: random.Random) -> list[Report]:
    """Return the reports in any order and many times over, some of them twice at the same moment."""
    repeated = [*reports, *(chance.choice(reports) for _ in range(count - len(reports)))]
    chance.shuffle(repeated)
    return repeated


def late(sent: Sequence[Sequence[Report]], chance: random.Random) -> Iterator[Report]:
    """Yield what is sent of all sales, mixed: of some everything at once, of others now and then until the end."""
    moments = []
    for ours in sent:
        begin, lasts = chance.random(), chance.choice((0.0, 0.001, 1.0))
        moments += [(begin + lasts * chance.random(), report) for report in ours]
    for _, report in sorted(moments):
        yield report


async def open_sessions(clients: Sequence[Client], count: int) -> list[Opened]:
    """Open sessions."""
    token_answer = await clients[0].ask(get("/auth/request-access-token"))
    access_token = json.loads(token_answer.body)["session"]["accessToken"]
    request = post("/sale/initiate-sale", initiate_document(access_token))
    opened: list[Opened] = []
    numbers = iter(range(count))

    async def open_more(client: Client) -> None:
        for number in numbers:
            answer = await client.ask(request)
            assert answer.status == 200, answer
            body = json.loads(answer.body)
            document = check_document(access_token, body, f"session-token-{number:08}")
            check = post(f"/sale/{body['invoiceId']}/check", document)
            opened.append(Opened(body["invoiceId"], check))

    await asyncio.gather(*map(open_more, clients))
    return opened


async def deliver(clients: Sequence[Client], opened: Sequence[Opened], sent: Iterator[Report]) -> set[Report]:
    """Deliver callbacks, and check the sessions meanwhile.

    Returns:
        Every report that was answered with success.
    """
    acknowledged: set[Report] = set()
    checks = iter(opened)

    async def deliver_more(client: Client) -> None:
        for report in sent:
            parameters = callback_parameters(report.invoice_id, report.status, type=report.type, orderid=report.orderid)
            answer = await client.ask(get(f"/sale/callback?{urlencode(parameters)}"))
            assert answer.status == 200, (report, answer)
            acknowledged.add(report)

    async def check_more(client: Client) -> None:
        for session in checks:
            answer = await client.ask(session.check)
            assert answer.code in {0, 1103, 1105}, answer

    await asyncio.gather(*map(deliver_more, clients[1:]), check_more(clients[0]))
    return acknowledged


async def run(servers: Sequence[Node], count: int, seed: int) -> tuple[set[Report], int]:
    """Send so many callbacks at least.

    Returns:
        Every report that was acknowledged, and how many callbacks were.
    """
    chance = random.Random(seed)  # stories, not secrets
    clients = [Client(servers[number % len(servers)]) for number in range(CONNECTIONS)]
    try:
        opened = await open_sessions(clients, count // CALLBACKS_OF_A_SALE)
        sent = [deliveries(reports_of(sale.invoice_id, chance), CALLBACKS_OF_A_SALE, chance) for sale in opened]
        return await deliver(clients, opened, late(sent, chance)), sum(map(len, sent))
    finally:
        for client in clients:
            client.close()


def ends_of(reported: Sequence[tuple[str, str]]) -> set[str]:
    """Return where a sale can stand after reports that arrived in this order, told in our own words.

    The first result counts; an approved sale can be taken back by the merchant, and by the cardholder's bank for good.
    """
    results = [status for type, status in reported if type == "sale" and status in RESULTS]
    if not results:
        return {"INITIATED", "CHECKED", "EXPIRED"}
    if results[0] != "approved":
        return {BECOMES[results[0]]}
    if ("chargeback", "approved") in reported:
        return {"CHARGED_BACK"}
    return {"REVERSED" if ("reversal", "approved") in reported else "APPROVED"}


def is_legal(path: Sequence[str]) -> bool:
    """Tell whether every step of a sale's life is legal, and so none leads back from a final state."""
    states = [SaleState.Value(f"SALE_STATE_{name}") for name in path]
    return all(after in {before, *LEGAL_MOVES[before]} for before, after in pairwise(states))


def test_a_step_back_would_be_seen() -> None:
    assert is_legal(["INITIATED", "EXPIRED", "APPROVED", "APPROVED", "REVERSED", "CHARGED_BACK"])
    for back in (["APPROVED", "CHECKED"], ["DECLINED", "APPROVED"], ["CHARGED_BACK", "REVERSED"]):
        assert not is_legal(["INITIATED", *back])


@pytest.mark.parametrize("count", [2_000, pytest.param(1_000_000, marks=pytest.mark.long)])
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
def test_no_final_status_regresses_and_every_acknowledged_callback_is_stored(
    request: pytest.FixtureRequest, tmp_path: Path, engine: str, count: int
) -> None:
    faulthandler.cancel_dump_traceback_later()  # the long form takes longer, and ends by itself
    with ExitStack() as stack:
        if engine == "sqlite":
            store, number = f"sqlite:///{tmp_path / 'sale.db'}", 1
        else:
            store, number = stack.enter_context(schema(request.getfixturevalue("postgresql_url"))), 2
        with nodes(tmp_path, store, count=number, extra=SETTINGS) as servers:
            acknowledged, answered = asyncio.run(run(servers, count, seed=count))
            for server in servers:
                assert server.program
                assert server.program.stop() == 0
        # Not by time: of two that race, the one that was received first can come second.
        order = "rowid" if engine == "sqlite" else "arrival"
        arrived = rows(store, f"SELECT invoice_id, type, status, orderid FROM status_reports ORDER BY {order}")
        changes = rows(store, "SELECT invoice_id, state FROM sale_changes ORDER BY position")
        if engine == "postgresql":  # those that got no position before the servers were stopped
            changes += rows(store, "SELECT invoice_id, state FROM unordered_changes ORDER BY change_time, invoice_id")
        states: dict[str, str] = dict(rows(store, "SELECT invoice_id, state FROM sales"))

    assert answered >= count
    assert {Report(*row) for row in arrived} == acknowledged
    assert len(arrived) == len(acknowledged)
    paths: defaultdict[str, list[str]] = defaultdict(list)
    reported: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for invoice_id, state in changes:
        paths[invoice_id].append(state)
    for invoice_id, type, status, _ in arrived:
        reported[invoice_id].append((type, status))
    assert [path for path in paths.values() if not is_legal(path)] == []
    for invoice_id, state in states.items():
        assert state == paths[invoice_id][-1]
        assert state in ends_of(reported[invoice_id]), reported[invoice_id]
    print(f"{engine}: {answered} callbacks of {len(states)} sales, {len(acknowledged)} of them new, 0 regressions")
