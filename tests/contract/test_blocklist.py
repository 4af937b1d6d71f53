"""The blocklist over both wires: what is in it is refused on every node within a second."""

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import grpc
import pytest
from connectingparty.sale.v1.blocklist_service_pb2 import (
    AddBlockRequest,
    Block,
    BlockKind,
    ListBlocksRequest,
    RemoveBlockRequest,
)
from connectingparty.sale.v1.card_service_pb2 import PutCardRequest
from google.protobuf.timestamp_pb2 import Timestamp

from tests.conftest import Deployment
from tests.contract.test_cards import card_data, consumer_of, refusal
from tests.merchant import check_document, initiate_document, with_member
from tests.transports import Answer, Transport, error_answer

IN_FORCE_SECONDS = 1.0


def add(deployment: Deployment, kind: BlockKind.ValueType, value: str, seconds: float | None = None) -> Block:
    request = AddBlockRequest(kind=kind, value=value, reason="fraud")
    if seconds is not None:
        request.expire_time.FromDatetime(datetime.now(UTC) + timedelta(seconds=seconds))
    return deployment.grpc.blocklist.AddBlock(request, timeout=20).block


def remove(deployment: Deployment, kind: BlockKind.ValueType, value: str) -> None:
    deployment.grpc.blocklist.RemoveBlock(RemoveBlockRequest(kind=kind, value=value), timeout=20)


def listed(deployment: Deployment, kind: BlockKind.ValueType) -> list[Block]:
    request = ListBlocksRequest(kind=kind, page_size=1)
    found: list[Block] = []
    while True:
        page = deployment.grpc.blocklist.ListBlocks(request, timeout=20)
        found += page.blocks
        request.page_token = page.next_page_token
        if not page.next_page_token:
            return found


def answer_to(method: Any, request: Any) -> Answer:
    """Return what is answered, while the list of a node may still be the one before."""
    try:
        method(request, timeout=20)
    except grpc.RpcError as error:
        return error_answer(error)
    return Answer(0, {})


def require_in_force(deployment: Deployment, code: int, *calls: Callable[[], Answer]) -> None:
    """Wait as long as a change may take for every node, which take the calls in turn, to answer so."""
    deadline = time.monotonic() + IN_FORCE_SECONDS
    while True:
        begun = time.monotonic()
        answers = [call() for call in calls for _ in deployment.programs]
        if {answer.code for answer in answers} == {code}:
            break
        assert begun < deadline, answers
    assert not code or {answer.message for answer in answers} == {"The sale is refused."}


def test_what_is_blocked_is_refused_on_every_node_within_a_second_until_it_is_not_any_more(
    deployment: Deployment,
) -> None:
    wires: tuple[Transport, ...] = (deployment.http, deployment.grpc)
    serial_number, imei, octet = secrets.token_hex(8), f"{secrets.randbelow(10**15):015}", secrets.randbelow(256)
    document = with_member(
        initiate_document(deployment.http.request_access_token()), "consumer.device.serialNumber", serial_number
    )
    document = with_member(document, "consumer.device.imei", imei)
    document = with_member(document, "consumer.ipAddresses", ["192.0.2.1", f"198.18.{octet}.77"])
    session = deployment.http.initiate(document).body
    check = check_document(document["session"]["accessToken"], session, serial_number=serial_number)

    for kind, value in (
        (BlockKind.BLOCK_KIND_SERIAL_NUMBER, serial_number),
        (BlockKind.BLOCK_KIND_CONSUMER, f"device:{serial_number}"),
        (BlockKind.BLOCK_KIND_IMEI, imei),
        (BlockKind.BLOCK_KIND_ADDRESS, f"198.18.{octet}.64/26"),
    ):
        assert add(deployment, kind, value).caller == "merchant"
        require_in_force(
            deployment,
            2003,
            *(partial(wire.initiate, document) for wire in wires),
            *(partial(wire.check, session["invoiceId"], check) for wire in wires),
        )
        remove(deployment, kind, value)
        require_in_force(deployment, 0, *(partial(wire.initiate, document) for wire in wires))
    for wire in wires:
        assert wire.check(session["invoiceId"], check).code == 0


