"""What those who operate a server are promised: starting, reloading, stopping, health, logs."""

import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any

import apsw
import grpc
import pytest
from connectingparty.sale.v1.access_token_service_pb2 import IssueAccessTokenRequest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from tests.conftest import DEPLOYMENTS, Deployment, deploy
from tests.merchant import (
    PROVIDERS,
    SBC,
    SERIAL_NUMBER,
    SESSION_TOKEN,
    Provider,
    check_document,
    initiate_document,
    new_token,
    sign,
    with_member,
    write_config,
)
from tests.running import ANY_PORT, running, service_arguments
from tests.stores import write_lock
from tests.transports import OverHttp


def wait_until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def test_health_is_told_over_both_wires(deployment: Deployment) -> None:
    alive, ready = (deployment.http.client.get(path) for path in ("/healthz", "/readyz"))
    health: Any = HealthStub(deployment.channel)

    assert (alive.status_code, alive.json()) == (200, {"status": "alive"})
    assert (ready.status_code, ready.json()) == (200, {"status": "ready"})
    for service in ("", "connectingparty.sale.v1.SaleService", "connectingparty.sale.v1.AccessTokenService"):
        assert health.Check(HealthCheckRequest(service=service), timeout=5).status == HealthCheckResponse.SERVING


def test_a_store_that_cannot_be_written_makes_the_server_unready(tmp_path: Path) -> None:
    with ExitStack() as stack:
        deployment = deploy(stack, "one process", tmp_path)
        document = initiate_document(deployment.http.request_access_token())
        with write_lock(tmp_path / "sale.db"):
            wait_until(lambda: deployment.http.client.get("/readyz").status_code == 503)
            over_grpc = stack.enter_context(ThreadPoolExecutor(1)).submit(deployment.grpc.initiate, document)
            over_http = deployment.http.initiate(document)
            assert deployment.http.client.get("/healthz").status_code == 200
            assert over_http.code == over_grpc.result().code == 4000

        wait_until(lambda: deployment.http.client.get("/readyz").status_code == 200)
        assert deployment.http.initiate(document).code == 0


def test_a_gateway_that_the_service_does_not_serve_is_not_ready(tmp_path: Path) -> None:
    key = "d1d5b1c6a1f84b6f8a0d5f4e7c3b2a19"
    reader = f'[[callers]]\nname = "books"\nroles = ["reader"]\nkey_hashes = ["{sha256(key.encode()).hexdigest()}"]\n'
    config, store = write_config(tmp_path / "sale.toml", reader), f"sqlite:///{tmp_path / 'sale.db'}"
    with running(service_arguments(config, store, "--no-http"), tmp_path / "service") as service:
        arguments = ["sale-gateway", "serve", f"--http={ANY_PORT}", f"--service={service.grpc}"]
        with running(arguments, tmp_path / "gateway", key=key) as gateway, gateway.client() as client:
            assert client.get("/readyz").status_code == 503
            line = gateway.wait_for_event("the service refuses the gateway")
            assert "ROLE_GATEWAY" in line["details"]
            assert client.get("/healthz").status_code == 200


@pytest.mark.parametrize("kind", ["one process", "two processes"])
def test_a_fault_of_the_server_tells_nothing_of_the_inside(tmp_path: Path, kind: str) -> None:
    with ExitStack() as stack:
        deployment = deploy(stack, kind, tmp_path)
        document = initiate_document(deployment.http.request_access_token())
        other = apsw.Connection(str(tmp_path / "sale.db"))
        other.execute("DROP TABLE sales")
        other.close()

        for transport in (deployment.http, deployment.grpc):
            answer = transport.initiate(document)
            assert answer.code == 3000
            told = re.fullmatch(r"The server failed; incident ([0-9a-f]{16})\.", answer.message)
            assert told is not None
            assert told[1] in [event.get("incident") for event in deployment.service.events()]


def test_a_gateway_without_its_service_says_so_and_recovers_by_itself(tmp_path: Path) -> None:
    config, store, log = write_config(tmp_path / "sale.toml"), f"sqlite:///{tmp_path}/sale.db", tmp_path / "log"
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    gateway_arguments = ["sale-gateway", "serve", f"--http={ANY_PORT}", f"--service={address}"]
    with running(gateway_arguments, tmp_path / "gateway.log") as gateway, gateway.client() as client:
        http = OverHttp(client)
        for _ in range(2):
            started = time.monotonic()
            away = client.post("/sale/initiate-sale", json=initiate_document(new_token()))
            assert time.monotonic() - started < 7
            assert away.status_code == 503
            assert away.json()["error"]["code"] == "4000"
            assert int(away.headers["Retry-After"]) >= 1
            assert client.get("/readyz").status_code == 503
            assert client.get("/healthz").status_code == 200

            service_arguments_here = [*service_arguments(config, store, "--no-http"), f"--grpc={address}"]
            with running(service_arguments_here, log):
                wait_until(lambda: client.get("/readyz").status_code == 200)
                assert http.initiate(initiate_document(http.request_access_token())).code == 0


