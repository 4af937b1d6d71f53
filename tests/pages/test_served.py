"""Pages are served where they are wanted only, whole, and with nothing from elsewhere."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from connectingparty.sale.v1.error_reason_pb2 import ErrorReason

from gateway.errors import KINDS
from gateway.pages.advice import ADVICE
from gateway.pages.markup import element
from gateway.routes import annotated_routes
from tests.merchant import write_config
from tests.running import ANY_PORT, Program, running, service_arguments
from tests.transports import answer_of

ASSETS = Path("gateway/pages/assets")


@pytest.fixture(scope="module")
def dev(server: Program) -> Iterator[httpx2.Client]:
    with server.client() as client:
        yield client


SETTINGS = f"""[http]
docs = true
[http.payment_gateway]
listen = "{ANY_PORT}"
"""


@pytest.fixture(scope="module")
def configured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """A server with the pages, not in development mode, which has another port for payment gateways."""
    folder = tmp_path_factory.mktemp("configured")
    config = write_config(folder / "sale.toml", SETTINGS)
    with (
        running(service_arguments(config, f"sqlite:///{folder / 'sale.db'}"), folder / "log") as program,
        program.client() as client,
    ):
        yield client


def test_a_setting_turns_them_on_without_the_sales_and_without_a_key(configured: httpx2.Client) -> None:
    told = [configured.get(path).status_code for path in ("/docs", "/docs/signatures", "/docs/errors")]

    assert told == [200, 200, 200]
    for path in ("/docs/sales", "/docs/sales/01a1fd15-0828-7b1a-99a6-e662919cf5bb"):
        assert answer_of(configured.get(path)).code == ErrorReason.ERROR_REASON_PATH_NOT_FOUND
    assert "/docs/sales" not in configured.get("/docs").text
    for path in ("/docs", "/docs/signatures"):
        assert not re.search(
            r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-0{0}444444444444", configured.get(path).text
        )


def test_what_another_port_serves_is_told_of_without_a_form(configured: httpx2.Client, dev: httpx2.Client) -> None:
    forms = [re.findall(r'data-name="(\w+)" data-method', client.get("/docs").text) for client in (configured, dev)]

    assert forms[0] == ["RequestAccessToken", "InitiateSale", "GetClientIds"]
    assert set(forms[1]) - set(forms[0]) == {"CheckSale", "NotifyCardMapping", "ReceiveCallback"}


def test_a_browser_is_told_to_load_and_run_nothing_from_elsewhere(dev: httpx2.Client) -> None:
    for path in ("/docs", "/docs/signatures", "/docs/errors", "/docs/sales", "/docs/assets/reference.js"):
        answer = dev.get(path)
        policy = dict(rule.split(" ", 1) for rule in answer.headers["Content-Security-Policy"].split("; "))

        assert policy["default-src"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
        assert {policy[rule] for rule in ("script-src", "style-src", "connect-src", "img-src")} == {"'self'"}
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert not re.search(r"<script>|style=|\son\w+=|(?:src|href)=\"(?:https?:)?//", answer.text)


def test_what_the_pages_refer_to_is_there(dev: httpx2.Client) -> None:
    pages = {path: dev.get(path).text for path in ("/docs", "/docs/signatures", "/docs/errors", "/docs/sales")}
    links = {link for text in pages.values() for link in re.findall(r'(?:src|href)="([^"]+)"', text)}
    imports = {
        f"/docs/assets/{name}"
        for file in ASSETS.glob("*.js")
        for name in re.findall(r'"\./(\w+\.js)"', file.read_text())
    }

    for link in links | imports:
        path, _, anchor = link.partition("#")
        if path:
            assert dev.get(path).status_code == 200, link
        if anchor and path in pages:
            assert f'id="{anchor}"' in pages[path], link
    assert {f"/docs/assets/{file.name}" for file in ASSETS.iterdir()} - links - imports == {
        "/docs/assets/signatures.json"
    }


def test_an_asset_that_there_is_not_is_told_as_everywhere(dev: httpx2.Client) -> None:
    for path in ("/docs/assets/other.js", "/docs/assets/..%2Fsite.py", "/docs/other"):
        assert answer_of(dev.get(path)).code == ErrorReason.ERROR_REASON_PATH_NOT_FOUND
    assert answer_of(dev.get("/docs/sales/no-sale")).code == ErrorReason.ERROR_REASON_INVOICE_NOT_FOUND
    assert answer_of(dev.post("/docs")).code == ErrorReason.ERROR_REASON_METHOD_NOT_ALLOWED


def test_the_reference_has_every_operation_and_every_field(configured: httpx2.Client) -> None:
    told, document = configured.get("/docs").text, configured.get("/openapi.json").json()

    for route in annotated_routes():
        assert f'<section id="{route.rpc.name}"' in told
        assert f"<code>{route.path}</code>" in told
    for title, schema in document["components"]["schemas"].items():
        for name in schema["properties"] if title not in {"Error", "QueryParameter"} else ():
            assert re.search(rf"[>.]{name}(?:\[\])?[<.]|&quot;{name}&quot;", told), name


def test_every_code_is_told_with_what_to_do_and_an_example(configured: httpx2.Client) -> None:
    told = configured.get("/docs/errors").text

    assert ADVICE.keys() == KINDS.keys()
    for code in KINDS:
        article = told.partition(f'<article id="{code}"')[2].partition("</article>")[0]
        assert f"&quot;code&quot;: &quot;{code}&quot;" in article
        assert f"<dd>{KINDS[code].http_status}</dd>" in article
        assert "<dt>What to do</dt>" in article


def test_errors_are_called_by_their_codes_and_lead_to_what_they_mean(dev: httpx2.Client) -> None:
    told = {path: dev.get(path).text for path in ("/docs", "/docs/errors")}

    assert not [path for path, text in told.items() if "ERROR_REASON_" in text]
    assert 'Answers <a href="/docs/errors#1004">1004 PATH_NOT_FOUND</a> where' in told["/docs"]
    assert 'are all <a href="/docs/errors#1106">1106 CLIENT_CARD_NOT_FOUND</a>.' in told["/docs"]


def test_what_is_no_markup_is_escaped() -> None:
    assert element("p", "<b>", element("b", "&"), title='"') == '<p title="&quot;">&lt;b&gt;<b>&amp;</b></p>'


def test_a_server_without_pages_does_not_load_them() -> None:
    code = "import json, sys, service.program.cli; print(json.dumps([m for m in sys.modules if 'pages' in m]))"
    listed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert set(json.loads(listed.stdout)) <= {"gateway.pages", "service.pages"}


@pytest.mark.parametrize(
    "host", ["shop.example", "shop.example:8080", "127.0.0.1.shop.example", "localhost.shop.example", "["]
)
def test_a_page_of_the_internet_that_gives_this_host_its_own_name_sees_no_sale(dev: httpx2.Client, host: str) -> None:
    for path in ("/docs/sales", "/docs/sales/no-sale"):
        assert answer_of(dev.get(path, headers={"Host": host})).code == ErrorReason.ERROR_REASON_PATH_NOT_FOUND


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8080", "127.0.0.1:8080", "[::1]:8080"])
def test_sales_are_shown_under_addresses_and_localhost(dev: httpx2.Client, host: str) -> None:
    assert dev.get("/docs/sales", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("path", ["/docs%0A", "/docs/sales%0A", "/healthz%0A", "/openapi.json%0A"])
def test_a_path_with_more_at_its_end_is_another_one(dev: httpx2.Client, path: str) -> None:
    assert answer_of(dev.get(path)).code == ErrorReason.ERROR_REASON_PATH_NOT_FOUND
