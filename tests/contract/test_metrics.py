"""What Prometheus reads: everything that happens is counted once, in whichever form the server runs."""

import os
import shutil
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
from connectingparty.sale.v1.sale_service_pb2 import WatchSalesRequest

from tests.certificates import Authority
from tests.conftest import DEPLOYMENTS, Deployment, deploy
from tests.merchant import (
    SBC,
    callback_parameters,
    check_document,
    initiate_document,
    new_token,
    write_config,
)
from tests.running import ANY_PORT, Program, running, service_arguments
from tests.scraping import Scrape, scrape, values_by
from tests.stores import schema, write_lock
from tests.transports import OverHttp

METRICS = '[metrics]\nlisten = "127.0.0.1:0"\n'
STATES = (
    "INITIATED",
    "CHECKED",
    "EXPIRED",
    "APPROVED",
    "DECLINED",
    "FILTERED",
    "FAILED",
    "REVERSED",
    "CHARGED_BACK",
)
HAND_ON_SECONDS = 1.2
"""After so long every worker tells what each has counted."""
CHECK = "/sale/{invoice_id}/check"


@pytest.fixture(scope="module", params=DEPLOYMENTS)
def measured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with ExitStack() as stack:
        yield deploy(stack, request.param, tmp_path_factory.mktemp("measured"), METRICS)


def trade(deployment: Deployment) -> None:
    """Let one sale be approved, with a little of what goes wrong in between."""
    http, token = deployment.http, deployment.http.request_access_token()
    opened = http.initiate(initiate_document(token), "key-1").body
    assert http.initiate(initiate_document(token), "key-1").body == opened
    invoice_id = opened["invoiceId"]
    assert http.check(invoice_id, check_document(new_token(), opened)).code == 1102
    assert http.check(invoice_id, check_document(token, opened)).code == 0
    assert http.check(invoice_id, {**check_document(token, opened), "fromBin": 444455, "4444555566661111": 1}).code == 0
    wrong = {**callback_parameters(invoice_id), "control": "0" * 40}
    assert http.callback(wrong).code == 1109
    for parameters in (
        callback_parameters(invoice_id, "processing"),
        callback_parameters(invoice_id, amount="99.99"),
        callback_parameters(invoice_id, amount="99.99"),
        callback_parameters(invoice_id, "declined"),
    ):
        assert http.callback(parameters).code == 0
    assert http.client.get(f"/{new_token()}").status_code == 404


def test_all_that_happens_to_a_sale_is_counted_once(measured: Deployment) -> None:
    trade(measured)
    time.sleep(HAND_ON_SECONDS)
    gateway, service = scrape(measured.gateway), scrape(measured.service)

    assert gateway.value("sale_http_requests_total", route=CHECK, status="200", code="OK", provider="SBC") == 2
    assert gateway.value("sale_http_requests_total", route=CHECK, status="403", code="1102", provider="SBC") == 1
    assert gateway.value("sale_http_ignored_members_total", route=CHECK, member="fromBin") == 1
    assert gateway.value("sale_http_ignored_members_total", route=CHECK, member="?") == 1
    assert gateway.value("sale_http_requests_total", route="none", status="404", code="1004", provider="") == 1
    assert gateway.value("sale_http_request_duration_seconds_count", route=CHECK, outcome="succeeded") == 2
    assert gateway.value("sale_http_request_duration_seconds_count", route=CHECK, outcome="refused") == 1
    assert gateway.total("sale_http_request_duration_seconds_bucket", route=CHECK, le="10.0") == 3
    assert 0 < gateway.total("sale_http_request_duration_seconds_sum", route=CHECK) < 10

    rpc = {"grpc_type": "unary", "grpc_service": "connectingparty.sale.v1.SaleService", "grpc_method": "CheckSale"}
    assert service.value("grpc_server_started_total", **rpc) == 3
    assert service.value("grpc_server_handled_total", **rpc, grpc_code="OK") == 2
    assert service.value("grpc_server_handled_total", **rpc, grpc_code="PermissionDenied") == 1
    assert service.value("grpc_server_handling_seconds_count", **rpc) == 3
    assert service.value("sale_refusals_total", method="CheckSale", code="1102", provider="SBC") == 1
    assert service.value("sale_refusals_total", method="ReceiveCallback", code="1109", provider="SBC") == 1

    states = {state: service.value("sale_state_changes_total", state=state, provider="SBC") for state in STATES}
    assert states == {**dict.fromkeys(STATES, 0), "INITIATED": 1, "CHECKED": 1, "APPROVED": 1}
    outcomes = {
        outcome: service.value("sale_callbacks_total", outcome=outcome, provider="SBC")
        for outcome in values_by(service, "sale_callbacks_total", "outcome")
    }
    assert outcomes == {"moved": 1, "late": 0, "repeated": 1, "without_effect": 1, "other": 1, "refused": 0}
    assert service.value("sale_callback_amount_mismatches_total", provider="SBC") == 1
    assert service.value("sale_access_tokens_issued_total") == 1
    assert service.value("sale_idempotent_replays_total") == 1
    assert service.value("sale_store_call_seconds_count", call="bind_check") == 2
    assert service.value("sale_store_commit_seconds_count") > 0
    assert service.value("sale_store_commit_writes_sum") >= service.value("sale_store_commit_writes_count")
    assert service.total("sale_housekeeping_runs_total", result="succeeded") >= 1
    assert service.value("sale_housekeeping_last_success_timestamp_seconds") > 1.7e9
    assert service.total("sale_build_info", store="sqlite") == 1


