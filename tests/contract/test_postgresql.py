"""Settings, commands and nodes on PostgreSQL, as whoever operates them meets them."""

import json
import os
import socket
import socketserver
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from connectingparty.sale.v1.access_token_service_pb2 import RevokeAccessTokenRequest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from service.store.migrations import numbered_steps
from tests.conftest import deploy
from tests.contract.test_operation import wait_until
from tests.merchant import check_document, initiate_document, write_config
from tests.postgresql import PASSWORD, PostgresqlServer, postgresql_server
from tests.running import PROGRAMS
from tests.stores import schema
from tests.transports import OverHttp

VERSION = len(numbered_steps("service.store.postgresql.migrations"))
FILE_VERSION = len(numbered_steps("service.store.sqlite.migrations"))


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresqlServer]:
    with postgresql_server("configured") as server:
        yield server


def run(*arguments: str, environment: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(PROGRAMS / "sale-service"), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=environment,
    )


def refusal(*arguments: str, code: int = 2, environment: dict[str, str] | None = None) -> str:
    """Return the one line in which a command refuses."""
    done = run(*arguments, environment=environment)
    assert (done.returncode, done.stdout) == (code, ""), done
    (line,) = done.stderr.splitlines()
    assert PASSWORD not in line
    return line.removeprefix("Error: ")


def test_a_schema_is_made_by_command_only_and_by_one_of_those_who_try(server: PostgresqlServer, tmp_path: Path) -> None:
    config = write_config(tmp_path / "sale.toml")
    with schema(server.url(), migrated=False) as url:
        serve = ["serve", f"--config={config}", f"--store={url}", "--http=127.0.0.1:0", "--grpc=127.0.0.1:0"]
        assert "run sale-service migrate" in refusal(*serve)
        assert "run sale-service migrate" in refusal("migrate", "--check", f"--store={url}", code=1)
        with ThreadPoolExecutor(4) as pool:
            made = list(pool.map(lambda _: run("migrate", f"--store={url}"), range(4)))
        assert [(done.returncode, done.stdout, done.stderr) for done in made] == [
            (0, f"schema_version {VERSION}\n", "")
        ] * 4
        assert run("migrate", "--check", f"--store={url}").stdout == f"schema_version {VERSION}\n"
        name = url.rpartition("=")[2]
        assert server.execute(f"TABLE {name}.schema_migrations")[-1][0] == str(VERSION)

        server.execute(f"UPDATE {name}.schema_migrations SET version = 99 WHERE version = {VERSION}")
        for command in (serve, ["migrate", f"--store={url}"], ["migrate", "--check", f"--store={url}"]):
            assert "install a newer one" in refusal(*command, code=2 if command is serve else 1)


def test_a_file_is_migrated_too(tmp_path: Path) -> None:
    store = f"--store=sqlite:///{tmp_path}/sale.db"
    assert "there is no file" in refusal("migrate", "--check", store)
    assert not (tmp_path / "sale.db").exists()
    assert run("migrate", store).stdout == f"schema_version {FILE_VERSION}\n"
    assert run("migrate", "--check", store).stdout == f"schema_version {FILE_VERSION}\n"


def test_a_database_that_can_not_be_reached_is_told_without_the_password(server: PostgresqlServer) -> None:
    url = server.url()
    nowhere = url.replace(f"127.0.0.1:{server.port}", "127.0.0.1:1,127.0.0.1:2")
    told = refusal("migrate", f"--store={nowhere}")
    assert told.startswith("store.url: 127.0.0.1:1: ")
    assert "; 127.0.0.1:2: " in told
    assert "password authentication failed" in refusal("migrate", f"--store={url.replace(PASSWORD, 'wrong')}")
    assert "no_such" in refusal("migrate", f"--store={server.url('no_such')}")
    assert refusal("migrate", "--store=mysql://x").startswith("store.url: must be ")


def test_a_password_that_nobody_gave_is_told_with_the_ways_to_give_it(server: PostgresqlServer, tmp_path: Path) -> None:
    url = server.url().replace(f":{PASSWORD}@", "@")
    ways = " (no password was given: store.password_file, SALE_STORE__PASSWORD, PGPASSWORD or ~/.pgpass)"
    nothing = {**os.environ, "HOME": str(tmp_path)}
    config = write_config(tmp_path / "sale.toml")
    serve = ["serve", f"--config={config}", "--http=127.0.0.1:0", "--grpc=127.0.0.1:0"]
    for command in (["migrate"], serve):
        told = refusal(*command, f"--store={url}", environment=nothing)
        assert told.endswith(f'password authentication failed for user "sale"{ways}')
    assert ways in run("doctor", f"--config={config}", f"--store={url}", "--json", environment=nothing).stdout

    file = tmp_path / ".pgpass"
    for given in ({"SALE_STORE__PASSWORD": "wrong"}, {"PGPASSWORD": "wrong"}, {}):
        if not given:
            file.write_text("*:*:*:*:wrong\n")
            file.chmod(0o600)
        told = refusal("migrate", f"--store={url}", environment={**nothing, **given})
        assert told.endswith('password authentication failed for user "sale"')


