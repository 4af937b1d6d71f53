"""Each limit of the HTTP port is a setting; whatever exceeds it is refused in the contract's words and costs little."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.merchant import write_config
from tests.running import Program, running, service_arguments
from tests.sockets import SECONDS, RawAnswer, answers_of, connect, exchange, read_to_end

LIMITS = """
[http]
max_body = 2048
[http.limits]
head = 4096
headers = 16
url = 1024
connections = 40
connections_per_address = 20
in_flight = 2
unready_when_overloaded = true
"""
TIMES = """
[http.limits]
receive = "1s"
idle = "1s"
send = "1s"
"""
GET = b"GET /healthz HTTP/1.1\r\nHost: a\r\n"
POST = b"POST /sale/initiate-sale HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
CLOSE = b"Connection: close\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("limits")
    config = write_config(folder / "sale.toml", LIMITS)
    with running(service_arguments(config, f"sqlite:///{folder}/sale.db"), folder / "log") as program:
        yield program


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """A server that waits for nobody for long."""
    folder = tmp_path_factory.mktemp("times")
    config = write_config(folder / "sale.toml", TIMES)
    with running(service_arguments(config, f"sqlite:///{folder}/sale.db"), folder / "log") as program:
        yield program


def only(answers: list[RawAnswer]) -> RawAnswer:
    (answer,) = answers
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["connection"] == "close"
    return answer


def resident_bytes(program: Program) -> int:
    lines = Path(f"/proc/{program.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def refused(program: Program, limit: str) -> int:
    return sum(event.get(limit, 0) for event in program.events() if event["event"] == "requests refused")


def wait_for_refusal(program: Program, limit: str) -> None:
    deadline = time.monotonic() + 10
    while not refused(program, limit):
        assert time.monotonic() < deadline, f"nothing told of {limit}"


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ([b"GET /" + b"a" * 1100 + b" HTTP/1.1\r\nHost: a\r\n\r\n"], "URL is longer than 1024"),
        ([b"GET /", *[b"a" * 4000] * 500], "URL is longer than 1024"),
        ([GET + b"".join(b"X-%d: a\r\n" % number for number in range(20)) + b"\r\n"], "more than 16 headers"),
        ([GET + b"X: " + b"a" * 5000 + b"\r\n\r\n"], "headers are larger than 4096"),
        ([GET + b"X: ", *[b"a" * 4000] * 500], "headers are larger than 4096"),
        ([GET, *[b"a" * 4000] * 500], "headers are larger than 4096"),
        ([b"GET /caf\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n"], "not HTTP/1.1"),
        ([b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"], "have to be encoded"),
        ([b"GET / HTTP/1.1\r\n\r\n"], "with a Host"),
    ],
    ids=["url", "endless url", "many headers", "long header", "endless header", "endless name", "raw", "#", "no host"],
)
def test_a_head_beyond_its_limits_is_malformed(server: Program, pieces: list[bytes], words: str) -> None:
    answer = only(exchange(server.http, *pieces))

    assert answer.status == 400
    assert answer.code == 1000
    assert words in json.loads(answer.body)["error"]["message"]
    request_id = answer.headers["x-request-id"]
    assert len(request_id) == 32
    (line,) = (event for event in server.events() if event.get("request_id") == request_id)
    assert line["code"] == 1000


def test_what_is_within_the_limits_is_served(server: Program) -> None:
    head = b"GET /healthz?" + b"a" * 1000 + b" HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 2800 + b"\r\n" + b"Y: a\r\n" * 12
    (answer,) = exchange(server.http, head + CLOSE)

    assert answer.status == 200


@pytest.mark.parametrize(
    "pieces",
    [
        [POST + b"Content-Length: 2049\r\n\r\n"],
        [POST + b"Transfer-Encoding: chunked\r\n\r\n", b"900\r\n" + b"a" * 0x900 + b"\r\n0\r\n\r\n"],
        [POST + b"Transfer-Encoding: chunked\r\n\r\n1;", *[b"a" * 4000] * 500],
        [POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ", *[b"a" * 4000] * 500],
    ],
    ids=["announced", "chunked", "endless extension of a chunk", "endless trailer"],
)
def test_a_body_beyond_its_limit_is_refused_however_it_comes(server: Program, pieces: list[bytes]) -> None:
    answer = only(
        exchange(server.http, pieces[0].replace(b"\r\n\r\n", b"\r\nX-Request-Id: mine\r\n\r\n", 1), *pieces[1:])
    )

    assert answer.status == 413
    assert answer.code == 1003
    assert answer.headers["x-request-id"] == "mine"


def test_headers_after_the_body_are_ignored(server: Program) -> None:
    chunks = POST + b"Transfer-Encoding: chunked\r\n" + CLOSE + b"2\r\n{}\r\n0\r\nX-Request-Id: mine\r\n\r\n"

    assert only(exchange(server.http, chunks)).headers["x-request-id"] != "mine"


def test_memory_does_not_follow_what_is_sent_without_end(server: Program) -> None:
    exchange(server.http, GET + CLOSE)
    before = resident_bytes(server)
    for start in (b"GET /", GET + b"X: ", GET, POST + b"Transfer-Encoding: chunked\r\n\r\n1;"):
        exchange(server.http, start, *[b"a" * 65536] * 400)

    assert resident_bytes(server) - before < 4 << 20


@pytest.mark.parametrize(
    "start",
    [b"GET /", b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: ", POST + b"Content-Length: 999\r\n\r\n{"],
    ids=["line", "headers", "body"],
)
def test_a_request_that_does_not_come_in_time_is_refused_however_steadily_it_drips(
    hasty: Program, start: bytes
) -> None:
    with connect(hasty.http) as connection:
        began = time.monotonic()
        connection.sendall(start)
        connection.settimeout(0.1)
        data = b""
        while time.monotonic() - began < SECONDS:
            try:
                if not (piece := connection.recv(4096)):
                    break
                data += piece
            except TimeoutError:
                connection.sendall(b"a")
            except ConnectionResetError:
                break
        took = time.monotonic() - began
    (answer,) = answers_of(data)

    assert answer.code == 1000
    assert "in time" in json.loads(answer.body)["error"]["message"]
    assert 0.9 < took < 5
    wait_for_refusal(hasty, "receive")


def test_a_connection_without_requests_is_closed(hasty: Program) -> None:
    with connect(hasty.http) as silent, connect(hasty.http) as idle:
        began = time.monotonic()
        idle.sendall(GET + b"\r\n")

        assert read_to_end(silent) == b""
        (answer,) = answers_of(read_to_end(idle))
        assert answer.status == 200
        assert 0.9 < time.monotonic() - began < 5


def test_a_client_that_does_not_take_its_answers_is_cut(hasty: Program) -> None:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, port = str(hasty.http).split(":")
        connection.connect((host, int(port)))
        connection.settimeout(0.1)
        began = time.monotonic()
        cut = False
        while not cut and time.monotonic() - began < SECONDS:
            try:
                connection.sendall((GET + b"\r\n") * 2)
                time.sleep(0.005)
            except TimeoutError:
                pass
            except (BrokenPipeError, ConnectionResetError):
                cut = True

    assert cut
    (answer,) = exchange(hasty.http, GET + CLOSE)
    assert answer.status == 200


def test_connections_are_limited_for_an_address_and_for_the_process(server: Program) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(connect(server.http, "127.0.0.2")) for _ in range(20)]
        answer = only(exchange(server.http, source="127.0.0.2"))
        assert answer.status == 503
        assert answer.code == 4000
        assert answer.headers["retry-after"] == "1"
        (other,) = exchange(server.http, GET + CLOSE)
        assert other.status == 200

        held += [stack.enter_context(connect(server.http, "127.0.0.3")) for _ in range(20)]
        assert only(exchange(server.http, source="127.0.0.4")).code == 4000
    time.sleep(0.3)

    (later,) = exchange(server.http, GET + CLOSE, source="127.0.0.2")
    assert later.status == 200
    wait_for_refusal(server, "connections_per_address")
    wait_for_refusal(server, "connections")


def test_requests_beyond_those_in_flight_are_refused_at_once_and_the_connection_stays(server: Program) -> None:
    request = b"GET /auth/request-access-token HTTP/1.1\r\nHost: a\r\n\r\n"
    with ExitStack() as stack:
        connections = [stack.enter_context(connect(server.http)) for _ in range(15)]
        statuses: list[int] = []
        for _ in range(20):
            for connection in connections:
                connection.sendall(request)
            answers = [answer for connection in connections for answer in answers_of(connection.recv(4096))]
            statuses += [answer.status for answer in answers]
            busy = [answer for answer in answers if answer.status != 200]
            if busy:
                break
        ready = answers_of_one(connections[0], b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n")
        alive = answers_of_one(connections[0], GET + b"\r\n")

        assert {200, 503} == set(statuses)
        assert {answer.code for answer in busy} == {4000}
        assert {answer.headers["retry-after"] for answer in busy} == {"1"}
        assert alive.status == 200
        assert ready.status == 503
        time.sleep(0.2)
        assert answers_of_one(connections[-1], request).status == 200
    wait_for_refusal(server, "in_flight")


def test_a_refused_head_is_answered_without_a_body(server: Program) -> None:
    request = b"HEAD /auth/request-access-token HTTP/1.1\r\nHost: a\r\n"
    with ExitStack() as stack:
        connections = [stack.enter_context(connect(server.http)) for _ in range(15)]
        heads: list[bytes] = []
        while not any(head.startswith(b"HTTP/1.1 503 ") for head in heads):
            for connection in connections:
                connection.sendall(request + b"\r\n")
            heads = [connection.recv(4096) for connection in connections]
        assert {head.partition(b"\r\n\r\n")[2] for head in heads} == {b""}
        time.sleep(0.2)
        assert answers_of_one(connections[-1], GET + b"\r\n").status == 200
    with connect(server.http) as connection:
        connection.sendall(request + b"Content-Length: none\r\n\r\n")
        head, _, body = read_to_end(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert body == b""


def answers_of_one(connection: socket.socket, request: bytes) -> RawAnswer:
    connection.sendall(request)
    (answer,) = answers_of(connection.recv(4096))
    return answer


def test_only_so_many_requests_wait_for_others_on_a_connection(server: Program) -> None:
    request = b"GET /auth/request-access-token HTTP/1.1\r\nHost: a\r\n\r\n"
    answers = exchange(server.http, request * 200)

    assert len(answers) < 12
    assert [answer.status for answer in answers[:-1]] == [200] * (len(answers) - 1)
    assert answers[-1].code == 4000
    assert answers[-1].headers["connection"] == "close"


def test_what_is_malformed_after_a_request_is_told_after_its_answer(server: Program) -> None:
    first, second = exchange(server.http, b"GET /auth/request-access-token HTTP/1.1\r\nHost: a\r\n\r\nnonsense\r\n\r\n")

    assert first.status == 200
    assert second.code == 1000


def test_another_protocol_is_not_spoken(server: Program) -> None:
    upgrade = GET + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n\x00\x01\x02"
    (answer,) = exchange(server.http, upgrade)

    assert answer.status == 200


def test_a_client_that_asks_first_is_told_to_send_its_body(server: Program) -> None:
    head = POST + b"Expect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
    with connect(server.http) as connection:
        connection.sendall(head)
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"{}")
        (answer,) = answers_of(read_to_end(connection))

    assert answer.code == 1001


def test_refusals_do_not_flood_the_log(server: Program) -> None:
    before = len([event for event in server.events() if event["event"] == "request" and event.get("code") == 1000])
    counted = refused(server, "malformed")
    began = time.monotonic()
    for _ in range(200):
        exchange(server.http, b"nonsense\r\n\r\n")
    time.sleep(1.2)
    seconds = time.monotonic() - began
    lines = len([event for event in server.events() if event["event"] == "request" and event.get("code") == 1000])

    assert refused(server, "malformed") - counted >= 200
    assert lines - before <= 20 * (seconds + 1)