def test_a_blocked_card_is_neither_kept_nor_paid_with(deployment: Deployment) -> None:
    bin = f"4{secrets.randbelow(10**7):07}"
    digits = bin + "0000000"
    number = digits + str(-sum(sum(divmod(int(d) * (2 - n % 2), 10)) for n, d in enumerate(digits)) % 10)
    anna = consumer_of(deployment, deployment.http)
    put = PutCardRequest(consumer_id=anna.id, card=card_data(number))
    card_id = deployment.grpc.cards.PutCard(put, timeout=20).card.client_card_id

    add(deployment, BlockKind.BLOCK_KIND_BIN, bin)

    require_in_force(deployment, 2003, lambda: answer_to(deployment.grpc.cards.PutCard, put))
    for wire in (deployment.http, deployment.grpc):
        require_in_force(deployment, 2003, partial(anna.check, wire, card_id))
        assert anna.check(wire, anna.client_card_id).code == 0
    remove(deployment, BlockKind.BLOCK_KIND_BIN, bin)


def test_a_block_ends_when_it_expires(deployment: Deployment) -> None:
    document = initiate_document(deployment.http.request_access_token())
    document = with_member(document, "consumer.device.serialNumber", secrets.token_hex(8))
    add(deployment, BlockKind.BLOCK_KIND_SERIAL_NUMBER, document["consumer"]["device"]["serialNumber"], seconds=0.8)

    require_in_force(deployment, 2003, lambda: deployment.http.initiate(document))
    require_in_force(deployment, 0, lambda: deployment.http.initiate(document))


def test_blocks_are_listed_with_reason_caller_and_expiry(deployment: Deployment) -> None:
    before = datetime.now(UTC)
    imeis = [f"{secrets.randbelow(10**15):015}" for _ in range(3)]
    for imei in imeis:
        add(deployment, BlockKind.BLOCK_KIND_IMEI, imei, seconds=600)
    blocks = {block.value: block for block in listed(deployment, BlockKind.BLOCK_KIND_IMEI)}

    assert imeis == [imei for imei in imeis if imei in blocks]
    block = blocks[imeis[0]]
    assert (block.kind, block.reason, block.caller) == (BlockKind.BLOCK_KIND_IMEI, "fraud", "merchant")
    assert before <= block.create_time.ToDatetime(UTC) <= datetime.now(UTC)
    assert block.expire_time.ToDatetime(UTC) > before + timedelta(seconds=599)
    for imei in imeis:
        remove(deployment, BlockKind.BLOCK_KIND_IMEI, imei)
        remove(deployment, BlockKind.BLOCK_KIND_IMEI, imei)
    assert not {block.value for block in listed(deployment, BlockKind.BLOCK_KIND_IMEI)} & set(imeis)


@pytest.mark.parametrize(
    ("request_", "path"),
    [
        (AddBlockRequest(value="x", reason="x"), "kind"),
        (AddBlockRequest(kind=99, value="x", reason="x"), "kind"),  # type: ignore[arg-type]
        (AddBlockRequest(kind=BlockKind.BLOCK_KIND_CONSUMER, reason="x"), "value"),
        (AddBlockRequest(kind=BlockKind.BLOCK_KIND_CONSUMER, value="x" * 65, reason="x"), "value"),
        (AddBlockRequest(kind=BlockKind.BLOCK_KIND_ADDRESS, value="192.0.2.1/24", reason="x"), "value"),
        (AddBlockRequest(kind=BlockKind.BLOCK_KIND_CONSUMER, value="x"), "reason"),
        (
            AddBlockRequest(
                kind=BlockKind.BLOCK_KIND_CONSUMER, value="x", reason="x", expire_time=Timestamp(seconds=1)
            ),
            "expireTime",
        ),
    ],
)
def test_what_cannot_be_blocked_is_named(deployment: Deployment, request_: AddBlockRequest, path: str) -> None:
    answer = refusal(deployment.grpc.blocklist.AddBlock, request_)

    assert answer.code == 1001
    assert answer.message.startswith(f"{path} ")


def test_the_address_of_whoever_initiates_a_sale_is_refused(deployment: Deployment) -> None:
    document = initiate_document(deployment.http.request_access_token())
    add(deployment, BlockKind.BLOCK_KIND_ADDRESS, "127.0.0.0/8")
    try:
        require_in_force(deployment, 2003, lambda: deployment.http.initiate(document))
    finally:
        remove(deployment, BlockKind.BLOCK_KIND_ADDRESS, "127.0.0.0/8")
    assert deployment.http.initiate(document).code == 0
