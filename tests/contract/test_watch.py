"""The stream of changes: each once, in order, through breaks and restarts; and a reader that is too slow."""

import random
import secrets
import signal
import threading
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from connectingparty.sale.v1.sale_pb2 import SaleState
from connectingparty.sale.v1.sale_service_pb2 import WatchSalesRequest, WatchSalesResponse
from connectingparty.sale.v1.sale_service_pb2_grpc import SaleServiceStub
from google.protobuf.timestamp_pb2 import Timestamp

from tests.conftest import Deployment, deploy
from tests.contract.test_callback import checked
from tests.contract.test_cards import refusal
from tests.merchant import (
    callback_parameters,
    check_document,
    initiate_document,
    notification_document,
    write_config,
)
from tests.running import Program, open_channel, service_arguments
from tests.transports import OverHttp, error_answer

READERS = 10


def now() -> Timestamp:
    timestamp = Timestamp()
    timestamp.GetCurrentTime()
    return timestamp


def name_of(response: WatchSalesResponse) -> str:
    return SaleState.Name(response.sale.state).removeprefix("SALE_STATE_")


def take(stream: Any, count: int) -> list[WatchSalesResponse]:
    """Return the next changes and end the call."""
    try:
        return [next(stream) for _ in range(count)]
    finally:
        stream.cancel()


def test_every_change_of_a_sale_is_told_as_it_happens(deployment: Deployment) -> None:
    start = now()
    stream = deployment.grpc.sales.WatchSales(WatchSalesRequest(start_time=start), timeout=20)
    invoice_id = checked(deployment.http)
    for type in ("sale", "reversal"):
        deployment.http.callback(callback_parameters(invoice_id, type=type))

    changes = take(stream, 4)

    assert [name_of(change) for change in changes] == ["INITIATED", "CHECKED", "APPROVED", "REVERSED"]
    assert {change.sale.invoice_id for change in changes} == {invoice_id}
    assert len({change.cursor for change in changes}) == 4
    times = [change.sale.update_time.ToDatetime() for change in changes]
    assert times == sorted(times)
    assert not changes[0].sale.HasField("check_time")
    assert not changes[1].sale.HasField("orderid")
    again = deployment.grpc.sales.WatchSales(WatchSalesRequest(start_time=start), timeout=20)
    assert take(again, 4) == changes
    resumed = deployment.grpc.sales.WatchSales(WatchSalesRequest(cursor=changes[1].cursor), timeout=20)
    assert take(resumed, 2) == changes[2:]


def test_a_stream_begins_with_the_oldest_change_and_ends_with_its_deadline(deployment: Deployment) -> None:
    invoice_id = checked(deployment.http)
    stream = deployment.grpc.sales.WatchSales(WatchSalesRequest(), timeout=2)
    seen: list[WatchSalesResponse] = []
    with pytest.raises(grpc.RpcError) as ended:
        seen.extend(stream)

    assert ended.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    states = defaultdict(list)
    for change in seen:
        states[change.sale.invoice_id].append(name_of(change))
    assert states[invoice_id] == ["INITIATED", "CHECKED"]
    assert all(names[0] == "INITIATED" for names in states.values())


@pytest.mark.parametrize("cursor", ["x", "garbage!", "AAAAAAAAAA", "__________8", "D_________8", "Ж"])
def test_what_is_no_cursor_is_refused(deployment: Deployment, cursor: str) -> None:
    checked(deployment.http)

    def watch(request: WatchSalesRequest, timeout: int) -> list[WatchSalesResponse]:
        return take(deployment.grpc.sales.WatchSales(request, timeout=timeout), 1)

    answer = refusal(watch, WatchSalesRequest(cursor=cursor))
    assert answer.code == 1001
    assert answer.message.startswith("cursor ")


