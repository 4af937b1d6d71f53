"""The rivals answer as our server does: so the benchmark compares what does the same."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.bench.contenders import ENVOY, FASTAPI, ONE_PROCESS, OVER_HTTP
from tests.bench.ground import Ground
from tests.merchant import (
    RANDOM_SUM,
    SBC,
    SERIAL_NUMBER,
    SESSION_TOKEN,
    check_document,
    initiate_document,
    new_token,
    sign,
    with_card,
    with_member,
)
from tests.running import LOG_SECONDS

JSON = {"Content-Type": "application/json"}


class Client:
    """A client of a contender.

    Args:
        http: to its port.
        log: of its requests.
        token: an access token that it knows.
    """

    def __init__(self, http: httpx2.Client, log: Path, token: str) -> None:
        self.http = http
        self.log = log
        self.token = token

    def initiate(self, document: Any, **headers: str) -> httpx2.Response:
        return self.http.post("/sale/initiate-sale", json=document, headers=headers)

    def check(self, invoice_id: str, document: Any) -> httpx2.Response:
        return self.http.post(f"/sale/{invoice_id}/check", json=document)

    def opened(self, currency: str = SBC.currency) -> dict[str, Any]:
        answer: dict[str, Any] = self.initiate(initiate_document(self.token, currency)).raise_for_status().json()
        return answer


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str, str], Client]]:
    """Starts a contender of a name, which logs to a file of a name, and returns a client of it."""
    with ExitStack() as stack:
        ground = Ground(tmp_path_factory.mktemp("ground"), stack, tokens=1)

        def start(name: str, log: str) -> Client:
            (contender,) = (contender for contender in OVER_HTTP if contender.name == name)
            folder = tmp_path_factory.mktemp("contender")
            served = stack.enter_context(contender.start(ground, folder))
            http = stack.enter_context(httpx2.Client(base_url=f"http://{served.address}", timeout=20.0))
            return Client(http, folder / log, ground.tokens.read_text().strip())

        yield start


@pytest.fixture(scope="module")
def ours(start: Callable[[str, str], Client]) -> Client:
    return start(ONE_PROCESS, "service.log")


@pytest.fixture(scope="module")
def monolith(start: Callable[[str, str], Client]) -> Client:
    return start(FASTAPI, "monolith.log")


def shape(value: Any) -> Any:
    """Return a document without what is in it."""
    return {key: shape(inner) for key, inner in value.items()} if isinstance(value, dict) else type(value)


def headers_of(response: httpx2.Response) -> dict[str, str]:
    different = {"date", "content-length"}
    return {name: value for name, value in response.headers.items() if name not in different}


def test_a_sale_is_opened_and_confirmed(ours: Client, monolith: Client) -> None:
    for currency in (SBC.currency, RANDOM_SUM.currency):
        opened, confirmed = {}, {}
        for client in (ours, monolith):
            answer = opened[client] = client.opened(currency)
            provider = SBC if currency == SBC.currency else RANDOM_SUM
            invoice, nonce = answer["invoiceId"], answer["session"]["nonce"]
            parts = (client.token, SERIAL_NUMBER, provider.endpoint_id, nonce, invoice, "1042", currency)
            assert answer["session"]["signature"] == sign(provider.control_key, *parts)
            checked = confirmed[client] = client.check(invoice, check_document(client.token, answer)).json()
            signature = sign(provider.control_key, SERIAL_NUMBER, nonce, provider.endpoint_id, invoice)
            assert checked["session"] == {"checkSignature": signature, "nonce": nonce, "token": SESSION_TOKEN}
        assert shape(opened[ours]) == shape(opened[monolith])
        assert shape(confirmed[ours]) == shape(confirmed[monolith])


def test_answers_have_the_same_headers(ours: Client, monolith: Client) -> None:
    answers = [
        client.initiate(initiate_document(client.token), **{"X-Request-Id": "one"}) for client in (ours, monolith)
    ]
    assert headers_of(answers[0]) == headers_of(answers[1])
    assert answers[1].headers["X-Request-Id"] == "one"


def test_what_does_not_match_is_refused(ours: Client, monolith: Client) -> None:
    for path, value, code in (
        ("session.signature", "0" * 40, "1102"),
        ("session.nonce", "0" * 64, "1102"),
        ("sourceOfFunds.reference.clientCardId", "unknown", "1106"),
    ):
        answers = []
        for client in (ours, monolith):
            opened = client.opened()
            wrong = with_member(check_document(client.token, opened), path, value)
            answer = client.check(opened["invoiceId"], wrong)
            assert answer.json()["invoiceId"] == opened["invoiceId"]
            answers.append((answer.status_code, answer.json()["error"]))
        assert answers[0] == answers[1]
        assert answers[1][1]["code"] == code


def test_a_sale_can_not_be_checked_with_another_session_token(ours: Client, monolith: Client) -> None:
    for client in (ours, monolith):
        opened = client.opened()
        first = check_document(client.token, opened)
        assert client.check(opened["invoiceId"], first).status_code == 200
        again = client.check(opened["invoiceId"], with_member(first, "session.token", "another-session-token"))
        assert (again.status_code, again.json()["error"]["code"]) == (409, "1105")


def test_an_unknown_token_and_invoice_are_refused(ours: Client, monolith: Client) -> None:
    answers = [client.initiate(initiate_document(new_token())) for client in (ours, monolith)]
    assert answers[0].status_code == answers[1].status_code == 401
    assert answers[0].json() == answers[1].json()
    checks = [client.check("none", check_document(client.token, client.opened())) for client in (ours, monolith)]
    assert checks[0].status_code == checks[1].status_code == 404
    assert checks[0].json() == checks[1].json()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("consumer.device.serialNumber", ...),
        ("consumer.device.serialNumber", "x" * 51),
        ("consumer.device.serialNumber", "nul\0"),
        ("consumer.device.imei", "1" * 13),
        ("consumer.ipAddresses", ["192.0.2.256"]),
        ("consumer.ipAddresses", ["192.0.2.1"] * 65),
        ("location.lat", 90.5),
        ("location.lng", -181),
        ("session.accessToken", "x" * 31),
        ("session", ...),
        ("transaction.amountCentis", 0),
        ("transaction.amountCentis", 2**63),
        ("transaction.amountCentis", 1.5),
        ("transaction.currency", "XYZ"),
        ("transaction.currency", "eur"),
    ],
)
def test_bounds_are_the_same(ours: Client, monolith: Client, path: str, value: Any) -> None:
    for client in (ours, monolith):
        answer = client.initiate(with_member(initiate_document(client.token), path, value))
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "1001")
        assert path.rsplit(".", maxsplit=1)[-1] in answer.json()["error"]["message"]


def test_bounds_of_a_check_are_the_same(ours: Client, monolith: Client) -> None:
    for client in (ours, monolith):
        opened = client.opened()
        right = check_document(client.token, opened)
        wrong = with_card(with_member(right, "session.token", "x" * 15), "")
        answer = client.check(opened["invoiceId"], wrong)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "1001")
        assert answer.json()["invoiceId"] == opened["invoiceId"]


def test_what_is_no_document_is_refused(ours: Client, monolith: Client) -> None:
    for client in (ours, monolith):
        for body in ("{", "[]", ""):
            answer = client.http.post("/sale/initiate-sale", content=body, headers=JSON)
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "1000")
        assert client.http.post("/sale/none").json()["error"]["code"] == "1004"
        assert client.http.get("/sale/initiate-sale").json()["error"]["code"] == "1005"


def test_an_idempotency_key_opens_one_session(ours: Client, monolith: Client) -> None:
    for client in (ours, monolith):
        key, document = {"Idempotency-Key": new_token()}, initiate_document(client.token)
        assert client.initiate(document, **key).json() == client.initiate(document, **key).json()
        other = client.initiate(with_member(document, "transaction.amountCentis", 7), **key)
        assert other.json()["error"]["code"] == "1107"


def test_a_request_has_the_same_line_in_the_log(ours: Client, monolith: Client) -> None:
    lines = []
    for client in (ours, monolith):
        request_id = new_token()
        client.initiate(initiate_document(client.token), **{"X-Request-Id": request_id})
        time.sleep(LOG_SECONDS)
        (line,) = (line for line in client.log.read_text().splitlines() if request_id in line)
        lines.append(json.loads(line))
    assert shape(lines[0]) == shape(lines[1])
    assert {name: lines[0][name] for name in ("event", "method", "route", "status", "endpoint_id", "provider")} == {
        name: lines[1][name] for name in ("event", "method", "route", "status", "endpoint_id", "provider")
    }


@pytest.mark.skipif(sys.platform != "linux", reason="Envoy's wheel is for Linux")
def test_envoy_answers_the_same_json(ours: Client, start: Callable[[str, str], Client]) -> None:
    envoy = start(ENVOY, "envoy.log")
    answers = [client.initiate(initiate_document(client.token), **{"X-Request-Id": "17"}) for client in (ours, envoy)]
    assert answers[1].headers["X-Request-Id"] == "17"
    assert shape(answers[0].json()) == shape(answers[1].json())
    checks = [
        client.check(answer.json()["invoiceId"], check_document(client.token, answer.json()))
        for client, answer in zip((ours, envoy), answers, strict=True)
    ]
    assert checks[1].status_code == 200
    assert shape(checks[0].json()) == shape(checks[1].json())
