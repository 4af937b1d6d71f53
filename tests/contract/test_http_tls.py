"""The HTTP ports by TLS: modern only, with certificates that change while they are served, and clients with theirs."""

import signal
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509

from tests.certificates import Authority, CertificateFiles
from tests.contract.test_sale import opened
from tests.merchant import PROVIDERS, callback_parameters, check_document, write_config
from tests.running import ANY_PORT, Program, running, service_arguments
from tests.sockets import connect, read_to_end
from tests.transports import OverHttp

CERTIFIED = PROVIDERS[0]._replace(more='payment_gateway = {certificates = ["sbc.example", "spiffe://sbc/sale"]}\n')
PROXIED = PROVIDERS[1]._replace(more='payment_gateway = {addresses = ["192.0.2.0/24", "2001:db8::/32"]}\n')


class Tls:
    """A server by TLS on two ports, and the files that it reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clients_made = ExitStack()
        self.authority = Authority(folder)
        self.certificate = self.authority.server()
        self.clients = Authority(folder, "clients")
        self.payment_gateway = self.clients.client(
            "sbc", "sbc.example", x509.UniformResourceIdentifier("spiffe://sbc/sale")
        )
        files = f'tls_cert = "{self.certificate.certificate}"\ntls_key = "{self.certificate.key}"\n'
        files += f'client_ca = "{self.clients.certificate}"\n'
        self.settings = (
            f'[http]\ntrusted_proxies = ["127.0.0.7"]\n{files}[http.limits]\nhandshake = "3s"\n'
            f'[http.payment_gateway]\nlisten = "{ANY_PORT}"\n{files}'
        )

    def context(self, client: CertificateFiles | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.folder / "authority.pem"))
        if client is not None:
            context.load_cert_chain(client.certificate, client.key)
        return context

    def client(self, address: Any, client: CertificateFiles | None = None, source: str = "127.0.0.1") -> OverHttp:
        transport = httpx2.HTTPTransport(verify=self.context(client), local_address=source)
        client_of = httpx2.Client(base_url=f"https://{address}", transport=transport, timeout=20.0)
        self.clients_made.callback(client_of.close)
        return OverHttp(client_of)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return Tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(autouse=True)
def closed_clients(tls: Tls) -> Iterator[None]:
    with tls.clients_made:
        yield


@pytest.fixture(scope="module", params=["one process", "two processes", "two workers"])
def server(request: pytest.FixtureRequest, tls: Tls) -> Iterator[Program]:
    folder = tls.folder / request.param.replace(" ", "-")
    folder.mkdir()
    config = write_config(folder / "sale.toml", tls.settings, (CERTIFIED, PROXIED))
    arguments = service_arguments(config, f"sqlite:///{folder}/sale.db")
    with ExitStack() as stack:
        if request.param == "two processes":
            service = stack.enter_context(running([*arguments, "--no-http"], folder / "service.log"))
            serve = ["sale-gateway", "serve", f"--config={config}", f"--http={ANY_PORT}", f"--service={service.grpc}"]
            yield stack.enter_context(running(serve, folder / "gateway.log"))
        else:
            workers = ["--workers=2"] if request.param == "two workers" else []
            yield stack.enter_context(running([*arguments, *workers], folder / "service.log"))


def payment_gateway_port(server: Program) -> str:
    return str(server.wait_for_event("serving")["http_payment_gateway"])


def test_the_consumers_port_serves_consumers_and_nothing_of_the_payment_gateways(server: Program, tls: Tls) -> None:
    consumer = tls.client(server.http)
    access_token, sale = opened(consumer, CERTIFIED)

    assert consumer.check(sale["invoiceId"], check_document(access_token, sale)).code == 1004
    assert consumer.callback({}).code == 1004
    assert consumer.notify({}).code == 1004
    assert consumer.client.get("/healthz").status_code == 200


def test_the_payment_gateways_port_serves_who_has_a_certificate_and_nothing_of_the_consumers(
    server: Program, tls: Tls
) -> None:
    access_token, sale = opened(tls.client(server.http), CERTIFIED)
    gateway = tls.client(payment_gateway_port(server), tls.payment_gateway)

    assert gateway.check(sale["invoiceId"], check_document(access_token, sale)).code == 0
    assert gateway.initiate({}).code == 1004
    assert gateway.client_ids(sale["invoiceId"], {}).code == 1004
    assert gateway.client.get("/auth/request-access-token").status_code == 404
    assert gateway.client.get("/readyz").status_code == 200


def test_a_certificate_of_somebody_else_is_not_the_payment_gateways(server: Program, tls: Tls) -> None:
    access_token, sale = opened(tls.client(server.http), CERTIFIED)
    somebody = tls.client(payment_gateway_port(server), tls.clients.client("somebody", "somebody.example"))

    assert somebody.check(sale["invoiceId"], check_document(access_token, sale)).code == 1111


def test_nobody_without_a_certificate_is_heard_on_the_payment_gateways_port(server: Program, tls: Tls) -> None:
    (tls.folder / "strangers").mkdir(exist_ok=True)
    stranger = Authority(tls.folder / "strangers").client("sbc", "sbc.example")
    for certificate in (None, stranger):
        with pytest.raises((httpx2.TransportError, ssl.SSLError)):
            tls.client(payment_gateway_port(server), certificate).client.get("/healthz")
    with pytest.raises((httpx2.TransportError, ssl.SSLError)):
        tls.client(server.http, stranger).client.get("/healthz")
    assert tls.client(server.http, tls.payment_gateway).client.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("source", "forwarded", "code"),
    [
        ("127.0.0.7", ["192.0.2.9"], 0),
        ("127.0.0.7", ["6.6.6.6, 192.0.2.9:4711, 127.0.0.7"], 0),
        ("127.0.0.7", ["6.6.6.6", "::ffff:192.0.2.9"], 0),
        ("127.0.0.7", ["192.0.2.9, 6.6.6.6"], 1111),
        ("127.0.0.7", ["192.0.2.9, nonsense"], 1111),
        ("127.0.0.7", [], 1111),
        ("127.0.0.1", ["192.0.2.9"], 1111),
    ],
)
def test_a_proxys_word_counts_on_where_a_request_comes_from_and_nobody_elses(
    server: Program, tls: Tls, source: str, forwarded: list[str], code: int
) -> None:
    access_token, sale = opened(tls.client(server.http), PROXIED)
    gateway = tls.client(payment_gateway_port(server), tls.payment_gateway, source)
    headers = [("X-Forwarded-For", value) for value in forwarded]
    parameters = callback_parameters(sale["invoiceId"], control_key=PROXIED.control_key)
    answer = gateway.client.get("/sale/callback", params=parameters, headers=headers).json()

    assert int(answer.get("error", {"code": "0"})["code"]) == code
    assert access_token


def handshake(address: Any, context: ssl.SSLContext) -> ssl.SSLSocket:
    return context.wrap_socket(connect(address), server_hostname="127.0.0.1")


def test_the_protocol_is_tls_1_2_or_1_3_with_forward_secrecy_and_without_compression(server: Program, tls: Tls) -> None:
    for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
        context = tls.context()
        context.minimum_version = context.maximum_version = version
        context.set_ciphers("ALL:@SECLEVEL=0")
        with handshake(server.http, context) as connection:
            cipher = connection.cipher()
            assert connection.version() == name
            assert connection.compression() is None
            assert cipher is not None
            assert cipher[0].startswith("TLS_" if name == "TLSv1.3" else "ECDHE-")
            assert "GCM" in cipher[0] or "CHACHA20" in cipher[0]


@pytest.mark.parametrize(
    ("version", "ciphers"),
    [
        (ssl.TLSVersion.TLSv1_1, "ALL:@SECLEVEL=0"),
        (ssl.TLSVersion.TLSv1_2, "AES128-GCM-SHA256:AES256-SHA:@SECLEVEL=0"),
        (ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"),
    ],
    ids=["TLS 1.1", "no forward secrecy", "no authenticated encryption"],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_is_older_is_refused(server: Program, tls: Tls, version: ssl.TLSVersion, ciphers: str) -> None:
    context = tls.context()
    context.minimum_version = context.maximum_version = version
    context.set_ciphers(ciphers)

    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(server.http, context)


def test_who_speaks_without_tls_or_does_not_end_its_handshake_is_cut(server: Program) -> None:
    with connect(server.http) as plain, connect(server.http) as silent:
        began = time.monotonic()
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")

        assert b"HTTP/1.1 200" not in read_to_end(plain)
        assert read_to_end(silent) == b""
        assert time.monotonic() - began < 10
    assert "Traceback" not in server._log.read_text()


def serial_number(server: Program, tls: Tls) -> int:
    with handshake(server.http, tls.context()) as connection:
        certificate = connection.getpeercert(binary_form=True)
        assert certificate is not None
        return x509.load_der_x509_certificate(certificate).serial_number


def reloads(server: Program, name: str) -> int:
    return len([event for event in server.events() if event["event"] == name])


def reload(server: Program, name: str) -> None:
    workers = int(server.wait_for_event("serving")["workers"])
    expected = reloads(server, name) + workers
    server.send(signal.SIGHUP)
    deadline = time.monotonic() + 10
    while reloads(server, name) < expected:
        assert time.monotonic() < deadline


def test_certificates_are_read_again_and_no_connection_is_dropped(server: Program, tls: Tls) -> None:
    before = tls.clients.certificate.read_bytes(), [path.read_bytes() for path in tls.certificate]
    old = serial_number(server, tls)
    other = Authority(tls.folder, "others")
    newcomer = other.client("newcomer", "newcomer.example")
    with tls.client(server.http).client as kept:
        kept.get("/healthz")
        tls.authority.server()
        tls.clients.certificate.write_bytes(other.certificate.read_bytes())
        reload(server, "settings reloaded")

        new = serial_number(server, tls)
        assert new != old
        assert tls.client(payment_gateway_port(server), newcomer).client.get("/healthz").status_code == 200
        with pytest.raises((httpx2.TransportError, ssl.SSLError)):
            tls.client(payment_gateway_port(server), tls.payment_gateway).client.get("/healthz")

        tls.certificate.certificate.write_text("nonsense")
        reload(server, "settings not reloaded")
        assert serial_number(server, tls) == new
        fault = server.wait_for_event("settings not reloaded")["fault"]
        assert fault.startswith("http")
        assert "\n" not in fault

    tls.clients.certificate.write_bytes(before[0])
    for path, content in zip(tls.certificate, before[1], strict=True):
        path.write_bytes(content)
    reload(server, "settings reloaded")
    assert serial_number(server, tls) == old


def test_certificates_that_end_soon_are_warned_of_when_the_server_starts_and_when_it_reads_them(
    server: Program, tls: Tls
) -> None:
    def warned(since: int = 0) -> list[str]:
        events = [event for event in server.events()[since:] if event["event"] == "certificate ends soon"]
        assert {(event["level"], event["file"]) for event in events} == {("warning", str(tls.certificate.certificate))}
        return [event["setting"] for event in events]

    workers = int(server.wait_for_event("serving")["workers"])
    before = len(server.events())
    assert warned()[:2] == ["http.tls_cert", "http.payment_gateway.tls_cert"]

    reload(server, "settings reloaded")

    assert sorted(warned(before)) == sorted(["http.tls_cert", "http.payment_gateway.tls_cert"] * workers)


def test_a_request_under_way_outlives_a_reload(server: Program, tls: Tls) -> None:
    with handshake(server.http, tls.context()) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n")
        reload(server, "settings reloaded")
        connection.sendall(b"Connection: close\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")


def test_a_flood_of_half_handshakes_leaves_room_for_others(server: Program, tls: Tls) -> None:
    with ExitStack() as stack:
        for _ in range(300):
            with suppress(OSError):
                stack.enter_context(connect(server.http, "127.0.0.9")).sendall(b"\x16\x03\x01")
        assert tls.client(server.http).client.get("/healthz").status_code == 200
