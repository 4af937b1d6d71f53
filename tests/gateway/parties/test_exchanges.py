"""What a server answers counts by the contract: an `error` is a failure, whatever the status."""

from typing import Any

import pytest

from gateway.parties.exchanges import Exchange, NotUnderstood, Peer, Refused, Unreachable

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
