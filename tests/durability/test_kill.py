"""kill -9 at any moment under load: nothing that was acknowledged is lost."""

import random
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import httpx2
import pytest

from tests.durability.clients import client_of
from tests.merchant import (
    callback_parameters,
    check_document,
    client_ids_document,
    initiate_document,
    notification_document,
    write_config,
)
from tests.running import Program, service_arguments
from tests.transports import OverHttp, Transport

CLIENTS = 8


@dataclass
class Acknowledged:
    """What reached a client before the server died."""

    opened: list[tuple[dict[str, Any], dict[str, Any]]] = field(default_factory=list)
    """What was sent with which key, and the session that came back."""
    keys: list[str] = field(default_factory=list)
    checked: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    """By invoice id: the session token, and the answer."""
    saved: set[str] = field(default_factory=set)
    """Invoice ids whose card was notified."""
    cards: dict[str, str] = field(default_factory=dict)
    """By invoice id: the client card id that was told."""
    ended: set[str] = field(default_factory=set)
    """Invoice ids whose result was reported."""


def run_sales(program: Program, number: int, access_token: str, seen: Acknowledged) -> None:
    """Open and check sales until the server is gone."""
    with ExitStack() as stack:
        client = client_of(program, stack, number)
        document = initiate_document(access_token)
        while True:
            key = secrets.token_hex(8)
            try:
                opened = client.initiate(document, key)
                if opened.code:
                    return
                seen.keys.append(key)
                seen.opened.append((document, opened.body))
                invoice_id, token = opened.body["invoiceId"], secrets.token_hex(16)
                checked = client.check(invoice_id, check_document(access_token, opened.body, token))
                if checked.code == 0:
                    seen.checked[invoice_id] = (token, checked.body)
                if len(seen.keys) % 3 == 0:
                    end(client, access_token, invoice_id, token, seen)
            except (httpx2.TransportError, AssertionError):
                return  # no answer, or over gRPC an error without a reason: the server was killed


def end(client: Transport, access_token: str, invoice_id: str, token: str, seen: Acknowledged) -> None:
    """Save the card of a sale and report its result."""
    if client.notify(notification_document(access_token, token, f"{int(token[:8], 16) % 50}")).code == 0:
        seen.saved.add(invoice_id)
        told = client.client_ids(invoice_id, client_ids_document(access_token))
        if told.code == 0:
            seen.cards[invoice_id] = told.body["sourceCardRefId"]
    if client.callback(callback_parameters(invoice_id)).code == 0:
        seen.ended.add(invoice_id)


@contextmanager
def load(program: Program, access_token: str, seen: list[Acknowledged]) -> Iterator[None]:
    threads = [
        threading.Thread(target=run_sales, args=(program, number, access_token, seen[number]))
        for number in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        program.kill()
        for thread in threads:
            thread.join(30)


def losses(program: Program, access_token: str, seen: list[Acknowledged]) -> list[str]:
    """Return every acknowledged effect that is not there any more, or not the same."""
    lost = []
    with program.client() as client:
        http = OverHttp(client)
        for acknowledged in seen:
            for key, (document, opened) in zip(acknowledged.keys, acknowledged.opened, strict=True):
                invoice_id = opened["invoiceId"]
                token, answer = acknowledged.checked.get(invoice_id, (None, None))
                if http.initiate(document, key).body != opened:
                    lost.append(f"{invoice_id}: its key opened another session")
                told = http.client_ids(invoice_id, client_ids_document(access_token))
                if invoice_id in acknowledged.saved and told.code:
                    lost.append(f"{invoice_id}: its card is gone: {told}")
                if told.code == 0 and acknowledged.cards.get(invoice_id, card := told.body["sourceCardRefId"]) != card:
                    lost.append(f"{invoice_id}: its card is another one")
                if invoice_id in acknowledged.ended:
                    # A sale that is final is not checked any more, not even with its own session token.
                    again = http.check(invoice_id, check_document(access_token, opened, token or "x" * 16))
                    if again.code != 1105:
                        lost.append(f"{invoice_id}: it is not final any more: {again}")
                    continue
                checked = http.check(invoice_id, check_document(access_token, opened, token or "another-session-token"))
                # What was not acknowledged may have been stored all the same: a check, with the token of that time, or
                # the result, after which no check is answered.
                possible = {1105} if invoice_id in acknowledged.saved else set()
                if checked.code not in ({0} if token else {0, 1105}) | possible or (
                    answer and checked.code == 0 and checked.body != answer
                ):
                    lost.append(f"{invoice_id}: check gave {checked}")
                if token and http.check(invoice_id, check_document(access_token, opened, "x" * 16)).code != 1105:
                    lost.append(f"{invoice_id}: another session token was taken")
    return lost


def run_kills(folder: Path, kills: int, *more: str, seed: int) -> int:
    """Kill a server under load so many times, and return how many sessions were acknowledged."""
    chance = random.Random(seed)  # moments, not secrets
    config, log = write_config(folder / "sale.toml"), folder / "log"
    arguments = service_arguments(config, f"sqlite:///{folder}/sale.db", *more)
    acknowledged = 0
    access_token = ""
    seen: list[Acknowledged] = []
    for _ in range(kills):
        program = Program(arguments, log)
        try:
            assert losses(program, access_token, seen) == []
            seen = [Acknowledged() for _ in range(CLIENTS)]
            with program.client() as client:
                access_token = OverHttp(client).request_access_token()
            with load(program, access_token, seen):
                time.sleep(chance.uniform(0.05, 0.6))
        finally:
            program.kill()
        acknowledged += sum(len(client.opened) for client in seen)
    program = Program(arguments, log)
    try:
        assert losses(program, access_token, seen) == []
        program.send(signal.SIGTERM)
        assert program.stop() == 0
    finally:
        program.kill()
    with apsw.Connection(str(folder / "sale.db")) as connection:
        assert connection.pragma("integrity_check") == "ok"
        assert connection.execute("SELECT count(*) FROM sales").get >= acknowledged
    connection.close()
    return acknowledged


@pytest.mark.parametrize("more", [(), ("--workers=2",)], ids=["one process", "two workers"])
def test_a_killed_server_loses_nothing_that_it_acknowledged(tmp_path: Path, more: tuple[str, ...]) -> None:
    assert run_kills(tmp_path, 4, *more, seed=1) > 100


@pytest.mark.long
@pytest.mark.parametrize("more", [(), ("--workers=2",)], ids=["one process", "two workers"])
def test_a_server_killed_a_hundred_times_loses_nothing(tmp_path: Path, more: tuple[str, ...]) -> None:
    acknowledged = run_kills(tmp_path, 100, *more, seed=2)
    print(f"100 kills, {acknowledged} sessions acknowledged, 0 lost")
