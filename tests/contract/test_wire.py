"""What is no proper request at all, on either wire, is refused in the contract's words and nothing else."""

import json
import socket
from typing import Any

import grpc
import httpx2
import pytest
from connectingparty.sale.v1.access_token_service_pb2 import RevokeAccessTokenRequest
from connectingparty.sale.v1.sale_service_pb2 import InitiateSaleRequest

from tests.conftest import Deployment
from tests.merchant import initiate_document, new_token, with_member
from tests.transports import Answer, answer_of, error_answer

PATH = "/sale/initiate-sale"
VALID = json.dumps(initiate_document(new_token()))


def post(
    deployment: Deployment, content: bytes | str, content_type: str | None = "application/json"
) -> httpx2.Response:
    headers = {} if content_type is None else {"Content-Type": content_type}
    return deployment.http.client.post(PATH, content=content, headers=headers)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b" ",
        b"{",
        b"nonsense",
        b"[]",
        b'"text"',
        b"null",
        b"1",
        VALID[:-1].encode(),
        VALID.encode() + b"}",
        b'{"a": 1, "a": 2}',
        b'{"session": {"accessToken": "a", "accessToken": "b"}}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\xc0\x80"}',
        b"\xef\xbb\xbf{}",
        VALID.encode("utf-16"),
        b'{"a": "\n"}',
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}",
        b"[" * 33 + b'"' + b'\\"' * 30_000,
    ],
    ids=lambda content: repr(content[:24]),
)
def test_what_is_no_json_object_is_malformed(deployment: Deployment, content: bytes) -> None:
    response = post(deployment, content)

    assert response.status_code == 400
    assert answer_of(response).code == 1000


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("transaction.amountCentis", "9223372036854775808"),
        ("transaction.amountCentis", "9" * 5000),
        ("transaction.amountCentis", "-9223372036854775809"),
        ("transaction.amountCentis", "10.5"),
        ("transaction.amountCentis", "1e2"),
        ("transaction.amountCentis", "true"),
        ("transaction.amountCentis", '"1.0"'),
        ("transaction.amountCentis", '"0100"'),
        ("transaction.amountCentis", '"+100"'),
        ("transaction.amountCentis", "[]"),
        ("transaction.currency", "978"),
        ("transaction.currency", r'"\ud800UR"'),
        ("consumer.device.serialNumber", "5"),
        ("consumer.device.serialNumber", "{}"),
        ("consumer.device.serialNumber", r'"a\u0000b"'),
        ("consumer.device.serialNumber", r'"a\udc00b"'),
        ("consumer.device.imei", "123456789012345"),
        ("consumer.ipAddresses", '"192.0.2.1"'),
        ("consumer.ipAddresses[0]", "[1]"),
        ("location.lat", '"1.0"'),
        ("location.lat", "1e999"),
        ("location.lat", "true"),
        ("location", "[]"),
        ("session", '"token"'),
    ],
)
def test_a_member_of_a_wrong_type_is_named_by_its_path(deployment: Deployment, path: str, text: str) -> None:
    document = with_member(initiate_document(new_token()), path.removesuffix("[0]"), "@")
    answer = answer_of(post(deployment, json.dumps(document).replace('"@"', text)))

    assert answer.code == 1001
    assert f"{path} must" in answer.message


def test_wrong_types_and_broken_bounds_are_named_together(deployment: Deployment) -> None:
    document: dict[str, Any] = {
        "consumer": {"device": {"serialNumber": 5, "imei": "1"}, "ipAddresses": ["x", 1, "y"]},
        "transaction": {"amountCentis": "x"},
    }
    message = answer_of(post(deployment, json.dumps(document))).message

    assert {fault.split()[0] for fault in message.split("; ")} == {
        "consumer.device.serialNumber",
        "consumer.device.imei",
        "consumer.ipAddresses[0]",
        "consumer.ipAddresses[1]",
        "consumer.ipAddresses[2]",
        "session.accessToken",
        "transaction.amountCentis",
        "transaction.currency",
    }