def test_a_reader_that_takes_nothing_is_cut_off_and_resumes(tmp_path: Path) -> None:
    with ExitStack() as stack:
        deployment = deploy(stack, "one process", tmp_path, '[watch]\npatience = "500ms"\n')
        access_token = deployment.http.request_access_token()
        count = 600
        for _ in range(count):
            assert deployment.grpc.initiate(initiate_document(access_token)).code == 0
        # Windows that hold some dozens of changes.
        options = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 4096)]
        channel = stack.enter_context(open_channel(str(deployment.service.grpc), *options))
        stream = SaleServiceStub(channel).WatchSales(WatchSalesRequest(), timeout=60)
        seen = [next(stream)]
        deadline = time.monotonic() + 20
        while not any(event.get("rpc", "").endswith("WatchSales") for event in deployment.service.events()):
            assert time.monotonic() < deadline, "the reader was not cut off"
            time.sleep(0.05)

        with pytest.raises(grpc.RpcError) as cut:
            seen.extend(stream)
        assert error_answer(cut.value).code == 4001
        assert len(seen) < count
        rest = take(
            SaleServiceStub(channel).WatchSales(WatchSalesRequest(cursor=seen[-1].cursor), timeout=60),
            count - len(seen),
        )
        assert len({change.sale.invoice_id for change in [*seen, *rest]}) == count


def test_a_server_that_stops_tells_its_readers(tmp_path: Path) -> None:
    with ExitStack() as stack:
        deployment = deploy(stack, "one process", tmp_path)
        invoice_id = checked(deployment.http)
        stream = deployment.grpc.sales.WatchSales(WatchSalesRequest(), timeout=20)
        assert next(stream).sale.invoice_id == invoice_id
        next(stream)
        began = time.monotonic()
        deployment.service.send(signal.SIGTERM)

        with pytest.raises(grpc.RpcError) as ended:
            next(stream)
        assert error_answer(ended.value).code == 4000
        assert deployment.service.stop() == 0
        assert time.monotonic() - began < 5


def test_expiry_is_a_change_too(tmp_path: Path) -> None:
    settings = '[sessions]\nttl = "100ms"\n[housekeeping]\ninterval = "100ms"\n'
    with ExitStack() as stack:
        deployment = deploy(stack, "one process", tmp_path, settings)
        access_token = deployment.http.request_access_token()
        session = deployment.http.initiate(initiate_document(access_token)).body
        stream = deployment.grpc.sales.WatchSales(WatchSalesRequest(), timeout=20)

        assert [name_of(change) for change in take(stream, 2)] == ["INITIATED", "EXPIRED"]
        answer = deployment.http.check(session["invoiceId"], check_document(access_token, session))
        assert answer.code == 1103


class Follower(threading.Thread):
    """Reads every change, and goes on from its cursor whenever the stream ends."""

    def __init__(self, address: list[str], number: int) -> None:
        super().__init__(name=f"follower-{number}", daemon=True)
        self.address = address
        self.changes: list[WatchSalesResponse] = []
        self.done = threading.Event()
        self.chance = random.Random(number)
        self.unexpected: list[str] = []

    def run(self) -> None:
        while not self.done.is_set():
            with open_channel(self.address[0]) as channel:
                cursor = self.changes[-1].cursor if self.changes else None
                request = WatchSalesRequest(cursor=cursor) if cursor else WatchSalesRequest()
                # Some ends come from the reader itself.
                stream = SaleServiceStub(channel).WatchSales(request, timeout=self.chance.uniform(0.2, 3))
                try:
                    self.changes.extend(stream)
                except grpc.RpcError as error:
                    code = error.code()
                    if code not in {
                        grpc.StatusCode.UNAVAILABLE,
                        grpc.StatusCode.DEADLINE_EXCEEDED,
                        grpc.StatusCode.CANCELLED,
                    }:
                        self.unexpected.append(str(error))
                        return
            time.sleep(0.02)


