"""What the parts of a request cost: `python -m tests.bench.micro`.

Tells the CPU time of this process, all its threads together: of PostgreSQL's own there is nothing in it, and what the
disk takes is none.
"""

import argparse
import gc
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import uvloop
from connectingparty.sale.v1.sale_service_pb2 import (
    CheckSaleRequest,
    CheckSaleResponse,
    InitiateSaleRequest,
    InitiateSaleResponse,
)
from google.protobuf import json_format
from google.protobuf.message import Message

from gateway.json_body import parse_object
from gateway.json_codec import JsonCodec
from service.rpc.bounds import find_violations
from service.signing import check_signature, parse_control_key, session_signature
from service.store import Store
from service.store.sqlite import SqliteStore
from tests.bench.cpu import cpu_us
from tests.bench.markdown import head, row
from tests.bench.store_calls import AT_ONCE, measure_store
from tests.merchant import SBC, SERIAL_NUMBER, SESSION_TOKEN, check_document, initiate_document
from tests.postgresql import postgresql_server
from tests.stores import open_postgresql, schema

ROUNDS = 15
ROUND_SECONDS = 0.03
STORE_CALLS = 10 * AT_ONCE
_RIVAL = "json_format"
_NONCE, _SIGNATURE, _INVOICE_ID = "c" * 64, "6" * 40, "01a1fd15-0828-7b1a-99a6-e662919cf5bb"


class Cost(NamedTuple):
    """What a call costs, in microseconds of CPU."""

    what: str
    us: float
    rival_us: float | None = None
    """What protobuf's own `json_format` takes for the same."""


class Part(NamedTuple):
    """Something that a request needs done."""

    what: str
    call: Callable[[], object]
    rival: Callable[[], object] | None = None


def parts() -> Iterator[Part]:
    """Yield what is done to a request between its socket and its store."""
    token = secrets.token_hex(32)
    opened = {"session": {"nonce": _NONCE, "signature": _SIGNATURE}}
    confirmed = {
        "invoiceId": _INVOICE_ID,
        "session": {"checkSignature": _SIGNATURE, "nonce": _NONCE, "token": SESSION_TOKEN},
        "transaction": {"currency": SBC.currency},
    }
    answer = {"endpointId": SBC.endpoint_id, "invoiceId": _INVOICE_ID, **opened}
    initiate, check = initiate_document(token), check_document(token, opened)
    yield _reading("initiate", InitiateSaleRequest, initiate)
    yield _writing("initiate", InitiateSaleResponse, answer)
    yield _reading("check", CheckSaleRequest, check)
    yield _writing("check", CheckSaleResponse, confirmed)
    yield Part("bounds of initiate", partial(find_violations, _message(InitiateSaleRequest, initiate)))
    named = _message(CheckSaleRequest, {**check, "invoiceId": _INVOICE_ID})
    yield Part("bounds of check", partial(find_violations, named))
    yield from _signatures(token)


def _reading(name: str, message_class: type[Message], document: dict[str, Any]) -> Part:
    body, codec = orjson.dumps(document), JsonCodec(message_class)
    return Part(
        f"{name}: JSON to message",
        lambda: codec.decode(parse_object(body)),
        lambda: json_format.Parse(body, message_class()),
    )


def _writing(name: str, message_class: type[Message], document: dict[str, Any]) -> Part:
    message, codec = _message(message_class, document), JsonCodec(message_class)
    return Part(
        f"{name}: message to JSON",
        lambda: codec.encode(message),
        lambda: json_format.MessageToJson(message, indent=None).encode(),
    )


def _message(message_class: type[Message], document: dict[str, Any]) -> Message:
    message, findings = JsonCodec(message_class).decode(document)
    assert not findings.violations
    return message


def _signatures(token: str) -> Iterator[Part]:
    key = parse_control_key(SBC.control_key)
    names = {"serial_number": SERIAL_NUMBER, "nonce": _NONCE, "endpoint_id": SBC.endpoint_id, "invoice_id": _INVOICE_ID}
    sign = partial(session_signature, key, access_token=token, amount_centis=1042, currency=SBC.currency, **names)
    yield Part("session_signature", sign)
    yield Part("check_signature", partial(check_signature, key, **names))


def costs(rounds: int = ROUNDS, seconds: float = ROUND_SECONDS) -> Iterator[Cost]:
    """Measure the parts.

    Args:
        rounds: of each.
        seconds: of a round.
    """
    for part in parts():
        rival = None if part.rival is None else cpu_us(part.rival, rounds=rounds, seconds=seconds)
        yield Cost(part.what, cpu_us(part.call, rounds=rounds, seconds=seconds), rival)


def costs_of_sqlite(rounds: int = ROUNDS, calls: int = STORE_CALLS) -> list[Cost]:
    """Measure the store on a new SQLite file.

    Args:
        rounds: how many.
        calls: of each kind in a round.
    """

    async def measure(folder: Path) -> dict[str, float]:
        return await _measure_and_close(SqliteStore(folder / "sale.db"), rounds, calls)

    with tempfile.TemporaryDirectory(prefix="bench-micro-") as folder:
        return _costs_of_store("SQLite", uvloop.run(measure(Path(folder))))


def costs_of_postgresql(rounds: int = ROUNDS, calls: int = STORE_CALLS) -> list[Cost]:
    """As `costs_of_sqlite`, on a server of its own."""

    async def measure(url: str) -> dict[str, float]:
        return await _measure_and_close(await open_postgresql(url), rounds, calls)

    with ExitStack() as stack:
        server = stack.enter_context(postgresql_server("micro"))
        return _costs_of_store("PostgreSQL", uvloop.run(measure(stack.enter_context(schema(server.url())))))


async def _measure_and_close(store: Store, rounds: int, calls: int) -> dict[str, float]:
    try:
        return await measure_store(store, rounds=rounds, calls=calls)
    finally:
        await store.close()


def _costs_of_store(engine: str, measured: dict[str, float]) -> list[Cost]:
    return [Cost(f"{engine}: {what}", us) for what, us in measured.items()]


def table(costs: Iterable[Cost]) -> str:
    """Return the costs, a row each."""
    lines = [*head("", "µs of CPU", f"{_RIVAL}, µs", "ratio")]
    for what, us, rival in costs:
        beside: Sequence[str] = ("", "") if rival is None else (f"{rival:,.1f}", f"{rival / us:.1f}")
        lines.append(row(what, f"{us:,.1f}", *beside))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.micro", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of which the median is told")
    parser.add_argument("--postgresql", action="store_true", help="measure the store on PostgreSQL too")
    arguments = parser.parse_args()
    # Looked for garbage is once in a while, in whichever call comes next: `timeit` spares its measurements that too.
    gc.disable()
    measured = [*costs(arguments.rounds), *costs_of_sqlite(arguments.rounds)]
    if arguments.postgresql:
        measured += costs_of_postgresql(arguments.rounds)
    print(table(measured))


if __name__ == "__main__":
    main()
