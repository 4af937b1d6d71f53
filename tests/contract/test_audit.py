"""The audit log of a running server: what is in it, who is named, and what is not in it."""

import json
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import CliRunner, Result
from connectingparty.sale.v1.access_token_service_pb2 import (
    IssueAccessTokenRequest,
    RevokeAccessTokenRequest,
    RevokeConsumerTokensRequest,
)
from connectingparty.sale.v1.card_service_pb2 import DeleteCardRequest, PutCardRequest, SetCardEmailRequest
from connectingparty.sale.v1.sale_service_pb2 import CheckSaleRequest
from connectingparty.sale.v1.sale_service_pb2_grpc import SaleServiceStub
from google.protobuf import json_format

from service.identifiers import hash_access_token
from service.program.cli import main
from tests.conftest import Deployment, deploy
from tests.contract.test_callback import checked
from tests.contract.test_cards import NUMBER, card_data, consumer_of
from tests.contract.test_sale import opened
from tests.merchant import CALLER_KEY, SBC, VAULT, callback_parameters, check_document, write_config
from tests.running import ANY_PORT, running

REFUSALS = 40
NEW_KEY = "11111111-2222-3333-4444-555555555555"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audit")


@pytest.fixture(scope="module")
def deployment(folder: Path) -> Iterator[Deployment]:
    with ExitStack() as stack:
        yield deploy(stack, "one process", folder)


def audit(folder: Path, *arguments: str) -> Result:
    """Run the command beside the server."""
    return CliRunner().invoke(main, ["audit", *arguments, f"--store=sqlite:///{folder / 'sale.db'}"])


def entries(folder: Path, *arguments: str, after: int = 0) -> list[dict[str, Any]]:
    listed = audit(folder, "list", *arguments)
    assert listed.exit_code == 0, listed.output
    return [json.loads(line) for line in listed.stdout.splitlines()][after:]


def told(entry: dict[str, Any]) -> tuple[str, str, str, str]:
    return entry["action"], entry["subject"], entry["caller"], entry["address"]


def wait_for(folder: Path, action: str, count: int, after: int = 0) -> list[dict[str, Any]]:
    """Return the entries of an action once there are so many."""
    deadline = time.monotonic() + 20
    while len(found := [entry for entry in entries(folder, after=after) if entry["action"] == action]) < count:
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def test_tokens_and_cards_are_told_with_who_and_what_and_no_secret(deployment: Deployment, folder: Path) -> None:
    before = len(entries(folder))
    tokens, cards = deployment.grpc.access_tokens, deployment.grpc.cards
    public = deployment.http.request_access_token()
    issued = tokens.IssueAccessToken(IssueAccessTokenRequest(consumer_id="bob"), timeout=20).access_token
    for _ in range(2):
        tokens.RevokeAccessToken(RevokeAccessTokenRequest(access_token=public), timeout=20)
        tokens.RevokeConsumerTokens(RevokeConsumerTokensRequest(consumer_id="bob"), timeout=20)
    put = PutCardRequest(consumer_id="bob", card=card_data())
    card_id = cards.PutCard(put, timeout=20).card.client_card_id
    cards.SetCardEmail(SetCardEmailRequest(consumer_id="bob", client_card_id=card_id, email="b@example.com"))
    cards.PutCard(PutCardRequest(consumer_id="bob", card=card_data(), client_card_id=card_id), timeout=20)
    cards.DeleteCard(DeleteCardRequest(consumer_id="bob", client_card_id=card_id), timeout=20)

    found = entries(folder, after=before)

    merchant = ("merchant", "127.0.0.1")
    public_hash = hash_access_token(public).hex()
    assert [told(entry) for entry in found] == [
        ("access_token.issued", public_hash, "gateway in process", "127.0.0.1"),
        ("access_token.issued", hash_access_token(issued).hex(), *merchant),
        ("access_token.revoked", public_hash, *merchant),
        ("consumer_tokens.revoked", "bob", *merchant),
        ("card.put", card_id, *merchant),
        ("card.put", card_id, *merchant),
        ("card.deleted", card_id, *merchant),
    ]
    assert found[1]["details"] == {"consumer_id": "bob"}
    assert found[4]["details"] == {"consumer_id": "bob", "vault_key_id": "2026"}
    text = json.dumps(entries(folder))
    for secret in (public, issued, NUMBER, "example.com", SBC.control_key, CALLER_KEY, "0f" * 32):
        assert secret not in text


def test_a_card_is_told_each_time_that_its_data_is_shown_and_a_reference_when_it_is_saved(
    deployment: Deployment, folder: Path
) -> None:
    before = len(entries(folder))
    anna = consumer_of(deployment, deployment.http)
    put = PutCardRequest(consumer_id=anna.id, card=card_data())
    card_id = deployment.grpc.cards.PutCard(put, timeout=20).card.client_card_id
    assert anna.check(deployment.http, card_id).body["sourceOfFunds"]["card"]["number"] == NUMBER
    assert anna.check(deployment.http, anna.client_card_id).body["sourceOfFunds"]["reference"]

    found = [entry for entry in entries(folder, after=before) if entry["action"].startswith("card.")]

    assert [(entry["action"], entry["subject"], entry["caller"]) for entry in found] == [
        ("card.put", anna.client_card_id, "gateway in process"),
        ("card.put", card_id, "merchant"),
        ("card.shown", card_id, "gateway in process"),
    ]
    assert found[0]["details"]["invoice_id"] == anna.invoice_id
    assert found[2]["details"].keys() == {"consumer_id", "invoice_id", "endpoint_id"}


