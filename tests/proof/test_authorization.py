"""Who may call what: every rpc and every route, by everybody, for one's own objects, somebody else's and none.

The matrix is made from the proto, and takes in whatever is added there. Nobody is answered more than the role of an rpc
lets it know, and somebody else's object is answered as one that there is not, but where the contract says otherwise.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple

import grpc
import httpx2
import pytest
from connectingparty.multiplex.v1.multiplex_service_pb2 import Call, Metadata, MultiplexRequest
from connectingparty.multiplex.v1.multiplex_service_pb2_grpc import MultiplexServiceStub
from connectingparty.sale.v1.access_pb2 import Role, access
from connectingparty.sale.v1.error_reason_pb2 import ErrorReason
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from gateway.routes import HttpRoute, annotated_routes
from tests.proof.requests import every_rpc, fields_in, request_of
from tests.proof.shop import CERTIFICATES, KEYS, NO_INVOICE, Shop, ShopFiles, Shown, everybody
from tests.running import Program, running

INVALID, MISMATCH, NO_SALE, NO_CARD = (
    ErrorReason.ERROR_REASON_INVALID_FIELD,
    ErrorReason.ERROR_REASON_SESSION_MISMATCH,
    ErrorReason.ERROR_REASON_INVOICE_NOT_FOUND,
    ErrorReason.ERROR_REASON_CLIENT_CARD_NOT_FOUND,
)
IDENTIFIED, PERMITTED, FAILED = (
    ErrorReason.ERROR_REASON_CALLER_NOT_IDENTIFIED,
    ErrorReason.ERROR_REASON_CALLER_NOT_PERMITTED,
    ErrorReason.ERROR_REASON_SERVER_FAILED,
)
OF_ALL = {Role.ROLE_READER, Role.ROLE_ISSUER, Role.ROLE_ADMIN}
"""Roles that are for everybody's objects: nothing is foreign to them."""
TOLD_APART = {
    "CheckSale": (MISMATCH, NO_SALE),
    "NotifyCardMapping": (MISMATCH, NO_SALE),
    "GetClientIds": (MISMATCH, NO_SALE),
    "ReceiveCallback": (0, NO_SALE),
    "VerifyRandomSum": (0, NO_SALE),
}
"""What the contract has an rpc answer for another's sale and for none, which nobody can guess: an invoice id has 74
random bits. The last two name no consumer: one is proven by the control key, the other asked by the wallet of all."""
OWN, FOREIGN, MISSING = "own", "foreign", "missing"
FOREIGN_CARD, MISSING_CARD = "own sale, foreign card", "own sale, missing card"


class Told(NamedTuple):
    """An answer, over whichever wire."""

    code: int
    """0 for a success; -1 for an error without a reason."""
    text: str
    """All of it."""