def test_an_optional_member_of_a_wrong_type_opens_no_session(deployment: Deployment) -> None:
    document = with_member(initiate_document(deployment.http.request_access_token()), "consumer.device.imei", 5)

    assert deployment.http.initiate(document).code == 1001


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/xml", "application/jsonp", "json"])
def test_a_body_that_is_not_said_to_be_json_is_refused(deployment: Deployment, content_type: str | None) -> None:
    response = post(deployment, VALID.encode(), content_type)

    assert response.status_code == 415
    assert answer_of(response).code == 1002


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON", "application/json;x"])
def test_json_is_json_whatever_its_charset_and_case(deployment: Deployment, content_type: str) -> None:
    assert answer_of(post(deployment, VALID, content_type)).code == 1101


@pytest.mark.parametrize("chunked", [False, True])
def test_an_oversize_body_is_refused(deployment: Deployment, chunked: bool) -> None:
    content = b'{"a": "' + b"x" * 70_000 + b'"}'
    response = deployment.http.client.post(
        PATH, content=iter([content]) if chunked else content, headers={"Content-Type": "application/json"}
    )

    assert response.status_code == 413
    assert answer_of(response).code == 1003


@pytest.mark.parametrize("path", ["/docs", "/docs/signatures", "/docs/errors", "/docs/sales", "/docs/assets/style.css"])
def test_there_are_no_pages_unless_they_are_wanted(deployment: Deployment, path: str) -> None:
    assert answer_of(deployment.http.client.get(path)).code == 1004


@pytest.mark.parametrize("path", ["/", "/nothing", PATH + "/", "/sale//check", "/sale/a%2Fb/check", "/sale/x/check/y"])
def test_an_unknown_path_is_refused(deployment: Deployment, path: str) -> None:
    response = deployment.http.client.post(path, content=b"{}", headers={"Content-Type": "application/json"})

    assert response.status_code == 404
    assert answer_of(response).code == 1004


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", PATH, {"POST"}),
        ("DELETE", "/sale/x/check", {"POST"}),
        ("POST", "/auth/request-access-token", {"GET", "HEAD"}),
        ("OPTIONS", PATH, {"POST"}),
    ],
)
def test_a_wrong_method_is_refused(deployment: Deployment, method: str, path: str, allowed: set[str]) -> None:
    response = deployment.http.client.request(method, path)

    assert response.status_code == 405
    assert set(response.headers["Allow"].split(", ")) == allowed
    assert answer_of(response).code == 1005


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /sale/initiate-sale HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST /sale/initiate-sale HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    ],
)
def test_what_is_no_http_is_answered_in_json_too(deployment: Deployment, request_bytes: bytes) -> None:
    host, port = str(deployment.gateway.http).split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request_bytes)
        head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/json" in head.lower()
    assert json.loads(body)["error"]["code"] == "1000"


def test_a_request_that_follows_another_at_once_has_a_line_of_its_own(deployment: Deployment) -> None:
    first, second = new_token(), new_token()
    host, port = str(deployment.gateway.http).split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        refused = b"POST /sale/%s/check HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
        refused = refused % b"x" + b"X-Request-Id: %s\r\n\r\n{}" % first.encode()
        follows = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Request-Id: %s\r\n\r\n" % second.encode()
        connection.sendall(refused + follows)
        connection.makefile("rb").read()
    lines = {event.get("request_id"): event for event in deployment.gateway.events() if "method" in event}

    assert lines[first]["code"] == 1001
    assert lines[second]["status"] == 200
    assert "code" not in lines[second]


def over_grpc(deployment: Deployment, method: str, data: bytes) -> Answer:
    call: Any = deployment.channel.unary_unary(method)
    with pytest.raises(grpc.RpcError) as refusal:
        call(data, timeout=10)
    return error_answer(refusal.value)


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x05ab", b"\x0a\x05\x0a\x03\x0a\x01\xff", b"nonsense"])
def test_what_is_no_message_is_malformed_over_grpc(deployment: Deployment, data: bytes) -> None:
    assert over_grpc(deployment, "/connectingparty.sale.v1.SaleService/InitiateSale", data).code == 1000


