"""TLS on the gRPC port: which of it is taken, who is known by it, and how its files are replaced."""

import itertools
import signal
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import grpc
import pytest
from click.testing import CliRunner
from connectingparty.multiplex.v1.multiplex_service_pb2 import Call, MultiplexRequest
from connectingparty.multiplex.v1.multiplex_service_pb2_grpc import MultiplexServiceStub
from connectingparty.sale.v1.access_token_service_pb2 import IssueAccessTokenRequest
from connectingparty.sale.v1.access_token_service_pb2_grpc import AccessTokenServiceStub
from connectingparty.sale.v1.sale_service_pb2 import ListSalesRequest, WatchSalesRequest
from connectingparty.sale.v1.sale_service_pb2_grpc import SaleServiceStub

from service.callers import hash_key
from service.program.cli import main
from tests.certificates import HOST, Authority, CertificateFiles
from tests.merchant import initiate_document, write_config
from tests.running import ANY_PORT, CHANNEL_OPTIONS, Program, running, service_arguments
from tests.transports import OverHttp, error_answer

GATEWAY_KEY = "the-key-of-a-gateway-on-another-host"
LIST = "/connectingparty.sale.v1.SaleService/ListSales"


class Tls:
    """A service with TLS, what it trusts, and who calls it."""

    def __init__(self, folder: Path, host: str = HOST) -> None:
        self.folder = folder
        self.authority = Authority(folder)
        self.server = self.authority.server(host=host)
        self.reader = self.authority.client("reader", "reader.shop.example")
        self.gateway = self.authority.client("gateway", "gateway.shop.example")
        self.config = self.configure()

    def configure(self, reader_roles: str = '"reader", "issuer"') -> Path:
        """Write the settings."""
        return write_config(
            self.folder / "sale.toml",
            f'[grpc]\ntls_cert = "{self.server.certificate}"\ntls_key = "{self.server.key}"\n'
            f'client_ca = "{self.authority.certificate}"\n'
            f'[[callers]]\nname = "reader"\nroles = [{reader_roles}]\ncertificate = "reader.shop.example"\n'
            f'[[callers]]\nname = "gateway"\nroles = ["gateway"]\ncertificate = "gateway.shop.example"\n'
            f'key_hashes = ["{hash_key(GATEWAY_KEY).hex()}"]\n',
        )

    @contextmanager
    def serve(self) -> Iterator[Program]:
        arguments = service_arguments(self.config, f"sqlite:///{self.folder / 'sale.db'}", "--no-http")
        with running(arguments, self.folder / "service.log") as program:
            yield program

    def channel(
        self, program: Program, client: CertificateFiles | None, authority: Authority | None = None
    ) -> grpc.Channel:
        trusted = (authority or self.authority).certificate.read_bytes()
        credentials = grpc.ssl_channel_credentials(trusted, *(client.pems() if client else ()))
        return grpc.secure_channel(str(program.grpc), credentials, options=CHANNEL_OPTIONS)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return Tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def program(tls: Tls) -> Iterator[Program]:
    with tls.serve() as program:
        yield program


def handshake(program: Program, context: ssl.SSLContext) -> str | None:
    """Return the version that both ends agree on; where they don't, gRPC closes the connection without a word."""
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    host, _, port = str(program.grpc).rpartition(":")
    with socket.create_connection((host, int(port)), 5) as plain, context.wrap_socket(plain) as wrapped:
        wrapped.recv(1)  # TLS 1.3 tells only then what is wrong with a client's certificate
        return wrapped.version()


