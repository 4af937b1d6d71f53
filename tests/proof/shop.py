"""A server whose callers are known by certificates and keys, and two consumers who have bought something there."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
from connectingparty.sale.v1.access_pb2 import Role
from connectingparty.sale.v1.access_token_service_pb2 import IssueAccessTokenRequest
from connectingparty.sale.v1.access_token_service_pb2_grpc import AccessTokenServiceStub
from connectingparty.sale.v1.card_service_pb2 import PutCardRequest
from connectingparty.sale.v1.card_service_pb2_grpc import CardServiceStub

from service.callers import ROLES, hash_key
from tests.certificates import Authority, CertificateFiles
from tests.merchant import (
    CALLER_KEY,
    RANDOM_SUM,
    VAULT,
    callback_parameters,
    check_document,
    initiate_document,
    notification_document,
    with_card,
    with_member,
    write_config,
)
from tests.running import CHANNEL_OPTIONS, Program, service_arguments
from tests.transports import OverHttp

KEYS = {name: secrets.token_hex(16) for name in [*ROLES, "pinned"]}
CERTIFICATES = [*ROLES, "pinned", "nobody"]
NO_INVOICE = "00000000-0000-7000-8000-00000000000a"
_NUMBER = "4111111111111111"
_SECRETS = ("access_token", "serial_number", "nonce", "signature", "token", "client_card_id")


class Shown(NamedTuple):
    """What a caller shows of itself, and what it may do then."""

    name: str
    certificate: str
    keys: tuple[str, ...]
    roles: frozenset[int] | None
    """None: it is nobody."""

    @property
    def metadata(self) -> list[tuple[str, str]]:
        return [("authorization", f"Bearer {key}") for key in self.keys]


def everybody() -> Iterator[Shown]:
    """Yield every kind of caller that there is."""
    for name, role in ROLES.items():
        yield Shown(f"certificate of {name}", name, (), frozenset({role}))
        yield Shown(f"key of {name}", "nobody", (KEYS[name],), frozenset({role}))
    yield Shown("certificate and key", "pinned", (KEYS["pinned"],), frozenset({Role.ROLE_READER}))
    yield Shown("nothing", "nobody", (), None)
    yield Shown("unknown key", "nobody", (secrets.token_hex(16),), None)
    yield Shown("empty key", "nobody", ("",), None)
    yield Shown("two keys", "nobody", (KEYS["admin"], KEYS["gateway"]), None)
    yield Shown("hash of a key", "nobody", (hash_key(KEYS["admin"]).hex(),), None)
    yield Shown("key without its certificate", "nobody", (KEYS["pinned"],), None)
    yield Shown("key with another's certificate", "reader", (KEYS["pinned"],), None)
    yield Shown("certificate without its key", "pinned", (), None)
    yield Shown("certificate beside an unknown key", "admin", (secrets.token_hex(16),), None)


class ShopFiles:
    """The settings of the server, and the certificates of everybody.

    Args:
        folder: takes them.
    """

    def __init__(self, folder: Path) -> None:
        self._authority = Authority(folder)
        server = self._authority.server()
        self._certificates = {name: self._authority.client(name, f"{name}.shop.example") for name in CERTIFICATES}
        tls = (
            f'[grpc]\ntls_cert = "{server.certificate}"\ntls_key = "{server.key}"\n'
            f'client_ca = "{self._authority.certificate}"\n'
        )
        callers = "".join(
            f'[[callers]]\nname = "{name}-by-certificate"\nroles = ["{name}"]\ncertificate = "{name}.shop.example"\n'
            f'[[callers]]\nname = "{name}-by-key"\nroles = ["{name}"]\nkey_hashes = ["{hash_key(KEYS[name]).hex()}"]\n'
            for name in ROLES
        )
        callers += (
            '[[callers]]\nname = "pinned"\nroles = ["reader"]\ncertificate = "pinned.shop.example"\n'
            f'key_hashes = ["{hash_key(KEYS["pinned"]).hex()}"]\n'
        )
        config = write_config(folder / "sale.toml", VAULT + tls + callers)
        self.arguments = service_arguments(config, f"sqlite:///{folder / 'sale.db'}")
        """Of the server."""

    def channel(self, program: Program, name: str) -> grpc.Channel:
        """Return a channel to the server with the certificate of this name."""
        files: CertificateFiles = self._certificates[name]
        credentials = grpc.ssl_channel_credentials(self._authority.certificate.read_bytes(), *files.pems())
        return grpc.secure_channel(str(program.grpc), credentials, options=CHANNEL_OPTIONS)


class Shop:
    """What alice and bob have: a sale that was paid with a saved card each, and bob one that nobody has checked yet.

    Args:
        program: the server.
        channel: to it, of nobody who has a certificate.
    """

    def __init__(self, program: Program, channel: grpc.Channel) -> None:
        self._metadata = [("authorization", f"Bearer {CALLER_KEY}")]
        self._issue: Any = AccessTokenServiceStub(channel).IssueAccessToken
        self._put: Any = CardServiceStub(channel).PutCard
        suffix = secrets.token_hex(4)  # others may have shopped here before
        with program.client() as client:
            self._http = OverHttp(client)
            self.alice, self.bob = (self._buy(f"{name}-{suffix}") for name in ("alice", "bob"))
            self._new_sale = self.bob | self._initiate(self.bob)
        self._spare = {
            "access_token": self._token(f"spare-{suffix}"),
            "consumer_id": f"spare-{suffix}",
        }
        self._spare_card = self._card(self.bob["consumer_id"])

    def named(self, rpc: str, kind: str) -> dict[str, Any]:
        """Return the objects that a request names in which bob claims to be himself.

        Args:
            rpc: the name of the rpc.
            kind: "own"; "foreign", alice's; "missing", such as there are not; "own sale, foreign card" or
                "own sale, missing card".
        """
        names = ("invoice_id", "client_orderid", "client_card_id", "nonce", "signature", "token", "control")
        theirs = {name: self.alice[name] for name in names}
        nothing = dict.fromkeys(("invoice_id", "client_orderid"), NO_INVOICE)
        nothing |= {"client_card_id": "no such card", "token": "no-such-session-token"}
        more = {"currency": RANDOM_SUM.currency, "number": _NUMBER, "year": 2030, "month": 12}
        match kind:
            case "own":
                # What is needed for other calls must not be taken away by this one.
                spare = self._spare if rpc.startswith("Revoke") else {}
                return self.bob | more | spare | ({"client_card_id": self._spare_card} if "Delete" in rpc else {})
            case "foreign":
                spare = self._spare if rpc.startswith("Revoke") else {}
                return self.bob | more | theirs | spare
            case "missing":
                spare = {"access_token": "0" * 64, "consumer_id": "nobody"} if rpc.startswith("Revoke") else {}
                return self.bob | more | nothing | spare
            case "own sale, foreign card":
                return self._new_sale | more | {"client_card_id": self.alice["client_card_id"]}
            case _:
                return self._new_sale | more | {"client_card_id": "no such card"}

    def betrayed_by(self, text: str) -> list[str]:
        """Return the names of alice's secrets that stand in a text."""
        return [name for name in _SECRETS if str(self.alice[name]) in text]

    def _token(self, consumer: str) -> str:
        request = IssueAccessTokenRequest(consumer_id=consumer)
        return str(self._issue(request, metadata=self._metadata, timeout=30).access_token)

    def _card(self, consumer: str) -> str:
        card = PutCardRequest.Card(
            number=_NUMBER,
            expiry=PutCardRequest.Expiry(month=12, year=2030),
            holder=PutCardRequest.Holder(first_name="Ann", last_name="Example"),
        )
        kept = self._put(PutCardRequest(consumer_id=consumer, card=card), metadata=self._metadata, timeout=30)
        return str(kept.card.client_card_id)

    def _initiate(self, who: dict[str, Any]) -> dict[str, Any]:
        """Return what a sale is named by."""
        document = initiate_document(who["access_token"], RANDOM_SUM.currency)
        opened = self._http.initiate(with_member(document, "consumer.device.serialNumber", who["serial_number"]))
        assert opened.code == 0, opened
        invoice_id = opened.body["invoiceId"]
        callback = callback_parameters(invoice_id, "processing", RANDOM_SUM.control_key)
        return {
            "invoice_id": invoice_id,
            "token": secrets.token_hex(16),
            **opened.body["session"],
            **{name: callback[name] for name in ("client_orderid", "status", "orderid", "control")},
        }

    def _buy(self, consumer: str) -> dict[str, Any]:
        who: dict[str, Any] = {
            "consumer_id": consumer,
            "serial_number": f"device of {consumer}",
            "access_token": self._token(consumer),
            "client_card_id": self._card(consumer),
        }
        who |= self._initiate(who)
        opened = {"session": {name: who[name] for name in ("nonce", "signature")}}
        document = check_document(who["access_token"], opened, who["token"], who["serial_number"])
        checked = self._http.check(who["invoice_id"], with_card(document, who["client_card_id"]))
        assert checked.code == 0, checked
        mapping = notification_document(who["access_token"], who["token"], serial_number=who["serial_number"])
        assert self._http.notify(mapping).code == 0
        return who