def test_names_that_clients_choose_do_not_become_series_without_end(measured: Deployment) -> None:
    for number in range(40):
        names = ("".join(chr(ord("a") + int(digit)) for digit in f"{number * 8 + each}") for each in range(8))
        measured.http.initiate({f"m{name}": 1 for name in names})
    time.sleep(HAND_ON_SECONDS)

    members = values_by(scrape(measured.gateway), "sale_http_ignored_members_total", "member")
    assert "other" in members
    assert len(members) < 210  # of two processes


def test_no_secret_and_no_id_is_in_a_metric(measured: Deployment) -> None:
    http, token = measured.http, measured.http.request_access_token()
    opened = http.initiate(initiate_document(token)).body
    http.check(opened["invoiceId"], check_document(token, opened))
    http.check(new_token(), check_document(token, opened))
    http.client.get(f"/{token}", headers={"X-Request-Id": token})
    http.client.post(f"/sale/{token}/check")
    text = scrape(measured.gateway).text + scrape(measured.service).text

    secrets = [token, opened["invoiceId"], *opened["session"].values(), SBC.control_key, "R58M123ABC"]
    assert [secret for secret in secrets if secret in text] == []


def test_to_ask_whether_it_is_ready_is_no_refusal(measured: Deployment) -> None:
    assert measured.http.client.get("/readyz").status_code == 200
    time.sleep(HAND_ON_SECONDS)

    assert scrape(measured.service).total("sale_refusals_total", method="CheckSale", code="1001") == 0
    (line,) = [event for event in measured.gateway.events() if event.get("route") == "/readyz"]
    assert line["status"] == 200
    assert "code" not in line


def test_nothing_but_get_metrics_is_answered(measured: Deployment) -> None:
    base = f"http://{measured.gateway.metrics}"
    for path in ("/", "/metrics/", "/healthz", "/sale/initiate-sale"):
        response = httpx2.get(base + path)
        assert response.status_code == 404
        assert response.json()["error"]["code"] == "1004"
    refused = httpx2.post(f"{base}/metrics")
    assert refused.status_code == 405
    assert refused.headers["Allow"] == "GET, HEAD"
    head = httpx2.head(f"{base}/metrics")
    assert (head.status_code, head.content) == (200, b"")
    with measured.gateway.client() as client:
        assert client.get("/metrics").status_code == 404  # whoever reaches the other ports reads nothing


@pytest.mark.parametrize("measured", ["one process"], indirect=True)
def test_whoever_watches_is_counted_and_how_far_behind_he_is(measured: Deployment) -> None:
    changes = measured.grpc.sales.WatchSales(WatchSalesRequest(), timeout=30)
    measured.http.initiate(initiate_document(measured.http.request_access_token()))
    assert next(changes).sale.invoice_id
    watched = scrape(measured.service)
    changes.cancel()

    assert watched.value("sale_watch_readers") == 1
    assert watched.value("sale_watch_lag_seconds") == 0
    assert watched.value("sale_cache_misses_total", cache="changes") > 0


@pytest.mark.parametrize("measured", ["two workers"], indirect=True)
def test_no_worker_counts_into_room_that_a_full_disk_would_not_have(measured: Deployment) -> None:
    files = [file.stat() for file in shared_folder(measured.service).iterdir()]

    assert files
    assert [file for file in files if file.st_blocks * 512 < file.st_size] == []


