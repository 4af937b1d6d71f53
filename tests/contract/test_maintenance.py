"""The commands beside `serve`, run while servers run on the same store; and vault keys that are rotated under load."""

import csv
import io
import json
import secrets
import signal
import subprocess
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path

import apsw
import grpc
import pytest
from connectingparty.sale.v1.access_token_service_pb2 import IssueAccessTokenRequest
from connectingparty.sale.v1.card_service_pb2 import PutCardRequest
from connectingparty.sale.v1.sale_service_pb2 import ListSalesRequest

from tests.conftest import Deployment, deploy
from tests.contract.test_callback import checked, state
from tests.contract.test_cards import card_data, refusal
from tests.merchant import (
    callback_parameters,
    check_document,
    initiate_document,
    new_token,
    with_card,
    with_member,
    write_config,
)
from tests.running import PROGRAMS


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command on the store of a deployment."""
    name, *rest = arguments
    return subprocess.run(
        [
            str(PROGRAMS / "sale-service"),
            name,
            f"--config={folder / 'sale.toml'}",
            f"--store=sqlite:///{folder / 'sale.db'}",
            *rest,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def exported(folder: Path, *arguments: str) -> str:
    done = command(folder, "export", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_sales_are_exported_as_json_lines_the_oldest_first(tmp_path: Path) -> None:
    with ExitStack() as stack:
        deployment = deploy(stack, "one process", tmp_path)
        invoices = [checked(deployment.http) for _ in range(3)]
        deployment.http.callback(callback_parameters(invoices[1], amount="9.99"))

        sales = [json.loads(line) for line in exported(tmp_path).splitlines()]

        assert [sale["invoiceId"] for sale in sales] == invoices
        assert [sale["state"] for sale in sales] == [
            "SALE_STATE_CHECKED",
            "SALE_STATE_APPROVED",
            "SALE_STATE_CHECKED",
        ]
        assert [sale["amountDiffers"] for sale in sales] == [False, True, False]
        assert (sales[1]["orderid"], sales[1]["amountCentis"], sales[1]["currency"]) == ("5624444", 1042, "EUR")
        since = sales[1]["initiateTime"].split(".")[0] + "Z"
        assert len(exported(tmp_path, f"--since={since.replace('Z', '+0000')}").splitlines()) == 3
        assert exported(tmp_path, "--since=2999-01-01") == ""
        assert exported(tmp_path, "--until=2020-01-01T00:00:00") == ""


def test_sales_are_exported_as_csv_without_formulas(tmp_path: Path) -> None:
    with ExitStack() as stack:
        deployment = deploy(stack, "one process", tmp_path)
        document = initiate_document(deployment.http.request_access_token())
        for serial_number in ("=HYPERLINK(1)", 'a "quoted", serial\nnumber'):
            sent = with_member(document, "consumer.device.serialNumber", serial_number)
            assert deployment.http.initiate(sent).code == 0

        first, second = csv.DictReader(io.StringIO(exported(tmp_path, "--format=csv")))

        assert first["serialNumber"] == "'=HYPERLINK(1)"
        assert second["serialNumber"] == 'a "quoted", serial\nnumber'
        assert (first["location.lng"], first["ipAddresses"]) == ("-180.0", "192.0.2.17 10.0.0.5")
        assert (first["amountCentis"], first["checkTime"], first["amountDiffers"]) == ("1042", "", "False")


def test_an_export_into_a_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    with ExitStack() as stack:
        deployment = deploy(stack, "one process", tmp_path)
        checked(deployment.http)
        target = tmp_path / "sales.csv"
        target.write_text("an older export\n" * 100)
        target.chmod(0o644)

        assert exported(tmp_path, "--format=csv", f"--output={target}") == ""
        assert len(target.read_text().splitlines()) == 2
        assert target.stat().st_mode & 0o777 == 0o600
        assert command(tmp_path, "export", f"--output={tmp_path}/no/such").returncode == 2


@pytest.mark.parametrize("name", ["export", "purge", "reencrypt-cards"])
def test_a_command_makes_no_store(tmp_path: Path, name: str) -> None:
    write_config(tmp_path / "sale.toml")

    done = command(tmp_path, name)

    assert done.returncode == 2
    assert done.stderr.startswith("Error: store.url: there is no file ")
    assert not (tmp_path / "sale.db").exists()


def test_purge_does_what_is_due(tmp_path: Path) -> None:
    settings = '[sessions]\nttl = "1s"\n[housekeeping]\ninterval = "1h"\nretention = "1s"\n'
    with ExitStack() as stack:
        deployment = deploy(stack, "one process", tmp_path, settings)
        final, open_ = checked(deployment.http), checked(deployment.http)
        deployment.http.callback(callback_parameters(final))
        access_token = deployment.http.request_access_token()
        late = deployment.http.initiate(initiate_document(access_token)).body
        time.sleep(1.1)
        done = command(tmp_path, "purge")

        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.split() == [
            *("expired_sessions", "1", "purged_access_tokens", "0"),
            *(
                "purged_idempotency_records",
                "0",
                "purged_blocks",
                "0",
                "purged_limit_uses",
                "0",
                "purged_changes",
                "6",
                "purged_sales",
                "1",
            ),
        ]
        assert state(deployment, late["invoiceId"]) == "EXPIRED"
        assert state(deployment, open_) == "CHECKED"
        assert deployment.http.check(final, check_document(new_token(), late)).code == 1104


def test_a_server_purges_by_itself(tmp_path: Path) -> None:
    settings = '[access_tokens]\nttl = "1s"\n[housekeeping]\ninterval = "100ms"\nretention = "500ms"\n'
    with ExitStack() as stack:
        deployment = deploy(stack, "two workers", tmp_path, settings)
        deployment.http.callback(callback_parameters(checked(deployment.http)))
        deadline = time.monotonic() + 20
        while deployment.grpc.sales.ListSales(ListSalesRequest(), timeout=5).sales:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with closing(apsw.Connection(str(tmp_path / "sale.db"))) as connection:
            while connection.execute("SELECT count(*) FROM access_tokens").get:
                assert time.monotonic() < deadline
                time.sleep(0.05)


def vault_settings(*keys: str) -> str:
    tables = ", ".join(f'{{id = "{key}", key = "{key * 64}"}}' for key in keys)
    return f"[vault]\nkeys = [{tables}]\n"


def reload(deployment: Deployment, folder: Path, *keys: str) -> None:
    write_config(folder / "sale.toml", vault_settings(*keys))
    before = sum(event["event"] == "settings reloaded" for event in deployment.service.events())
    deployment.service.send(signal.SIGHUP)
    deadline = time.monotonic() + 20
    while sum(event["event"] == "settings reloaded" for event in deployment.service.events()) == before:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def sealed_under(folder: Path) -> set[str]:
    with closing(apsw.Connection(str(folder / "sale.db"))) as connection:
        rows = connection.execute("SELECT vault_key_id FROM cards WHERE sealed IS NOT NULL")
        return {str(key) for (key,) in rows}


def test_a_vault_key_is_rotated_under_load(tmp_path: Path) -> None:
    with ExitStack() as stack:
        deployment = deploy(stack, "one process", tmp_path, vault_settings("a"))
        request = IssueAccessTokenRequest(consumer_id="anna")
        access_token = deployment.grpc.access_tokens.IssueAccessToken(request, timeout=20).access_token
        put = PutCardRequest(consumer_id="anna", card=card_data())
        ids = [deployment.grpc.cards.PutCard(put, timeout=20).card.client_card_id for _ in range(150)]
        wrong: list[object] = []
        paid = [0]
        done = threading.Event()

        def pay() -> None:
            with deployment.service.client() as client:
                http = type(deployment.http)(client)
                while not done.is_set():
                    opened = http.initiate(initiate_document(access_token)).body
                    check = check_document(access_token, opened, secrets.token_hex(16))
                    answer = http.check(opened["invoiceId"], with_card(check, secrets.choice(ids)))
                    if answer.code or answer.body["sourceOfFunds"]["card"]["number"] != "4111111111111111":
                        wrong.append(answer)
                    paid[0] += 1

        def keep_putting() -> None:
            while not done.is_set():
                replaced = PutCardRequest(consumer_id="anna", client_card_id=secrets.choice(ids), card=card_data())
                try:
                    ids.append(deployment.grpc.cards.PutCard(put, timeout=20).card.client_card_id)
                    deployment.grpc.cards.PutCard(replaced, timeout=20)
                except grpc.RpcError as error:
                    wrong.append(error)

        threads = [threading.Thread(target=target) for target in (pay, pay, keep_putting)]
        for thread in threads:
            thread.start()
        try:
            for old, new in (("a", "b"), ("b", "c")):
                reload(deployment, tmp_path, new, old)
                time.sleep(0.2)
                rotation = command(tmp_path, "reencrypt-cards")
                assert (rotation.returncode, rotation.stderr) == (0, "")
                assert int(rotation.stdout.split()[1]) > 0
                assert sealed_under(tmp_path) == {new}
                reload(deployment, tmp_path, new)
                time.sleep(0.2)
        finally:
            done.set()
            for thread in threads:
                thread.join(30)

        assert wrong == []
        assert paid[0] > 50


def test_data_of_a_card_that_was_tampered_with_is_never_answered(tmp_path: Path) -> None:
    with ExitStack() as stack:
        deployment = deploy(stack, "one process", tmp_path, vault_settings("a"))
        request = IssueAccessTokenRequest(consumer_id="anna")
        access_token = deployment.grpc.access_tokens.IssueAccessToken(request, timeout=20).access_token
        put = deployment.grpc.cards.PutCard
        mine, others = (
            put(PutCardRequest(consumer_id=owner, card=card_data(number))).card.client_card_id
            for owner, number in (("anna", "4111111111111111"), ("bob", "5555555555554444"))
        )
        with closing(apsw.Connection(str(tmp_path / "sale.db"))) as connection:
            connection.execute(
                "UPDATE cards SET sealed = (SELECT sealed FROM cards WHERE client_card_id = ?1)"
                " WHERE client_card_id = ?2",
                (others, mine),
            )
        opened = deployment.http.initiate(initiate_document(access_token)).body
        check = with_card(check_document(access_token, opened), mine)

        answer = deployment.http.check(opened["invoiceId"], check)
        assert answer.code == 3000
        assert deployment.grpc.sales.ListSales(ListSalesRequest(state=2), timeout=5).sales == []  # type: ignore[arg-type]
        write_config(tmp_path / "sale.toml", vault_settings("b", "a"))
        rotation = command(tmp_path, "reencrypt-cards")
        assert rotation.returncode == 1
        assert rotation.stdout == "reencrypted_cards 1\n"
        assert mine in rotation.stderr


def test_a_card_whose_key_is_not_configured_waits_for_it(tmp_path: Path) -> None:
    with ExitStack() as stack:
        deployment = deploy(stack, "one process", tmp_path, vault_settings("a"))
        request = IssueAccessTokenRequest(consumer_id="anna")
        access_token = deployment.grpc.access_tokens.IssueAccessToken(request, timeout=20).access_token
        put = PutCardRequest(consumer_id="anna", card=card_data())
        card_id = deployment.grpc.cards.PutCard(put, timeout=20).card.client_card_id
        opened = deployment.http.initiate(initiate_document(access_token)).body
        check = with_card(check_document(access_token, opened), card_id)
        reload(deployment, tmp_path, "b")
        assert deployment.http.check(opened["invoiceId"], check).code == 4000
        assert command(tmp_path, "reencrypt-cards").returncode == 1

        reload(deployment, tmp_path, "b", "a")
        assert deployment.http.check(opened["invoiceId"], check).code == 0


@pytest.mark.parametrize("text", ["", "\xff", "[[endpoints]]\nid = 1\n"])
def test_a_file_that_is_half_written_changes_nothing(tmp_path: Path, text: str) -> None:
    with ExitStack() as stack:
        deployment = deploy(stack, "two workers", tmp_path, vault_settings("a"))
        (tmp_path / "sale.toml").write_bytes(text.encode("latin-1"))
        deployment.service.send(signal.SIGHUP)
        deployment.service.wait_for_event("settings not reloaded")

        put = PutCardRequest(consumer_id="anna", card=card_data())
        assert deployment.grpc.cards.PutCard(put, timeout=20).card.last_four == "1111"
        assert checked(deployment.http)


def test_without_a_key_the_vault_is_off(tmp_path: Path) -> None:
    with ExitStack() as stack:
        deployment = deploy(stack, "one process", tmp_path, "")
        answer = refusal(deployment.grpc.cards.PutCard, PutCardRequest(consumer_id="anna", card=card_data()))

        assert (answer.code, answer.message) == (1004, "The vault is off: no vault key is configured.")
        assert command(tmp_path, "reencrypt-cards").returncode == 1
