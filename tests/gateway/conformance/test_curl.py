"""The line that shows a failure again is what a shell takes, whatever the request holds."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request as Received
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gateway.conformance.curl import curl_line
from gateway.conformance.exchanges import Request
from gateway.conformance.wire import Tls
from tests.gateway.conformance.serving import serving


async def echo(request: Received) -> Response:
    body = await request.body()
    return JSONResponse([request.method, str(request.url.query), request.headers.get("X-Note", ""), body.hex()])


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(Starlette(routes=[Route("/{path:path}", echo, methods=["GET", "POST", "DELETE", "OPTIONS"])])) as url:
        yield url


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize(
    "body",
    [
        None,
        b"",
        b'{"a": "it\'s $HOME `id` \\" \\\\ %s"}',
        "Серийный-№7".encode(),
        b"@/etc/hostname",
        b"a\0b",
        b'{"a": "\xff\xfe\'"}',
        b'{"a": "' + b"x" * 3000 + b'"}',
        b'{"a":' * 700 + b"'%\\",
        b"-" * 3000,
        b"\0" * 3000,
    ],
    ids=lambda body: repr(body)[:20],
)
def test_a_line_sends_the_same_request_again(url: str, body: bytes | None) -> None:
    method = "GET" if body is None else "POST"
    line = curl_line(Request(method, f"{url}/sale?a=1&b=it's", (("X-Note", "it's"),), body), Tls())
    ended = subprocess.run(line, check=True, shell=True, capture_output=True)  # noqa: S602  # a line for a shell

    answer = json.loads(ended.stdout.partition(b"\r\n\r\n")[2])
    assert answer == [method, "a=1&b=it's", "it's", (body or b"").hex()]


def test_a_line_knows_the_server_as_the_kit_does() -> None:
    request = Request("DELETE", "https://sale.example.com/")

    assert curl_line(request, Tls(insecure=True)) == "curl -sS -i -k -X DELETE https://sale.example.com/"
    trusted = Tls(ca=Path("ca.pem"), certificate=Path("own.pem"), key=Path("own.key"))
    assert "--cacert ca.pem --cert own.pem --key own.key" in curl_line(request, trusted)
