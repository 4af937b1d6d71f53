"""Hostile text in every place that takes text: it is data or it is refused, in answers, in the store and in the log."""

import itertools
import json
import re
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from urllib.parse import unquote, urlencode

import grpc
import pytest
from connectingparty.multiplex.v1.multiplex_service_pb2 import Call, Metadata, MultiplexRequest
from connectingparty.multiplex.v1.multiplex_service_pb2_grpc import MultiplexServiceStub
from connectingparty.sale.v1.sale_service_pb2 import GetSaleRequest

from tests.conftest import Deployment
from tests.contract.test_sale import opened
from tests.merchant import (
    SBC,
    callback_parameters,
    check_document,
    initiate_document,
    notification_document,
    with_card,
    with_member,
)
from tests.transports import Transport, answer_of, error_answer

MARK = "inj3ct"
TEXTS = [
    f'{MARK}\r\n{{"event":"forged"}}',
    f"\x1b[2J\x1b]0;{MARK}\x07\x9b31m",
    f"{MARK}\u2028\u2029\x85\u202e",
    f"'; DROP TABLE sales; --{MARK}",
    f'" OR 1=1) UNION SELECT 1 --{MARK}',
    f"$1 %s %n {{0}} ${{jndi:ldap://{MARK}}}",
    f"../../{MARK}\\..\\`id`$(id)|id&",
    f"\ufeff{MARK}\ufffe\U0010ffff\u0000",
]
TRICKS = [
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "..",
    "%2E%2e",
    "a%2Fb",
    "%5c..%5c",
    "%00",
    "%c0%af%c0%ae",
    "%e0%80%af",
    "%252e%252e%252f",
    "%0d%0aSet-Cookie:%20a=b",
    "%0a%7b%7d",
    "%1b%5b2J",
    "%ff%fe",
    "%ed%a0%80",
    "%e2%80%a8",
    "%",
    "%zz",
    ";a=b",
    "a;b",
    "{invoice_id}",
    "*",
    "'%20OR%201=1--",
    "%27%3B%20DROP%20TABLE%20sales",
    "x" * 200,
    "%41" * 3000,
]

HEADERS = [
    *(b"a\r\n b", b"a\rSet-Cookie: b", b"a\nSet-Cookie: b", b"a\x00b", b"a\x1b[2Jb", b"a\x85b", b'"}\\n{"', b"a b"),
    *("\u2028".encode(), b"\xff", b"a" * 5000),
]
HEAD = b"POST %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\n"


@pytest.fixture(autouse=True, scope="module")
def clean_logs(deployment: Deployment) -> Iterator[None]:
    """Look at all that the programs have logged in the meantime."""
    before = {program: program._log.stat().st_size for program in deployment.programs}
    yield
    for program, size in before.items():
        program.events()  # waits for what is on its way
        with program._log.open("rb") as log:
            log.seek(size)
            data = log.read()
        assert MARK.encode() not in data
        assert re.search(rb"[^\x20-\x7e\n]", data) is None, data
        for line in data.splitlines():
            assert json.loads(line)["event"] not in {"incident", "call failed"}


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_a_hostile_text_is_data_or_refused_in_every_field(
    deployment: Deployment, transport: Transport, text: str
) -> None:
    token = transport.request_access_token()
    invalid = "\0" in text
    plain = initiate_document(token)
    session = transport.initiate(plain).body
    check, padded = check_document(token, session), (text * 16)[:36]

    opening = transport.initiate(with_member(plain, "consumer.device.serialNumber", text))
    assert opening.code == (1001 if invalid else 0)
    for path in ("consumer.device.imei", "transaction.currency", "session.accessToken"):
        assert transport.initiate(with_member(plain, path, padded)).code in {1001, 1101}
    assert transport.initiate(with_member(plain, "consumer.ipAddresses", [text])).code == 1001
    for name in ("accessToken", "nonce", "signature"):
        assert transport.check(session["invoiceId"], with_member(check, f"session.{name}", padded)).code in {1001, 1102}
    assert transport.check(session["invoiceId"], with_card(check, text)).code == (1001 if invalid else 1106)
    assert transport.check(session["invoiceId"], with_member(check, "session.token", padded)).code == 1001 * invalid
    assert transport.notify(notification_document(token, padded, server_card_id=text)).code == 1001 * invalid
    if not invalid:
        assert stored(deployment, opening.body["invoiceId"]).serial_number == text
        control = callback_parameters(session["invoiceId"], status=text, orderid=text, type=text, amount=text)
        assert transport.callback(control).code == 0
    reports = deployment.grpc.sales.GetSale(GetSaleRequest(invoice_id=session["invoiceId"]), timeout=20).status_reports
    assert [(report.status, report.orderid, report.type, report.amount) for report in reports] == [
        (text, text, text, text)
    ] * (not invalid)


def stored(deployment: Deployment, invoice_id: str) -> Any:
    return deployment.grpc.sales.GetSale(GetSaleRequest(invoice_id=invoice_id), timeout=20).sale


