"""A backup is made while the server sells, holds every sale that was acknowledged before it, and can be served."""

import threading
from contextlib import ExitStack, closing
from pathlib import Path

import apsw
import pytest
from click.testing import CliRunner, Result

from service.program.cli import main
from tests.conftest import Deployment, deploy
from tests.contract.test_operation import wait_until
from tests.merchant import check_document, initiate_document


def back_up(store: str, target: Path) -> Result:
    return CliRunner().invoke(main, ["backup", f"--store={store}", str(target)])


def keep_selling(deployment: Deployment, sold: list[str], done: threading.Event) -> None:
    access_token = deployment.http.request_access_token()
    while not done.wait(0.002):
        sold.append(deployment.http.initiate(initiate_document(access_token)).body["invoiceId"])


def test_a_backup_under_load_holds_what_was_acknowledged_and_is_served(tmp_path: Path) -> None:
    store, copy = f"sqlite:///{tmp_path / 'sale.db'}", tmp_path / "copy.db"
    with ExitStack() as stack:
        deployment = deploy(stack, "one process", tmp_path)
        access_token = deployment.http.request_access_token()
        opened = deployment.http.initiate(initiate_document(access_token)).body
        sold, done = list[str](), threading.Event()
        seller = threading.Thread(target=keep_selling, args=(deployment, sold, done))
        seller.start()
        try:
            wait_until(lambda: len(sold) >= 30)
            before = sold.copy()
            made = back_up(store, copy)
            wait_until(lambda: len(sold) >= len(before) + 5)
        finally:
            done.set()
            seller.join()

        assert (made.exit_code, made.stderr) == (0, "")
        assert made.stdout.endswith(f"bytes {copy.stat().st_size}\n")
        assert copy.stat().st_mode & 0o777 == 0o600
        assert sorted(path.name for path in tmp_path.glob("copy.db*")) == ["copy.db"]
        with closing(apsw.Connection(str(copy), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
            held = {invoice for (invoice,) in connection.execute("SELECT invoice_id FROM sales")}
        assert set(before) <= held

        (tmp_path / "restored").mkdir()
        restored = deploy(stack, "one process", tmp_path / "restored", store=f"sqlite:///{copy}")
        assert restored.http.check(opened["invoiceId"], check_document(access_token, opened)).code == 0


def test_a_backup_replaces_nothing_and_makes_no_store(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("an older backup")
    missing = back_up(f"sqlite:///{tmp_path / 'sale.db'}", tmp_path / "copy.db")
    assert (missing.exit_code, missing.stderr) == (
        2,
        f"Error: store.url: there is no file {tmp_path / 'sale.db'}\n",
    )
    with closing(apsw.Connection(str(tmp_path / "sale.db"))) as connection:
        connection.execute("CREATE TABLE sales (invoice_id)")

    refused = back_up(f"sqlite:///{tmp_path / 'sale.db'}", kept)

    assert (refused.exit_code, refused.stderr) == (2, f"Error: FILE: there is a file {kept} already\n")
    assert kept.read_text() == "an older backup"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "sale.db"]


def test_what_is_damaged_is_no_backup(tmp_path: Path) -> None:
    store = tmp_path / "sale.db"
    with closing(apsw.Connection(str(store))) as connection:
        connection.execute("CREATE TABLE sales (invoice_id); CREATE INDEX reversed ON sales (invoice_id DESC)")
        with connection:
            connection.executemany("INSERT INTO sales VALUES (?)", ((f"invoice {number}",) for number in range(2000)))
    # Once in the table, once in its index.
    in_table, between, in_index = store.read_bytes().split(b"invoice 1500")
    store.write_bytes(in_table + b"invoice 9999" + between + b"invoice 1500" + in_index)

    refused = back_up(f"sqlite:///{store}", tmp_path / "copy.db")

    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "is damaged, no copy was made" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["sale.db"]


@pytest.mark.parametrize(
    ("store", "target", "told"),
    [
        ("postgresql://sale@db/sale", "copy.db", "store.url: is on PostgreSQL, which pg_dump or pg_basebackup copies"),
        ("sqlite:///pyproject.toml", "no/such/copy.db", "FILE: no/such/copy.db: No such file or directory"),
    ],
)
def test_what_cannot_be_copied_is_told(store: str, target: str, told: str) -> None:
    refused = back_up(store, Path(target))

    assert (refused.exit_code, refused.stderr) == (2, f"Error: {told}\n")