def test_a_call_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    with ExitStack() as stack:
        deployment = deploy(stack, "two processes", tmp_path, '[http]\ndeadline = "300ms"\n')
        document = initiate_document(deployment.http.request_access_token())
        with write_lock(tmp_path / "sale.db"):
            response = deployment.http.client.post("/sale/initiate-sale", json=document)
            with pytest.raises(grpc.RpcError) as refusal:
                deployment.grpc.access_tokens.IssueAccessToken(IssueAccessTokenRequest(), timeout=0.3)

    assert response.status_code == 504
    assert response.json()["error"]["code"] == "4001"
    assert refusal.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("kind", DEPLOYMENTS)
def test_sigterm_answers_what_runs_and_exits_cleanly(tmp_path: Path, kind: str) -> None:
    with ExitStack() as stack:
        deployment = deploy(stack, kind, tmp_path)
        document = initiate_document(deployment.http.request_access_token())
        threads = stack.enter_context(ThreadPoolExecutor(8))
        with write_lock(tmp_path / "sale.db"):
            waiting = [threads.submit(deployment.http.initiate, document) for _ in range(4)]
            waiting += [threads.submit(deployment.grpc.initiate, document) for _ in range(4)]
            time.sleep(0.3)
            if deployment.gateway is not deployment.service:
                deployment.gateway.send(signal.SIGTERM)
            deployment.service.send(signal.SIGTERM)
            time.sleep(0.3)

        assert [answer.result().code for answer in waiting] == [0] * 8
        assert deployment.service.stop() == 0
        assert deployment.gateway.stop() == 0
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", int(str(deployment.gateway.http).split(":")[1])))


@pytest.mark.parametrize("kind", DEPLOYMENTS)
def test_what_runs_too_long_after_sigterm_is_told_that_the_server_is_unavailable(tmp_path: Path, kind: str) -> None:
    with ExitStack() as stack:
        deployment = deploy(stack, kind, tmp_path, 'shutdown_grace = "1s"\n')
        document = initiate_document(deployment.http.request_access_token())
        threads = stack.enter_context(ThreadPoolExecutor(1))
        with write_lock(tmp_path / "sale.db"):
            waiting = threads.submit(deployment.http.initiate, document)
            time.sleep(0.3)
            deployment.gateway.send(signal.SIGTERM)
            assert waiting.result().code == 4000

        assert deployment.gateway.stop() == 0


def test_workers_do_not_outlive_their_supervisor(tmp_path: Path) -> None:
    with ExitStack() as stack:
        deployment = deploy(stack, "two workers", tmp_path)
        os.kill(deployment.service.pid, signal.SIGKILL)

        wait_until(lambda: sum(event["event"] == "stopped" for event in deployment.service.events()) == 2)


NEW_KEY = "11111111-2222-3333-4444-555555555555"


def with_keys(*keys: str) -> list[Provider]:
    return [SBC._replace(control_key='", "'.join(keys)), *PROVIDERS[1:]]


@pytest.mark.parametrize("kind", DEPLOYMENTS)
def test_control_keys_are_rotated_without_a_restart(tmp_path: Path, kind: str) -> None:
    with ExitStack() as stack:
        deployment = deploy(stack, kind, tmp_path)
        http, config, workers = deployment.http, tmp_path / "sale.toml", 2 if kind == "two workers" else 1
        access_token = http.request_access_token()

        def reload(event: str, *keys: str) -> None:
            seen = sum(found["event"] == event for found in deployment.service.events())
            write_config(config, providers=with_keys(*keys))
            deployment.service.send(signal.SIGHUP)
            wait_until(lambda: sum(found["event"] == event for found in deployment.service.events()) == seen + workers)

        def check_signature(session: dict[str, dict[str, str]], key: str) -> str:
            return sign(key, SERIAL_NUMBER, session["session"]["nonce"], SBC.endpoint_id, str(session["invoiceId"]))

        old = http.initiate(initiate_document(access_token)).body
        reload("settings reloaded", NEW_KEY, SBC.control_key)
        new = http.initiate(initiate_document(access_token)).body
        for session in (old, new):
            checked = http.check(session["invoiceId"], check_document(access_token, session))
            assert checked.body["session"]["checkSignature"] == check_signature(session, NEW_KEY)

        never_checked = http.initiate(initiate_document(access_token)).body
        reload("settings not reloaded", "no key")
        assert http.initiate(initiate_document(access_token)).code == 0
        reload("settings reloaded", SBC.control_key)
        assert http.check(never_checked["invoiceId"], check_document(access_token, never_checked)).code == 1102