def live(program: Program, invoices: list[str], ending: threading.Event, number: int) -> None:
    """Run whole sales until the server is gone."""
    chance = random.Random(number)
    with program.client() as client:
        http = OverHttp(client)
        try:
            access_token = http.request_access_token()
            while not ending.is_set():
                session = http.initiate(initiate_document(access_token)).body
                invoices.append(session["invoiceId"])
                token = secrets.token_hex(16)
                http.check(session["invoiceId"], check_document(access_token, session, token))
                http.notify(notification_document(access_token, token, str(chance.randrange(1000))))
                for type in ("sale", "reversal")[: chance.randrange(3)]:
                    http.callback(callback_parameters(session["invoiceId"], type=type))
        except (httpx2.TransportError, KeyError):
            return  # the server is gone, or says so


def follow_through_restarts(folder: Path, restarts: int, seconds: float, *more: str) -> tuple[int, int]:
    """Let ten readers follow while sales run and the server restarts; return how many sales and changes there were."""
    config, invoices = write_config(folder / "sale.toml"), list[str]()
    arguments = service_arguments(config, f"sqlite:///{folder}/sale.db", *more)
    address = ["127.0.0.1:1"]
    followers = [Follower(address, number) for number in range(READERS)]
    for follower in followers:
        follower.start()
    chance = random.Random(0)
    for restart in range(restarts):
        program, ending = Program(arguments, folder / f"log-{restart}"), threading.Event()
        try:
            address[0] = str(program.grpc)
            clients = [threading.Thread(target=live, args=(program, invoices, ending, n)) for n in range(4)]
            for client in clients:
                client.start()
            time.sleep(seconds)
            if restart == restarts - 1:
                ending.set()
                for client in clients:
                    client.join(30)
                expected = count_changes(program)
                deadline = time.monotonic() + 30
                while any(len(follower.changes) < expected for follower in followers):
                    assert time.monotonic() < deadline, [len(follower.changes) for follower in followers]
                    assert all(follower.is_alive() for follower in followers)
                    time.sleep(0.05)
            elif chance.random() < 0.5:
                program.send(signal.SIGTERM)
                program.stop()
        finally:
            program.kill()
            ending.set()
            for client in clients:
                client.join(30)
    for follower in followers:
        follower.done.set()
        follower.join(30)
        assert follower.unexpected == []
    first = followers[0].changes
    assert all(follower.changes == first for follower in followers)
    assert len({change.cursor for change in first}) == len(first) == expected
    assert set(invoices) <= {change.sale.invoice_id for change in first}
    require_legal_lives(first)
    return len(invoices), len(first)


def count_changes(program: Program) -> int:
    seen: list[WatchSalesResponse] = []
    with program.channel() as channel, pytest.raises(grpc.RpcError, match="DEADLINE_EXCEEDED"):
        seen.extend(SaleServiceStub(channel).WatchSales(WatchSalesRequest(), timeout=2))
    return len(seen)


def require_legal_lives(changes: list[WatchSalesResponse]) -> None:
    lives = defaultdict(list)
    for change in changes:
        lives[change.sale.invoice_id].append(name_of(change))
    whole = ["INITIATED", "CHECKED", "APPROVED", "REVERSED"]
    for life in lives.values():
        moves = list(dict.fromkeys(life))  # a card that is saved is a change without a move
        assert moves == whole[: len(moves)]


@pytest.mark.parametrize("more", [(), ("--workers=2",)], ids=["one process", "two workers"])
def test_ten_readers_see_every_change_once_and_in_order_while_the_server_restarts(
    tmp_path: Path, more: tuple[str, ...]
) -> None:
    sales, changes = follow_through_restarts(tmp_path, 3, 0.7, *more)

    assert sales > 30
    assert changes > 2 * sales


@pytest.mark.long
@pytest.mark.parametrize("more", [(), ("--workers=2",)], ids=["one process", "two workers"])
def test_ten_readers_see_every_change_once_through_thirty_restarts(tmp_path: Path, more: tuple[str, ...]) -> None:
    sales, changes = follow_through_restarts(tmp_path, 30, 1.5, *more)
    print(f"30 restarts, {sales} sales, {changes} changes, {READERS} readers")