Answers = Mapping[str, Told]
"""Of one rpc to one caller, by the kind of object that was named."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> ShopFiles:
    return ShopFiles(tmp_path_factory.mktemp("authorization"))


@pytest.fixture(scope="module")
def program(files: ShopFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    with running(files.arguments, tmp_path_factory.mktemp("log") / "service.log") as program:
        yield program


@pytest.fixture(scope="module")
def channels(files: ShopFiles, program: Program) -> Iterator[dict[str, grpc.Channel]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(files.channel(program, name)) for name in CERTIFICATES}


@pytest.fixture
def shop(program: Program, channels: dict[str, grpc.Channel]) -> Shop:
    return Shop(program, channels["nobody"])


def kinds_of(rpc: MethodDescriptor) -> list[str]:
    """Return the kinds of objects to name: its own come last, for those are changed."""
    has_both = {"invoice_id", "client_card_id"} <= fields_in(rpc.input_type)
    return [FOREIGN, MISSING, *([FOREIGN_CARD, MISSING_CARD] if has_both else []), OWN]


def told_by(code: int, details: str, trailing: Mapping[str, Any]) -> Told:
    info, status = ErrorInfo(), Status.FromString(trailing.get("grpc-status-details-bin", b""))
    any(detail.Unpack(info) for detail in status.details)
    reason = ErrorReason.Value(info.reason) if info.reason else -1
    return Told(reason, f"{details or code} {dict(info.metadata)}")


def told_by_error(error: Any) -> Told:
    return told_by(error.code().value[0], error.details(), dict(error.trailing_metadata() or ()))


Calls = list[tuple[MethodDescriptor, Message]]


def path_of(rpc: MethodDescriptor) -> str:
    return f"/{rpc.containing_service.full_name}/{rpc.name}"


def alone(channel: grpc.Channel, calls: Calls, metadata: Any) -> list[Told]:
    """Make each call by itself, all at once."""

    port: Any = channel

    def begin(rpc: MethodDescriptor, request: Message) -> Callable[[], Any]:
        data = request.SerializeToString()
        if rpc.server_streaming:
            stream = port.unary_stream(path_of(rpc))(data, metadata=metadata, timeout=120)
            return lambda: (next(stream), stream.cancel())
        take: Callable[[], Any] = port.unary_unary(path_of(rpc)).future(data, metadata=metadata, timeout=120).result
        return take

    def end(take: Callable[[], Any]) -> Told:
        try:
            return Told(0, repr(take()))
        except grpc.RpcError as error:
            return told_by_error(error)

    return [end(take) for take in [begin(*each) for each in calls]]


def on_a_stream(channel: grpc.Channel, calls: Calls, metadata: Any) -> list[Told]:
    """Make calls that share a stream, in whose own metadata each claims to be an administrator's."""
    claims = {"authorization": f"Bearer {KEYS['admin']}", "client-address": "192.0.2.1", "client-certificate": "admin"}
    request = MultiplexRequest(
        calls=[
            Call(
                id=position,
                method=path_of(rpc),
                request=message.SerializeToString(),
                metadata=[Metadata(key=key, value=value.encode()) for key, value in claims.items()],
                timeout=120,
            )
            for position, (rpc, message) in enumerate(calls)
        ]
    )
    answers: dict[int, Told] = {}
    multiplex: Any = MultiplexServiceStub(channel).Multiplex
    try:
        for message in multiplex(iter([request]), metadata=metadata, timeout=120):
            for answer in message.answers:
                trailing = {item.key: item.value for item in answer.trailing_metadata}
                failure = answer.code and told_by(answer.code, answer.details, trailing)
                answers[answer.id] = failure or Told(0, repr(answer.response))
    except grpc.RpcError as error:
        return [told_by_error(error)] * len(calls)
    return [answers[position] for position in range(len(calls))]


def faults_of(shop: Shop, rpc: MethodDescriptor, shown: Shown, told: Answers) -> Iterator[str]:
    """Yield what is wrong with the answers to a caller of an rpc."""
    role = rpc.GetOptions().Extensions[access].role
    if shown.roles is None or role not in shown.roles:
        if {answer.code for answer in told.values()} != {PERMITTED if shown.roles else IDENTIFIED}:
            yield "not refused"
        if len(set(told.values())) != 1:
            yield "the refusal tells of objects"
    else:
        if wrong := {answer.code for answer in told.values()} & {IDENTIFIED, PERMITTED, FAILED, INVALID, -1}:
            yield f"let through, and answered {wrong}"
        if role not in OF_ALL:
            yield from confusions_in(shop, rpc, told)


def confusions_in(shop: Shop, rpc: MethodDescriptor, told: Answers) -> Iterator[str]:
    """Yield how a consumer is told of what is another's."""
    foreign, missing = told[FOREIGN], told[MISSING]
    if rpc.name in TOLD_APART:
        if (foreign.code, missing.code) != TOLD_APART[rpc.name]:
            yield "not as the contract has it"
    elif {"invoice_id", "client_card_id"} & fields_in(rpc.input_type) and (
        foreign.code == 0 or foreign.text.replace(shop.alice["invoice_id"], NO_INVOICE) != missing.text
    ):
        yield "another's object is not as one that there is not"
    if FOREIGN_CARD in told and not told[FOREIGN_CARD] == told[MISSING_CARD] == Told(NO_CARD, told[MISSING_CARD].text):
        yield "another's card is not as one that there is not"
    if (foreign.code or rpc.name not in TOLD_APART) and (names := shop.betrayed_by(foreign.text)):
        yield f"it tells {names}"


