"""Load on several nodes that goes on while their database is lost, and remembers all that was acknowledged."""

import itertools
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import grpc
import httpx2
from connectingparty.sale.v1.access_token_service_pb2 import RequestAccessTokenRequest, RevokeAccessTokenRequest
from connectingparty.sale.v1.sale_pb2 import SaleState
from connectingparty.sale.v1.sale_service_pb2 import ReportSaleStatusRequest
from google.protobuf import json_format
from google.protobuf.message import Message

from tests.durability.clients import client_of
from tests.merchant import (
    callback_parameters,
    check_document,
    client_ids_document,
    initiate_document,
    notification_document,
)
from tests.running import Server
from tests.transports import Answer, OverGrpc, OverHttp, Transport, answer_of, error_answer

ASK_AGAIN_SECONDS = 0.05
PATIENCE_SECONDS = 60.0
"""How long a request is sent again and again."""
CARDS = 50
"""How many cards the consumer pays with."""
NOT_NOW = {1108, 4000, 4001}
"""Errors after which a request is sent again: the same one runs still, or the database is away."""
STATES = ("APPROVED", "DECLINED")


@dataclass
class Sold:
    """What was acknowledged of one sale."""

    document: dict[str, Any]
    key: str | None
    opened: dict[str, Any]
    token: str | None = None
    """The session token of the check that was answered."""
    checked: dict[str, Any] | None = None
    card: str | None = None
    """The client card id of the card that was notified."""
    state: str | None = None
    """How it ended."""

    @property
    def states(self) -> list[str]:
        """What its changes have left it in, one after the other."""
        checks = [self.token, self.card]
        return ["INITIATED", *(["CHECKED"] * sum(check is not None for check in checks)), *filter(None, [self.state])]

    @property
    def server_card_id(self) -> str:
        """The payment gateway's id of the card that it is paid with."""
        return str(self.amount_centis % CARDS)

    @property
    def invoice_id(self) -> str:
        return str(self.opened["invoiceId"])

    @property
    def amount_centis(self) -> int:
        return int(self.document["transaction"]["amountCentis"])


class Acknowledgement(NamedTuple):
    """That a node answered a write with a success."""

    moment: float
    node: int


