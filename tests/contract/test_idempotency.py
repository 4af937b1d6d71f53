"""Idempotency-Key: sent again, a request opens no second session."""

from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import Deployment, deploy
from tests.merchant import initiate_document, with_member
from tests.stores import write_lock
from tests.transports import Answer, Transport


def test_the_same_request_with_the_same_key_gives_the_same_session(transport: Transport) -> None:
    document = initiate_document(transport.request_access_token())

    first, again, other = (transport.initiate(document, key) for key in ("order-1", "order-1", "order-2"))

    assert first.code == 0
    assert again == first
    assert other.body["invoiceId"] != first.body["invoiceId"]


def test_without_a_key_every_request_opens_a_session(transport: Transport) -> None:
    document = initiate_document(transport.request_access_token())

    assert transport.initiate(document).body["invoiceId"] != transport.initiate(document).body["invoiceId"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("transaction.amountCentis", 1043),
        ("consumer.device.serialNumber", "other"),
        ("consumer.device.imei", ...),
        ("location.lat", 1.0),
        ("consumer.ipAddresses", []),
    ],
)
def test_the_same_key_with_another_request_is_refused(transport: Transport, path: str, value: object) -> None:
    document = initiate_document(transport.request_access_token())
    first = transport.initiate(document, "order-1")

    assert transport.initiate(with_member(document, path, value), "order-1").code == 1107
    assert transport.initiate(document, "order-1") == first


def test_a_key_belongs_to_its_access_token(transport: Transport) -> None:
    one, other = (initiate_document(transport.request_access_token()) for _ in range(2))

    first, second = transport.initiate(one, "order-1"), transport.initiate(other, "order-1")

    assert first.code == second.code == 0
    assert first.body["invoiceId"] != second.body["invoiceId"]


@pytest.mark.parametrize(
    ("path", "value", "code"), [("transaction.amountCentis", 0, 1001), ("transaction.currency", "CHF", 2002)]
)
def test_a_refused_request_is_not_remembered(transport: Transport, path: str, value: object, code: int) -> None:
    document = initiate_document(transport.request_access_token())

    assert transport.initiate(with_member(document, path, value), "order-1").code == code
    assert transport.initiate(document, "order-1").code == 0


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_key_out_of_bounds_is_named(transport: Transport, key: str) -> None:
    answer = transport.initiate(initiate_document(transport.request_access_token()), key)

    assert answer.code == 1001
    assert answer.message.startswith("Idempotency-Key ")


def test_a_key_that_is_no_ascii_or_sent_twice_is_named(deployment: Deployment) -> None:
    content = initiate_document(deployment.http.request_access_token())
    for headers in (
        [(b"Idempotency-Key", "ключ".encode())],
        [(b"Idempotency-Key", b"a"), (b"Idempotency-Key", b"b")],
        [(b"Idempotency-Key", b"k" * 30_000)],
    ):
        response = deployment.http.client.post("/sale/initiate-sale", json=content, headers=headers)
        assert response.json()["error"]["code"] == "1001"
        assert response.json()["error"]["message"].startswith("Idempotency-Key ")


def test_of_many_requests_at_once_one_opens_a_session(deployment: Deployment) -> None:
    document = initiate_document(deployment.http.request_access_token())

    def initiate(number: int) -> Answer:
        return (deployment.http, deployment.grpc)[number % 2].initiate(document, "order-1")

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(initiate, range(48)))

    assert {answer.code for answer in answers} <= {0, 1108}
    assert len({answer.body["invoiceId"] for answer in answers if answer.code == 0}) == 1


def test_while_the_first_runs_the_key_is_in_use(tmp_path: Path) -> None:
    with ExitStack() as stack:
        deployment = deploy(stack, "one process", tmp_path)
        document = initiate_document(deployment.http.request_access_token())
        threads = stack.enter_context(ThreadPoolExecutor(4))
        # Somebody else holds the file, so the first request, whichever it is, waits for its commit.
        with write_lock(tmp_path / "sale.db"):
            clients = (deployment.http, deployment.grpc) * 2
            answers = [threads.submit(client.initiate, document, "order-1") for client in clients]
            while len(running := [answer for answer in answers if not answer.done()]) > 1:
                wait(running, return_when=FIRST_COMPLETED)
        (first,) = running

        assert [answer.result().code for answer in answers if answer is not first] == [1108] * 3
        assert first.result().code == 0
        assert deployment.grpc.initiate(document, "order-1").body == first.result().body


def test_a_key_is_remembered_over_a_restart_byte_for_byte(tmp_path: Path) -> None:
    contents = []
    access_token = None
    for _ in range(2):
        with ExitStack() as stack:
            deployment = deploy(stack, "one process", tmp_path)
            access_token = access_token or deployment.http.request_access_token()
            response = deployment.http.client.post(
                "/sale/initiate-sale", json=initiate_document(access_token), headers={"Idempotency-Key": "order-1"}
            )
            contents.append(response.content)
            deployment.service.kill()

    assert contents[0] == contents[1]