def test_metadata_of_the_gateways_that_cannot_be_read_is_malformed(deployment: Deployment) -> None:
    with pytest.raises(grpc.RpcError) as refusal:
        deployment.grpc.sales.InitiateSale(
            InitiateSaleRequest(), timeout=10, metadata=(("invalid-fields-bin", b"\xff\xff"),)
        )

    assert error_answer(refusal.value).code == 1000


@pytest.mark.parametrize("method", ["/connectingparty.sale.v1.SaleService/Nothing", "/nothing.Service/Nothing"])
def test_an_unknown_rpc_is_refused(deployment: Deployment, method: str) -> None:
    assert over_grpc(deployment, method, b"").code == 1004


def test_an_oversize_message_is_refused_over_grpc(deployment: Deployment) -> None:
    request = InitiateSaleRequest(consumer=InitiateSaleRequest.Consumer(ip_addresses=["x" * 70_000]))

    with pytest.raises(grpc.RpcError) as refusal:
        deployment.grpc.sales.InitiateSale(request, timeout=10)

    assert refusal.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_revoked_token_opens_no_session(deployment: Deployment) -> None:
    access_token = deployment.http.request_access_token()
    for _ in range(2):
        deployment.grpc.access_tokens.RevokeAccessToken(RevokeAccessTokenRequest(access_token=access_token), timeout=10)

    assert deployment.http.initiate(initiate_document(access_token)).code == 1101
    assert deployment.grpc.initiate(initiate_document(access_token)).code == 1101


def test_a_request_id_is_taken_and_returned(deployment: Deployment) -> None:
    given = deployment.http.client.get("/healthz", headers={"X-Request-Id": "order-17/a"})
    odd = deployment.http.client.get("/healthz", headers={"X-Request-Id": 'a"b'})

    assert given.headers["X-Request-Id"] == "order-17/a"
    assert len(odd.headers["X-Request-Id"]) == 32


def test_answers_are_not_to_be_cached(deployment: Deployment) -> None:
    assert deployment.http.client.get("/auth/request-access-token").headers["Cache-Control"] == "no-store"


def test_who_misspelt_a_member_reads_what_was_ignored_beside_what_is_missing(deployment: Deployment) -> None:
    document = with_member(initiate_document(new_token()), "consumer.device", {"serialnumber": "R58M123ABC"})

    answer = deployment.http.initiate(document)

    assert (answer.code, answer.message) == (
        1001,
        "consumer.device.serialNumber is required: a string of 1 to 50 characters;"
        " consumer.device.serialnumber is unknown and was ignored, did you mean consumer.device.serialNumber?",
    )


def test_what_was_ignored_of_a_good_request_is_in_the_log_by_name(deployment: Deployment) -> None:
    document = initiate_document(deployment.http.request_access_token())
    document["transaction"] |= {"fromBin": 444455, "4444555566661111": 1}

    assert deployment.http.initiate(document).code == 0
    events = [event for program in deployment.programs for event in program.events()]
    assert ["transaction.fromBin", "transaction.?"] in [event.get("ignored_members") for event in events]


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("consumer.device.serialNumber", 4711, "must be a string, not a number"),
        (
            "transaction.amountCentis",
            10.42,
            "must be an integer between -9223372036854775808 and 9223372036854775807, not a number with decimals",
        ),
        ("transaction", [], "must be an object, not a list"),
        ("consumer.ipAddresses", [None], "must be a string, not null"),
        ("location.lat", True, "must be a number, not true"),
    ],
)
def test_a_member_of_a_wrong_type_is_told_with_what_was_got(
    deployment: Deployment, path: str, value: object, words: str
) -> None:
    answer = deployment.http.initiate(with_member(initiate_document(new_token()), path, value))

    assert answer.code == 1001
    assert words in answer.message