def test_reloading_drops_no_request(tmp_path: Path) -> None:
    with ExitStack() as stack:
        deployment = deploy(stack, "one process", tmp_path)
        document = initiate_document(deployment.http.request_access_token())
        threads = stack.enter_context(ThreadPoolExecutor(4))
        answers = [threads.submit(deployment.http.initiate, document) for _ in range(200)]
        for _ in range(20):
            deployment.service.send(signal.SIGHUP)
            time.sleep(0.01)

        assert {answer.result().code for answer in answers} == {0}


def test_a_token_goes_to_the_endpoint_that_it_is_bound_to(tmp_path: Path) -> None:
    twin = Provider("Elecsnet", "99990", "641553A4-322E-59FE-72F4-9FC7741477D9", "EUR")
    with ExitStack() as stack:
        config = write_config(tmp_path / "sale.toml", providers=(SBC, twin))
        service = stack.enter_context(
            running(service_arguments(config, f"sqlite:///{tmp_path}/sale.db"), tmp_path / "log")
        )
        deployment = Deployment([service], [service])
        stack.callback(deployment.close)

        def endpoint_of(request: IssueAccessTokenRequest) -> object:
            token = deployment.grpc.access_tokens.IssueAccessToken(request, timeout=5).access_token
            answer = deployment.http.initiate(initiate_document(token))
            return answer.body.get("endpointId", answer.code)

        assert endpoint_of(IssueAccessTokenRequest(endpoint_id=twin.endpoint_id)) == twin.endpoint_id
        assert endpoint_of(IssueAccessTokenRequest(endpoint_id=SBC.endpoint_id)) == SBC.endpoint_id
        assert endpoint_of(IssueAccessTokenRequest()) == 2002
        with pytest.raises(grpc.RpcError, match="endpointId"):
            deployment.grpc.access_tokens.IssueAccessToken(IssueAccessTokenRequest(endpoint_id="x"), timeout=5)


def test_a_merchants_own_tokens_are_taken_in_mode_any(tmp_path: Path) -> None:
    with ExitStack() as stack:
        extra = '[access_tokens]\nmode = "any"\npublic = false\n'
        deployment = deploy(stack, "one process", tmp_path, extra)
        token = "Токен " * 10
        session = deployment.http.initiate(initiate_document(token)).body

        assert deployment.http.check(session["invoiceId"], check_document(token, session)).code == 0
        assert deployment.http.initiate(initiate_document("x" * 31)).code == 1001
        assert deployment.http.client.get("/auth/request-access-token").json()["error"]["code"] == "1004"


def test_sessions_and_tokens_expire(tmp_path: Path) -> None:
    with ExitStack() as stack:
        extra = '[access_tokens]\nttl = "1500ms"\n[sessions]\nttl = "300ms"\n'
        deployment = deploy(stack, "one process", tmp_path, extra)
        access_token = deployment.http.request_access_token()
        unchecked, checked = (deployment.http.initiate(initiate_document(access_token)).body for _ in range(2))
        first = deployment.http.check(checked["invoiceId"], check_document(access_token, checked))
        time.sleep(0.4)

        for transport in (deployment.http, deployment.grpc):
            late = transport.check(unchecked["invoiceId"], check_document(access_token, unchecked))
            assert late.code == 1103
        again = deployment.http.check(checked["invoiceId"], check_document(access_token, checked))
        assert again == first
        wait_until(lambda: deployment.http.initiate(initiate_document(access_token)).code == 1101, 5)
        assert deployment.grpc.initiate(initiate_document(access_token)).code == 1101