def test_what_is_refused_is_told_in_a_bounded_number_of_entries(folder: Path) -> None:
    (folder / "refused").mkdir()
    with ExitStack() as stack:
        deployment = deploy(stack, "one process", folder / "refused")
        sale = checked(deployment.http)
        wrong = {**callback_parameters(sale), "control": "0" * 40}
        for _ in range(REFUSALS):
            assert deployment.http.callback(wrong).code == 1109
        assert deployment.service.stop() == 0

    found = [entry for entry in entries(folder / "refused") if entry["action"].startswith("refused.")]

    assert {told(entry)[0] for entry in found} == {"refused.control_mismatch"}
    assert [entry["details"] for entry in found] == [{"invoice_id": sale}] * 5 + [{"count": str(REFUSALS - 5)}]
    assert {(entry["caller"], entry["address"]) for entry in found} == {("gateway in process", "127.0.0.1")}


def test_a_configuration_is_told_by_what_has_changed_and_never_by_a_value(folder: Path) -> None:
    home = folder / "configuration"
    home.mkdir()
    limit = '[[sale_limits]]\nper = "device"\nwindow = "1h"\nsales = 5\n'
    config = write_config(home / "sale.toml", VAULT + limit)
    arguments = ["sale-service", "serve", f"--config={config}", f"--store=sqlite:///{home}/sale.db", "--no-http"]
    with running([*arguments, f"--grpc={ANY_PORT}"], home / "log") as program:
        (read,) = wait_for(home, "configuration.read", 1)
        program.send(signal.SIGHUP)
        (unchanged,) = wait_for(home, "configuration.reloaded", 1)
        write_config(home / "sale.toml", VAULT.replace("0f", "1f"), [SBC._replace(control_key=NEW_KEY)])
        program.send(signal.SIGHUP)
        _, changed = wait_for(home, "configuration.reloaded", 2)
        assert changed["details"].keys() == {"vault", "endpoints", "sale_limits"}

    assert read["details"].keys() >= {"grpc", "store", "vault", "endpoints", "callers"}
    assert read["caller"] == "sale-service serve"
    assert unchanged["details"] == {}
    assert changed["details"]["vault"] != read["details"]["vault"]


def test_callers_that_are_refused_are_told(deployment: Deployment, folder: Path) -> None:
    with grpc.insecure_channel(str(deployment.service.grpc)) as channel:
        for path in ("AccessTokenService/RevokeConsumerTokens", "AccessTokenService/" + "x" * 500 + "\u00e4"):
            call: Any = channel.unary_unary(f"/connectingparty.sale.v1.{path}")
            with pytest.raises(grpc.RpcError):
                call(b"", timeout=20)

    found = wait_for(folder, "refused.caller_not_identified", 2)

    assert found[0]["subject"] == "/connectingparty.sale.v1.AccessTokenService/RevokeConsumerTokens"
    assert (found[0]["caller"], found[0]["address"]) == ("", "127.0.0.1")
    assert len(found[1]["subject"]) <= 128


def test_whoever_shows_the_wrong_certificate_is_told(folder: Path) -> None:
    (folder / "certified").mkdir()
    certified = SBC._replace(more='payment_gateway = {certificates = ["sbc.example"]}\n')
    seen = (("client-address", "192.0.2.9"), ("client-certificate", "a.example"), ("client-certificate", "b.example"))
    with ExitStack() as stack:
        deployment = deploy(stack, "one process", folder / "certified", providers=[certified])
        access_token, sale = opened(deployment.http)
        document = {"invoiceId": sale["invoiceId"], **check_document(access_token, sale)}
        check = json_format.ParseDict(document, CheckSaleRequest())
        with pytest.raises(grpc.RpcError, match="payment gateway"):
            SaleServiceStub(deployment.channel).CheckSale(check, timeout=20, metadata=seen)
        (entry,) = wait_for(folder / "certified", "refused.caller_not_permitted", 1)

    assert (entry["caller"], entry["address"]) == ("merchant", "192.0.2.9")
    assert entry["details"] == {"certificates": "a.example b.example", "invoice_id": sale["invoiceId"]}


def test_the_chain_is_verified_beside_the_server_and_its_head_is_found_again(
    deployment: Deployment, folder: Path
) -> None:
    deployment.http.request_access_token()
    first = audit(folder, "verify")
    assert first.exit_code == 0, first.output
    words = dict(line.split() for line in first.stdout.splitlines())
    assert words.keys() == {"audit_entries", "head_hash", "unchained_entries"}
    deployment.http.request_access_token()

    again = audit(folder, "verify", "--head", words["head_hash"])
    assert (again.exit_code, dict(line.split() for line in again.stdout.splitlines())["audit_entries"]) == (
        0,
        str(int(words["audit_entries"]) + 1),
    )
    unknown = audit(folder, "verify", "--head", "ab" * 32)
    assert unknown.exit_code == 1
    assert unknown.stderr.startswith("Error: the chain is broken at position ")
    assert audit(folder, "verify", "--head", "ab").exit_code == 2


def test_a_time_of_the_log_is_listed(deployment: Deployment, folder: Path) -> None:
    deployment.http.request_access_token()
    last = entries(folder)[-1]

    assert last in entries(folder, "--since", last["create_time"][:19])
    assert entries(folder, "--until", "2020-01-01") == []