def client_context(tls: Tls, version: ssl.TLSVersion, ciphers: str | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_cert_chain(tls.reader.certificate, tls.reader.key)
    context.set_ciphers(ciphers or "DEFAULT:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    return context


def list_sales(channel: grpc.Channel, **named: Any) -> Any:
    return SaleServiceStub(channel).ListSales(ListSalesRequest(), timeout=10, **named)


def code_of(channel: grpc.Channel, **named: Any) -> int:
    """Return how the server refuses, as one of the contract's codes; 0 if it does not."""
    try:
        list_sales(channel, **named)
    except grpc.RpcError as error:
        return error_answer(error).code
    return 0


@pytest.mark.parametrize(
    ("version", "name"), [(ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")]
)
def test_tls_1_2_and_1_3_are_taken(tls: Tls, program: Program, version: ssl.TLSVersion, name: str) -> None:
    assert handshake(program, client_context(tls, version)) == name


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_what_is_older_is_refused(tls: Tls, program: Program, version: ssl.TLSVersion) -> None:
    with pytest.raises(ssl.SSLEOFError):
        handshake(program, client_context(tls, version))


@pytest.mark.parametrize("ciphers", ["ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA", "AES128-SHA", "aNULL"])
def test_suites_without_forward_secrecy_or_authenticated_encryption_are_refused(
    tls: Tls, program: Program, ciphers: str
) -> None:
    with pytest.raises(ssl.SSLEOFError):
        handshake(program, client_context(tls, ssl.TLSVersion.TLSv1_2, f"{ciphers}:@SECLEVEL=0"))


def test_a_client_without_a_certificate_of_the_authority_does_not_get_in(
    tls: Tls, program: Program, tmp_path: Path
) -> None:
    strange = Authority(tmp_path).client("reader", "reader.shop.example")

    for client in (None, strange):
        with tls.channel(program, client) as channel, pytest.raises(grpc.RpcError) as refused:
            list_sales(channel)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_caller_is_known_by_a_name_of_its_certificate(tls: Tls, program: Program) -> None:
    other = tls.authority.client("other", "other.shop.example", "xreader.shop.example")

    with tls.channel(program, tls.reader) as reader, tls.channel(program, other) as nobody:
        assert code_of(reader) == 0
        assert code_of(nobody) == 1110


def test_where_a_key_is_set_beside_the_certificate_neither_does_alone(tls: Tls, program: Program) -> None:
    key = [("authorization", f"Bearer {GATEWAY_KEY}")]

    with tls.channel(program, tls.gateway) as gateway, tls.channel(program, tls.reader) as reader:
        assert code_of(gateway) == 1110
        assert code_of(reader, metadata=key) == 1110
        assert code_of(gateway, metadata=key) == 1111  # known, without the role


@contextmanager
def gateway_of(tls: Tls, program: Program, folder: Path, key: str, authority: Authority) -> Iterator[Program]:
    (folder / "key").write_text(key)
    config = folder / "gateway.toml"
    config.write_text(
        f'[service]\ntls = true\ntls_ca = "{authority.certificate}"\ntls_cert = "{tls.gateway.certificate}"\n'
        f'tls_key = "{tls.gateway.key}"\nkey_file = "{folder / "key"}"\n'
    )
    arguments = ["sale-gateway", "serve", f"--config={config}", f"--http={ANY_PORT}", f"--service={program.grpc}"]
    with running(arguments, folder / "gateway.log", key=None) as gateway:
        yield gateway


def test_a_gateway_reaches_the_service_by_tls_with_its_certificate_and_key(
    tls: Tls, program: Program, tmp_path: Path
) -> None:
    with (
        gateway_of(tls, program, tmp_path, GATEWAY_KEY + "\n", tls.authority) as gateway,
        gateway.client() as client,
    ):
        http = OverHttp(client)

        assert http.initiate(initiate_document(http.request_access_token())).code == 0
        assert client.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    ("fault", "status"), [("a key that is wrong", "UNAUTHENTICATED"), ("a service that is not trusted", "UNAVAILABLE")]
)
def test_a_client_is_not_told_what_is_wrong_between_gateway_and_service(
    tls: Tls, program: Program, tmp_path: Path, fault: str, status: str
) -> None:
    is_key = fault == "a key that is wrong"
    key, authority = ("not-the-key-of-any-gateway" if is_key else GATEWAY_KEY), tls.authority
    if not is_key:
        authority = Authority(tmp_path)
    with gateway_of(tls, program, tmp_path, key, authority) as gateway, gateway.client() as client:
        answer = client.get("/auth/request-access-token")
        large = OverHttp(client).initiate(initiate_document("x" * 64) | {"more": "x" * 100})
        ready = client.get("/readyz").status_code
        line = gateway.wait_for_event("stream to the service broken")
        log = (tmp_path / "gateway.log").read_text()

    assert (answer.status_code, answer.json()["error"]["code"], large.code) == (503, "4000", 4000)
    assert answer.headers["Retry-After"] == "1"
    assert ready == 503
    assert (line["level"], line["status"]) == ("warning", status)
    if is_key:
        assert line["settings"] == "service.key_file, service.tls_cert"
    else:
        assert line["settings"] == "http.service, service.tls_ca"
        assert line["cause"] == "the certificate there is not trusted: certificate signature failure"
    assert key not in log


def test_a_certificate_for_another_name_is_told_to_whoever_runs_the_gateway_or_a_command(tmp_path: Path) -> None:
    tls = Tls(tmp_path, host="shop.example")
    cause = "the certificate there is not for 127.0.0.1: name the host as the certificate does"
    with (
        tls.serve() as program,
        gateway_of(tls, program, tmp_path, GATEWAY_KEY, tls.authority) as gateway,
        gateway.client() as client,
    ):
        assert client.get("/readyz").status_code == 503
        line = gateway.wait_for_event("stream to the service broken")
        command = ["sales", "list", f"--service={program.grpc}", f"--tls-ca={tls.authority.certificate}"]
        told = CliRunner().invoke(main, command).stderr

    assert (line["settings"], line["cause"]) == ("http.service, service.tls_ca", cause)
    assert told.startswith(f"Error: can't reach the service at {program.grpc}: {cause}. Does sale-service run there?")


def test_certificates_are_replaced_without_a_stream_being_dropped(tmp_path: Path) -> None:
    tls = Tls(tmp_path)
    second = Authority(tmp_path, "second")
    with ExitStack() as stack:
        program = stack.enter_context(tls.serve())
        channel = stack.enter_context(tls.channel(program, tls.reader))
        issue = AccessTokenServiceStub(channel).IssueAccessToken
        watch: Any = SaleServiceStub(channel).WatchSales(WatchSalesRequest(), timeout=60)
        ended = threading.Event()
        watch.add_done_callback(ended.set)
        assert issue(IssueAccessTokenRequest(), timeout=10).access_token

        good = tls.server.key.read_bytes(), tls.server.certificate.read_bytes()
        replacing = second.server("replacing")
        tls.server.key.write_bytes(replacing.key.read_bytes())
        program.send(signal.SIGHUP)
        fault = program.wait_for_event("settings not reloaded")
        with tls.channel(program, tls.reader) as still_first:
            assert list_sales(still_first) is not None
        tls.server.certificate.write_bytes(replacing.certificate.read_bytes())
        program.send(signal.SIGHUP)
        program.wait_for_event("settings reloaded")

        with tls.channel(program, tls.reader, second) as trusts_second:
            assert list_sales(trusts_second) is not None
        with tls.channel(program, tls.reader) as trusts_first, pytest.raises(grpc.RpcError):
            list_sales(trusts_first)
        assert list_sales(channel) is not None
        assert not ended.is_set()
        watch.cancel()
        assert len([event for event in program.events() if event["event"] == "settings not reloaded"]) == 1
        assert fault["fault"].startswith("grpc.tls_cert: does not go with grpc.tls_key: ")
        assert good[0].decode().splitlines()[1] not in (tmp_path / "service.log").read_text()


def test_what_is_removed_counts_no_longer_on_streams_that_are_open(tmp_path: Path) -> None:
    tls = Tls(tmp_path)
    key = [("authorization", f"Bearer {GATEWAY_KEY}")]
    with ExitStack() as stack:
        program = stack.enter_context(tls.serve())
        reader, gateway = (stack.enter_context(tls.channel(program, client)) for client in (tls.reader, tls.gateway))
        watch: Any = SaleServiceStub(reader).WatchSales(WatchSalesRequest(), timeout=100)
        streams = [stack.enter_context(Stream(reader)), stack.enter_context(Stream(gateway, key))]
        before = [stream.call() for stream in streams]

        text = tls.configure('"issuer"').read_text().replace(hash_key(GATEWAY_KEY).hex(), hash_key("the-next").hex())
        tls.config.write_text(text)
        program.send(signal.SIGHUP)
        program.wait_for_event("settings reloaded")

        with pytest.raises(grpc.RpcError) as cut:
            next(watch)
        assert error_answer(cut.value).code == 1111
        assert [stream.call() for stream in streams] == ["PERMISSION_DENIED", "UNAUTHENTICATED"]
        assert before == ["OK", "PERMISSION_DENIED"]


class Stream:
    """A stream on which one call after the other is made."""

    def __init__(self, channel: grpc.Channel, metadata: Any = ()) -> None:
        self._calls: SimpleQueue[MultiplexRequest | None] = SimpleQueue()
        stub: Any = MultiplexServiceStub(channel)
        self._answers = stub.Multiplex(iter(self._calls.get, None), metadata=metadata)
        self._ids = itertools.count(1)

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *exception: object) -> None:
        self._calls.put(None)  # gRPC has a thread that waits for the next one

    def call(self) -> str:
        """Return the status of one."""
        self._calls.put(MultiplexRequest(calls=[Call(id=next(self._ids), method=LIST, timeout=60)]))
        (answer,) = next(self._answers).answers
        return next(code.name for code in grpc.StatusCode if code.value[0] == answer.code)