def test_a_privilege_that_is_missing_is_told_in_one_line(server: PostgresqlServer, tmp_path: Path) -> None:
    with schema(server.url()) as url:
        name = url.rpartition("=")[2]
        server.execute(f"CREATE ROLE node LOGIN PASSWORD '{PASSWORD}'; GRANT USAGE ON SCHEMA {name} TO node")
        place = url.replace("sale:", "node:", 1)
        config = write_config(tmp_path / "sale.toml")
        serve = ["serve", f"--config={config}", "--http=127.0.0.1:0", "--grpc=127.0.0.1:0"]
        for command in (["migrate"], ["migrate", "--check"], serve):
            assert "permission denied" in refusal(*command, f"--store={place}")

        server.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {name} TO node")
        with ExitStack() as stack:
            deployment = deploy(stack, "one process", tmp_path, store=place)
            token = deployment.http.request_access_token()
            opened = deployment.http.initiate(initiate_document(token)).body
            assert deployment.http.check(opened["invoiceId"], check_document(token, opened)).code == 0
        assert run("purge", f"--config={config}", f"--store={place}").returncode == 0
    server.execute("DROP ROLE node")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://sale:secret℀@db/sale", "is no URL"),
        ("postgresql://sale:sec/secret@db/sale", "is no URL"),
        ("postgresql://sale:sec#secret@db/sale", "is no URL"),
        ("postgresql://sale:sec?secret@db/sale", "is no URL"),
        ("postgresql://sale:secret@db:x/sale", "is no URL"),
        ("postgresql://sale:secret@a..b/sale", "can't be used"),
        ("postgresql:///sale?host=db1,db2", "must have hosts and ports before the path"),
    ],
)
def test_a_url_that_makes_no_sense_is_told_without_a_piece_of_it(url: str, told: str) -> None:
    assert told in refusal("migrate", f"--store={url}")


