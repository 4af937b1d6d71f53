"""Whatever is sent as a body, in process and over a socket, the answer is one of the contract's and no fault of ours.

In process every body is read by the gateway's parser and codec, and some of them go all the way: through the whole
application and the service behind it to a file of SQLite.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from google.protobuf import json_format
from google.protobuf.message_factory import GetMessageClass

from gateway.errors import GatewayError
from gateway.json_body import parse_object
from gateway.json_codec import JsonCodec
from gateway.routes import HttpRoute, annotated_routes
from tests.merchant import SBC, SERIAL_NUMBER, SESSION_TOKEN, check_document, initiate_document, write_config
from tests.proof.contract import MALFORMED, code_of
from tests.proof.damage import MAX_BODY_BYTES
from tests.proof.grammar import Grammar
from tests.proof.http_client import Connection
from tests.proof.in_process import WholeServer, whole_server
from tests.running import running, service_arguments

pytestmark = pytest.mark.anyio
AT_ONCE = 10
SEED = 20261121
FAULTS = {"incident", "call failed", "housekeeping failed"}
LONG_LIVED = '[access_tokens]\nttl = "12h"\n[sessions]\nttl = "12h"\n'
ROUTES = [route for route in annotated_routes() if route.has_body]
# RFC 8259 allows these and leaves open what they mean; orjson takes none of them.
LEFT_OPEN = re.compile(rb"\\u[dD][89a-fA-F]|[0-9][eE.]|[0-9]{18}")


class Hostile:
    """Makes requests, and judges their answers.

    Args:
        number: which of those that work at once this is.
        access_token: one that counts.
        opened: the answer to an initiate with it.
    """

    def __init__(self, number: int, access_token: str, opened: dict[str, Any]) -> None:
        self._random = Random(SEED + number)
        known = {
            "consumer.device.serialNumber": [SERIAL_NUMBER],
            "session.accessToken": [access_token],
            "session.nonce": [opened["session"]["nonce"]],
            "session.signature": [opened["session"]["signature"]],
            "session.token": [SESSION_TOKEN],
            "transaction.amountCentis": ["1042", '"1042"'],
            "transaction.currency": [SBC.currency],
        }
        self._grammars = [
            Grammar(route.rpc.input_type, self._random, known, elsewhere=frozenset(["invoiceId"])) for route in ROUTES
        ]
        self._codecs = [JsonCodec(GetMessageClass(route.rpc.input_type)) for route in ROUTES]
        self._invoice_id = opened["invoiceId"]
        self.codes: Counter[int] = Counter()
        self.read = 0

    def requests(self, count: int) -> Iterator[tuple[HttpRoute, str, bytes]]:
        """Yield routes, paths and bodies."""
        for _ in range(count):
            number = int(self._random.random() * len(ROUTES))
            route = ROUTES[number]
            yield route, route.path.format(invoice_id=self._invoice_id), self._grammars[number].body()

    def read_bodies(self, count: int) -> None:
        """Have bodies read by the parser and the codec alone.

        Raises:
            AssertionError: one of them was neither read nor refused, or has another meaning to another reader.
        """
        for _ in range(count):
            number = int(self._random.random() * len(ROUTES))
            body = self._grammars[number].body()
            try:
                self._codecs[number].decode(parse_object(body))
                _require_one_reading(body)
            except Exception as error:
                if not (isinstance(error, GatewayError) and error.reason == MALFORMED):
                    raise AssertionError(f"{ROUTES[number].path} {body!r}") from error
            self.read += 1

    def judge(self, route: HttpRoute, sent: bytes, status: int, headers: dict[str, str], body: bytes) -> None:
        """Count an answer.

        Raises:
            AssertionError: it is outside the contract, or what was sent has another meaning to another reader.
        """
        try:
            code = code_of(status, headers, body, self._invoice_id if "{" in route.path else None)
            if code != MALFORMED and len(sent) <= MAX_BODY_BYTES:
                _require_one_reading(sent)
            if code == 0:
                json_format.Parse(body, GetMessageClass(route.rpc.output_type)())
        except Exception as error:
            raise AssertionError(f"{route.path} {sent!r}: {status} {body!r}") from error
        self.codes[code] += 1


def _require_one_reading(body: bytes) -> None:
    # What is not refused as no JSON has to be JSON to somebody else's strict reader too.
    try:
        assert isinstance(orjson.loads(body), dict)
    except orjson.JSONDecodeError:
        assert LEFT_OPEN.search(body)


@contextmanager
def telling(what: str, hostiles: Sequence[Hostile], count: int) -> Iterator[None]:
    """Print the counts, also those of a run that was broken off.

    Raises:
        AssertionError: the bodies were not that many, or were all stopped at the same door.
    """
    codes: Counter[int] = Counter()
    try:
        yield
    finally:
        for hostile in hostiles:
            codes += hostile.codes
        print(f"\nhostile JSON, {what}: {codes.total():,} answers within the contract: {dict(codes.most_common())}")
        read = sum(hostile.read for hostile in hostiles)
        print(f"hostile JSON, by the parser and the codec alone: {read:,} bodies read or refused")
    assert codes.total() == count
    assert codes.keys() >= {0, 1000, 1001, 1102}


@pytest.mark.parametrize(
    ("count", "all_the_way"), [(5_000, 1_000), pytest.param(10_000_000, 400_000, marks=pytest.mark.long)]
)
async def test_every_body_is_answered_within_the_contract_in_process(
    tmp_path: Path, count: int, all_the_way: int
) -> None:
    async with whole_server(tmp_path, LONG_LIVED) as server:
        hostiles = [Hostile(number, *await opened(server)) for number in range(AT_ONCE)]
        alone = count // all_the_way - 1

        async def attack(hostile: Hostile) -> None:
            for route, path, body in hostile.requests(all_the_way // AT_ONCE):
                answer = await server.post(path, body)
                headers = {name.decode(): value.decode() for name, value in answer.headers.items()}
                hostile.judge(route, body, answer.status, headers, answer.body)
                hostile.read_bodies(alone)

        with telling("in process, all the way", hostiles, all_the_way):
            await asyncio.gather(*(attack(hostile) for hostile in hostiles))

        assert sum(hostile.read for hostile in hostiles) + all_the_way == count
        assert server.logged["request"] == all_the_way + 3 * AT_ONCE
        assert server.logged.keys().isdisjoint(FAULTS)


async def opened(server: WholeServer) -> tuple[str, dict[str, Any]]:
    """Initiate and check a sale; return its access token and the answer to the initiate."""
    access_token = json.loads((await server.send("GET", "/auth/request-access-token")).body)["session"]["accessToken"]
    body = json.dumps(initiate_document(access_token)).encode()
    session = json.loads((await server.post("/sale/initiate-sale", body)).body)
    check = json.dumps(check_document(access_token, session)).encode()
    assert (await server.post(f"/sale/{session['invoiceId']}/check", check)).status == 200
    return access_token, session


@pytest.mark.parametrize("count", [500, pytest.param(1_000_000, marks=pytest.mark.long)])
async def test_every_body_is_answered_within_the_contract_over_a_socket(tmp_path: Path, count: int) -> None:
    config = write_config(tmp_path / "sale.toml", LONG_LIVED)
    with running(service_arguments(config, f"sqlite:///{tmp_path / 'sale.db'}"), tmp_path / "log") as program:
        hostiles = []
        for number in range(AT_ONCE):
            access_token, session = _opened_over(program.client())
            hostiles.append(Hostile(number, access_token, session))

        async def attack(hostile: Hostile) -> None:
            async with Connection(str(program.http)) as connection:
                for route, path, body in hostile.requests(count // AT_ONCE):
                    hostile.judge(route, body, *await connection.post(path, body))

        with telling("over a socket", hostiles, count):
            await asyncio.gather(*(attack(hostile) for hostile in hostiles))

        with program.client() as client:
            assert client.get("/readyz").status_code == 200
        assert program.stop() == 0
    with (tmp_path / "log").open("rb") as log:
        events = Counter(json.loads(line)["event"] for line in log)
    assert events["request"] == count + 3 * AT_ONCE + 1
    assert events.keys().isdisjoint(FAULTS)


def _opened_over(client: Any) -> tuple[str, dict[str, Any]]:
    with client:
        access_token = client.get("/auth/request-access-token").json()["session"]["accessToken"]
        session = client.post("/sale/initiate-sale", json=initiate_document(access_token)).json()
        check = client.post(f"/sale/{session['invoiceId']}/check", json=check_document(access_token, session))
        assert check.status_code == 200
        return access_token, session
