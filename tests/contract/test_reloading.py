"""What a server says of its settings when it starts and when it reads them again."""

import signal
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.certificates import Authority
from tests.merchant import PROVIDERS, SBC, VAULT, write_config
from tests.running import ANY_PORT, Program, running, service_arguments

CERTIFIED = SBC._replace(more='payment_gateway = {certificates = ["sbc.example"]}\n')
STRANGER = '[[callers]]\nname = "stranger"\nroles = ["reader"]\ncertificate = "stranger.example"\n'


class Shop:
    """A server, its settings and its files."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "sale.toml"
        self.arguments = service_arguments(self.config, f"sqlite:///{folder / 'sale.db'}")
        self.program: Program
        self._authority = Authority(folder)
        self.grpc, self.http = (self._authority.server(name, valid=timedelta(days=90)) for name in ("grpc", "http"))

    def configure(self, extra: str = "") -> None:
        """Write the settings; nobody may call for a payment gateway over gRPC."""
        ports = (
            f'[{name}]\nlisten = "127.0.0.1:1"\ntls_cert = "{files.certificate}"\ntls_key = "{files.key}"\n'
            for name, files in (("grpc", self.grpc), ("http", self.http))
        )
        write_config(self.config, "".join([extra, *ports]), (CERTIFIED, *PROVIDERS[1:]))
        self.config.write_text(self.config.read_text().replace('"gateway", ', ""))
        self.config.chmod(0o600)

    def renew(self) -> None:
        """Put another certificate with its key in the place of the gRPC port's."""
        self._authority.server("grpc", valid=timedelta(days=90))

    def certificates(self) -> tuple[bytes, bytes]:
        """Return those that the gRPC and the HTTP port show."""
        return shown(str(self.program.grpc)), shown(str(self.program.http))

    def events(self, after: int = 0) -> list[dict[str, Any]]:
        return self.program.events()[after:]

    def reload(self, name: str = "settings reloaded") -> list[dict[str, Any]]:
        """Make the server read its settings again, and return what it has logged since."""
        before = len(self.program.events())
        self.program.send(signal.SIGHUP)
        deadline = time.monotonic() + 10
        while not any(event["event"] == name for event in self.events(before)):
            assert time.monotonic() < deadline
        return self.events(before)


def shown(address: str) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), 5) as plain, context.wrap_socket(plain) as connection:
        certificate = connection.getpeercert(binary_form=True)
    assert certificate is not None
    return certificate


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    shop = Shop(folder)
    shop.configure()
    with running(shop.arguments, folder / "log") as shop.program:
        yield shop


@pytest.fixture(autouse=True)
def configured(shop: Shop) -> None:
    shop.configure()


def named(events: list[dict[str, Any]], name: str) -> list[Mapping[str, Any]]:
    """Return the warnings of this name, without what every line has."""
    common = ("event", "level", "timestamp")
    found = [event for event in events if event["event"] == name]
    assert {event["level"] for event in found} <= {"warning"}
    return [{key: value for key, value in event.items() if key not in common} for event in found]


def test_a_payment_gateways_certificate_that_no_port_asks_for_is_warned_of(shop: Shop) -> None:
    setting = {"setting": "endpoints[0].payment_gateway.certificates", "needs": "http.client_ca"}

    assert named(shop.events(), "client certificate never asked for") == [setting]
    assert named(shop.reload(), "client certificate never asked for") == [setting]


def test_a_callers_certificate_that_nobody_could_show_is_not_taken_when_it_is_read_again(shop: Shop) -> None:
    # An authority counts from the next start on only.
    shop.configure(STRANGER)
    text = shop.config.read_text().replace("[grpc]\n", f'[grpc]\nclient_ca = "{shop.grpc.certificate}"\n')
    shop.config.write_text(text)

    (told,) = [event for event in shop.reload("settings not reloaded") if event["event"] == "settings not reloaded"]

    assert told["fault"] == "callers[0].certificate: needs grpc.client_ca, or nobody could show it"


def test_settings_that_wait_for_a_restart_are_named_until_they_are_as_they_were(shop: Shop) -> None:
    def reloaded() -> dict[str, Any]:
        return next(event for event in shop.reload() if event["event"] == "settings reloaded")

    # What flags and tables say that count is not among them.
    assert "waiting_for_restart" not in reloaded()
    shop.configure("workers = 2\n[http.limits]\nin_flight = 64\n[service]\ntls = true\n")
    assert reloaded()["waiting_for_restart"] == ["http.limits.in_flight", "workers"]
    shop.configure(VAULT)
    assert "waiting_for_restart" not in reloaded()


def test_nothing_counts_anew_as_long_as_anything_is_wrong(shop: Shop) -> None:
    before, sound = shop.certificates(), shop.http.certificate.read_bytes()

    shop.renew()
    shop.http.certificate.write_text("nonsense")
    shop.reload("settings not reloaded")
    assert shop.certificates() == before

    shop.http.certificate.write_bytes(sound)
    shop.configure(STRANGER)
    shop.reload("settings not reloaded")
    assert shop.certificates() == before

    shop.configure()
    shop.reload()
    grpc, http = shop.certificates()
    assert (grpc == before[0], http == before[1]) == (False, True)


def test_a_gateway_names_them_too(shop: Shop, tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.touch()
    serve = ["sale-gateway", "serve", f"--config={config}", f"--http={ANY_PORT}", f"--service={shop.program.grpc}"]
    with running(serve, tmp_path / "log") as gateway:
        config.write_text('[http]\ndeadline = "1s"\nservice = "127.0.0.1:1"\n')
        gateway.send(signal.SIGHUP)

        assert gateway.wait_for_event("settings reloaded")["waiting_for_restart"] == ["http.deadline"]


def test_a_file_with_keys_that_others_can_read_is_warned_of(shop: Shop) -> None:
    assert named(shop.events(), "file readable by others") == []

    shop.config.chmod(0o640)

    told = {"setting": "--config", "file": str(shop.config)}
    assert named(shop.reload(), "file readable by others") == [told]
