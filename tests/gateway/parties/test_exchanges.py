"""What a server answers counts by the contract: an `error` is a failure, whatever the status."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway.parties.exchanges import Exchange, NoAnswer, NotUnderstood, Peer, Refused, Unreachable

ERROR = {"cause": "FILTERED", "code": "2001", "message": "Too much."}


def answered(status: int, answer: Any) -> Exchange:
    return Exchange("POST", "http://x/sale", {}, status, answer, 0.1)


def test_a_success_is_its_document() -> None:
    assert answered(200, {"invoiceId": "1"}).document() == {"invoiceId": "1"}


@pytest.mark.parametrize("status", [200, 403])
def test_an_error_is_a_refusal_whatever_the_status(status: int) -> None:
    with pytest.raises(Refused, match="2001 FILTERED: Too much") as refusal:
        answered(status, {"error": ERROR, "invoiceId": "1"}).document()

    assert refusal.value.status == status


@pytest.mark.parametrize(("status", "answer"), [(200, None), (200, []), (500, {}), (302, {"invoiceId": "1"})])
def test_anything_else_is_not_understood(status: int, answer: Any) -> None:
    with pytest.raises(NotUnderstood, match=f"POST http://x/sale answered {status}"):
        answered(status, answer).document()


@pytest.mark.anyio
@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://no.such.host.invalid", "http://[", "nonsense"])
async def test_a_server_that_is_not_there_is_unreachable_by_its_name(url: str) -> None:
    async with Peer(url, timeout_seconds=5.0) as peer:
        with pytest.raises(Unreachable) as failure:
            await peer.get("/")

    assert failure.value.base_url == url


@asynccontextmanager
async def answering(head: bytes, piece: bytes, pause_seconds: float) -> AsyncIterator[str]:
    """Answer each request by something without an end, and yield the URL."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        try:
            while True:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(pause_seconds)
        except ConnectionError:
            writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield "http://{}:{}".format(*server.sockets[0].getsockname())


CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.anyio
async def test_an_answer_without_an_end_is_not_kept() -> None:
    async with answering(CHUNKS, b"10000\r\n" + b"x" * 65536 + b"\r\n", 0.0) as url, Peer(url) as peer:
        with pytest.raises(NotUnderstood, match="longer than 4 MiB"):
            await peer.get("/")


@pytest.mark.anyio
async def test_an_answer_that_only_drips_comes_too_late() -> None:
    async with answering(CHUNKS, b"1\r\n \r\n", 0.1) as url, Peer(url, timeout_seconds=0.3) as peer:
        with pytest.raises(NoAnswer):
            await peer.get("/")


@pytest.mark.anyio
async def test_what_is_no_unicode_is_not_sent() -> None:
    async with Peer("http://127.0.0.1:1") as peer:
        with pytest.raises(NotUnderstood, match="no Unicode"):
            await peer.post("/", {"invoiceId": "\ud800"})