@pytest.mark.parametrize("make_calls", [alone, on_a_stream])
def test_every_rpc_answers_those_alone_who_may_know(
    channels: dict[str, grpc.Channel], shop: Shop, make_calls: Any
) -> None:
    rpcs = [rpc for rpc in every_rpc() if make_calls is alone or not rpc.server_streaming]
    callers, cases = list(everybody()), [(rpc, kind) for rpc in rpcs for kind in kinds_of(rpc)]
    requests = {(rpc.full_name, kind): request_of(rpc, shop.named(rpc.name, kind)) for rpc, kind in cases}
    answers: dict[tuple[str, str], dict[str, Told]] = {}
    for kind in (FOREIGN, MISSING, FOREIGN_CARD, MISSING_CARD, OWN):
        calls = [(rpc, requests[rpc.full_name, kind]) for rpc, each in cases if each == kind]
        for shown in callers:
            told = make_calls(channels[shown.certificate], calls, shown.metadata)
            for (rpc, _), answer in zip(calls, told, strict=True):
                answers.setdefault((rpc.full_name, shown.name), {})[kind] = answer

    faults = [
        f"{rpc.full_name} by {shown.name}: {fault}: {answers[rpc.full_name, shown.name]}"
        for rpc in rpcs
        for shown in callers
        for fault in faults_of(shop, rpc, shown, answers[rpc.full_name, shown.name])
    ]
    # A request that nobody can have answered shows nothing.
    faults += [
        f"{rpc.full_name}: nobody's own request is answered"
        for rpc in rpcs
        if all(answers[rpc.full_name, shown.name][OWN].code for shown in callers)
    ]

    codes = Counter(told.code in {IDENTIFIED, PERMITTED} for each in answers.values() for told in each.values())
    print(
        f"\n{make_calls.__name__}: {len(rpcs)} rpcs, {len(callers)} callers; {codes.total()} calls, "
        f"{codes[True]} refused, {codes[False]} let through"
    )
    assert not faults, "\n".join(faults)


HEADERS: list[dict[str, str]] = [
    {},
    *({"Authorization": f"Bearer {KEYS[name]}"} for name in ("gateway", "admin")),
    {"Authorization": "Bearer no-key-of-anybody"},
    {"client-address": "192.0.2.1", "client-certificate": "admin.shop.example"},
    {"grpc-metadata-authorization": f"Bearer {KEYS['admin']}", "X-Forwarded-For": "192.0.2.1"},
]


def ask(client: httpx2.Client, route: HttpRoute, request: Message, headers: dict[str, str]) -> Told:
    fields = request.DESCRIPTOR.fields_by_name
    path = route.path.format_map({name: getattr(request, name) for name in route.path_fields})
    in_path = {fields[name].json_name for name in route.path_fields}
    document = {name: value for name, value in MessageToDict(request).items() if name not in in_path}
    where = "json" if route.has_body else "params"
    sent: dict[str, Any] = {where: document, "headers": headers}
    response = client.request(route.http_method, path, **sent)
    body = response.json()
    return Told(int(body["error"]["code"]) if "error" in body else 0, response.text)


def test_every_route_answers_alike_whatever_caller_somebody_claims_to_be(program: Program, shop: Shop) -> None:
    faults, asked = [], 0
    with program.client() as client:
        for route in annotated_routes():
            told: dict[str, Told] = {}
            for kind in kinds_of(route.rpc):
                request = request_of(route.rpc, shop.named(route.rpc.name, kind))
                answers = [ask(client, route, request, headers) for headers in HEADERS]
                told[kind], asked = answers[0], asked + len(answers)
                if len({answer.code for answer in answers}) != 1 or (told[kind].code and len(set(answers)) != 1):
                    faults.append(f"{route.path}, {kind}: not alike: {answers}")
            faults += [f"{route.path}: {fault}: {told}" for fault in confusions_in(shop, route.rpc, told)]
            if told[OWN].code:
                faults.append(f"{route.path}: one's own is not answered: {told[OWN]}")
    print(f"\n{asked} requests by HTTP")
    assert not faults, "\n".join(faults)


def test_no_rpc_without_a_route_is_reached_by_http(program: Program) -> None:
    routed = {route.rpc.full_name for route in annotated_routes()}
    hidden = [rpc for rpc in every_rpc() if rpc.full_name not in routed]
    assert hidden
    with program.client() as client:
        for rpc in hidden:
            response = client.post(path_of(rpc), json={}, headers={"Authorization": f"Bearer {KEYS['admin']}"})

            assert response.json()["error"]["code"] == str(int(ErrorReason.ERROR_REASON_PATH_NOT_FOUND)), rpc.full_name