def test_parameters_of_a_callback_are_kept_as_they_are_and_nothing_else(deployment: Deployment) -> None:
    _, session = opened(deployment.http)
    others = [(f"name{text}", text) for text in TEXTS]
    query = urlencode([*callback_parameters(session["invoiceId"]).items(), *others])

    assert answer_of(deployment.http.client.get(f"/sale/callback?{query}")).code == 0
    request = GetSaleRequest(invoice_id=session["invoiceId"])
    (report,) = deployment.grpc.sales.GetSale(request, timeout=20).status_reports
    kept = [(parameter.name, parameter.value) for parameter in report.parameters][-len(others) :]
    assert kept == [(name.replace("\0", "\\x00"), value.replace("\0", "\\x00")) for name, value in others]


def raw(deployment: Deployment, request: bytes) -> tuple[int, list[str], dict[str, Any]]:
    """Return status, lines of the head and body of the answer to a request as it is written."""
    host, port = str(deployment.gateway.http).split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(request)
        head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
    status, *lines = head.decode("ascii").split("\r\n")
    return int(status.split(" ")[1]), [line.lower() for line in lines], json.loads(body)


def raw_each(deployment: Deployment, requests: Sequence[bytes]) -> list[tuple[int, list[str], dict[str, Any]]]:
    """Return the answers to requests, each on its connection: one that is no HTTP is closed only after a while."""
    with ThreadPoolExecutor(len(requests)) as threads:
        return list(threads.map(partial(raw, deployment), requests))


@pytest.mark.parametrize("route", ["/sale/{}/check", "/cardrefs/{}/get-client-ids"])
def test_a_trick_in_the_path_reaches_no_other_path_and_no_other_header(deployment: Deployment, route: str) -> None:
    access_token, session = opened(deployment.http)
    body = json.dumps(check_document(access_token, session)).encode()

    for trick in TRICKS:
        head = HEAD % route.format(trick).encode()
        status, lines, answer = raw(deployment, head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert (status, answer["error"]["code"]) in {(400, "1001"), (404, "1004"), (404, "1104")}, trick
        assert answer.get("invoiceId", unquote(trick)) == unquote(trick)
        assert not any(line.startswith("set-cookie") for line in lines)


def test_a_target_that_is_not_of_printable_ascii_is_no_http(deployment: Deployment) -> None:
    paths = (b"\xff", "\u2028".encode(), b"a b", b"\0", b"\x1b[2J")

    answers = raw_each(deployment, [HEAD % (b"/sale/%s/check" % path) + b"\r\n" for path in paths])
    for path, (status, _, answer) in zip(paths, answers, strict=True):
        assert (status, answer["error"]["code"]) == (400, "1000"), path


def test_a_header_splits_no_answer_and_no_line_of_the_log(deployment: Deployment) -> None:
    body = json.dumps(initiate_document(deployment.http.request_access_token(), SBC.currency)).encode()

    headers = list(itertools.product((b"X-Request-Id", b"Idempotency-Key"), HEADERS))
    head = HEAD % b"/sale/initiate-sale" + b"%s: %s\r\nContent-Length: %d\r\n\r\n"

    answers = raw_each(deployment, [head % (*header, len(body)) + body for header in headers])
    for (name, value), (status, lines, answer) in zip(headers, answers, strict=True):
        assert status == 200 or (status == 400 and answer["error"]["code"] in {"1000", "1001"}), (name, value)
        assert not any(line.startswith("set-cookie") for line in lines), (name, value)
        ids = [line.partition(": ")[2] for line in lines if line.startswith("x-request-id")]
        assert all(re.fullmatch("[0-9a-f]{32}", id) for id in ids), (name, value)


def test_the_name_of_an_rpc_that_there_is_not_is_not_logged(deployment: Deployment) -> None:
    for method in (f"/{MARK}/{MARK}", f"/connectingparty.sale.v1.SaleService/{MARK}", f"/{MARK * 500}"):
        call: Any = deployment.channel.unary_unary(method)
        with pytest.raises(grpc.RpcError) as refusal:
            call(b"", timeout=20)
        assert error_answer(refusal.value).code == 1004


@pytest.mark.parametrize("value", [*(text.encode() for text in TEXTS), b"\xff\xfe"], ids=ascii)
def test_hostile_metadata_of_a_shared_stream_is_refused_or_left_out(deployment: Deployment, value: bytes) -> None:
    stream = MultiplexServiceStub(deployment.channel).Multiplex
    calls = [
        Call(
            id=number,
            method="/connectingparty.sale.v1.SaleService/GetSale",
            request=GetSaleRequest(invoice_id="x").SerializeToString(),
            metadata=[Metadata(key=key, value=value)],
            timeout=20,
        )
        for number, key in enumerate(("x-request-id", "idempotency-key", "other", "invalid-fields-bin"))
    ]
    responses = stream(iter([MultiplexRequest(calls=calls)]), timeout=20)
    codes = {answer.id: answer.code for response in responses for answer in response.answers}

    assert set(codes) == {0, 1, 2, 3}
    assert {codes[0], codes[1], codes[2]} == {grpc.StatusCode.NOT_FOUND.value[0]}
    assert codes[3] == grpc.StatusCode.INVALID_ARGUMENT.value[0]
