"""Traces: one of each request, from the JSON gateway to the store, whichever processes are between."""

import json
import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from connectingparty.sale.v1.sale_service_pb2 import GetSaleRequest

from tests.collecting import Collector, Span, collector
from tests.conftest import Deployment, deploy
from tests.merchant import (
    SBC,
    callback_parameters,
    check_document,
    initiate_document,
    new_token,
    notification_document,
    write_config,
)
from tests.running import ANY_PORT, PROGRAMS, running, service_arguments

SALES = "connectingparty.sale.v1.SaleService"
NOT_INSTALLED = "tracing.otlp_endpoint: needs the packages of the extra otel: pip install '.[otel]'"
INITIATE = "POST /sale/initiate-sale"


@pytest.fixture(scope="module")
def receiver() -> Iterator[Collector]:
    with collector() as running_collector:
        yield running_collector


@pytest.fixture(scope="module", params=["one process", "two processes"])
def traced(
    request: pytest.FixtureRequest, receiver: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    with ExitStack() as stack:
        extra = f'[tracing]\notlp_endpoint = "{receiver.url}"\n'
        yield deploy(
            stack,
            request.param,
            tmp_path_factory.mktemp("traced"),
            extra,
            environment={"OTEL_BSP_SCHEDULE_DELAY": "50"},
        )


class Client:
    """Who begins traces: `traceparent` of each request, sampled or not."""

    def __init__(self, *, sampled: bool = True) -> None:
        self.trace_id, self.span_id = secrets.token_hex(16), secrets.token_hex(8)
        self.traceparent = f"00-{self.trace_id}-{self.span_id}-{'01' if sampled else '00'}"


def only(spans: list[Span], name: str, kind: str) -> Span:
    (found,) = [span for span in spans if span.name == name and span.kind == kind]
    return found


def test_a_request_is_one_trace_from_the_client_to_the_store(traced: Deployment, receiver: Collector) -> None:
    client = Client()
    document = initiate_document(traced.http.request_access_token())
    headers = {"traceparent": client.traceparent, "tracestate": "a=canary", "X-Request-Id": "request-1"}
    opened = traced.http.client.post("/sale/initiate-sale", json=document, headers=headers).json()
    spans = receiver.wait_for(client.trace_id, {INITIATE, f"{SALES}/InitiateSale", "open_session"})

    request = only(spans, INITIATE, "SERVER")
    assert request.parent_id == client.span_id
    assert request.attributes == {
        "http.request.method": "POST",
        "url.scheme": "http",
        "http.route": "/sale/initiate-sale",
        "http.response.status_code": 200,
        "sale.request_id": "request-1",
        "sale.invoice_id": opened["invoiceId"],
        "sale.provider": "SBC",
    }
    call, served = (only(spans, f"{SALES}/InitiateSale", kind) for kind in ("CLIENT", "SERVER"))
    assert call.parent_id == request.span_id
    assert served.parent_id == call.span_id
    rpc = {"rpc.system": "grpc", "rpc.service": SALES, "rpc.method": "InitiateSale", "rpc.grpc.status_code": 0}
    assert call.attributes == rpc
    assert served.attributes == {
        **rpc,
        "sale.request_id": "request-1",
        "sale.invoice_id": opened["invoiceId"],
        "sale.provider": "SBC",
    }
    store = [span for span in spans if "db.operation.name" in span.attributes]
    assert {"find_access_token", "open_session"} <= {span.name for span in store}
    assert all(span.parent_id == served.span_id and span.kind == "CLIENT" for span in store)
    assert only(store, "open_session", "CLIENT").attributes == {
        "db.system.name": "sqlite",
        "db.operation.name": "open_session",
    }
    assert not any(span.is_error for span in spans)
    assert not any(span.message.trace_state for span in spans)  # it can be as large as headers can be
    two = traced.gateway is not traced.service
    assert (request.service, served.service) == ("sale-gateway" if two else "sale-service", "sale-service")


def test_a_whole_sale_tells_no_secret(traced: Deployment, receiver: Collector) -> None:
    token, foreign, client = traced.http.request_access_token(), new_token(), Client()
    traced.http.client.headers["traceparent"] = client.traceparent
    try:
        http = traced.http
        opened = http.initiate(initiate_document(token), "key-of-the-app").body
        assert http.check(opened["invoiceId"], check_document(foreign, opened)).code == 1102
        assert http.check(opened["invoiceId"], check_document(token, opened)).code == 0
        assert http.notify(notification_document(token)).code == 0
        assert http.callback(callback_parameters(opened["invoiceId"])).code == 0
        http.client.get(f"/{foreign}?accessToken={foreign}")
    finally:
        del traced.http.client.headers["traceparent"]
    spans = receiver.wait_for(client.trace_id, {"GET /sale/callback", "GET", "report_status", "map_card"})

    told = "".join(str(span.message) for span in spans)
    hidden = [token, foreign, SBC.control_key, "key-of-the-app", *opened["session"].values(), "R58M123ABC", "77000001"]
    assert [secret for secret in [*hidden, "444455", "127.0.0.1"] if secret in told] == []
    assert not any(span.message.events for span in spans)
    refused = next(span for span in spans if span.attributes.get("http.response.status_code") == 403)
    assert refused.attributes["sale.error.code"] == 1102
    assert not refused.is_error  # it is the client's


def test_a_trace_that_the_client_does_not_want_is_not_sent(traced: Deployment, receiver: Collector) -> None:
    unwanted, wanted = Client(sampled=False), Client()
    for client in (unwanted, wanted):
        traced.http.client.get("/auth/request-access-token", headers={"traceparent": client.traceparent})
    receiver.wait_for(wanted.trace_id, {"add_access_token", "GET /auth/request-access-token"})

    assert receiver.trace(unwanted.trace_id) == []


@pytest.mark.parametrize("headers", [{}, {"traceparent": "00-nothing-of-the-kind-01"}])
def test_a_trace_begins_here_where_nobody_has_begun_it(
    traced: Deployment, receiver: Collector, headers: dict[str, str]
) -> None:
    request_id = secrets.token_hex(8)
    traced.http.client.get("/auth/request-access-token", headers={"X-Request-Id": request_id, **headers})
    deadline, found = time.monotonic() + 10, list[Span]()
    while not found:
        assert time.monotonic() < deadline
        time.sleep(0.02)
        found = [span for span in receiver.spans if span.attributes.get("sale.request_id") == request_id]
        found = [span for span in found if "http.route" in span.attributes]

    assert [span.parent_id for span in found] == [""]


def test_the_merchants_own_calls_continue_their_traces(traced: Deployment, receiver: Collector) -> None:
    client = Client()
    with pytest.raises(grpc.RpcError):
        traced.grpc.sales.GetSale(
            GetSaleRequest(invoice_id=new_token()), timeout=5, metadata=(("traceparent", client.traceparent),)
        )
    served = only(receiver.wait_for(client.trace_id, {f"{SALES}/GetSale"}), f"{SALES}/GetSale", "SERVER")

    assert served.parent_id == client.span_id
    assert served.attributes["rpc.grpc.status_code"] == grpc.StatusCode.NOT_FOUND.value[0]
    assert served.attributes["sale.error.code"] == 1104
    assert not served.is_error


def test_probes_are_in_no_trace(traced: Deployment, receiver: Collector) -> None:
    client = Client()
    for path in ("/healthz", "/readyz"):
        traced.http.client.get(path, headers={"traceparent": client.traceparent})
    marker = Client()
    traced.http.client.get("/auth/request-access-token", headers={"traceparent": marker.traceparent})
    receiver.wait_for(marker.trace_id, {"GET /auth/request-access-token"})

    assert receiver.trace(client.trace_id) == []
    assert not [span for span in receiver.spans if span.name == "ping" or "Health" in span.name]


def test_log_lines_tell_the_trace_beside_the_request(traced: Deployment) -> None:
    client = Client()
    headers = {"traceparent": client.traceparent, "X-Request-Id": client.span_id}
    traced.http.client.get("/auth/request-access-token", headers=headers)

    for program in traced.programs:
        lines = [event for event in program.events() if event.get("request_id") == client.span_id]
        assert [line["trace_id"] for line in lines] == [client.trace_id] * len(lines)
        assert lines


def test_a_collector_that_is_away_costs_one_line_and_no_time(tmp_path: Path) -> None:
    extra = '[tracing]\notlp_endpoint = "http://127.0.0.1:9"\n'
    config = write_config(tmp_path / "sale.toml", extra)
    arguments = service_arguments(config, f"sqlite:///{tmp_path}/sale.db")
    with running(arguments, tmp_path / "log", environment={"OTEL_BSP_SCHEDULE_DELAY": "50"}) as program:
        with program.client() as client:
            for _ in range(20):
                assert client.get("/auth/request-access-token").status_code == 200
        began = time.monotonic()
        assert program.stop() == 0
        assert time.monotonic() - began < 6
        events = [event["event"] for event in program.events() if event["level"] != "info"]
        assert events.count("traces not sent") <= 1
        assert set(events) <= {"traces not sent"}


@pytest.mark.parametrize("program", ["sale-service", "sale-gateway"])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_without_the_packages_of_traces_says_how_to_get_them(
    tmp_path: Path, program: str, workers: int
) -> None:
    ended = without_opentelemetry(tmp_path, program, "serve", f"--http={ANY_PORT}", f"--workers={workers}")

    assert (ended.returncode, ended.stderr) == (2, f"Error: {NOT_INSTALLED}\n")


def test_doctor_finds_the_packages_of_traces_missing(tmp_path: Path) -> None:
    ended = without_opentelemetry(tmp_path, "sale-service", "doctor", "--json", f"--store=sqlite:///{tmp_path}/sale.db")

    told = {line["check"]: line for line in map(json.loads, ended.stdout.splitlines())}
    assert (told["tracing"]["grade"], told["tracing"]["found"]) == ("FAIL", NOT_INSTALLED)
    assert ended.returncode == 1


def without_opentelemetry(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program with traces where their packages can't be found."""
    config = write_config(folder / "sale.toml", '[tracing]\notlp_endpoint = "http://127.0.0.1:9"\n')
    shadow = folder / "shadow" / "opentelemetry"
    shadow.mkdir(parents=True)
    (shadow / "__init__.py").touch()
    return subprocess.run(
        [str(PROGRAMS / arguments[0]), *arguments[1:], f"--config={config}"],
        env={**os.environ, "PYTHONPATH": str(shadow.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_spans_that_wait_are_sent_at_the_end(tmp_path: Path, receiver: Collector) -> None:
    client = Client()
    config = write_config(tmp_path / "sale.toml", f'[tracing]\notlp_endpoint = "{receiver.url}"\n')
    arguments = service_arguments(config, f"sqlite:///{tmp_path}/sale.db")
    with running(arguments, tmp_path / "log", environment={"OTEL_BSP_SCHEDULE_DELAY": "60000"}) as program:
        with program.client() as http:
            http.get("/auth/request-access-token", headers={"traceparent": client.traceparent})
        assert receiver.trace(client.trace_id) == []
        assert program.stop() == 0

    assert "GET /auth/request-access-token" in {span.name for span in receiver.trace(client.trace_id)}