@pytest.mark.parametrize("measured", ["two workers"], indirect=True)
def test_a_worker_that_replaces_another_counts_on(measured: Deployment) -> None:
    program = measured.service
    for _ in range(20):
        measured.http.request_access_token()
    time.sleep(HAND_ON_SECONDS)
    before, files = scrape(program), set(shared_folder(program).iterdir())
    os.kill(last_worker(program), signal.SIGKILL)
    program.wait_for_event("worker replaced", 20)
    time.sleep(HAND_ON_SECONDS)
    after = scrape(program)

    issued = "sale_access_tokens_issued_total"
    assert after.value(issued) == before.value(issued) >= 20
    assert after.value("process_start_time_seconds") > before.value("process_start_time_seconds")
    assert after.value("process_cpu_seconds_total") > before.value("process_cpu_seconds_total")
    assert set(shared_folder(program).iterdir()) == files
    folder = shared_folder(program)
    assert program.stop() == 0
    assert not folder.exists()


def test_sales_go_on_where_a_worker_can_share_no_metrics(tmp_path: Path) -> None:
    with ExitStack() as stack:
        deployment = deploy(stack, "two workers", tmp_path, METRICS)
        program = deployment.service
        shutil.rmtree(shared_folder(program))
        os.kill(last_worker(program), signal.SIGKILL)
        program.wait_for_event("worker replaced", 20)

        assert deployment.http.initiate(initiate_document(deployment.http.request_access_token())).code == 0
        assert program.wait_for_event("metrics of this worker not shared")["fault"] == "No such file or directory"
        scrape(program)


def last_worker(program: Program) -> int:
    """Return the id of a worker's process."""
    return int(Path(f"/proc/{program.pid}/task/{program.pid}/children").read_text().split()[-1])


def shared_folder(program: Program) -> Path:
    """Return where its workers keep what they count."""
    children = Path(f"/proc/{program.pid}/task/{program.pid}/children").read_text().split()
    mapped = "".join(Path(f"/proc/{pid}/maps").read_text() for pid in children)
    return next(Path(line.split()[-1]).parent for line in mapped.splitlines() if "sale-metrics-" in line)


def test_what_the_store_refuses_is_counted(tmp_path: Path) -> None:
    config = write_config(tmp_path / "sale.toml")
    arguments = service_arguments(config, f"sqlite:///{tmp_path}/sale.db", f"--metrics={ANY_PORT}")
    with running(arguments, tmp_path / "log") as program, program.client() as client:
        http = OverHttp(client)
        document = initiate_document(http.request_access_token())
        with write_lock(tmp_path / "sale.db"):
            assert http.initiate(document).code == 4000
        found = scrape(program)

    assert found.value("sale_store_unavailable_total") >= 1
    assert found.value("sale_store_retries_total") > 0
    assert found.total("sale_http_requests_total", status="503", code="4000") == 1


def test_connections_to_postgresql_are_told(postgresql_url: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        service = deploy(stack, "one process", tmp_path, METRICS, store=stack.enter_context(schema(postgresql_url)))
        opened = service.http.initiate(initiate_document(service.http.request_access_token())).body
        assert service.http.callback(callback_parameters(opened["invoiceId"])).code == 0
        found = scrape(service.service)

        assert found.value("sale_store_connections") == 10
        assert found.value("sale_store_connections_in_use") <= 10
        assert found.value("sale_state_changes_total", state="APPROVED", provider="SBC") == 1
        assert found.value("sale_store_commit_writes_count") == 1
        assert found.total("sale_build_info", store="postgresql") == 1


def test_refusals_and_the_end_of_certificates_are_told_by_tls_too(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    files = authority.server()
    tls = f'tls_cert = "{files.certificate}"\ntls_key = "{files.key}"\n'
    config = write_config(tmp_path / "sale.toml", f"{METRICS}{tls}[http.limits]\nconnections = 1\n")
    with ExitStack() as stack:
        arguments = service_arguments(config, f"sqlite:///{tmp_path}/sale.db")
        program = stack.enter_context(running(arguments, tmp_path / "log"))
        host, port = str(program.http).split(":")
        first = stack.enter_context(socket.create_connection((host, int(port))))
        time.sleep(0.1)
        second = stack.enter_context(socket.create_connection((host, int(port))))
        assert second.recv(100).startswith(b"HTTP/1.1 503")
        first.sendall(b"no request\r\n\r\n")
        assert first.recv(100).startswith(b"HTTP/1.1 400")
        trusting = ssl.create_default_context(cafile=authority.certificate)
        found = Scrape(httpx2.get(f"https://{program.metrics}/metrics", verify=trusting).text)

    assert found.value("sale_http_refused_total", limit="connections") == 1
    assert found.value("sale_http_refused_total", limit="malformed") == 1
    assert found.value("sale_http_refused_total", limit="in_flight") == 0
    end = found.value("sale_certificate_not_after_timestamp_seconds", listener="metrics")
    assert time.time() < end < time.time() + 2 * 86_400