@dataclass
class Ledger:
    """What was asked with one access token, and what was acknowledged."""

    access_token: str
    amounts: Iterator[int]
    """No two requests have the same amount: it tells which request a sale comes from."""
    asked: dict[int, str | None] = field(default_factory=dict)
    """Idempotency key of every request to open a session by its amount, also where no answer came."""
    sold: list[Sold] = field(default_factory=list)
    tokens: dict[str, bool] = field(default_factory=dict)
    """Access tokens that were issued, and whether they were revoked since."""
    acknowledgements: list[Acknowledgement] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Answers that should not be."""
    ignores_answers: bool = False
    """Whether what comes now counts as no answer: the disk below is just being cut off."""

    def first_after(self, moment: float) -> dict[int, float]:
        """Return when each node acknowledged a write first after a moment."""
        found: dict[int, float] = {}
        for acknowledgement in list(self.acknowledgements):
            if acknowledgement.moment > moment:
                earlier = found.get(acknowledgement.node, acknowledgement.moment)
                found[acknowledgement.node] = min(earlier, acknowledgement.moment)
        return found


class Seller:
    """An app and a payment gateway that ask one node; where no answer comes, the others too, until one does.

    Args:
        number: of the seller.
        nodes: all nodes.
        ledger: takes what is acknowledged.
        seed: of its choices.
        stack: ends its connections.
    """

    def __init__(self, number: int, nodes: Sequence[Server], ledger: Ledger, seed: float, stack: ExitStack) -> None:
        self._home = number % len(nodes)
        self._clients = [client_of(node, stack, number // len(nodes)) for node in nodes]
        self._ledger = ledger
        self._chance = random.Random(seed)
        self._rival = stack.enter_context(ThreadPoolExecutor(1))

    def sell(self) -> None:
        """Open a session, mostly with a key, check it, and mostly report how it ended."""
        amount = next(self._ledger.amounts)
        key = secrets.token_hex(8) if self._chance.random() < 0.7 else None
        document = initiate_document(self._ledger.access_token, amount_centis=amount)
        self._ledger.asked[amount] = key
        opened = self._ask(self._home, lambda client: client.initiate(document, key), repeatedly=key is not None)
        if opened is None:
            return
        if opened.code:
            self._ledger.wrong.append(f"{document} with {key}: {opened}")
            return
        sold = Sold(document, key, opened.body)
        self._ledger.sold.append(sold)
        self._check(sold)
        if sold.token is not None and self._chance.random() < 0.4:
            self._save_card(sold)
        if sold.token is not None and self._chance.random() < 0.7:
            self._end(sold)
        if self._chance.random() < 0.1:
            self._issue_token()

    def _check(self, sold: Sold) -> None:
        tokens = [secrets.token_hex(16)]
        asked = []
        if self._chance.random() < 0.3:
            tokens.append(secrets.token_hex(16))
            node = (self._home + 1) % len(self._clients)
            asked.append(self._rival.submit(self._ask_to_check, node, sold, tokens[1]))
        answers = [self._ask_to_check(self._home, sold, tokens[0]), *(rival.result() for rival in asked)]
        confirmed = [(token, answer.body) for token, answer in zip(tokens, answers, strict=True) if answer.code == 0]
        if len(confirmed) != 1 or any(answer.code not in {0, 1105} for answer in answers):
            self._ledger.wrong.append(f"{sold.invoice_id}: checks gave {answers}")
        else:
            ((sold.token, sold.checked),) = confirmed

    def _ask_to_check(self, node: int, sold: Sold, token: str) -> Answer:
        document = check_document(self._ledger.access_token, sold.opened, token)
        answer = self._ask(node, lambda client: client.check(sold.invoice_id, document))
        assert answer is not None
        return answer

    def _save_card(self, sold: Sold) -> None:
        notification = notification_document(self._ledger.access_token, str(sold.token), sold.server_card_id)
        notified = self._ask(self._home, lambda client: client.notify(notification))
        document = client_ids_document(self._ledger.access_token)
        told = self._ask(self._home, lambda client: client.client_ids(sold.invoice_id, document))
        if notified is None or told is None or notified.code or told.code:
            self._ledger.wrong.append(f"{sold.invoice_id}: its card gave {notified} and {told}")
        else:
            sold.card = told.body["sourceCardRefId"]

    def _issue_token(self) -> None:
        issued = self._ask(self._home, issue_token)
        if issued is None or issued.code:
            self._ledger.wrong.append(f"a token: {issued}")
            return
        token = issued.body["session"]["accessToken"]
        self._ledger.tokens[token] = False
        if isinstance(self._clients[self._home], OverGrpc) and self._chance.random() < 0.5:
            revoked = self._ask(self._home, lambda client: revoke_token(client, token))
            if revoked is None or revoked.code:
                self._ledger.wrong.append(f"the end of a token: {revoked}")
            else:
                self._ledger.tokens[token] = True

    def _end(self, sold: Sold) -> None:
        state = self._chance.choice(STATES)
        answer = self._ask(self._home, lambda client: report(client, sold.invoice_id, state))
        if answer is None or answer.code:
            self._ledger.wrong.append(f"{sold.invoice_id}: the report of its end gave {answer}")
        else:
            sold.state = state

    def _ask(self, node: int, ask: Callable[[Transport], Answer], *, repeatedly: bool = True) -> Answer | None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            try:
                answer = ask(self._clients[node])
            except httpx2.TransportError:
                answer = None
            except AssertionError as error:
                if not any(isinstance(argument, grpc.RpcError) for argument in error.args):
                    raise
                answer = None  # an error without a reason: there was no answer
            if self._ledger.ignores_answers:
                answer = None
            if answer is not None and answer.code not in NOT_NOW:
                if answer.code == 0:
                    self._ledger.acknowledgements.append(Acknowledgement(time.monotonic(), node))
                return answer
            if not repeatedly:
                return None
            node = (node + 1) % len(self._clients)
            time.sleep(ASK_AGAIN_SECONDS)
        raise TimeoutError("nobody answers")


def issue_token(client: Transport) -> Answer:
    """Ask for an access token."""
    if isinstance(client, OverHttp):
        return answer_of(client.client.get("/auth/request-access-token"))
    assert isinstance(client, OverGrpc)
    return _call(client.access_tokens.RequestAccessToken, RequestAccessTokenRequest())


def revoke_token(client: Transport, token: str) -> Answer:
    """Revoke an access token, by the rpc for that."""
    assert isinstance(client, OverGrpc)
    return _call(client.access_tokens.RevokeAccessToken, RevokeAccessTokenRequest(access_token=token))


def report(client: Transport, invoice_id: str, state: str) -> Answer:
    """Report how a sale ended: by the callback over JSON, by the rpc for that over gRPC."""
    if not isinstance(client, OverGrpc):
        return client.callback(callback_parameters(invoice_id, state.lower()))
    request = ReportSaleStatusRequest(invoice_id=invoice_id, state=SaleState.Value(f"SALE_STATE_{state}"))
    return _call(client.sales.ReportSaleStatus, request)


def _call(method: Any, request: Message) -> Answer:
    try:
        response = method(request, timeout=20)
    except grpc.RpcError as error:
        return error_answer(error)
    return Answer(0, json_format.MessageToDict(response))


@contextmanager
def selling(
    nodes: Sequence[Server], ledger: Ledger, sellers: int, pause_seconds: float, chance: random.Random
) -> Iterator[None]:
    """Sell while the block runs, and until everything that has to be answered was."""
    stopping = threading.Event()
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(sellers))

        def run(number: int, seed: float) -> None:
            with ExitStack() as own:
                seller = Seller(number, nodes, ledger, seed, own)
                while not stopping.wait(pause_seconds):
                    seller.sell()

        futures = [pool.submit(run, number, chance.random()) for number in range(sellers)]
        try:
            yield
        finally:
            stopping.set()
        for future in futures:
            future.result()


def amounts() -> Iterator[int]:
    """Return an amount for each request; threads may share it."""
    return itertools.count(1)
