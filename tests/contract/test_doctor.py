"""`sale-service doctor`: each thing that keeps a server from serving is found, with what to do about it."""

import asyncio
import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import apsw
import asyncpg
import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from service.identifiers import microseconds
from service.program.cli import main
from service.program.doctor.host import clock_finding
from service.program.doctor.stores import clock_difference_finding, disk_finding
from service.store.sqlite.file import known_version
from tests.certificates import Authority
from tests.merchant import VAULT, write_config
from tests.running import running
from tests.stores import schema

GIB = 1 << 30
PRINTED_KEY, OWN_KEY = "58B2A205-5BB5-5BCB-B37D-2F2A4276B0BD", "58B2A205-5BB5-5BCB-B37D-2F2A4276B0BE"
PAGE = 4096
"""Bytes of a page of SQLite."""


class Told(NamedTuple):
    """What the doctor has said of one check."""

    grade: str
    found: str
    advice: str


class Patient:
    """A configuration on ports and with a store of its own; what is in the file can be changed.

    Args:
        folder: takes its files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, folder / "data" / "sale.db"
        self.store.parent.mkdir(mode=0o700)
        self.url = f"sqlite:///{self.store}"
        self.http, self.grpc, self.metrics = free_address(), free_address(), free_address()
        self.config = folder / "sale.toml"
        self.configure()

    def configure(self, http: str = "", grpc: str = "", more: str = VAULT) -> None:
        """Write the settings, with more in two of the tables and behind them."""
        tables = f'[http]\nlisten = "{self.http}"\n{http}\n[grpc]\nlisten = "{self.grpc}"\n{grpc}\n{more}'
        write_config(self.config, f'[metrics]\nlisten = "{self.metrics}"\n{tables}')
        self.replace(PRINTED_KEY, OWN_KEY)

    def replace(self, before: str, after: str) -> None:
        text = self.config.read_text()
        assert before in text
        self.config.write_text(text.replace(before, after))

    def arguments(self) -> list[str]:
        return ["sale-service", "serve", f"--config={self.config}", f"--store={self.url}"]

    def examine(self) -> dict[str, Told]:
        """Return what the doctor says of each check; the exit code has to be as bad as the worst."""
        done = CliRunner().invoke(main, ["doctor", "--json", f"--config={self.config}", f"--store={self.url}"])
        findings = [json.loads(line) for line in done.stdout.splitlines()]
        assert done.exit_code == int(any(finding["grade"] == "FAIL" for finding in findings)), done.output
        assert done.stderr == ""
        told = {each["check"]: Told(each["grade"], each["found"], each["advice"]) for each in findings}
        assert len(told) == len(findings)
        assert all(bool(each.advice) is (each.grade != "OK") for each in told.values()), told
        return told

    def complaints(self) -> dict[str, Told]:
        """Return what is not well, but for what is of the host that tests run on."""
        return {
            check: told
            for check, told in self.examine().items()
            if told.grade != "OK" and check not in {"clock", "disk", "open files"}
        }

    def execute(self, statement: str) -> None:
        with closing(apsw.Connection(str(self.store))) as connection:
            connection.execute(statement)

    def make_store(self) -> None:
        """Make the store as a server does when it starts."""
        assert CliRunner().invoke(main, ["migrate", f"--store={self.url}"]).exit_code == 0


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return f"127.0.0.1:{closed.getsockname()[1]}"


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    return Patient(tmp_path)


def the_only(complaints: dict[str, Told], check: str) -> Told:
    assert list(complaints) == [check], complaints
    return complaints[check]


def test_a_server_that_could_start_is_well_and_nothing_is_changed_by_looking(patient: Patient) -> None:
    def files() -> list[tuple[str, int, bytes]]:
        found = sorted(patient.folder.rglob("*"))
        return [(str(each), each.stat().st_mode, each.read_bytes()) for each in found if each.is_file()]

    before = files()
    assert patient.complaints() == {}
    assert files() == before
    patient.make_store()
    before = files()

    told = patient.examine()

    assert patient.complaints() == {}
    assert files() == before
    assert told["endpoints"].found == "5 with 5 control keys"
    assert told["vault"].found == "1 key"
    assert told["listeners"].found == "3 ports, each protected"
    assert told["metrics.listen"].found == f"{patient.metrics} is free"
    assert told["store schema"].found == f"is version {known_version()}, which this program works with"
    assert told["http.listen"].found == f"{patient.http} is free"


def test_people_read_the_same_as_a_table(patient: Patient) -> None:
    patient.config.chmod(0o644)

    done = CliRunner().invoke(main, ["doctor", f"--config={patient.config}", f"--store={patient.url}"])

    assert done.exit_code == 0
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("WARN  --config"))
    assert line.endswith(f"chmod 600 {patient.config}: there are keys in it.")
    assert CliRunner().invoke(main, ["doctor", "--odd"]).exit_code == 2


@pytest.mark.parametrize(
    ("before", "after", "check", "found"),
    [
        ("[vault]", "[volt]", "settings", "volt: there is no such setting"),
        ('control_keys = ["58B2A205', 'control_keys = ["XXXXXXXX', "endpoints", "endpoints[0].control_keys[0]: "),
        ("0f" * 32, "0f" * 31, "vault", "vault.keys[0].key: must be 64 hexadecimal digits"),
        ("[[callers]]", "[[callers]]\ncertificate = 'x'", "callers", "callers[0].certificate: needs grpc.client_ca"),
        (
            "[vault]",
            '[[sale_limits]]\nper = "consumer"\nsales = 1\nwindow = "1m"\nendpoint_id = "odd"\n[vault]',
            "sale_limits",
            "sale_limits[0].endpoint_id: there is no endpoint odd",
        ),
        ('[grpc]\nlisten = "127.0.0.1', '[grpc]\nlisten = "0.0.0.0', "listeners", "grpc.listen: other hosts reach"),
    ],
)
def test_a_setting_that_serve_would_refuse_is_found(
    patient: Patient, before: str, after: str, check: str, found: str
) -> None:
    patient.replace(before, after)

    told = the_only(patient.complaints(), check)

    assert told.grade == "FAIL"
    assert told.found.startswith(found)


@pytest.mark.parametrize(
    ("days", "grade", "found"),
    [(29, "WARN", "certificate ends soon"), (-1, "FAIL", "certificate has ended"), (31, None, "")],
)
def test_a_certificate_that_ends_is_found_in_time(patient: Patient, days: int, grade: str | None, found: str) -> None:
    files = Authority(patient.folder).server(valid=timedelta(days=days))
    patient.configure(grpc=f'tls_cert = "{files.certificate}"\ntls_key = "{files.key}"')

    told = patient.examine()

    assert told["grpc certificate"].found == "for 127.0.0.1, the key belongs to it, 1 in the chain"
    assert ("grpc.tls_cert" in told) is (grade is not None)
    if grade is not None:
        assert told["grpc.tls_cert"].grade == grade
        assert told["grpc.tls_cert"].found.startswith(found)


def test_a_certificate_with_which_no_client_would_go_on_is_found(patient: Patient) -> None:
    authority = Authority(patient.folder)
    files, other = authority.server(valid=timedelta(days=60)), authority.server("other", valid=timedelta(days=60))

    def told(certificate: bytes, key: Path) -> Told:
        served = patient.folder / "served.pem"
        served.write_bytes(certificate)
        patient.configure(http=f'tls_cert = "{served}"\ntls_key = "{key}"')
        return the_only(patient.complaints(), "http certificate")

    leaf, root = files.certificate.read_bytes(), authority.certificate.read_bytes()
    assert told(leaf, other.key)[:2] == ("FAIL", "http.tls_cert: does not go with http.tls_key: KEY_VALUES_MISMATCH")
    wrong_order = told(leaf + other.certificate.read_bytes() + root, files.key)
    assert wrong_order[:2] == ("FAIL", "CN=other has not signed the certificate before it")
    assert told(leaf + root, files.key).found.startswith("the authority CN=authority ends at 20")
    nameless, key = without_names(patient.folder)
    assert told(nameless, key)[:2] == ("WARN", "has no subject alternative name")


def without_names(folder: Path) -> tuple[bytes, Path]:
    """Return a certificate of no host, signed by itself, and the file of its key."""
    key, path, now = ec.generate_private_key(ec.SECP256R1()), folder / "nameless.key", datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nameless")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=60))
    signed = builder.sign(key, hashes.SHA256())
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path.write_bytes(key.private_bytes(pem, form, serialization.NoEncryption()))
    path.chmod(0o600)
    return signed.public_bytes(pem), path


def test_a_store_that_others_could_read_or_replace_is_found(patient: Patient) -> None:
    patient.store.parent.chmod(0o777)
    told = the_only(patient.complaints(), "store file")
    assert told[1:] == (
        f"everybody may put files into {patient.store.parent}",
        f"chmod 700 {patient.store.parent}: the file could be replaced.",
    )
    patient.make_store()
    patient.store.chmod(0o640)
    assert the_only(patient.complaints(), "store file").advice == f"chmod 600 {patient.store}: sales are in it."


@pytest.mark.parametrize(("version", "grade"), [(known_version() - 1, "WARN"), (known_version() + 1, "FAIL")])
def test_a_schema_of_another_version_is_found(patient: Patient, version: int, grade: str) -> None:
    patient.make_store()
    patient.execute(f"PRAGMA user_version = {version}")

    told = the_only(patient.complaints(), "store schema")

    assert told.grade == grade
    assert f"the schema is version {version}" in told.found


def test_a_clock_that_went_back_is_found(patient: Patient) -> None:
    patient.make_store()
    later = microseconds(datetime.now(UTC) + timedelta(hours=1))
    patient.execute(f"INSERT INTO sale_changes VALUES (1, {later}, 'x', {later}, 'INITIATED', NULL, NULL, NULL, 0)")

    told = the_only(patient.complaints(), "store time")

    assert told.grade == "FAIL"
    assert "0:59:5" in told.found


def test_a_damaged_store_is_found(patient: Patient) -> None:
    patient.make_store()
    patient.execute("CREATE TABLE filler AS SELECT hex(randomblob(3000)) AS text FROM (VALUES (1), (2), (3), (4))")
    patient.execute("CREATE INDEX filler_text ON filler (text)")
    patient.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with patient.store.open("r+b") as file:
        file.seek(-3 * PAGE, os.SEEK_END)
        file.write(b"\xff" * 2 * PAGE)

    told = the_only(patient.complaints(), "store integrity")

    assert told.grade == "FAIL"
    assert told.advice.startswith("Stop the server, keep a copy of the file")
    patient.store.write_bytes(b"no database at all" * 1000)
    assert the_only(patient.complaints(), "store").found.startswith(f"{patient.store} can't be read: ")


def test_a_port_that_another_program_has_is_found(patient: Patient) -> None:
    host, port = patient.http.split(":")
    with socket.create_server((host, int(port))) as other:
        other.settimeout(0.1)
        told = the_only(patient.complaints(), "http.listen")

    assert told.grade == "FAIL"
    assert told.found == f"http.listen: can't listen on {patient.http}: Address already in use"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_that_runs_is_asked_whether_it_is_ready(patient: Patient, workers: int) -> None:
    with running([*patient.arguments(), f"--workers={workers}"], patient.folder / "log"):
        told = patient.examine()

        assert patient.complaints() == {}
    for name in ("http", "grpc", "metrics"):
        assert told[f"{name}.listen"].found.endswith(" is served by a server that runs, and ready")
    assert told["store integrity"].found == "sound"


def test_a_server_of_another_configuration_is_found(patient: Patient, tmp_path: Path) -> None:
    with running([*patient.arguments(), f"--store=sqlite:///{tmp_path}/other.db"], patient.folder / "log"):
        complaints = patient.complaints()

    assert list(complaints) == ["http.listen", "grpc.listen", "metrics.listen"]
    assert {told.grade for told in complaints.values()} == {"WARN"}
    told = complaints["metrics.listen"]
    assert told.found == f"{patient.metrics}: another server answers there: this one can't start beside it"
    assert told.advice == "Stop what listens there, or listen elsewhere."


@pytest.mark.parametrize("known", [PRINTED_KEY, PRINTED_KEY.lower(), "00000000-1111-2222-3333-444444444444"])
def test_a_control_key_that_everybody_knows_is_found(patient: Patient, known: str) -> None:
    patient.replace(OWN_KEY, known)

    told = the_only(patient.complaints(), "endpoints[0].control_keys[0]")

    assert told.grade == "WARN"
    assert told.found.endswith(": everybody knows it")
    assert known not in told.found + told.advice


def test_a_gateway_without_its_service_is_found_not_ready(patient: Patient) -> None:
    patient.make_store()
    gateway = ["sale-gateway", "serve", f"--http={patient.http}", "--service=127.0.0.1:1"]
    with running(gateway, patient.folder / "log"):
        told = the_only(patient.complaints(), "http.listen")

    assert told.grade == "WARN"
    assert told.found == f"{patient.http} is served by a server that is not ready: HTTP 503"


def test_a_certificate_that_was_renewed_and_not_read_again_is_found(patient: Patient) -> None:
    authority = Authority(patient.folder)
    files = authority.server(valid=timedelta(days=60))
    tls = f'tls_cert = "{files.certificate}"\ntls_key = "{files.key}"'
    patient.configure(http=tls, grpc=f'{tls}\nclient_ca = "{authority.certificate}"')
    with running(patient.arguments(), patient.folder / "log"):
        told = patient.examine()
        authority.server(valid=timedelta(days=61))
        renewed = patient.complaints()

    assert told["http.listen"].found.endswith("is served by a server that runs, and ready")
    assert told["grpc.listen"].found.endswith("is served by a server that runs, with our certificate")
    assert list(renewed) == ["http.listen", "grpc.listen"]
    assert {each.advice for each in renewed.values()} == {"Send the server SIGHUP, so that it reads the file again."}


@pytest.fixture
def database(postgresql_url: str) -> Iterator[str]:
    with schema(postgresql_url) as url:
        yield url


def in_database(url: str, statement: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(run())


def test_a_database_is_examined_as_a_file_is(patient: Patient, database: str) -> None:
    patient.url = f"{database}_without_tables"
    told = the_only(patient.complaints(), "store schema")
    assert told.grade == "FAIL"
    assert told.found.endswith("run sale-service migrate")
    patient.url = database

    assert patient.complaints() == {}
    assert "is reached, PostgreSQL " in patient.examine()["store"].found
    in_database(
        database,
        "INSERT INTO sale_changes SELECT 1, time, 'x', time, 'INITIATED', NULL, NULL, NULL, false"
        " FROM (SELECT now() + interval '1 hour' AS time) AS later",
    )
    assert the_only(patient.complaints(), "store time").grade == "FAIL"
    in_database(database, "DELETE FROM sale_changes")
    patient.url = f"{database}&synchronous_commit=off"
    assert the_only(patient.complaints(), "database commits").grade == "FAIL"
    patient.url = database
    patient.replace("[vault]", "[store]\nconnections = 1000\n[vault]")
    assert the_only(patient.complaints(), "database connections").grade == "WARN"


def test_a_database_that_is_not_there_is_found(patient: Patient) -> None:
    patient.url = f"postgresql://sale@{free_address()}/sale"

    told = the_only(patient.complaints(), "store")

    assert told.grade == "FAIL"
    assert told.found.startswith("store.url: ")


@pytest.mark.parametrize(
    ("free", "grade"), [(500 * GIB, "OK"), (49 * GIB, "WARN"), (GIB // 2, "WARN"), (GIB // 32, "FAIL")]
)
def test_a_disk_that_fills_up_is_found(free: int, grade: str) -> None:
    assert disk_finding(1000 * GIB, free).grade == grade


def test_a_clock_that_nobody_keeps_is_found() -> None:
    assert [clock_finding(state).grade for state in (0, 5, -1)] == ["OK", "WARN", "OK"]
    assert [clock_difference_finding(timedelta(seconds=s)).grade for s in (1, -3, 3)] == ["OK", "WARN", "WARN"]


def test_too_few_open_files_are_found(patient: Patient) -> None:
    patient.configure(http="limits = {connections = 2000000000}")

    told = patient.examine()["open files"]

    assert told.grade == "WARN"
    assert "LimitNOFILE=2000000128" in told.advice
