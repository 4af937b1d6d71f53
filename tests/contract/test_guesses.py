"""Failed attempts are answered late, as those meet them who guess; right ones are not kept from anything."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from connectingparty.multiplex.v1.multiplex_service_pb2_grpc import MultiplexServiceStub
from connectingparty.sale.v1.sale_service_pb2 import GetSaleRequest
from connectingparty.sale.v1.sale_service_pb2_grpc import SaleServiceStub

from tests.conftest import Deployment, deploy
from tests.contract.test_sale import opened
from tests.merchant import callback_parameters, check_document, client_ids_document, initiate_document, new_token
from tests.sockets import answers_of, connect
from tests.transports import Answer, Transport, error_answer

SLOWED = """
[guesses]
free = 2
max_delay = "200ms"
max_held = 64
"""
MAX_DELAY_SECONDS = 0.2


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with ExitStack() as stack:
        yield deploy(stack, "one process", tmp_path_factory.mktemp("guarded"), SLOWED)


def require_slow(call: Callable[[], Answer], code: int) -> None:
    """Fail so often that the answer is held back as long as it can be."""
    for _ in range(12):
        began = time.monotonic()
        assert call().code == code
        if time.monotonic() - began >= MAX_DELAY_SECONDS:
            return
    raise AssertionError("no answer was held back")


def test_keys_of_callers_are_guessed_as_slowly_on_a_stream(guarded: Deployment) -> None:
    with grpc.insecure_channel(str(guarded.service.grpc)) as channel:
        stub: Any = MultiplexServiceStub(channel)

        def guess() -> Answer:
            with pytest.raises(grpc.RpcError) as refused:
                next(stub.Multiplex(iter([]), timeout=20, metadata=(("authorization", "Bearer guess"),)))
            return error_answer(refused.value)

        require_slow(guess, 1110)


def test_who_guesses_as_much_as_can_be_keeps_nobody_out(tmp_path: Path) -> None:
    settings = '[guesses]\nfree = 0\nmax_delay = "1s"\nmax_held = 8\n[http.limits]\nin_flight = 16\n'
    guess = json.dumps(check_document(new_token(), {"session": {"nonce": "0" * 64, "signature": "0" * 40}})).encode()
    head = (
        b"POST /sale/no-such/check HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    )
    with ExitStack() as stack:
        deployment = deploy(stack, "one process", tmp_path, settings)
        connections = [stack.enter_context(connect(deployment.gateway.http)) for _ in range(30)]
        codes = []
        for _ in range(3):
            for connection in connections:
                connection.sendall(head % len(guess) + guess)
            time.sleep(0.2)  # as many at once are too many by themselves
            opened(deployment.http)
            codes += [answers_of(connection.recv(4096))[0].code for connection in connections]

    assert set(codes) == {1104, 4000}


@pytest.mark.parametrize("wire", ["http", "grpc"])
def test_guesses_are_answered_late_and_right_requests_are_not_refused(guarded: Deployment, wire: str) -> None:
    transport: Transport = guarded.http if wire == "http" else guarded.grpc
    access_token, session = opened(transport)
    invoice_id, check = session["invoiceId"], check_document(access_token, session)
    forged = check_document(access_token, session, serial_number="another")

    require_slow(lambda: transport.check(invoice_id, forged), 1102)
    require_slow(lambda: transport.check("no-such", check), 1104)
    require_slow(lambda: transport.initiate(initiate_document(new_token())), 1101)
    require_slow(lambda: transport.client_ids(invoice_id, client_ids_document(new_token())), 1102)
    require_slow(lambda: transport.callback(callback_parameters(invoice_id, control_key="another")), 1109)

    assert transport.check(invoice_id, check).code == 0
    line = guarded.service.wait_for_event("guesses slowed")
    assert line["addresses"] == 1
    assert "127.0.0.1" not in str(line)


def test_a_caller_who_guesses_keys_is_answered_late(guarded: Deployment) -> None:
    with grpc.insecure_channel(str(guarded.service.grpc)) as channel:

        def guess() -> Answer:
            metadata = (("authorization", f"Bearer {new_token()}"),)
            with pytest.raises(grpc.RpcError) as refused:
                SaleServiceStub(channel).GetSale(GetSaleRequest(invoice_id="x"), timeout=20, metadata=metadata)
            failed: Any = refused.value
            return error_answer(failed)

        require_slow(guess, 1110)