def test_the_password_comes_from_a_file_or_the_environment(server: PostgresqlServer, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    with schema(server.url()) as url:
        bare = url.replace(f":{PASSWORD}@", "@")
        check = ["migrate", "--check"]
        assert "store.url: " in refusal(*check, f"--store={bare}", environment={"HOME": str(tmp_path)})
        for variable, value in (
            ("SALE_STORE__PASSWORD_FILE", str(file)),
            ("SALE_STORE__PASSWORD", PASSWORD),
            ("PGPASSWORD", PASSWORD),
        ):
            environment = {"SALE_STORE__URL": bare, variable: value, "HOME": str(tmp_path)}
            assert run(*check, environment=environment).returncode == 0
        environment = {"SALE_STORE__URL": bare, "SALE_STORE__PASSWORD_FILE": "/no/such"}
        assert refusal(*check, environment=environment).startswith("store.password_file: /no/such: ")


class Authority:
    """A certificate authority, and a certificate of it for 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
        names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("root", "server")]
        now = datetime.now(UTC)
        extensions: list[tuple[x509.ExtensionType, bool]] = [
            (x509.BasicConstraints(ca=True, path_length=None), True),
            (x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False),
        ]
        certificates = [
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(names[0])
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(extension, critical=critical)
            .sign(keys[0], hashes.SHA256())
            for name, key, (extension, critical) in zip(names, keys, extensions, strict=True)
        ]
        pem = serialization.Encoding.PEM
        self.root = folder / "root.pem"
        self.root.write_bytes(certificates[0].public_bytes(pem))
        self.certificate = folder / "server.pem"
        private = keys[1].private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self.certificate.write_bytes(private + certificates[1].public_bytes(pem))


@contextmanager
def with_tls(server: PostgresqlServer, authority: Authority) -> Iterator[int]:
    """Put TLS in front of a server, as its protocol wants it, and yield the port: the wheel's server is without."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.certificate)

    class Front(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            assert self.request.recv(8) == struct.pack("!II", 8, 80877103)  # SSLRequest
            self.request.sendall(b"S")
            with (
                suppress(OSError),
                context.wrap_socket(self.request, server_side=True) as client,
                socket.create_connection(("127.0.0.1", server.port)) as behind,
            ):
                pump = threading.Thread(target=self.pump, args=(behind, client))
                pump.start()
                self.pump(client, behind)
                pump.join()

        def pump(self, source: socket.socket, target: socket.socket) -> None:
            with suppress(OSError):
                while data := source.recv(65536):
                    target.sendall(data)
                target.shutdown(socket.SHUT_RDWR)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Front) as front:
        thread = threading.Thread(target=front.serve_forever, args=(0.01,))
        thread.start()
        yield front.server_address[1]
        front.shutdown()
        thread.join()


def test_the_server_is_known_by_its_certificate(server: PostgresqlServer, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("ours", "other")]
    for folder in folders:
        folder.mkdir()
    authority, other = map(Authority, folders)
    with schema(server.url()) as url, with_tls(server, authority) as port:

        def checked(mode: str, root: Path, host: str = "127.0.0.1") -> list[str]:
            place = url.replace(f"127.0.0.1:{server.port}", f"{host}:{port}")
            return ["migrate", "--check", f"--store={place}&sslmode={mode}&sslrootcert={root}"]

        assert run(*checked("verify-full", authority.root)).returncode == 0
        assert run(*checked("verify-ca", authority.root, "localhost")).returncode == 0
        assert "certificate verify failed" in refusal(*checked("verify-full", other.root))
        assert "certificate verify failed" in refusal(*checked("verify-full", authority.root, "localhost"))


def test_maintenance_works_on_a_database_as_well(server: PostgresqlServer, tmp_path: Path) -> None:
    with ExitStack() as stack:
        url = stack.enter_context(schema(server.url()))
        deployment = deploy(stack, "one process", tmp_path, store=url)
        token = deployment.http.request_access_token()
        opened = deployment.http.initiate(initiate_document(token)).body
        assert deployment.http.check(opened["invoiceId"], check_document(token, opened)).code == 0

        arguments = [f"--config={tmp_path / 'sale.toml'}", f"--store={url}"]
        exported = run("export", *arguments)
        assert [json.loads(line)["invoiceId"] for line in exported.stdout.splitlines()] == [opened["invoiceId"]]
        assert "expired_sessions 0" in run("purge", *arguments).stdout
        assert run("reencrypt-cards", *arguments).stdout == "reencrypted_cards 0\n"


def test_a_token_that_was_revoked_on_one_node_counts_on_none(server: PostgresqlServer, tmp_path: Path) -> None:
    with ExitStack() as stack:
        url = stack.enter_context(schema(server.url()))
        deployment = deploy(stack, "three nodes", tmp_path, store=url)
        nodes = [OverHttp(stack.enter_context(program.client())) for program in deployment.programs]
        for _ in range(5):
            token = deployment.http.request_access_token()
            assert [node.initiate(initiate_document(token)).code for node in nodes] == [0] * 3
            deployment.grpc.access_tokens.RevokeAccessToken(RevokeAccessTokenRequest(access_token=token))
            assert [node.initiate(initiate_document(token)).code for node in nodes] == [1101] * 3


def test_a_database_that_is_away_is_told_in_time_and_found_again(server: PostgresqlServer, tmp_path: Path) -> None:
    with ExitStack() as stack:
        url = stack.enter_context(schema(server.url()))
        deployment = deploy(stack, "one process", tmp_path, store=url)
        client = deployment.http.client
        document = initiate_document(deployment.http.request_access_token())
        assert client.get("/readyz").status_code == 200
        server.stop()
        try:
            begun = time.monotonic()
            with ThreadPoolExecutor(1) as pool:
                over_grpc = pool.submit(deployment.grpc.initiate, document)
                away = client.post("/sale/initiate-sale", json=document)
            assert time.monotonic() - begun < 5
            assert away.status_code == 503
            assert away.json()["error"]["code"] == "4000"
            assert int(away.headers["Retry-After"]) >= 1
            assert PASSWORD not in away.text
            assert over_grpc.result().code == 4000
            assert client.get("/readyz").status_code == 503
            assert client.get("/healthz").status_code == 200
        finally:
            server.start()
        assert deployment.http.initiate(document).code == 0
        wait_until(lambda: client.get("/readyz").status_code == 200)
        log = str(deployment.service.events())
        assert "connecting to the store fails" in log
        assert "connected to the store again" in log
        assert PASSWORD not in log
