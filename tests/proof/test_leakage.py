"""Secrets that can be told apart, sent down every path: none is found in a log, an error, a file or a traceback.

What has to be stored is found where it has to be, and nowhere else: a search that finds nothing at all proves nothing.
"""

import asyncio
import base64
import hashlib
import secrets
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import asyncpg
import grpc
import pytest
from connectingparty.sale.v1.access_token_service_pb2 import IssueAccessTokenRequest
from connectingparty.sale.v1.card_service_pb2 import PutCardRequest, SetCardEmailRequest
from connectingparty.sale.v1.error_reason_pb2 import ErrorReason

from gateway.program.settings import ConfigurationError, load_settings
from service.program.settings import ServiceSettings, callers_of, endpoints_of, vault_keys_of
from tests.conftest import Deployment, deploy
from tests.merchant import (
    SBC,
    callback_parameters,
    check_document,
    initiate_document,
    notification_document,
    with_card,
    with_member,
)
from tests.proof.canaries import card_number, found
from tests.running import KEY_METADATA, PROGRAMS
from tests.stores import schema

VAULT_KEY = secrets.token_hex(32)
CONTROL_KEY = SBC.control_key
FAILED = int(ErrorReason.ERROR_REASON_SERVER_FAILED)


class Paths:
    """Sends secrets down every path of a deployment."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.secret = {"control key": CONTROL_KEY, "vault key": VAULT_KEY, "bearer key": KEY_METADATA[0][1][7:]}
        self.errors: list[bytes] = []

    def note(self, answer: Any) -> Any:
        """Keep what an error said."""
        if answer.code:
            self.errors.append(repr(answer.body["error"]).encode())
        return answer

    def walk(self) -> None:
        self._sales()
        self._cards()
        self._faults()
        self._strange_requests()

    def _sales(self) -> None:
        for name, transport in (("http", self.deployment.http), ("grpc", self.deployment.grpc)):
            token, session_token = transport.request_access_token(), secrets.token_hex(16)
            opened = self.note(transport.initiate(initiate_document(token), f"order-{name}")).body
            self.secret |= {f"access token by {name}": token, f"session token by {name}": session_token}
            self.secret |= {f"{key} by {name}": value for key, value in opened["session"].items()}
            check = check_document(token, opened, session_token)
            for path in ("accessToken", "nonce", "signature"):
                wrong = secrets.token_hex(20)
                self.secret[f"wrong {path} by {name}"] = wrong
                answer = transport.check(opened["invoiceId"], with_member(check, f"session.{path}", wrong))
                assert self.note(answer).code
            for path in ("accessToken", "nonce", "signature", "token"):  # too long, so that its error names it
                long = secrets.token_hex(70)
                self.secret[f"long {path} by {name}"] = long
                assert self.note(transport.check(opened["invoiceId"], with_member(check, f"session.{path}", long))).code
            assert self.note(transport.check(opened["invoiceId"], check)).code == 0
            assert self.note(transport.notify(notification_document(token, session_token))).code == 0
            wrong_control = callback_parameters(opened["invoiceId"], control_key=secrets.token_hex(16))
            assert self.note(transport.callback(wrong_control)).code
            assert self.note(transport.callback(callback_parameters(opened["invoiceId"]))).code == 0

    def _cards(self) -> None:
        grpc_wire, number = self.deployment.grpc, card_number()
        email, holder = f"{secrets.token_hex(8)}@example.com", f"Holder{secrets.token_hex(6)}"
        self.secret |= {"card number": number, "e-mail": email, "holder": holder}
        issued: Any = grpc_wire.access_tokens.IssueAccessToken(
            IssueAccessTokenRequest(consumer_id="alice", email=email), timeout=20
        )
        self.secret["access token with an e-mail"] = issued.access_token
        card = PutCardRequest.Card(
            number=number,
            expiry=PutCardRequest.Expiry(month=12, year=2031),
            holder=PutCardRequest.Holder(first_name=holder, last_name=holder),
        )
        kept: Any = grpc_wire.cards.PutCard(PutCardRequest(consumer_id="alice", card=card, email=email), timeout=20)
        opened = self.note(grpc_wire.initiate(initiate_document(issued.access_token))).body
        document = with_card(
            check_document(issued.access_token, opened, secrets.token_hex(16)), kept.card.client_card_id
        )
        paid = self.deployment.http.check(opened["invoiceId"], document)
        assert paid.body["sourceOfFunds"]["card"]["number"] == number  # it went all the way
        for faulty in (
            PutCardRequest(consumer_id="alice", card=card, email=f"{email} no address"),
            PutCardRequest(consumer_id="device:alice", card=card),
            PutCardRequest(consumer_id="alice", card=PutCardRequest.Card(number=f"{number}-x")),
            SetCardEmailRequest(consumer_id="alice", client_card_id=number, email=email),
        ):
            method: Any = getattr(grpc_wire.cards, type(faulty).__name__.removesuffix("Request"))
            with pytest.raises(grpc.RpcError) as refused:
                method(faulty, timeout=20)
            trailing: Any = refused.value.trailing_metadata()
            self.errors.append(repr(trailing).encode() + str(refused.value.details()).encode())

    def _faults(self) -> None:
        token = secrets.token_hex(32)
        self.secret["unknown access token"] = token
        for transport in (self.deployment.http, self.deployment.grpc):
            assert self.note(transport.initiate(initiate_document(token))).code == 1101
        key = f"key-of-nobody-{secrets.token_hex(12)}"
        self.secret["unknown bearer key"] = key
        with grpc.insecure_channel(str(self.deployment.service.grpc)) as channel:
            call: Any = channel.unary_unary(f"/connectingparty.sale.v1.SaleService/{token}")
            for metadata in ([("authorization", f"Bearer {key}")], KEY_METADATA):
                with pytest.raises(grpc.RpcError) as refused:
                    call(token.encode(), metadata=metadata, timeout=20)
                self.errors.append(str(refused.value.details()).encode())

    def _strange_requests(self) -> None:
        client, value = self.deployment.http.client, f"canary{secrets.token_hex(16)}"
        self.secret["value in a strange place"] = value
        for response in (
            client.get(f"/{value}"),
            client.get(f"/sale/callback?{value}={value}&status={value * 9}"),
            client.post(f"/sale/{value}/check?{value}", json={value: value}),
            client.post("/sale/initiate-sale", content=f'{{"{value}": "{value}", "{value}": 1}}'),
            client.post("/sale/initiate-sale", content=value, headers={"Content-Type": value}),
            client.post("/sale/initiate-sale", json={"consumer": value, "session": {"accessToken": [value]}}),
            client.post("/sale/initiate-sale", json={}, headers={"Idempotency-Key": value * 99, "Cookie": value}),
            client.request(value[:20].upper(), "/sale/initiate-sale"),
        ):
            assert response.status_code >= 400
            body = response.content.replace(f'"invoiceId":"{value}"'.encode(), b"")  # the contract's echo of the path
            self.errors.append(body)


@dataclass
class Walked:
    """A deployment down whose paths secrets were sent."""

    paths: Paths
    folder: Path
    store: str

    def change_table(self, statement: str) -> None:
        """Change the schema beneath the server."""
        if self.store.startswith("postgresql:"):
            asyncio.run(_on_postgresql(self.store, lambda connection: connection.execute(statement)))
        else:
            with closing(apsw.Connection(str(self.folder / "sale.db"))) as connection:
                connection.set_busy_timeout(10_000)  # the server writes too
                connection.execute(statement)

    def at_rest(self) -> bytes:
        """Return all that is stored: of SQLite the files as they are, of PostgreSQL every row of every table."""
        if self.store.startswith("postgresql:"):
            rows: bytes = asyncio.run(_on_postgresql(self.store, _rows))
            return rows
        return b"".join(path.read_bytes() for path in sorted(self.folder.glob("sale.db*")))

    def written_by(self, *arguments: str) -> bytes:
        """Return what a command writes."""
        command = [str(PROGRAMS / "sale-service"), *arguments, f"--config={self.folder / 'sale.toml'}"]
        told = subprocess.run([*command, f"--store={self.store}"], capture_output=True, check=True)
        return told.stdout + told.stderr


async def _on_postgresql(url: str, act: Callable[[Any], Awaitable[Any]]) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await act(connection)
    finally:
        await connection.close()


async def _rows(connection: Any) -> bytes:
    names = "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
    tables = [name for (name,) in await connection.fetch(names)]
    rows = [row for table in tables for row in await connection.fetch(f'SELECT t::text FROM "{table}" t')]
    return "\n".join(text for (text,) in rows).encode()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def walked(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Walked]:
    extra = f'[vault]\nkeys = [{{id = "2026", key = "{VAULT_KEY}"}}]\n'
    with ExitStack() as stack:
        if request.param == "sqlite":
            kind, store = "one process", f"sqlite:///{tmp_path / 'sale.db'}"
        else:
            kind, store = "two processes", stack.enter_context(schema(request.getfixturevalue("postgresql_url")))
        paths = Paths(deploy(stack, kind, tmp_path, extra, store))
        paths.walk()
        yield Walked(paths, tmp_path, store)


STORED = {f"{what} by {wire}" for what in ("nonce", "signature", "session token") for wire in ("http", "grpc")} | {
    "e-mail"
}
"""What a check compares with, and what it answers of a card: these are stored as they are."""


def test_no_secret_is_found_where_it_need_not_be(walked: Walked) -> None:
    paths, names = walked.paths, walked.paths.secret
    fail_inside(walked)
    told = {
        "errors": b"\n".join(paths.errors),
        "reference": paths.deployment.http.client.get("/openapi.json").content,
        "export": walked.written_by("export", "--since=2026-01-01"),
        "audit log": walked.written_by("audit", "list"),
    }
    for program in paths.deployment.programs:
        program.kill()  # what it had no time to tidy up stays
    logs = {path.name: path.read_bytes() for path in walked.folder.glob("*.log")}  # standard error
    assert all(told.values())
    assert any(b'"incident"' in log and b'"frames"' in log for log in logs.values())
    told |= logs
    stored = walked.at_rest()

    sizes = ", ".join(f"{name} {len(data)}" for name, data in (told | {"store": stored}).items())
    print(f"\n{len(names)} secrets, {len(paths.errors)} errors; bytes: {sizes}")
    assert {name: leaked for name, data in told.items() if (leaked := found(names, data))} == {}
    assert found(names, stored) == STORED


def fail_inside(walked: Walked) -> None:
    """Make calls with secrets fail inside the server."""
    deployment, secret = walked.paths.deployment, walked.paths.secret
    walked.change_table("ALTER TABLE sales RENAME TO elsewhere")
    for transport, token in (
        (deployment.http, secret["access token by http"]),
        (deployment.grpc, secret["access token by grpc"]),
    ):
        assert walked.paths.note(transport.initiate(initiate_document(token), "order-fault")).code == FAILED
    walked.change_table("ALTER TABLE elsewhere RENAME TO sales")


HELP = ["sale-service serve --help", "sale-gateway serve --help"]


@pytest.mark.parametrize("command", HELP)
def test_help_does_not_echo_the_environment(command: str) -> None:
    program, *arguments = command.split()
    canary = secrets.token_hex(16)
    environment = {
        "SALE_STORE__PASSWORD": canary,
        "SALE_STORE__URL": f"postgresql://sale:{canary}@db/sale",
        "SALE_SERVICE__KEY": canary,
        "SALE_VAULT__KEYS": f'[{{"id": "1", "key": "{canary * 2}"}}]',
    }

    told = subprocess.run([str(PROGRAMS / program), *arguments], capture_output=True, env=environment, check=True)

    assert b"--help" in told.stdout
    assert found({"canary": canary}, told.stdout + told.stderr) == set()


FAULTY = [
    '[vault]\nkeys = [{{id = "1", key = "{canary}"}}]\n',
    '[vault]\nkeys = "{canary}"\n',
    '[store]\npassword = ["{canary}"]\n',
    '[store]\nurl = "postgresql://sale:{canary}@[db/sale"\n',
    '[store]\nurl = "{canary}"\n',
    '[[callers]]\nname = "x"\nroles = ["reader"]\nkey_hashes = ["{canary}"]\n',
    '[[endpoints]]\nid = "1"\nprovider = "SBC"\ncontrol_keys = ["{canary}"]\ncurrencies = ["EUR"]\n',
    '[service]\nkey = "{canary} \u00e9"\nkey_file = "{canary}"\n',
    'vault = "{canary}',
]


def read(config: Path) -> None:
    settings = load_settings(ServiceSettings, config, {})
    _ = vault_keys_of(settings.vault), endpoints_of(settings.endpoints), callers_of(settings)


def test_a_wrong_setting_is_told_without_its_value(tmp_path: Path) -> None:
    for text in FAULTY:
        canary = f"canary-{secrets.token_hex(20)}"
        config = tmp_path / "sale.toml"
        config.write_text(text.format(canary=canary))
        with pytest.raises(ConfigurationError) as wrong:
            read(config)
        assert found({"canary": canary}, str(wrong.value).encode()) == set()


def test_the_search_finds_what_is_there() -> None:
    value = secrets.token_hex(16)
    for data in (
        value.encode(),
        value.upper().encode(),
        bytes.fromhex(value),
        base64.b64encode(b"ab" + value.encode() + b"c"),
        value.encode().hex().encode(),
    ):
        assert found({"it": value}, b"-- " + data + b" --") == {"it"}
    assert found({"it": value}, hashlib.sha256(value.encode()).digest()) == set()
    assert found({"mail": "a b@example.com"}, b"x=a%20b%40example.com") == {"mail"}