@pytest.mark.parametrize("kind", DEPLOYMENTS)
def test_a_line_tells_each_request_and_no_line_tells_a_secret(tmp_path: Path, kind: str) -> None:
    with ExitStack() as stack:
        deployment = deploy(stack, kind, tmp_path)
        access_token, foreign_token = deployment.http.request_access_token(), new_token()
        document = initiate_document(access_token)
        key = "idempotency-key-1"
        session = deployment.http.initiate(document, key).body
        secrets = [access_token, foreign_token, SBC.control_key, key, *session["session"].values(), SESSION_TOKEN]
        secrets += [SERIAL_NUMBER, document["consumer"]["device"]["imei"], *document["consumer"]["ipAddresses"]]
        secrets += [bytes.fromhex(SBC.control_key.replace("-", "")).hex(), "127.0.0.1"]
        for transport in (deployment.http, deployment.grpc):
            checked = transport.check(session["invoiceId"], check_document(access_token, session))
            secrets.append(checked.body["session"]["checkSignature"])
            transport.check(session["invoiceId"], check_document(foreign_token, session))
            transport.check(foreign_token, check_document(access_token, session))
            transport.initiate(with_member(document, "consumer.device.serialNumber", foreign_token))
            transport.initiate(initiate_document(foreign_token))
        client = deployment.http.client
        client.get(f"/{foreign_token}?accessToken={foreign_token}")
        client.post(
            "/sale/initiate-sale", content=json.dumps(document)[:-1], headers={"Content-Type": "application/json"}
        )
        client.post("/sale/initiate-sale", json=document, headers={"X-Request-Id": "from-the-app"})
        deployment.service.send(signal.SIGHUP)
        deployment.service.wait_for_event("settings reloaded")
        deployment.gateway.stop()
        deployment.service.stop()

        events = deployment.gateway.events()
        requests = [event for event in events if event["event"] == "request" and "method" in event]
        lines = "\n".join(
            json.dumps(event) for event in [*events, *deployment.service.events()] if event["event"] != "serving"
        )
        assert [secret for secret in secrets if secret in lines] == []
        initiated = requests[1]
        assert initiated["method"] == "POST"
        assert initiated["route"] == "/sale/initiate-sale"
        assert initiated["status"] == 200
        assert initiated["invoice_id"] == session["invoiceId"]
        assert initiated["endpoint_id"] == SBC.endpoint_id
        assert initiated["provider"] == SBC.name
        assert initiated["duration_ms"] > 0
        assert "code" not in initiated
        mismatch = next(event for event in requests if event.get("code") == 1102)
        assert mismatch["route"] == "/sale/{invoice_id}/check"
        assert mismatch["provider"] == SBC.name
        assert [event for event in requests if event["request_id"] == "from-the-app"]
        if kind == "two processes":
            service_side = [event for event in deployment.service.events() if event.get("request_id") == "from-the-app"]
            assert [event["rpc"] for event in service_side] == ["/connectingparty.sale.v1.SaleService/InitiateSale"]


def test_a_worker_that_dies_is_replaced_by_one_with_the_keys_of_today(tmp_path: Path) -> None:
    with ExitStack() as stack:
        deployment = deploy(stack, "two workers", tmp_path)
        write_config(tmp_path / "sale.toml", providers=with_keys(NEW_KEY))
        deployment.service.send(signal.SIGHUP)
        children = Path(f"/proc/{deployment.service.pid}/task/{deployment.service.pid}/children")
        before = set(children.read_text().split())
        os.kill(int(max(before, key=int)), signal.SIGKILL)
        deployment.service.wait_for_event("worker died")
        wait_until(lambda: len(set(children.read_text().split()) - before) == 1)

        deployment.service.wait_for_event("worker replaced")

        for _ in range(20):
            with deployment.service.client() as client:
                http = OverHttp(client)
                token = http.request_access_token()
                opened = http.initiate(initiate_document(token)).body
                assert opened["session"]["signature"] == sign(
                    NEW_KEY,
                    token,
                    SERIAL_NUMBER,
                    SBC.endpoint_id,
                    opened["session"]["nonce"],
                    opened["invoiceId"],
                    "1042",
                    SBC.currency,
                )
        assert deployment.service.stop() == 0


def test_a_worker_that_cannot_be_replaced_is_tried_again_while_the_others_serve(tmp_path: Path) -> None:
    with ExitStack() as stack:
        deployment = deploy(stack, "two workers", tmp_path)
        children = Path(f"/proc/{deployment.service.pid}/task/{deployment.service.pid}/children")
        with write_lock(tmp_path / "sale.db"):  # a worker that starts needs the write lock
            os.kill(int(max(children.read_text().split(), key=int)), signal.SIGKILL)
            deployment.service.wait_for_event("worker not replaced", 20)

        deployment.service.wait_for_event("worker replaced", 20)
        assert deployment.service.stop() == 0
